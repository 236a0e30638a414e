import type { Auth, Credentials } from './auth/auth.ts'
import type { AnonymousUser, User } from './auth/user.ts'
import { createVisitor, type Visitor } from './auth/visitor.ts'
import { type DjangoAuthOptions, djangoAuth } from './django-auth.ts'
import { type DjangoSessionsOptions, openSessionRequests } from './django-sessions.ts'
import type { SessionClient } from './session/engine.ts'
import type { SessionHandle } from './session/handle.ts'
import type { Session } from './session/session.ts'
import type { SessionRequest, SessionRequests } from './web/session-requests.ts'

/** Django's settings, in camelCase and with Django's defaults. */
export interface DjangoSiteOptions extends DjangoSessionsOptions, DjangoAuthOptions {
  readonly db: DjangoAuthOptions['db']
}

/** A Django site's sessions and users, for any server: what the adapters for Express and Fastify are given. */
export interface DjangoSite {
  readonly requests: SessionRequests
  readonly auth: Auth
  /** What an adapter hangs on each request, and what it asks before the response is sent. */
  open(
    cookieHeader: string | undefined,
    client?: SessionClient,
  ): DjangoRequest & Pick<SessionRequest, 'respond'>
  /**
   * Who sends this request, or one with this Cookie header: for a WebSocket's upgrade, or a server of your own. Nothing
   * is written, since no cookie could be set: a session whose hash no longer verifies is nobody's, but stays.
   */
  authenticate(
    request: { headers: { cookie?: string | undefined } } | string | undefined,
  ): Promise<Authenticated>
  /** Ends what the session engine opened (not `db`, which is yours); no request may be running any more. */
  close(): Promise<void>
}

/** A request to a Django site: its session, and who sent it. */
export interface DjangoRequest extends Visitor {
  /** Not yet loaded: `const session = await request.django.session.load()`. */
  readonly session: SessionHandle
  /** The user with this name and password, or null; see `Auth`. */
  authenticate(credentials: Credentials): Promise<User | null>
}

export interface Authenticated {
  /** To read; what is set takes effect with `save()`. */
  readonly session: Session
  readonly user: User | AnonymousUser
}

/** @throws {UnknownDjangoVersion} {InvalidUserModel} {TypeError} as `djangoSessions` and `djangoAuth`. */
export function openDjangoSite(options: DjangoSiteOptions): DjangoSite {
  const { requests, close } = openSessionRequests(options)
  const auth = djangoAuth(options)
  return {
    requests,
    auth,
    close,
    open(cookieHeader, client) {
      const request = requests.open(cookieHeader, client)
      return { ...request, ...createVisitor(auth, request.session), authenticate: auth.authenticate }
    },
    async authenticate(request) {
      const cookieHeader = typeof request === 'string' ? request : request?.headers.cookie
      const session = await requests.open(cookieHeader).session.load()
      const { user } = await auth.identify(session)
      return { session, user }
    },
  }
}
