import Koa, { type Context, type Middleware } from 'koa'
import { CsrfFailure } from '../../http/csrf.ts'
import { statusOf } from '../../http/statuses.ts'
import { codeOf } from '../../sql/driver-errors.ts'
import { errorFields, type Log } from '../monitoring/log.ts'
import { DisallowedHost } from '../proxy/allowed-hosts.ts'
import type { Layout } from './layout.ts'
import { TooManyTries } from './login-throttle.ts'
import type { Templates } from './templates.ts'

/** The texts that a visitor reads. They never contain the cause. */
const TEXTS: Readonly<Record<number, readonly [title: string, message: string]>> = {
  400: ['Bad request', 'The server could not understand this request.'],
  403: ['Not allowed', 'You are not allowed to see this page or to do this.'],
  404: [
    'Page not found',
    'There is no page at this address. It may have moved, or there may be a mistake in the link.',
  ],
  405: ['Method not allowed', 'This page does not support this kind of request.'],
  408: ['Too slow', 'Your request took too long to arrive. Please try again.'],
  429: ['Please wait', 'There were too many attempts. Please wait some minutes before you try again.'],
  500: [
    'Something went wrong',
    'The library could not show this page because of an error. The error has been recorded.',
  ],
  502: ['Back in a moment', 'This part of the library is not available right now. Please try again shortly.'],
  503: ['Back in a moment', 'The library is not available right now. Please try again shortly.'],
  504: ['Back in a moment', 'This part of the library took too long to answer. Please try again shortly.'],
}

/** Statuses of transient failures. */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([502, 503, 504])

/** Texts for error codes that say more than the status. */
const TEXT_OF_CODE: ReadonlyMap<unknown, readonly [title: string, message: string]> = new Map([
  [
    'ERR_CSRF',
    [
      'Please send it again',
      'The library could not verify that this form came from one of its own pages. Go back, reload the page and send the form again. Your browser must accept cookies.',
    ],
  ],
  [
    'ERR_SESSION_MERGE_CONFLICT',
    [
      'Please try again',
      'Something that this step changes was changed in another tab meanwhile, so nothing was saved. Go back, reload the page and repeat the step.',
    ],
  ],
  ['ERR_DISALLOWED_HOST', ['Bad request', 'The library is not available under this host name.']],
  [
    'ERR_SESSION_INTERRUPTED',
    [
      'Your session has ended',
      'Your session was deleted while this page was being prepared, perhaps because you logged out in another tab. Please continue from the home page.',
    ],
  ],
])

const RETRY_AFTER_SECONDS = '5'

/** Headers that describe the body that the error page replaces. */
const BODY_HEADERS = [
  'Content-Disposition',
  'Content-Encoding',
  'Content-Range',
  'ETag',
  'Last-Modified',
  'Location',
]

export interface ErrorPagesOptions {
  readonly templates: Templates
  readonly log: Log
  /** The layout that needs neither the session nor the database. */
  readonly bareLayout: (ctx: Context) => Layout
}

/**
 * Answers with an error page, in the site's layout, when inner middleware throws or leaves a status of 400 or more
 * without a body. Headers that are already set stay, including the session's cookie and Vary; Koa's own error handling
 * would drop them. Logs every 5xx, and a disallowed host as Django does in its logger django.security.DisallowedHost.
 * The page does not show who is logged in: Django's error pages do not read the session either, so they send neither
 * Vary nor a cookie.
 */
export function createErrorPages({ templates, log, bareLayout }: ErrorPagesOptions): Middleware {
  function show(ctx: Context, status: number, [title, message] = textOf(status)): void {
    ctx.status = status
    ctx.type = 'html'
    // Unlike Django, which sends no Cache-Control here: a shared cache may then store a 404 or 405 by default.
    ctx.set('Cache-Control', 'no-store')
    if (TRANSIENT_STATUSES.has(status) && !ctx.res.hasHeader('Retry-After'))
      ctx.set('Retry-After', RETRY_AFTER_SECONDS)
    const reference = status >= 500 ? ctx.state.requestId : undefined
    ctx.body = templates.render('error.html', { status, title, message, reference, layout: bareLayout(ctx) })
  }

  return async function errorPages(ctx, next) {
    try {
      await next()
    } catch (error) {
      if (ctx.headerSent) throw error
      const status = statusOf(error)
      const { requestId } = ctx.state
      if (status >= 500) log.error('http.failure', { requestId, status, ...errorFields(error) })
      if (error instanceof DisallowedHost)
        log.warn('security.disallowed_host', { requestId, host: error.host, hint: 'see ALLOWED_HOSTS' })
      if (error instanceof CsrfFailure) log.warn('security.csrf', { requestId, reason: error.reason })
      if (error instanceof TooManyTries) {
        log.warn('auth.login_limited', { requestId, by: error.by })
        ctx.set('Retry-After', String(error.retryAfter))
      }
      for (const name of BODY_HEADERS) ctx.remove(name)
      if (error instanceof Koa.HttpError && error.headers !== undefined) ctx.set(error.headers)
      return show(ctx, status, TEXT_OF_CODE.get(codeOf(error)))
    }
    // With ctx.respond === false, the upstream's response was passed on.
    if (ctx.status >= 400 && ctx.body === undefined && ctx.respond !== false) show(ctx, ctx.status)
  }
}

function textOf(status: number): readonly [string, string] {
  const text = TEXTS[status] ?? (status < 500 ? TEXTS[400] : TEXTS[500])
  return text ?? ['Error', '']
}
