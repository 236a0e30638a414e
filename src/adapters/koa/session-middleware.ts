import type { Middleware, ParameterizedContext } from 'koa'
import { checkMethods } from '../../checks/check-values.ts'
import { clientOf } from '../../http/client-info.ts'
import { discardOnFailure } from '../../http/discard-body.ts'
import { addHeaders } from '../../http/response-headers.ts'
import type { SessionRequest, SessionRequests } from '../../http/session-exchange.ts'
import { withStatus } from '../../http/statuses.ts'
import type { SessionHandle } from '../../session/handle.ts'
import { statusOf, withHeaders } from './thrown-errors.ts'

declare module 'koa' {
  interface ExtendableContext {
    /** The visitor's session, not yet loaded: `const session = await ctx.session.load()`. */
    session: SessionHandle
  }
}

/**
 * Django's SessionMiddleware: opens the visitor's session, and saves it before the response is sent.
 * A save that fails throws, so that a visitor never gets a 200 whose session was not saved.
 * Source: django/contrib/sessions/middleware.py.
 */
export function createSessionMiddleware({ requests }: { requests: SessionRequests }): Middleware {
  const from = 'what createSessionRequests returns'
  checkMethods('createSessionMiddleware', { name: 'requests', value: requests, from }, ['open'])
  return async function sessionMiddleware(ctx, next) {
    if (ctx.session !== undefined) {
      throw new TypeError(
        'ctx.session is there already: use djangoSessions once, and no other session middleware (such as koa-session) with it',
      )
    }
    const request = requests.open(
      ctx.get('Cookie'),
      clientOf(ctx.req, () => ctx.ip),
    )
    ctx.session = request.session
    try {
      await next()
    } catch (error) {
      // No error page inside this middleware caught it. Django has one there, so that a 404 still saves the session.
      const answerable = withStatus(error)
      await respond(ctx, request, statusOf(answerable))
      throw withHeaders(answerable, ctx)
    }
    await respond(ctx, request, ctx.status)
  }
}

/** Checks `ctx.session`, for a middleware that needs it. @throws {TypeError} */
export function checkSession({ session }: { session?: unknown }, caller: string): void {
  const isOurs = typeof session === 'object' && session !== null && 'load' in session
  if (isOurs) return
  throw new TypeError(`${caller} needs ctx.session; put app.use(djangoSessions(…)) before it`)
}

async function respond(ctx: ParameterizedContext, request: SessionRequest, status: number): Promise<void> {
  addHeaders(ctx.response, [await discardOnFailure(ctx.body, request.respond(status))])
}
