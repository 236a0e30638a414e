import Koa, { type Context, type Middleware } from 'koa'
import { CsrfFailure } from '../../adapters/koa/csrf.ts'
import { codeOf, statusOf } from '../../http/statuses.ts'
import { errorFields, type Log } from '../monitoring/log.ts'
import { DisallowedHost } from '../proxy/allowed-hosts.ts'
import type { Frame } from './layout.ts'
import { TooManyTries } from './login-throttle.ts'
import type { Views } from './views.ts'

/** What a visitor reads; never the cause. */
const TEXTS: Readonly<Record<number, readonly [title: string, message: string]>> = {
  400: ['Bad request', 'The server could not understand this request.'],
  403: ['Not allowed', 'You may not see this page, or not do this.'],
  404: [
    'Page not found',
    'There is nothing at this address. It may have moved, or the link may be misspelt.',
  ],
  405: ['Method not allowed', 'This page cannot be asked for in this way.'],
  408: ['Too slow', 'What you sent took too long to arrive. Please try again.'],
  429: ['Please wait', 'This was tried too often. Please wait some minutes before you try again.'],
  500: [
    'Something went wrong',
    'The library made a mistake and could not show this page. It has been noted.',
  ],
  502: ['Back in a moment', 'This part of the library cannot be reached just now. Please try again shortly.'],
  503: ['Back in a moment', 'The library cannot be reached just now. Please try again shortly.'],
  504: ['Back in a moment', 'This part of the library took too long to answer. Please try again shortly.'],
}

/** Those of TEXTS that waiting may mend. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([502, 503, 504])

/** Where an error's code says more than its status. */
const TEXT_OF_CODE: ReadonlyMap<unknown, readonly [title: string, message: string]> = new Map([
  [
    'ERR_CSRF',
    [
      'Please send it again',
      'The library could not tell that this came from one of its own pages. Go back, reload the page and send the form again; your browser must accept cookies.',
    ],
  ],
  ['ERR_DISALLOWED_HOST', ['Bad request', 'The library does not answer under this name.']],
  [
    'ERR_SESSION_INTERRUPTED',
    [
      'Your session has ended',
      'Your session was deleted while this page was being made, perhaps because you logged out in another tab. Please go on from the home page.',
    ],
  ],
])

const RETRY_AFTER_SECONDS = '5'

/** Headers that describe a body that will not be sent. */
const BODY_HEADERS = [
  'Content-Disposition',
  'Content-Encoding',
  'Content-Range',
  'ETag',
  'Last-Modified',
  'Location',
]

export interface ErrorPagesOptions {
  readonly views: Views
  readonly log: Log
  /** The frame that needs neither the session nor the database. */
  readonly bareFrame: (ctx: Context) => Frame
}

/**
 * Answers what failed below it, and what nobody answered, with a page in the site's frame. All other headers set so
 * far stay, the session's cookie and Vary with them (Koa's own handling would drop them). A 5xx is logged here, and a
 * host that is not ours, as Django does in the logger django.security.DisallowedHost. The page names no visitor: Django's
 * error pages do not look at the session either, and a Vary or a cookie of ours would be one that Django does not send.
 */
export function createErrorPages({ views, log, bareFrame }: ErrorPagesOptions): Middleware {
  function show(ctx: Context, status: number, [title, message] = textOf(status)): void {
    ctx.status = status
    ctx.type = 'html'
    // Unlike Django, which says nothing of an error's lifetime: a shared cache may keep a 404 or 405 on its own account.
    ctx.set('Cache-Control', 'no-store')
    if (PASSING_STATUSES.has(status) && !ctx.res.hasHeader('Retry-After'))
      ctx.set('Retry-After', RETRY_AFTER_SECONDS)
    const reference = status >= 500 ? ctx.state.requestId : undefined
    ctx.body = views.render('error.html', { status, title, message, reference, frame: bareFrame(ctx) })
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
    // Where Koa does not respond, someone else has: the server behind us.
    if (ctx.status >= 400 && ctx.body === undefined && ctx.respond !== false) show(ctx, ctx.status)
  }
}

function textOf(status: number): readonly [string, string] {
  const text = TEXTS[status] ?? (status < 500 ? TEXTS[400] : TEXTS[500])
  return text ?? ['Error', '']
}
