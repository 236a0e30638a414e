import type { Context, Middleware } from 'koa'
import { checkProfile } from '../../checks/check-values.ts'
import {
  type CookieSettings,
  CSRF_COOKIE,
  CSRF_COOKIE_AGE,
  readCookie,
  setCookie,
  varyOnCookie,
} from '../../django/cookie.ts'
import {
  CSRF_FIELD,
  CSRF_HEADER_NAME,
  CSRF_SESSION_KEY,
  type CsrfSecret,
  checkCsrfToken,
  createCsrfSecret,
  createOriginCheck,
  isSafeMethod,
  maskCsrfSecret,
  type ReceivedSecret,
  readCsrfCookie,
  readCsrfSession,
} from '../../django/csrf.ts'
import { splitDomainPort } from '../../django/hosts.ts'
import type { VersionProfile } from '../../django/versions.ts'
import { withStatus } from '../../http/statuses.ts'
import { readForm } from './form.ts'
import { checkSession } from './session-middleware.ts'

declare module 'koa' {
  interface ExtendableContext {
    /** The visitor's token against cross-site request forgery. */
    csrf: Csrf
  }
}

export interface Csrf {
  /**
   * The token for a form's field `csrfmiddlewaretoken` or the header X-CSRFToken; another text at each call. The
   * response then sets the cookie (or the session's key) and varies on it. Source: get_token.
   */
  getToken(): string
  /** Gives the visitor another secret, as a login must: forms rendered before it are refused. Source: rotate_token. */
  rotateToken(): void
  /** What `protect` does: a second call does nothing. @throws {CsrfFailure} */
  check(): Promise<void>
}

/** The request may have been forged by another site's page; status 403. The reason is Django's, for the log alone. */
export class CsrfFailure extends Error {
  override name = 'CsrfFailure'
  readonly code: string = 'ERR_CSRF'
  readonly reason: string

  constructor(reason: string) {
    super('CSRF verification failed. Request aborted.')
    // The Origin header may be any text.
    this.reason = reason.slice(0, LOGGED_LENGTH).replace(/[^\x20-\x7e]/g, '?')
  }
}

const LOGGED_LENGTH = 300

/** Django's CSRF_… settings, with Django's defaults, and what else decides. */
export interface CsrfMiddlewareOptions {
  readonly profile: VersionProfile
  /** CSRF_USE_SESSIONS: the secret is kept in the session, not in a cookie. */
  readonly useSessions?: boolean
  /** CSRF_COOKIE_NAME, _DOMAIN, … */
  readonly cookie?: Partial<CookieSettings>
  /** CSRF_COOKIE_AGE, seconds; null until the browser closes. */
  readonly cookieAge?: number | null
  /** CSRF_HEADER_NAME, as Django has it: HTTP_X_CSRFTOKEN. */
  readonly headerName?: string
  /** CSRF_TRUSTED_ORIGINS: origins such as `https://*.example.com`; before Django 4.0 hosts such as `.example.com`. */
  readonly trustedOrigins?: readonly string[]
  /** SESSION_COOKIE_DOMAIN, which counts with `useSessions`. */
  readonly sessionCookieDomain?: string | null
  /** Reads a field of the form that was sent; `readForm` unless given, for sites that have parsed the body already. */
  readonly readField?: (ctx: Context, name: string) => Promise<string | undefined>
  readonly now?: () => Date
}

/**
 * Gives each request `ctx.csrf`, and the visitor the cookie that belongs to its tokens: Django's CsrfViewMiddleware but
 * for the check, which is `protect`. It stands inside the session middleware and outside the error pages, whose forms
 * have tokens too; only around pages of ours, since Django keeps the cookie in order itself.
 * Source: django/middleware/csrf.py, process_request and process_response.
 */
