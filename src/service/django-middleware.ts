import type { Knex } from 'knex'
import type { Middleware } from 'koa'
import { createAuthMiddleware } from '../adapters/koa/auth.ts'
import { type CsrfMiddlewareOptions, createCsrfMiddleware } from '../adapters/koa/csrf.ts'
import { createMessagesMiddleware, type MessagesMiddlewareOptions } from '../adapters/koa/messages.ts'
import { createSessionMiddleware } from '../adapters/koa/session-middleware.ts'
import type { Auth } from '../auth/auth.ts'
import { SESSION_COOKIE } from '../django/cookie.ts'
import type { VersionProfile } from '../django/versions.ts'
import type { SessionEngine } from '../session/engine.ts'
import { openAuth } from '../site/django-auth.ts'
import { openSessions } from '../site/django-sessions.ts'
import type { WithProfile } from '../site/django-version.ts'
import type { DjangoAuthOptions, DjangoSessionsOptions } from '../site/site-options.ts'

export interface DjangoMiddlewareOptions extends WithProfile<DjangoSessionsOptions> {
  /** The database of the sessions; also of the users (default of `auth.db`). */
  readonly db: Knex
  readonly auth?: Partial<Pick<DjangoAuthOptions, 'db' | 'databaseTimeZone'>> &
    Pick<
      DjangoAuthOptions,
      'backends' | 'userModel' | 'sessionHash' | 'passwordHashers' | 'onPasswordRefused' | 'onUnverified'
    >
  readonly csrf?: Omit<CsrfMiddlewareOptions, 'profile' | 'now' | 'sessionCookieDomain'>
  readonly messages?: Pick<MessagesMiddlewareOptions, 'storage' | 'level' | 'tags'>
  /** Called once, for the first stored session that this process has not written. */
  readonly onForeign?: (() => void) | undefined
}

/** What Django's MIDDLEWARE does for a view, for the pages of this service. */
export interface DjangoMiddleware {
  /** Sets `ctx.session`, `ctx.csrf`, `ctx.user` and `ctx.messages`, in the order of Django's MIDDLEWARE. */
  readonly middleware: Middleware
  readonly auth: Auth
  /** Where the sessions are kept. */
  readonly engine: SessionEngine
  readonly profile: VersionProfile
  /** Closes the connections of the session engine. */
  close(): Promise<void>
}

/** @throws {InvalidUserModel} {TypeError} */
export function openDjangoMiddleware({
  auth: authOptions,
  csrf,
  messages,
  ...options
}: DjangoMiddlewareOptions): DjangoMiddleware {
  const { secretKeys, profile, now } = options
  const cookie = { ...SESSION_COOKIE, ...options.cookie }
  const clock = now === undefined ? {} : { now }
  const auth = openAuth({ ...options, ...authOptions })
  const { requests, engine, close } = openSessions(options)
  return {
    middleware: chain([
      createSessionMiddleware({ requests }),
      createCsrfMiddleware({ ...csrf, ...clock, profile, sessionCookieDomain: cookie.domain }),
      createAuthMiddleware({ auth }),
      createMessagesMiddleware({ ...messages, ...clock, secretKeys, profile, sessionCookie: cookie }),
    ]),
    auth,
    engine,
    profile,
    close,
  }
}

/** One middleware that calls these in order. */
function chain(middlewares: readonly Middleware[]): Middleware {
  return middlewares.reduceRight<Middleware>(
    (inner, outer) => (ctx, next) => outer(ctx, () => Promise.resolve(inner(ctx, next))),
    (_ctx, next) => next(),
  )
}
