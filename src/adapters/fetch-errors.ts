import { withStatus } from '../http/statuses.ts'

/** The default of `onError`: see there. */
export function answerOwnErrors(error: unknown): Response {
  const known = withStatus(error)
  if (isMarked(known)) return responseTo(known)
  throw error
}

/**
 * The status of the answer to an error: frameworks mark errors with it. What error() of SvelteKit throws is not an `Error`.
 */
export function statusOf(error: unknown): number {
  const isMarked = typeof error === 'object' && error !== null && 'status' in error
  const status = isMarked ? Number(error.status) : 500
  return status >= 400 && status < 600 ? status : 500
}

/** Not in the words of an error of the server: they are for its log. */
function responseTo({ status, expose, message }: StatusError): Response {
  const text = expose ? message : status === 503 ? 'Service Unavailable' : 'Internal Server Error'
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

/** What `withStatus` has marked: an error of this package. */
function isMarked(error: unknown): error is StatusError {
  return error instanceof Error && 'status' in error && typeof error.status === 'number' && 'expose' in error
}
