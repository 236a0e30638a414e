import '../checks/check-node.ts'
import { checkObject, checkTypes } from '../checks/check-values.ts'
import {
  type DjangoSite,
  type DjangoSiteOptions,
  openDjangoSite as openSite,
  type RequestOrCookie,
} from '../site/django-site.ts'
import type { DjangoExchange, OpenedExchange } from '../site/site-request.ts'
import { answerOwnErrors } from './fetch-errors.ts'
import { type FetchRequestInfo, FetchSiteRequest } from './fetch-request.ts'
import { savedResponse } from './fetch-response.ts'
import { type CookieJar, type FetchVisitor, readVisitor } from './fetch-visitor.ts'

export type { DjangoExchange } from '../site/site-request.ts'
export type { FetchRequestInfo } from './fetch-request.ts'
export type { CookieJar, FetchVisitor, ReadonlySession } from './fetch-visitor.ts'

/** Django's settings, and which headers of a proxy are trusted. */
export interface FetchSiteOptions extends DjangoSiteOptions {
  /** SECURE_PROXY_SSL_HEADER: a header's name and the value that says HTTPS, e.g. `['x-forwarded-proto', 'https']`. */
  readonly secureProxySslHeader?: readonly [name: string, value: string]
  /** USE_X_FORWARDED_HOST. */
  readonly useXForwardedHost?: boolean
  /**
   * The error page: the response to what a handler has thrown, or to a session that could not be saved. As in Django, it
   * gets the cookies of the session. Default: an error with `status` and `expose`, of this package (400, 403, 503, …) or of
   * http-errors, is answered with its status and a line of text; all others are thrown, and then nothing is saved.
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
      const answer = (error: unknown) => onError(error, request)
      let exchange: OpenedExchange
      try {
        exchange = await site.openRequest(new FetchSiteRequest(request, { info, proxy }))
      } catch (error) {
        return answer(error)
      }
      return savedResponse(exchange, () => handler(exchange.django), answer)
    },
    read: (request) => readVisitor(site, request),
  }
}
