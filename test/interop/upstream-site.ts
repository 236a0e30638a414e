import assert from 'node:assert/strict'
import { hashed } from '../auth/users.ts'
import { createTestDatabase, runSql, type TestDatabaseName } from '../support/databases.ts'
import { startDjango } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { type RunningService, startService } from '../support/service.ts'
import { secretKey, serviceEnvironment } from './sites.ts'
import type { Visitor } from './visitor.ts'

export const PASSWORD = 'open sesame, 열려라'

export interface UpstreamSite {
  /** The service in front of Django; Django serves the login pages. */
  readonly front: RunningService
  /** The same, but ours serves the login pages. */
  readonly withLogin: RunningService
  readonly django: string
  readonly databaseUrl: string
}

/** Our service in front of a real Django, with the user `reader`, who has one book, and `librarian`, a superuser. */
export async function startInFront(
  t: Scope,
  {
    version,
    database = 'sqlite',
    settings = {},
  }: { version: string; database?: TestDatabaseName; settings?: Readonly<Record<string, string>> },
): Promise<UpstreamSite> {
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
  for (const statement of statements()) await runSql(databaseUrl, statement)
  const django = await startDjango(t, { version, secretKey, databaseUrl, settings })
  const env = { ...serviceEnvironment({ version, databaseUrl, settings }), DJANGO_UPSTREAM: django.url }
  const [front, withLogin] = await Promise.all([
    startService(t, { env }),
    startService(t, { env: { ...env, SERVE_LOGIN: 'True' } }),
  ])
  return { front, withLogin, django: django.url, databaseUrl }
}

/** Two users; books 2, copies 3 of which 1 is available, authors 1. */
function statements(): string[] {
  const user = (id: number, name: string, flag: 'TRUE' | 'FALSE') =>
    `INSERT INTO auth_user (id, password, is_superuser, username, first_name, last_name, email, is_staff, is_active, date_joined)
      VALUES (${id}, '${hashed(PASSWORD)}', ${flag}, '${name}', '', '', '', ${flag}, TRUE, '2026-01-01 00:00:00')`
  const copy = (digit: number, status: string, book: number, borrower: string) =>
    `('${String(digit).repeat(32)}', '-', '${status}', ${book}, ${borrower}, '2026-12-24')`
  return [
    user(1, 'reader', 'FALSE'),
    user(2, 'librarian', 'TRUE'),
    "INSERT INTO catalog_author (id, first_name, last_name) VALUES (1, '이', '상')",
    `INSERT INTO catalog_book (id, title, summary, isbn, author_id)
      VALUES (1, '날개', '-', '1', 1), (2, '거울', '-', '2', 1)`,
    `INSERT INTO catalog_bookinstance (id, imprint, status, book_id, borrower_id, due_back)
      VALUES ${copy(1, 'a', 1, 'NULL')}, ${copy(2, 'o', 1, '1')}, ${copy(3, 'm', 2, 'NULL')}`,
  ]
}

/** The hidden field of the form on this page whose action is at this path. */
export function tokenFor(page: string, action: string): string {
  const [, form = ''] = new RegExp(`<form[^>]*action="${action}"[^>]*>([\\s\\S]*?)</form>`).exec(page) ?? []
  const [, token] = /name="csrfmiddlewaretoken" value="(\w+)"/.exec(form) ?? []
  assert(token, page)
  return token
}

/** Logs in by the form at this address, on either side; returns the redirect target, or the status. */
export async function logIn(
  visitor: Visitor,
  page: string,
  {
    site = new URL(page).origin,
    next,
    username = 'reader',
  }: { site?: string; next: string; username?: string },
): Promise<string | number> {
  const html = await (await visitor.fetch(`${page}/accounts/login/?next=${encodeURIComponent(next)}`)).text()
  const body = new URLSearchParams({
    csrfmiddlewaretoken: tokenFor(html, '/accounts/login/'),
    username,
    password: PASSWORD,
    next,
  })
  const response = await visitor.fetch(`${site}/accounts/login/`, { method: 'POST', body })
  await response.text()
  return response.headers.get('Location') ?? response.status
}

/** Logs out by the form in the sidebar of this page; returns the status. */
export async function logOut(visitor: Visitor, page: string): Promise<number> {
  const html = await (await visitor.fetch(page)).text()
  const body = new URLSearchParams({ csrfmiddlewaretoken: tokenFor(html, '/accounts/logout/') })
  const { origin } = new URL(page)
  const response = await visitor.fetch(`${origin}/accounts/logout/`, { method: 'POST', body })
  await response.text()
  return response.status
}
