import '../checks/check-node.ts'
import type { AnonymousUser, User } from '../auth/user.ts'
import { checkObject, checkTypes } from '../checks/check-values.ts'
import type { ResponseHeaders } from '../http/response-headers.ts'
import type { Session } from '../session/session.ts'
import {
  type DjangoSite,
  type DjangoSiteOptions,
  openDjangoSite as openSite,
  type RequestOrCookie,
} from '../site/django-site.ts'
import type { DjangoExchange, OpenedExchange } from '../site/site-request.ts'
import { type FetchRequestInfo, FetchSiteRequest } from './fetch-request.ts'
import { answerOwnErrors, outcomeOf, statusOf, withHeaders } from './fetch-response.ts'

export type { DjangoExchange } from '../site/site-request.ts'
export type { FetchRequestInfo } from './fetch-request.ts'

/** Django's settings, and which headers of a proxy are trusted. */
export interface FetchSiteOptions extends DjangoSiteOptions {
  /** SECURE_PROXY_SSL_HEADER: a header's name and the value that says HTTPS, e.g. `['x-forwarded-proto', 'https']`. */
  readonly secureProxySslHeader?: readonly [name: string, value: string]
  /** USE_X_FORWARDED_HOST. */
  readonly useXForwardedHost?: boolean
  /**
   * The error page: the response to what a handler has thrown, or to a session that could not be saved. As in Django, it
   * gets the cookies of the session. Default: errors of this package that have a status (400, 403, 503, …) are answered
   * with it and a line of text; all others are thrown.
   */
  readonly onError?: (error: unknown, request: Request) => Response | Promise<Response>
}

/** Handles one request: its session, user, CSRF token, messages and form. */
export type FetchHandler = (django: DjangoExchange) => Response | Promise<Response>

/** A Django site for servers and frameworks that have the Web's own `Request` and `Response`. */
export interface FetchSite extends DjangoSite {
  /**
   * Runs the handler, saves the session before the response leaves, and sets Django's cookies and `Vary` on it. A
   * `Response` that the handler throws is treated the same, and thrown. What `redirect()` and `notFound()` of Next.js and
   * `redirect()` of SvelteKit throw is returned as the response that it stands for. For other errors see `onError`.
   */
  handle(request: Request, handler: FetchHandler, info?: FetchRequestInfo): Promise<Response>
  /**
   * Who sends this request: for a server component, a loader or a middleware. It takes a `Request`, its `Headers`, or what
   * Next's `headers()` and `cookies()` return. Nothing is written, and no cookie is set.
   */
  read(request: RequestOrCookie | CookieJar): Promise<FetchVisitor>
}

/** What Next's `cookies()` returns. */
export interface CookieJar {
  getAll(): readonly { readonly name: string; readonly value: string }[]
}

/** A session that is only read, and its user. */
export interface FetchVisitor {
  readonly session: ReadonlySession
  readonly user: User | AnonymousUser
}

/** The methods of a session that change nothing. */
export type ReadonlySession = Pick<Session, (typeof READING)[number]>

const READING = ['get', 'has', 'keys'] as const

/**
 * Opens a Django site for handlers that take a `Request` of the Web and return a `Response`.
 * @throws {UnknownDjangoVersion} {InvalidUserModel} {TypeError} as the package's `openDjangoSite`.
 */
export function openDjangoSite({
  secureProxySslHeader,
  useXForwardedHost = false,
  onError = answerOwnErrors,
  ...options
}: FetchSiteOptions): FetchSite {
  checkTypes('openDjangoSite', { useXForwardedHost }, 'boolean', ['useXForwardedHost'])
  checkTypes('openDjangoSite', { onError }, 'function', ['onError'])
  const site = openSite(options)
  const proxy = { secureProxySslHeader: secureProxySslHeader ?? null, useXForwardedHost }
  return {
    ...site,
    async handle(request, handler, info = {}) {
      checkObject('site.handle', 'request', request)
      let exchange: OpenedExchange
      try {
        exchange = await site.openRequest(new FetchSiteRequest(request, { info, proxy }))
      } catch (error) {
        return onError(error, request)
      }
      const handled = await outcomeOf(() => handler(exchange.django))
      const outcome = 'error' in handled ? await outcomeOf(() => onError(handled.error, request)) : handled
      let headers: readonly ResponseHeaders[]
      try {
        headers = await exchange.respond(
          'error' in outcome ? statusOf(outcome.error) : outcome.response.status,
        )
      } catch (error) {
        return onError(error, request)
      }
      if ('error' in outcome) throw outcome.error
      const response = withHeaders(outcome.response, headers)
      if (outcome.isThrown) throw response
      return response
    },
    async read(request) {
      const { session, user } = await site.authenticate(isJar(request) ? cookieHeaderOf(request) : request)
      return { session: readonlyView(session), user }
    },
  }
}

function isJar(request: unknown): request is CookieJar {
  return (
    typeof request === 'object' &&
    request !== null &&
    'getAll' in request &&
    typeof request.getAll === 'function'
  )
}

function cookieHeaderOf(jar: CookieJar): string {
  return jar
    .getAll()
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ')
}

function readonlyView(session: Session): ReadonlySession {
  const entries = READING.map((name) => [name, session[name].bind(session)] as const)
  return Object.fromEntries(entries) as unknown as ReadonlySession
}
