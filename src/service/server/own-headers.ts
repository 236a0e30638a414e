import { Socket } from 'node:net'
import helmet from 'helmet'
import type { Context, Middleware } from 'koa'
import { http } from './node-http.ts'

export interface HstsOptions {
  /** SECURE_HSTS_SECONDS, in seconds. */
  readonly maxAge: number
  readonly includeSubDomains: boolean
  readonly preload: boolean
}

/**
 * The headers of each response that this service makes itself: X-Request-Id, the headers that Django's SecurityMiddleware
 * and XFrameOptionsMiddleware send by default, and a Content-Security-Policy without exceptions: the pages have no script,
 * no inline style and nothing from another host. Besides these, only Cross-Origin-Resource-Policy.
 *
 * Strict-Transport-Security is sent only over HTTPS and only with `hsts`, because SECURE_HSTS_SECONDS is 0 by default.
 * Django shares the host name, and a browser keeps the last such header: a header from here would replace Django's.
 * Source: django/middleware/security.py, process_response.
 */
export function createOwnHeaders({
  hsts,
  formActions = [],
  isPassedOn = () => false,
}: {
  hsts?: HstsOptions | undefined
  /** Whether another server answers: then only a response of this service, such as an error page, gets the headers. */
  isPassedOn?: (ctx: Context) => boolean
  /** Other origins to which forms are sent, or to which the answer to a form redirects. */
  formActions?: readonly string[]
} = {}): Middleware {
  const overHttp = headers({ strictTransportSecurity: false, formActions })
  const overHttps = hsts === undefined ? overHttp : headers({ strictTransportSecurity: hsts, formActions })
  function setHeaders(ctx: Context): void {
    ctx.res.setHeader('X-Request-Id', ctx.state.requestId)
    for (const [name, value] of ctx.secure ? overHttps : overHttp) ctx.res.setHeader(name, value)
  }
  return function ownHeaders(ctx, next) {
    if (isPassedOn(ctx)) {
      return next().then(() => {
        if (ctx.respond !== false) setHeaders(ctx)
      })
    }
    setHeaders(ctx)
    return next()
  }
}

/** The headers that helmet sets, collected once: they do not change, but helmet would build them for each request. */
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
    // It must be the same on every page of an origin, and Django does not send it.
    originAgentCluster: false,
    // For Internet Explorer, Flash and old versions of Chrome.
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    // The pages have no link to another host.
    xDnsPrefetchControl: false,
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
