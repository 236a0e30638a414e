import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import type { Session } from '../../session/session.ts'
import { sentPath } from '../routing.ts'
import type { Log } from './log.ts'
import type { PathLabel } from './path-label.ts'

/** A finished request, for metrics. It has the name of the route, and nothing that a visitor chooses. */
export interface FinishedRequest {
  readonly method: string
  /** The route's name; null when no route matched. */
  readonly route: string | null
  /** Null when the client disconnected before the answer. */
  readonly status: number | null
  readonly seconds: number
  /** The outcome of the session's last write; null for a request without a session. */
  readonly session: Session['outcome'] | null
}

export interface RequestLogOptions {
  readonly log: Log
  readonly pathLabel: PathLabel
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

/**
 * Logs one `http.request` event per request, when its response is sent or its client has disconnected. Sets
 * `ctx.state.requestId`, taken from a proxy's X-Request-Id if that is a plain word. The response has it, too, so that an
 * error page can be found in the log.
 */
export function createRequestLog({
  log,
  pathLabel,
  onRequest = () => {},
  monotonic = () => performance.now(),
}: RequestLogOptions): Middleware {
  return function requestLog(ctx, next) {
    const started = monotonic()
    const requestId = requestIdOf(ctx.req)
    ctx.state.requestId = requestId
    ctx.res.once('close', () => {
      // Without the query string, which may contain reset tokens and search words.
      const path = ctx.state.place === 'here' ? sentPath(ctx) : pathLabel(ctx.originalUrl)
      const milliseconds = monotonic() - started
      const isAborted = !ctx.res.writableFinished
      // Probes arrive every few seconds.
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

/** The request id that a proxy in front sent, or a new one. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const id = String(headers['x-request-id'] ?? '')
  return /^[\w.-]{1,128}$/.test(id) ? id : randomUUID()
}

/** The name of koa-router's route, also when the path matched but not the method; else the name set by another part. */
function routeOf({ matched, state }: Context): string | null {
  const route: { readonly name: string | null } | undefined = matched?.at(-1)
  return route?.name ?? state.route ?? null
}
