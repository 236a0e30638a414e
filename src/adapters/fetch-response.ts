import type { ResponseHeaders } from '../http/response-headers.ts'
import { withStatus } from '../http/statuses.ts'
import { thrownResponse } from './thrown-response.ts'

/** What a handler gave: a response, which it returned or threw, or another error. */
type Outcome = { readonly response: Response; readonly isThrown: boolean } | { readonly error: unknown }

/** Runs the work. Frameworks throw responses, as React Router does, or values that stand for one. */
export async function outcomeOf(work: () => Response | Promise<Response>): Promise<Outcome> {
  try {
    return { response: await work(), isThrown: false }
  } catch (error) {
    if (error instanceof Response) return { response: error, isThrown: true }
    const response = thrownResponse(error)
    return response === null ? { error } : { response, isThrown: false }
  }
}

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

/** The headers of a redirect, or of a response that was fetched, cannot be changed: then a copy gets them. */
export function withHeaders(response: Response, headers: readonly ResponseHeaders[]): Response {
  const isUnchanged = headers.every(({ setCookie, vary }) => setCookie === null && vary === null)
  if (isUnchanged) return response
  const answer = isMutable(response) ? response : new Response(response.body, response)
  for (const { setCookie, vary } of headers) {
    if (setCookie !== null) answer.headers.append('Set-Cookie', setCookie)
    if (vary !== null) answer.headers.set('Vary', vary(answer.headers.get('Vary') ?? ''))
  }
  return answer
}

function isMutable({ headers }: Response): boolean {
  try {
    headers.delete('x-koa-django-sessions')
    return true
  } catch {
    return false
  }
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
