import type { Knex } from 'knex'
import type { AppOptions } from '../../../src/service/app.ts'
import type { LoginOptions } from '../../../src/service/pages/login.ts'
import { createLoginThrottle, type LoginThrottleOptions } from '../../../src/service/pages/login-throttle.ts'
import { hashed } from '../../auth/users.ts'
import { createVisitor, type Visitor } from '../../interop/visitor.ts'
import type { Scope } from '../../support/file-scope.ts'
import { type Library, startLibrary } from '../../support/library.ts'

export const PASSWORD = 'open sesame, 열려라'

export interface LoginSite extends Library {
  readonly visitor: Visitor
  /** The statements since the last call. */
  statements(): string[]
}

/** Starts the site with its login pages, and the users `reader` (id 1) and `librarian` (id 2, staff and superuser). */
export async function startLoginSite(
  t: Scope,
  {
    throttle,
    login,
    session,
    ...app
  }: Partial<Omit<AppOptions, 'login'>> & {
    throttle?: Partial<LoginThrottleOptions>
    /** Null: the login pages are not served here. */
    login?: Partial<LoginOptions> | null
    session?: NonNullable<Parameters<typeof startLibrary>[1]>['session']
  } = {},
): Promise<LoginSite> {
  const seen: string[] = []
  const library = await startLibrary(t, {
    ...(session !== undefined && { session }),
    app: (db, visitors) => {
      db.on('query', ({ sql }: { sql: string }) => seen.push(sql))
      return {
        login:
          login === null
            ? null
            : {
                authenticate: visitors.auth.authenticate,
                throttle: createLoginThrottle({ byName: 3, byAddress: 6, window: 600, ...throttle }),
                logsOutOnGet: () => visitors.profile.logsOutOnGet,
                loginRedirectUrl: '/catalog/',
                logoutRedirectUrl: null,
                ...login,
              },
        ...app,
      }
    },
  })
  await addUser(library.db, { username: 'reader' })
  await addUser(library.db, { username: 'librarian', is_staff: 1, is_superuser: 1 })
  return { ...library, visitor: createVisitor(), statements: () => seen.splice(0) }
}

export async function addUser(
  db: Knex,
  user: { username: string; is_staff?: number; is_superuser?: number; is_active?: number },
): Promise<number> {
  const [id = 0] = await db('auth_user').insert({
    password: hashed(PASSWORD),
    is_active: 1,
    is_staff: 0,
    is_superuser: 0,
    first_name: '',
    last_name: '',
    email: '',
    date_joined: '2026-01-01 00:00:00',
    ...user,
  })
  return id
}

/** The value of a form's hidden field. */
export function fieldOf(page: string, name: string): string {
  return new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? ''
}

/** Loads the login page and submits its form, as a browser does. */
export async function logIn(
  { url, visitor }: { url: string; visitor: Visitor },
  {
    username = 'reader',
    password = PASSWORD,
    query = '',
    fields = {},
  }: { username?: string; password?: string; query?: string; fields?: Record<string, string> } = {},
): Promise<Response> {
  const page = await (await visitor.fetch(`${url}/accounts/login/${query}`)).text()
  const form = {
    csrfmiddlewaretoken: fieldOf(page, 'csrfmiddlewaretoken'),
    next: fieldOf(page, 'next').replaceAll('&amp;', '&'),
    username,
    password,
    ...fields,
  }
  return visitor.fetch(`${url}/accounts/login/`, { method: 'POST', body: new URLSearchParams(form) })
}

/** Stores messages in every session: [`__json_message`, safe, level, text, extra tags]. */
export async function addMessages(
  { db, codec }: Pick<LoginSite, 'db' | 'codec'>,
  ...messages: readonly (readonly [safe: 0 | 1, level: number, text: string, extraTags: string])[]
): Promise<void> {
  const stored = JSON.stringify(messages.map((message) => ['__json_message', ...message]))
  for (const row of await db('django_session')) {
    const data = new Map([...codec.decode(row.session_data).data, ['_messages', JSON.stringify(stored)]])
    const session_data = codec.encode(data)
    await db('django_session').where({ session_key: row.session_key }).update({ session_data })
  }
}
