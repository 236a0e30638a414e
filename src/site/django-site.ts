import type { Auth } from '../auth/auth.ts'
import type { AnonymousUser, User } from '../auth/user.ts'
import { userModel } from '../auth/user-model.ts'
import { createUserStates } from '../auth/user-states.ts'
import { createVisitor } from '../auth/visitor.ts'
import { kindOf } from '../checks/check-values.ts'
import { SESSION_COOKIE } from '../django/cookie.ts'
import type { VersionProfile } from '../django/versions.ts'
import { createCsrfRequests } from '../http/csrf.ts'
import { createMessagesRequests } from '../http/messages.ts'
import type { SessionRequest, SessionRequests } from '../http/session-exchange.ts'
import type { SessionClient } from '../session/engine.ts'
import type { Session } from '../session/session.ts'
import { checkDatabase } from './check-database.ts'
import { checkOptions } from './check-options.ts'
import { openAuth } from './django-auth.ts'
import { openSessions } from './django-sessions.ts'
import { withProfile } from './django-version.ts'
import { createSessionWatch, type Watch, type WatchEnd, type WatchedVisitor } from './session-watch.ts'
import type {
  DjangoAuthOptions,
  DjangoPagesOptions,
  DjangoSessionsOptions,
  DjangoWatchOptions,
} from './site-options.ts'
import { createExchanges, type DjangoRequest, type OpenedExchange, type SiteRequest } from './site-request.ts'
import { createEngineSource, createTableSource } from './watch-source.ts'

/** Django's settings, in camelCase and with Django's defaults. */
export interface DjangoSiteOptions
  extends DjangoSessionsOptions,
    DjangoAuthOptions,
    DjangoPagesOptions,
    DjangoWatchOptions {
  readonly db: DjangoAuthOptions['db']
}

/** A Django site's sessions and users, for any server. The adapters for Express and Fastify take it. */
export interface DjangoSite {
  readonly requests: SessionRequests
  readonly auth: Auth
  /** The rules of its Django version. */
  readonly profile: VersionProfile
  /** What an adapter adds to each request: session, user, CSRF, messages and form, and `respond`. */
  openRequest(request: SiteRequest): Promise<OpenedExchange>
  /** Session and user alone, for a request of which only the Cookie header is known, and `respond`. */
  open(
    cookieHeader: string | undefined,
    client?: SessionClient,
  ): DjangoRequest & Pick<SessionRequest, 'respond'>
  /**
   * The visitor who sends this request, or this Cookie header: for the upgrade to a WebSocket, or a server of your own.
   * Nothing is written, since no cookie could be set: a session whose hash no longer verifies is anonymous, but stays.
   */
  authenticate(request: RequestOrCookie): Promise<Authenticated>
  /**
   * Watches the session of an open connection, such as a WebSocket or an event stream: `onEnd` is called once when the
   * visitor who was let in is no longer that visitor, whichever side ended it. Pass the same request object as to
   * `authenticate`, for then the visitor is the one that it found; else the visitor is read at this call. Call `stop` when
   * the connection closes by itself.
   * @throws {TypeError} for what is not a request.
   */
  watch(request: RequestOrCookie, onEnd: (reason: WatchEnd) => void): Watch
  /** Closes what the session engine opened (not `db`, which is yours), and stops all watches. No request may be running. */
  close(): Promise<void>
}

/** A request of Node's, Koa's, Express' or Fastify's, a `Request`, its `Headers`, or a Cookie header; null for no header. */
export type RequestOrCookie =
  | { readonly headers: { readonly cookie?: string | undefined } | HeaderGetter }
  | HeaderGetter
  | string
  | null
  | undefined

interface HeaderGetter {
  get(name: string): string | null
}

/** A visitor's session and user, outside a request that gets a response: for a WebSocket or a script. */
export interface Authenticated {
  /** To read. Changes are stored by `save()`. */
  readonly session: Session
  readonly user: User | AnonymousUser
}

