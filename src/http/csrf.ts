/** Django's CsrfViewMiddleware for any server. Source: django/middleware/csrf.py. */
import {
  type CookieSettings,
  CSRF_COOKIE,
  CSRF_COOKIE_AGE,
  readCookie,
  setCookie,
  varyOnCookie,
} from '../django/cookie.ts'
import {
  CSRF_FIELD,
  CSRF_HEADER_NAME,
  CSRF_SESSION_KEY,
  checkCsrfToken,
  createCsrfSecret,
  createOriginCheck,
  isSafeMethod,
  maskCsrfSecret,
  type ReceivedSecret,
  readCsrfCookie,
  readCsrfSession,
} from '../django/csrf.ts'
import { splitDomainPort } from '../django/hosts.ts'
import type { VersionProfile } from '../django/versions.ts'
import type { SessionHandle } from '../session/handle.ts'
import type { Session } from '../session/session.ts'
import { NO_HEADERS, type ResponseHeaders } from './response-headers.ts'
import { withStatus } from './statuses.ts'

/** A request's token against cross-site request forgery. */
export interface Csrf {
  /**
   * The token for a form's field `csrfmiddlewaretoken` or the header X-CSRFToken; another text at each call. The
   * response then sets the cookie (or the session's key) and varies on it. Source: get_token.
   */
  getToken(): string
  /** Replaces the visitor's secret, as a login must: forms rendered before are refused. Source: rotate_token. */
  rotateToken(): void
  /** Refuses a request that may change something and has no valid token; once per request. @throws {CsrfFailure} */
  check(): Promise<void>
}

/** Another site's page may have forged the request; status 403. The reason is Django's, for the log alone. */
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
export interface CsrfOptions {
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
  readonly now?: () => Date
}

/** A request as the CSRF check needs it. All but the Cookie header is asked for only by a check. */
export interface CsrfRequest {
  readonly method: string
  /** Whether the visitor's browser used HTTPS. */
  readonly isSecure: boolean
  /** The host that the browser asked for, with its port unless that is the default; '' when it is not known. */
  readonly host: string
  /** The header of this name in lower case; several of one name are joined by commas, as Node does. */
  header(name: string): string | undefined
  /** A field of the form in the body. */
  readField(name: string): Promise<string | undefined>
  /** Needed with `useSessions`; null without sessions. */
  readonly session: Pick<SessionHandle, 'load'> | null
}

/** The CSRF check without a framework. Each adapter uses it. */
export interface CsrfRequests {
  open(request: CsrfRequest): Promise<OpenCsrfRequest>
}

export interface OpenCsrfRequest {
  readonly csrf: Csrf
  /** To be called once, before headers are sent: stores the secret if a token was used, and returns the headers for it. */
  respond(): Promise<ResponseHeaders>
}

/** Source: process_request, process_view and process_response. */
export function createCsrfRequests({
  profile,
  useSessions = false,
  cookie: given,
  cookieAge = CSRF_COOKIE_AGE,
  headerName = CSRF_HEADER_NAME,
  trustedOrigins = [],
  sessionCookieDomain = null,
  now = () => new Date(),
}: CsrfOptions): CsrfRequests {
  const rules = profile.csrf
  const cookie = { ...CSRF_COOKIE, ...given }
  const header = headerName
    .replace(/^HTTP_/, '')
    .replaceAll('_', '-')
    .toLowerCase()
  const cookieDomain = useSessions ? sessionCookieDomain : cookie.domain
  const checkOrigin = createOriginCheck({ rules, trustedOrigins, cookieDomain })
  const vary = (existing: string): string => varyOnCookie(existing, profile)

  async function receive(request: CsrfRequest): Promise<{ received: ReceivedSecret; isRewritten: boolean }> {
    if (useSessions) {
      const session = await loadSession(request)
      return { received: readCsrfSession(session.get(CSRF_SESSION_KEY), rules), isRewritten: false }
    }
    const sent = readCookie(request.header('cookie'), cookie.name)
    const received = readCsrfCookie(sent, rules)
    const isBare = received !== null && 'stored' in received && received.stored !== sent
    return { received, isRewritten: isBare && rules.masksBareCookie }
  }

  async function reasonToRefuse(request: CsrfRequest, received: ReceivedSecret): Promise<string | null> {
    const { method } = request
    if (isSafeMethod(method)) return null
    const { host, isSecure } = request
    const originReason = checkOrigin({
      method,
      isSecure,
      host: host === '' ? null : host,
      // Unlike Django, which takes the port that its server listens on: behind a proxy that is another one.
      port: splitDomainPort(host)[1] || (isSecure ? '443' : '80'),
      origin: request.header('origin'),
      referer: request.header('referer'),
    })
    if (originReason !== null) return originReason
    // Django does not read the body of a request without a cookie either.
    const hasSecret = received !== null && !('malformed' in received)
    const field = hasSecret && method === 'POST' ? await request.readField(CSRF_FIELD) : undefined
    return checkCsrfToken({ received, field, header: request.header(header), headerName }, rules)
  }

  async function store(request: CsrfRequest, stored: string): Promise<ResponseHeaders> {
    if (useSessions) {
      const session = await loadSession(request)
      if (session.get(CSRF_SESSION_KEY) !== stored) session.set(CSRF_SESSION_KEY, stored)
      return NO_HEADERS
    }
    return { setCookie: setCookie(cookie, stored, { maxAge: cookieAge, now: now(), profile }), vary }
  }

  return {
    async open(request) {
      const { received, isRewritten } = await receive(request)
      const isMalformed = received !== null && 'malformed' in received
      let secret = isMalformed ? createCsrfSecret(rules) : received
      let isUsed = isMalformed || isRewritten
      let check: Promise<string | null> | null = null
      const csrf: Csrf = {
        getToken() {
          secret ??= createCsrfSecret(rules)
          isUsed = true // Also when the browser has the cookie: this renews its expiry.
          return maskCsrfSecret(secret.secret)
        },
        rotateToken() {
          secret = createCsrfSecret(rules)
          isUsed = true
        },
        async check() {
          check ??= reasonToRefuse(request, received)
          const reason = await check
          if (reason !== null) throw withStatus(new CsrfFailure(reason))
        },
      }
      return {
        csrf,
        respond: async () => (isUsed && secret !== null ? store(request, secret.stored) : NO_HEADERS),
      }
    },
  }
}

async function loadSession({ session }: CsrfRequest): Promise<Session<Record<string, unknown>>> {
  if (session === null)
    throw new TypeError('CSRF_USE_SESSIONS needs sessions; open the request with its session')
  return session.load<Record<string, unknown>>()
}
