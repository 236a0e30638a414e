import { Socket } from 'node:net'
import helmet from 'helmet'
import type { Middleware } from 'koa'
import { http } from './node-http.ts'

export interface HstsOptions {
  /** Seconds, SECURE_HSTS_SECONDS. */
  readonly maxAge: number
  readonly includeSubDomains: boolean
  readonly preload: boolean
}

/**
 * The headers that Django's SecurityMiddleware and XFrameOptionsMiddleware send by default, and a Content-Security-
 * Policy without exceptions: our pages have no script, no inline style and nothing from another host.
 *
 * Strict-Transport-Security only over HTTPS, and only with `hsts`, as in Django, where SECURE_HSTS_SECONDS is 0. The
 * host name is Django's too, and a browser keeps the last such header it saw: one of ours would replace Django's.
 * Source: django/middleware/security.py, process_response.
 */
export function createSecurityHeaders({
  hsts,
  formActions = [],
}: {
  hsts?: HstsOptions | undefined
  /** Origins besides ours to which our forms are sent, or the answer to one leads. */
  formActions?: readonly string[]
} = {}): Middleware {
  const overHttp = headers({ strictTransportSecurity: false, formActions })
  const overHttps = hsts === undefined ? overHttp : headers({ strictTransportSecurity: hsts, formActions })
  return function securityHeaders(ctx, next) {
    for (const [name, value] of ctx.secure ? overHttps : overHttp) ctx.res.setHeader(name, value)
    return next()
  }
}

/** What helmet sets. It is the same at every request, and helmet would put it together at every request. */
function headers({
  strictTransportSecurity,
  formActions,
}: {
  strictTransportSecurity: HstsOptions | false
  formActions: readonly string[]
}): Headers {
  const setHeaders = helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'"],
        formAction: ["'self'", ...formActions],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    crossOriginOpenerPolicy: { policy: 'same-origin' },
    referrerPolicy: { policy: 'same-origin' },
    strictTransportSecurity,
    xFrameOptions: { action: 'deny' },
    // Must be the same on every page of an origin, and Django does not send it.
    originAgentCluster: false,
  })
  const found: [name: string, value: string][] = []
  const request = new http.IncomingMessage(new Socket())
  const response = new http.ServerResponse(request)
  response.setHeader = (name, value) => {
    found.push([name, String(value)])
    return response
  }
  setHeaders(request, response, () => {})
  return found
}

type Headers = readonly (readonly [name: string, value: string])[]