/**
 * Opens a Django site as one object: its sessions, users, CSRF and messages, for any framework.
 * @throws {UnknownDjangoVersion} {InvalidUserModel} {TypeError} as `djangoSessions` and `djangoAuth`.
 */
export function openDjangoSite(options: DjangoSiteOptions): DjangoSite {
  checkOptions('openDjangoSite', options)
  const { csrf, messages, watch, ...checked } = withProfile(options)
  const { requests, engine, states, values, close } = openSessions(checked)
  checkDatabase('openDjangoSite', options.db)
  const auth = openAuth(checked)
  const { secretKeys, profile, now = () => new Date() } = checked
  const cookie = { ...SESSION_COOKIE, ...checked.cookie }
  const model = userModel(checked.userModel)
  const userStates = createUserStates(options.db, model)
  const watches = createSessionWatch({
    ...watch,
    source:
      states === undefined
        ? createEngineSource(options.db, engine, userStates, now)
        : createTableSource(options.db, states, userStates),
    auth,
    idType: model.idType,
    values,
  })
  /** Whom `authenticate` has found, by request. */
  const visitors = new WeakMap<object, WatchedVisitor>()

  async function authenticate(request: RequestOrCookie): Promise<Authenticated> {
    const session = await requests.open(cookieHeaderOf('authenticate', request)).session.load()
    const { user } = await auth.identify(session)
    if (typeof request === 'object' && request !== null)
      visitors.set(request, { sessionKey: session.sessionKey, userId: user.id })
    return { session, user }
  }

  return {
    requests,
    auth,
    profile,
    async close() {
      watches.close()
      await close()
    },
    openRequest: createExchanges({
      requests,
      auth,
      csrf: createCsrfRequests({ ...csrf, profile, now, sessionCookieDomain: cookie.domain }),
      messages: createMessagesRequests({ ...messages, secretKeys, profile, now, sessionCookie: cookie }),
      usesCsrfSessions: csrf?.useSessions === true,
    }),
    open(cookieHeader, client) {
      const request = requests.open(cookieHeader, client)
      return { ...request, ...createVisitor(auth, request.session), authenticate: auth.authenticate }
    },
    authenticate,
    watch(request, onEnd) {
      const header = cookieHeaderOf('watch', request)
      if (typeof onEnd !== 'function')
        throw new TypeError(`site.watch: onEnd must be a function, but is ${kindOf(onEnd)}`)
      const known = typeof request === 'object' && request !== null ? visitors.get(request) : undefined
      return watches.watch(async () => {
        if (known !== undefined) return known
        const { session, user } = await authenticate(header)
        return { sessionKey: session.sessionKey, userId: user.id }
      }, onEnd)
    },
  }
}

/** Anything else would silently be an anonymous visitor. */
function cookieHeaderOf(caller: 'authenticate' | 'watch', request: RequestOrCookie): string | undefined {
  if (typeof request === 'string') return request
  if (request === null || request === undefined) return undefined
  const headers: unknown = typeof request === 'object' && 'headers' in request ? request.headers : request
  const cookie = isHeaders(headers)
    ? headers.get('cookie')
    : request !== headers && isPlain(headers)
      ? headers.cookie
      : NONE
  if (cookie === null || cookie === undefined) return undefined
  if (typeof cookie === 'string') return cookie
  throw new TypeError(
    `site.${caller} takes a request with headers (such as the one of an upgrade), a Request, its Headers, or the text of a ` +
      'Cookie header, and was given something else',
  )
}

const NONE = Symbol('no headers')

/** Headers of Node. Without a cookie they are an anonymous visitor's; so would be anything else that has a `get`. */
function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !hasGetter(value)
}

/** Not `'get' in value`: a client may send a header of this name. */
function hasGetter(value: object): boolean {
  return 'get' in value && typeof value.get === 'function'
}

/** `Headers` of the Web, also of another implementation or Next's: not a Map, a jar of cookies or a context. */
function isHeaders(value: unknown): value is HeaderGetter {
  return Object.prototype.toString.call(value) === '[object Headers]'
}
