import Koa, { type Context, type Middleware } from 'koa'
import { TooManyTries } from '../auth/login-tries.ts'
import { DisallowedHost } from './allowed-hosts.ts'
import { CsrfFailure } from './csrf.ts'
import type { Frame } from './frame.ts'
import { errorFields, type Log } from './log.ts'
import type { Views } from './views.ts'

/** What passes: the database or the cache is away, full or too busy, and the same request may succeed in a moment. */
const PASSING: readonly (string | number)[] = [
  'ERR_CACHE_UNAVAILABLE',
  'ERR_DATABASE_TIMEOUT',
  'ERR_FILE_LOCK_TIMEOUT',
  'ERR_NOT_READY',
  'ERR_PASSWORDS_BUSY',
  'ERR_REQUEST_TIMEOUT',
  'ERR_SESSION_CONFLICT_TIMEOUT',
  'ERR_UPSTREAM_BUSY',
  // Node: the network
  ...['EAI_AGAIN', 'ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EPIPE'],
  'ETIMEDOUT',
  // MySQL and MariaDB
  ...['ER_CON_COUNT_ERROR', 'ER_TOO_MANY_USER_CONNECTIONS', 'ER_SERVER_SHUTDOWN', 'ER_LOCK_DEADLOCK'],
  ...['ER_LOCK_WAIT_TIMEOUT', 'ER_QUERY_TIMEOUT', 'ER_QUERY_INTERRUPTED'],
  ...['PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT'],
  // MariaDB's own, which mysql2 cannot name: connection killed, statement time-out
  ...[1927, 1969],
  // PostgreSQL: connection exceptions; too many connections; serialization failure, deadlock, lock not available,
  // statement time-out; shutting down, crashed, starting
  ...['08000', '08003', '08006', '53300', '40001', '40P01', '55P03', '57014', '57P01', '57P02', '57P03'],
  // Read-only for now, as during a failover; in Galera, a node that takes no statements
  ...[
    'ER_ERROR_DURING_COMMIT',
    'ER_OPTION_PREVENTS_STATEMENT',
    'ER_READ_ONLY_MODE',
    1047,
    '25006',
    'SQLITE_READONLY',
    'EROFS',
  ],
  'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION',
  // The disk is full
  ...['ER_DISK_FULL', 'ER_RECORD_FILE_FULL', '53100', 'SQLITE_FULL', 'ENOSPC', 'EDQUOT'],
  // SQLite
  ...['SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT', 'SQLITE_LOCKED'],
]

/** The one table from an error's code (or its driver's number) to a status. What is not in it nobody expected: 500. */
const STATUS_OF_CODE: ReadonlyMap<unknown, number> = new Map([
  ['ERR_DISALLOWED_HOST', 400], // django/core/handlers/exception.py, response_for_exception: SuspiciousOperation
  ['ERR_SESSION_INTERRUPTED', 400], // django/contrib/sessions/exceptions.py, SessionInterrupted
  ['ERR_CSRF', 403], // django/views/csrf.py, csrf_failure
  ['ERR_REQUEST_DATA_TOO_BIG', 400], // response_for_exception again: these are SuspiciousOperation, too,
  ['ERR_TOO_MANY_FIELDS', 400],
  ['ERR_TOO_MANY_FILES', 400],
  ['ERR_UNREADABLE_POST', 400], // or a MultiPartParserError
  ['ERR_INVALID_URL', 400], // Node, for a request line such as "GET http://[ HTTP/1.1"
  ['ERR_UNKNOWN_UPGRADE', 400],
  ['ERR_REQUEST_TOO_SLOW', 408],
  ['ERR_TOO_MANY_TRIES', 429],
  ['ERR_SESSION_TOO_LARGE', 500], // whatever its cause says: waiting does not help
  ['ERR_DATABASE_MISMATCH', 500], // whatever its cause: the settings are to be mended
  ['ERR_UPSTREAM_UNAVAILABLE', 502],
  ['ERR_UPSTREAM_TIMEOUT', 504],
  ...PASSING.map((code) => [code, 503] as const),
])

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

/** Whether waiting may mend it: the database is away, full or too busy. */
export function isPassing(error: unknown): boolean {
  return statusOf(error) === 503
}

function textOf(status: number): readonly [string, string] {
  const text = TEXTS[status] ?? (status < 500 ? TEXTS[400] : TEXTS[500])
  return text ?? ['Error', '']
}

/** The status for an error: by itself or, where it says nothing that we know, by its cause. */
export function statusOf(error: unknown): number {
  if (!(error instanceof Error)) return 500
  if (error instanceof Koa.HttpError) return error.status
  const known = STATUS_OF_CODE.get(codeOf(error)) ?? STATUS_OF_CODE.get('errno' in error ? error.errno : null)
  return known ?? (isConnectionFailure(error) ? 503 : statusOf(error.cause))
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** Failures of a connection that their drivers give no code, or one that says less. */
function isConnectionFailure(error: Error): boolean {
  return (
    error.name === 'KnexTimeoutError' || // no free connection in the pool
    ('fatal' in error && error.fatal === true) || // mysql2: this connection is of no use any more
    ('syscall' in error && error.syscall === 'connect') || // Node: e.g. ENOENT, there is no such socket
    LOST_BY_PG.test(error.message)
  )
}

/** pg gives these no code. */
const LOST_BY_PG =
  /(?:Connection terminated(?: unexpectedly)?|timeout expired|Query read timeout|is not queryable)$/
