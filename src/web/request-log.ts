import { randomUUID } from 'node:crypto'
import type { Context, Middleware } from 'koa'
import type { Log } from './log.ts'

/**
 * One `http.request` event per request, once its response has left or its client has. Gives every request an id, the
 * one a proxy sent where it is a plain word, and sends it back, so that an error page can be found in the log.
 */
export function createRequestLog({ log }: { log: Log }): Middleware {
  return function requestLog(ctx, next) {
    const started = performance.now()
    const requestId = plainWord(ctx.get('X-Request-Id')) ?? randomUUID()
    ctx.state.requestId = requestId
    ctx.set('X-Request-Id', requestId)
    ctx.res.once('close', () => {
      const path = pathOf(ctx)
      // A probe comes every few seconds and says nothing new.
      const level = path?.startsWith('/health/') ? 'debug' : 'info'
      log[level]('http.request', {
        requestId,
        method: ctx.method,
        path,
        status: ctx.res.statusCode,
        durationMs: Math.round(performance.now() - started),
        ...(ctx.session !== undefined && { session: ctx.session.outcome }),
        ...(!ctx.res.writableFinished && { aborted: true }),
      })
    })
    return next()
  }
}

function plainWord(text: string): string | undefined {
  return /^[\w.-]{1,128}$/.test(text) ? text : undefined
}

/** Without the query string, where reset tokens and search words are. */
function pathOf(ctx: Context): string | undefined {
  try {
    return ctx.path
  } catch {
    return undefined // not a URL; such a request is answered with 400
  }
}
