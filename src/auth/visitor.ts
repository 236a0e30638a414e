import type { SessionHandle } from '../session/handle.ts'
import type { Auth, GetUserOptions, LoginOptions } from './auth.ts'
import { type AnonymousUser, anonymousUser, type User } from './user.ts'

/** The visitor who makes this request: Django's `request.user`, with login and logout. */
export interface Visitor {
  /** Loads session and user once, at the first call, whose options count. Without a session cookie there is no query. */
  user(options?: GetUserOptions): Promise<User | AnonymousUser>
  /** Logs this user in; from then on `user()` returns this user. */
  login(user: User, options?: Pick<LoginOptions, 'backend'>): Promise<void>
  /** Flushes the session; from then on `user()` returns the anonymous user. */
  logout(): Promise<void>
}

/**
 * Creates the visitor of one request.
 * Source: django/contrib/auth/middleware.py, AuthenticationMiddleware.
 */
export function createVisitor(
  auth: Auth,
  session: SessionHandle,
  { rotateToken }: Pick<LoginOptions, 'rotateToken'> = {},
): Visitor {
  let user: Promise<User | AnonymousUser> | null = null
  return {
    user(options) {
      user ??= session.load().then((loaded) => auth.getUser(loaded, options))
      return user
    },
    async login(newcomer, options) {
      await auth.login(await session.load(), newcomer, { ...options, rotateToken })
      user = Promise.resolve(newcomer)
    },
    async logout() {
      await auth.logout(await session.load())
      user = Promise.resolve(anonymousUser)
    },
  }
}
