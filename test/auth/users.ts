import { pbkdf2Sync, randomUUID } from 'node:crypto'
import type { Context } from 'koa'
import { createAuthMiddleware } from '../../src/adapters/koa/auth.ts'
import type { Auth } from '../../src/auth/auth.ts'
import { djangoAuth } from '../../src/site/django-auth.ts'
import type { DjangoAuthOptions } from '../../src/site/site-options.ts'
import type { Handler } from '../adapters/koa/session-site.ts'
import { type DbUnderTest, secretKey } from '../engines/db-under-test.ts'

export const MODEL_BACKEND = 'django.contrib.auth.backends.ModelBackend'

/** The users of a test site. */
export function authOf(site: DbUnderTest, options: Partial<DjangoAuthOptions> = {}): Auth {
  const { db, djangoVersion, useTz, timeZone, clock } = site
  const now = () => clock.now
  const onUnverified = () => {}
  const secretKeys = [secretKey] as const
  return djangoAuth({ db, secretKeys, djangoVersion, useTz, timeZone, now, onUnverified, ...options })
}

/** Wraps a handler in the middleware that adds `ctx.user()`. */
export function withUser(auth: Auth, handler: Handler): Handler {
  const middleware = createAuthMiddleware({ auth })
  return async (ctx: Context) => {
    let result: unknown
    await middleware(ctx, async () => {
      result = await handler(ctx)
    })
    return result
  }
}

/** A password as Django's PBKDF2PasswordHasher stores it, with 1 iteration so that it is fast. */
export function hashed(password: string): string {
  const salt = randomUUID()
  return `pbkdf2_sha256$1$${salt}$${pbkdf2Sync(password, salt, 1, 32, 'sha256').toString('base64')}`
}

export interface NewUser {
  readonly username: string
  readonly password?: string
  readonly is_active?: boolean
  readonly is_staff?: boolean
  readonly is_superuser?: boolean
  readonly first_name?: string
  readonly last_name?: string
}

/** Adds a row to `auth_user`; returns its id. */
export async function addUser({ db, dates, database }: DbUnderTest, user: NewUser): Promise<number> {
  const row = {
    password: '!',
    is_active: true,
    is_staff: false,
    is_superuser: false,
    first_name: '',
    last_name: '',
    email: `${user.username}@example.com`,
    date_joined: dates.toColumn(new Date('2026-01-01T00:00:00Z')),
    ...user,
  }
  // better-sqlite3 does not accept booleans.
  const values = Object.entries(row).map(([name, value]) => [
    name,
    database.kind === 'sqlite' && typeof value === 'boolean' ? Number(value) : value,
  ])
  await db('auth_user').insert(Object.fromEntries(values))
  const { id } = await db('auth_user').where('username', user.username).first('id')
  return Number(id)
}