export function createCsrfMiddleware({
  profile,
  useSessions = false,
  cookie: given,
  cookieAge = CSRF_COOKIE_AGE,
  headerName = CSRF_HEADER_NAME,
  trustedOrigins = [],
  sessionCookieDomain = null,
  readField = async (ctx, name) => (await readForm(ctx)).get(name),
  now = () => new Date(),
}: CsrfMiddlewareOptions): Middleware {
  checkProfile('createCsrfMiddleware', profile)
  const rules = profile.csrf
  const cookie = { ...CSRF_COOKIE, ...given }
  const header = headerName.replace(/^HTTP_/, '').replaceAll('_', '-')
  const cookieDomain = useSessions ? sessionCookieDomain : cookie.domain
  const checkOrigin = createOriginCheck({ rules, trustedOrigins, cookieDomain })

  async function receive(ctx: Context): Promise<{ received: ReceivedSecret; isRewritten: boolean }> {
    if (useSessions) {
      const session = await ctx.session.load<Record<string, unknown>>()
      return { received: readCsrfSession(session.get(CSRF_SESSION_KEY), rules), isRewritten: false }
    }
    const sent = readCookie(ctx.get('Cookie'), cookie.name)
    const received = readCsrfCookie(sent, rules)
    const isBare = received !== null && 'stored' in received && received.stored !== sent
    return { received, isRewritten: isBare && rules.masksBareCookie }
  }

  async function reasonToRefuse(ctx: Context, received: ReceivedSecret): Promise<string | null> {
    if (isSafeMethod(ctx.method)) return null
    const { host, secure } = ctx
    const originReason = checkOrigin({
      method: ctx.method,
      isSecure: secure,
      host: host === '' ? null : host,
      // Unlike Django, where it is the port that the server listens on, which behind a proxy is another.
      port: splitDomainPort(host)[1] || (secure ? '443' : '80'),
      origin: headerOf(ctx, 'origin'),
      referer: headerOf(ctx, 'referer'),
    })
    if (originReason !== null) return originReason
    // Django does not read the body of a request without a cookie either.
    const hasSecret = received !== null && !('malformed' in received)
    const field = hasSecret && ctx.method === 'POST' ? await readField(ctx, CSRF_FIELD) : undefined
    return checkCsrfToken({ received, field, header: headerOf(ctx, header), headerName }, rules)
  }

  async function store(ctx: Context, { stored }: CsrfSecret): Promise<void> {
    if (useSessions) {
      const session = await ctx.session.load<Record<string, unknown>>()
      if (session.get(CSRF_SESSION_KEY) !== stored) session.set(CSRF_SESSION_KEY, stored)
      return
    }
    ctx.append('Set-Cookie', setCookie(cookie, stored, { maxAge: cookieAge, now: now(), profile }))
    ctx.set('Vary', varyOnCookie(String(ctx.res.getHeader('Vary') ?? ''), profile))
  }

  return async function csrfMiddleware(ctx, next) {
    if (useSessions) checkSession(ctx, 'createCsrfMiddleware with useSessions')
    const { received, isRewritten } = await receive(ctx)
    const isMalformed = received !== null && 'malformed' in received
    let secret = isMalformed ? createCsrfSecret(rules) : received
    let isUsed = isMalformed || isRewritten
    let check: Promise<string | null> | null = null
    ctx.csrf = {
      getToken() {
        secret ??= createCsrfSecret(rules)
        isUsed = true // with a cookie that the browser has, too: it lives on from here
        return maskCsrfSecret(secret.secret)
      },
      rotateToken() {
        secret = createCsrfSecret(rules)
        isUsed = true
      },
      async check() {
        check ??= reasonToRefuse(ctx, received)
        const reason = await check
        if (reason !== null) throw withStatus(new CsrfFailure(reason))
      },
    }
    try {
      await next()
    } finally {
      if (isUsed && secret !== null && !ctx.headerSent) await store(ctx, secret)
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

function headerOf(ctx: Context, name: string): string | undefined {
  const value = ctx.req.headers[name.toLowerCase()]
  return Array.isArray(value) ? value.join(', ') : value
}
