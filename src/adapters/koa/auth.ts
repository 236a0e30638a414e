import type { Middleware } from 'koa'
import type { Auth } from '../../auth/auth.ts'
import { createVisitor, type Visitor } from '../../auth/visitor.ts'
import { checkMethods } from '../../checks/check-values.ts'
import { checkSession } from './session-middleware.ts'

declare module 'koa' {
  interface ExtendableContext {
    /** The visitor's user: `const user = await ctx.user()`. */
    user: Visitor['user']
    /** Logs a user in, e.g. one that `auth.authenticate` returned; the CSRF token changes with it. */
    login: Visitor['login']
    logout: Visitor['logout']
  }
}

/**
 * Django's AuthenticationMiddleware; it belongs after the middleware of sessions and of CSRF.
 * Source: django/contrib/auth/middleware.py.
 */
export function createAuthMiddleware({ auth }: { auth: Auth }): Middleware {
  checkMethods('createAuthMiddleware', { name: 'auth', value: auth, from: 'what djangoAuth returns' }, [
    'getUser',
  ])
  return function authMiddleware(ctx, next) {
    checkSession(ctx, 'createAuthMiddleware')
    const rotateToken = () => (ctx as WithCsrf).csrf?.rotateToken()
    const { user, login, logout } = createVisitor(auth, ctx.session, { rotateToken })
    Object.assign(ctx, { user, login, logout })
    return next()
  }
}

/** What the CSRF middleware adds, if it is used. */
interface WithCsrf {
  readonly csrf?: { rotateToken(): unknown }
}
