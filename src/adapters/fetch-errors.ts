import { withStatus } from '../http/statuses.ts'

/** The default of `onError`: see there. */
export function answerOwnErrors(error: unknown): Response {
  const known = withStatus(error)
  if (isMarked(known)) return responseTo(known)
  throw error
}

/** The status of the answer to a failed save. */
export function statusOf(error: unknown): number {
  return isMarked(error) ? error.status : 500
}

/** Not in the words of an error that may not be shown: they are for the log of the server. */
function responseTo({ status, expose, message }: StatusError): Response {
  // Not imported: node:http takes a third of the time that the import of the package takes.
  const { STATUS_CODES } = process.getBuiltinModule('node:http')
  const text = expose ? message : (STATUS_CODES[status] ?? 'Error')
  const headers = {
    'Content-Type': 'text/plain; charset=utf-8',
    ...(status === 503 && { 'Retry-After': '5' }),
  }
  return new Response(text, { status, headers })
}

interface StatusError {
  readonly status: number
  readonly expose: boolean
  readonly message: string
}

/**
 * An error that is marked for an answer, as `withStatus` and http-errors do. An error with a status alone may be another
 * server's, which a client of HTTP has thrown: it is a bug here.
 */
function isMarked(error: unknown): error is StatusError {
  if (!(error instanceof Error && 'status' in error && 'expose' in error)) return false
  const { status, expose } = error
  return typeof expose === 'boolean' && typeof status === 'number' && status >= 400 && status < 600
}
