import { type HttpError, isHttpError, withStatus } from '../http/statuses.ts'

/** The default of `onError`: see there. */
export function answerOwnErrors(error: unknown): Response {
  const known = withStatus(error)
  if (isHttpError(known)) return responseTo(known)
  throw error
}

/** Not in the words of an error that may not be shown: they are for the log of the server. */
function responseTo({ status, expose, message }: HttpError): Response {
  // Not imported: node:http takes a third of the time that the import of the package takes.
  const { STATUS_CODES } = process.getBuiltinModule('node:http')
  const text = expose ? message : (STATUS_CODES[status] ?? 'Error')
  const headers = {
    'Content-Type': 'text/plain; charset=utf-8',
    ...(status === 503 && { 'Retry-After': '5' }),
  }
  return new Response(text, { status, headers })
}
