import { createAuthHashes } from '../src/django/auth-hash.ts'
import { createDateColumn, type DatabaseKind } from '../src/django/datetime.ts'
import { stringifyValue } from '../src/django/json.ts'
import { createMessagesCookie, MESSAGE_LEVELS, MESSAGES_COOKIE } from '../src/django/messages.ts'
import { createSessionCodec } from '../src/django/session-data.ts'
import { newSessionKey } from '../src/django/session-key.ts'
import { versionProfile } from '../src/django/versions.ts'
import { runSql } from '../test/support/databases.ts'
import { USER_PASSWORD, USERS } from './library.ts'
import { createPayload } from './payload.ts'
import { DJANGO, type RunningTarget, SECRET_KEY, type SiteToServe, type Target } from './targets.ts'
import { request, visit } from './visit.ts'

const SITE = { secretKeys: [SECRET_KEY] as const, profile: versionProfile(DJANGO) }

/** The text of the message that waits for logged-in visitors. */
export const MESSAGE = 'The loan was renewed.'

export interface SessionsToMake {
  readonly site: SiteToServe
  readonly count: number
  /** Bytes of JSON in a session, besides its number of visits. */
  readonly payload: number
  /** Whether a user is logged in on each of them, with a message waiting. */
  readonly isLoggedIn?: boolean
}

/** Creates sessions that the target can read, each with one visit, and returns the Cookie headers of their visitors. */
export function makeSessions(
  { rows, hasLogin }: Target,
  running: RunningTarget,
  toMake: SessionsToMake,
): Promise<string[]> {
  if (hasLogin === 'only') return logIn(running, toMake)
  if (rows === 'django' && toMake.site.engine === 'db') return insertDjangoRows(toMake)
  return visitForSessions(rows, running, toMake)
}

async function insertDjangoRows({
  site: { databaseUrl },
  count,
  payload,
  isLoggedIn = false,
}: SessionsToMake): Promise<string[]> {
  const database = databaseOf(databaseUrl)
  const dates = createDateColumn({ database, useTz: true, timeZone: 'UTC' })
  const expireDate = dates.toColumn(new Date(Date.now() + 1_209_600_000))
  const keys = Array.from({ length: count }, () => newSessionKey())
  const data = new Map([['num_visits', '1']])
  const users = isLoggedIn ? Array.from({ length: USERS }, (_, at) => loginOf(at + 1)) : []
  await inBatches(keys, async (batch) => {
    const rows = batch.map((key, at) => {
      if (payload > 0) data.set('payload', stringifyValue(createPayload(payload)))
      return [key, encodeSession(new Map([...data, ...(users[at % USERS] ?? [])])), expireDate]
    })
    const row = (_: unknown, at: number) =>
      database === 'postgresql' ? `($${3 * at + 1}, $${3 * at + 2}, $${3 * at + 3})` : '(?, ?, ?)'
    await runSql(databaseUrl, `INSERT INTO django_session VALUES ${rows.map(row).join(', ')}`, rows.flat())
  })
  const waiting = isLoggedIn ? `; ${MESSAGES_COOKIE}=${waitingMessage()}` : ''
  return keys.map((key) => `sessionid=${key}${waiting}`)
}

/** What Django's login stores in a session. */
function loginOf(user: number): [string, string][] {
  return [
    ['_auth_user_id', JSON.stringify(String(user))],
    ['_auth_user_backend', JSON.stringify('django.contrib.auth.backends.ModelBackend')],
    ['_auth_user_hash', JSON.stringify(createAuthHashes(SITE).create(USER_PASSWORD))],
  ]
}

/** The cookie of a message that is shown at the next page. The client keeps the cookie, so it waits at each request. */
function waitingMessage(): string {
  const message = { level: MESSAGE_LEVELS.success, text: MESSAGE, extraTags: '', isSafe: false }
  const { value } = createMessagesCookie(SITE).write([message], { drops: 'oldest' })
  return value ?? ''
}

/** Lets the users log in at the page that passport's target has for it. */
async function logIn({ port }: RunningTarget, { count }: SessionsToMake): Promise<string[]> {
  const cookies: string[] = []
  const visitor = async (): Promise<void> => {
    while (cookies.length < count) {
      const response = await request(port, { path: `/login/${1 + (cookies.length % USERS)}` })
      const [cookie] = response.headers.get('Set-Cookie')?.split(';') ?? []
      if (cookie === undefined) throw new Error(`${response.status} instead of a login`)
      cookies.push(cookie)
    }
  }
  await Promise.all(Array.from({ length: 16 }, visitor))
  return cookies.slice(0, count)
}

function databaseOf(url: string): DatabaseKind {
  if (url.startsWith('postgresql:')) return 'postgresql'
  return url.startsWith('sqlite:') ? 'sqlite' : 'mysql'
}

/** Encodes `session_data` as the site's Django does. */
export function encodeSession(data: ReadonlyMap<string, string>): string {
  return createSessionCodec({ ...SITE, now: () => new Date() }).encode(data)
}

/** Lets a peer create its sessions by visits, and then adds the payload to the rows. */
async function visitForSessions(
  rows: Target['rows'],
  { port }: RunningTarget,
  { site: { databaseUrl }, count, payload }: SessionsToMake,
): Promise<string[]> {
  const cookies: string[] = []
  const visitor = async (): Promise<void> => {
    while (cookies.length < count) cookies.push((await visit(port)).cookie)
  }
  await Promise.all(Array.from({ length: 16 }, visitor))
  cookies.length = count // the visitors may have made some more
  if (payload > 0 && rows !== 'django') {
    const { table, key, column } = rows
    const json = JSON.stringify(createPayload(payload))
    const sql = `UPDATE ${table} SET ${column} = JSON_SET(${column}, '$.payload', JSON_EXTRACT(?, '$')) WHERE ${key} IN (?)`
    await runSql(databaseUrl, sql, [json, cookies.map(sessionIdOf)])
  }
  return cookies
}

/** The ID of `s:ID.SIGNATURE` in express-session's cookie, or of `ID.SIGNATURE` in fastify's. */
function sessionIdOf(cookie: string): string {
  const value = decodeURIComponent(cookie.slice(cookie.indexOf('=') + 1))
  return value.replace(/^s:/, '').replace(/\.[^.]*$/, '')
}

async function inBatches<T>(items: readonly T[], use: (batch: T[]) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += 50) await use(items.slice(at, at + 50))
}
