import { discardOnFailure } from '../http/discard-body.ts'
import { addHeaders, type ResponseHeaders } from '../http/response-headers.ts'
import { statusOf } from '../http/statuses.ts'
import type { OpenedExchange } from '../site/site-request.ts'
import { outcomeOf } from './thrown-response.ts'

/**
 * Runs the handler, and saves what it changed before its response leaves. `answer` is the error page, for what the handler
 * or the save has thrown. What it throws itself is the framework's to answer, where no cookie can be set: so nothing is
 * saved then, as by Django for a status of 500.
 */
export async function savedResponse(
  exchange: Pick<OpenedExchange, 'respond'>,
  handler: () => Response | Promise<Response>,
  answer: (error: unknown) => Response | Promise<Response>,
): Promise<Response> {
  const handled = await outcomeOf(handler)
  const outcome = 'error' in handled ? await outcomeOf(() => answer(handled.error)) : handled
  if ('error' in outcome) {
    await exchange.respond(500).catch(() => {}) // It waits for what the handler began.
    throw outcome.error
  }
  let headers: readonly ResponseHeaders[]
  try {
    headers = await discardOnFailure(outcome.response, exchange.respond(outcome.response.status))
  } catch (error) {
    return failure(await answer(error), error)
  }
  const response = withHeaders(outcome.response, headers)
  if (outcome.isThrown) throw response
  return response
}

/** A visitor must not get a 200 whose session was not saved, whatever the error page says. */
function failure(page: Response, error: unknown): Response {
  return page.ok ? new Response(page.body, { status: statusOf(error), headers: page.headers }) : page
}

/** The headers of a redirect, or of a response that was fetched, cannot be changed: then a copy gets them. */
function withHeaders(response: Response, headers: readonly ResponseHeaders[]): Response {
  const isUnchanged = headers.every(({ setCookie, vary }) => setCookie === null && vary === null)
  if (isUnchanged) return response
  const answer = isMutable(response) ? response : new Response(response.body, response)
  addHeaders(answer.headers, headers)
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
