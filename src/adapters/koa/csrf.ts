import type { Middleware } from 'koa'
import { checkProfile } from '../../checks/check-values.ts'
import { type Csrf, type CsrfOptions, createCsrfRequests } from '../../http/csrf.ts'
import { addHeaders } from '../../http/response-headers.ts'
import { KoaCsrfRequest, type ReadField } from './csrf-request.ts'
import { readForm } from './form.ts'
import { checkSession } from './session-middleware.ts'

declare module 'koa' {
  interface ExtendableContext {
    /** The visitor's token against cross-site request forgery. */
    csrf: Csrf
  }
}

/** Django's CSRF_… settings, with Django's defaults, and what else decides. */
export interface CsrfMiddlewareOptions extends CsrfOptions {
  /** Reads a field of the form that was sent; default: by `readForm`. For a site that has parsed the body already. */
  readonly readField?: ReadField
}

/**
 * Sets `ctx.csrf` for each request, and the cookie that belongs to its tokens: Django's CsrfViewMiddleware without the
 * check, which is `protect`. It belongs inside the session middleware and outside the error pages, whose forms have
 * tokens too; only around your own pages, since Django keeps the cookie of its pages in order itself.
 * Source: django/middleware/csrf.py, process_request and process_response.
 */
export function createCsrfMiddleware({
  readField = async (ctx, name) => (await readForm(ctx)).get(name),
  ...options
}: CsrfMiddlewareOptions): Middleware {
  checkProfile('createCsrfMiddleware', options.profile)
  const { useSessions = false } = options
  const requests = createCsrfRequests(options)
  return async function csrfMiddleware(ctx, next) {
    if (useSessions) checkSession(ctx, 'createCsrfMiddleware with useSessions')
    const session = useSessions ? ctx.session : null
    const { csrf, respond } = await requests.open(new KoaCsrfRequest(ctx, { session, readField }))
    ctx.csrf = csrf
    try {
      await next()
    } finally {
      if (!ctx.headerSent) addHeaders(ctx.response, [await respond()])
    }
  }
}

/**
 * Refuses a request that may change something and has no valid token; a body that is a form is read for it. Put it
 * before the routes that it protects (`router.use(protect)`), and routes that Django would call `csrf_exempt` before it
 * or on another router. Source: process_view.
 */
export const protect: Middleware = async function protect(ctx, next) {
  if ((ctx as Partial<typeof ctx>).csrf === undefined)
    throw new TypeError('protect needs ctx.csrf; put app.use(createCsrfMiddleware({ profile })) before it')
  await ctx.csrf.check()
  await next()
}
