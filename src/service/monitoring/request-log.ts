import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import type { Session } from '../../session/session.ts'
import { sentPath } from '../routing.ts'
import type { Log } from './log.ts'
import type { PathLabel } from './path-label.ts'

/** A request that is over, in words of ours alone: what a visitor made up is not fit to count by. */
export interface FinishedRequest {
  readonly method: string
  /** The route's name; null where none was met. */
  readonly route: string | null
  /** Null where the client left before the answer. */
  readonly status: number | null
  readonly seconds: number
  /** What the session's last write came to; null for a request without a session. */
  readonly session: Session['outcome'] | null
}

export interface RequestLogOptions {
  readonly log: Log
  readonly pathLabel: PathLabel
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
}

/**
 * One `http.request` event per request, once its response has left or its client has. Gives every request an id, the
 * one a proxy sent where it is a plain word, and sends it back, so that an error page can be found in the log.
 */
export function createRequestLog({ log, pathLabel, onRequest = () => {} }: RequestLogOptions): Middleware {
  return function requestLog(ctx, next) {
    const started = performance.now()
    const requestId = requestIdOf(ctx.req)
    ctx.state.requestId = requestId
    ctx.set('X-Request-Id', requestId)
    ctx.res.once('close', () => {
      // Without the query string, where reset tokens and search words are.
      const path = ctx.state.place === 'here' ? sentPath(ctx) : pathLabel(ctx.originalUrl)
      const milliseconds = performance.now() - started
      const isAborted = !ctx.res.writableFinished
      // A probe comes every few seconds and says nothing new.
      const level = path.startsWith('/health/') ? 'debug' : 'info'
      log[level]('http.request', {
        requestId,
        method: ctx.method,
        path,
        status: ctx.res.statusCode,
        durationMs: Math.round(milliseconds),
        ...(ctx.session !== undefined && { session: ctx.session.outcome }),
        ...(isAborted && { aborted: true }),
      })
      onRequest({
        method: ctx.method,
        route: routeOf(ctx),
        status: isAborted ? null : ctx.res.statusCode,
        seconds: milliseconds / 1000,
        session: ctx.session?.loaded?.outcome ?? null,
      })
    })
    return next()
  }
}

/** What a proxy in front calls this request, or a new id. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const id = String(headers['x-request-id'] ?? '')
  return /^[\w.-]{1,128}$/.test(id) ? id : randomUUID()
}

/** koa-router's name, also where the path is known and the method is not; or what another part calls itself. */
function routeOf({ matched, state }: Context): string | null {
  const route: { readonly name: string | null } | undefined = matched?.at(-1)
  return route?.name ?? state.route ?? null
}
