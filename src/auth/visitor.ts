import type { SessionHandle } from '../session/handle.ts'
import type { Auth, LoginOptions } from './auth.ts'
import { type AnonymousUser, anonymousUser, type User } from './user.ts'

/** Who makes this request: Django's `request.user`, with the functions that change it. */
export interface Visitor {
  /** Asked of the session and the database once, when first needed; a visitor without a session costs no query. */
  user(): Promise<User | AnonymousUser>
  /** Logs this user in; `user()` is this user from then on. */
  login(user: User, options?: Pick<LoginOptions, 'backend'>): Promise<void>
  /** Flushes the session; `user()` is nobody from then on. */
  logout(): Promise<void>
}

/** Source: django/contrib/auth/middleware.py, AuthenticationMiddleware. */
export function createVisitor(
  auth: Auth,
  session: SessionHandle,
  { rotateToken }: Pick<LoginOptions, 'rotateToken'> = {},
): Visitor {
  let user: Promise<User | AnonymousUser> | null = null
  return {
    user() {
      user ??= session.load().then(auth.getUser)
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
