import { randomBytes } from 'node:crypto'
import { createDateColumn } from '../src/django/datetime.ts'
import { stringifyValue } from '../src/django/json.ts'
import { createSessionCodec } from '../src/django/session-data.ts'
import { newSessionKey } from '../src/django/session-key.ts'
import { versionProfile } from '../src/django/versions.ts'
import { runSql } from '../test/support/databases.ts'
import { DJANGO, type RunningTarget, SECRET_KEY, type Target } from './targets.ts'
import { visit } from './visit.ts'

export interface SessionsToMake {
  readonly databaseUrl: string
  readonly count: number
  /** Bytes of JSON in a session, besides its number of visits. */
  readonly payload: number
}

/** Creates sessions that the target can read, each with one visit, and returns their cookies. */
export function makeSessions(
  { rows }: Target,
  running: RunningTarget,
  toMake: SessionsToMake,
): Promise<string[]> {
  return rows === 'django' ? insertDjangoRows(toMake) : visitForSessions(rows, running, toMake)
}

async function insertDjangoRows({ databaseUrl, count, payload }: SessionsToMake): Promise<string[]> {
  const dates = createDateColumn({ database: 'mysql', useTz: true, timeZone: 'UTC' })
  const expireDate = dates.toColumn(new Date(Date.now() + 1_209_600_000))
  const keys = Array.from({ length: count }, () => newSessionKey())
  await inBatches(keys, async (batch) => {
    const rows = batch.map((key) => {
      const data = new Map([['num_visits', '1']])
      if (payload > 0) data.set('payload', stringifyValue(createPayload(payload)))
      return [key, encodeSession(data), expireDate]
    })
    await runSql(databaseUrl, 'INSERT INTO django_session VALUES ?', [rows])
  })
  return keys.map((key) => `sessionid=${key}`)
}

/** Encodes `session_data` as the site's Django does. */
export function encodeSession(data: ReadonlyMap<string, string>): string {
  const now = () => new Date()
  return createSessionCodec({ secretKeys: [SECRET_KEY], profile: versionProfile(DJANGO), now }).encode(data)
}

/** Lets a peer create its sessions by visits, and then adds the payload to the rows. */
async function visitForSessions(
  { table, key, column }: Exclude<Target['rows'], 'django'>,
  { port }: RunningTarget,
  { databaseUrl, count, payload }: SessionsToMake,
): Promise<string[]> {
  const cookies: string[] = []
  const visitor = async (): Promise<void> => {
    while (cookies.length < count) cookies.push((await visit(port)).cookie)
  }
  await Promise.all(Array.from({ length: 16 }, visitor))
  if (payload > 0) {
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

/** Data like a shop's cart: a list of items with texts, and with numbers that compress badly. */
function createPayload(bytes: number): unknown[] {
  const items: unknown[] = []
  for (let size = 0; size < bytes; size += JSON.stringify(items.at(-1)).length + 1) {
    items.push({
      title: `The book of number ${items.length}`,
      isbn: randomBytes(6).readUIntBE(0, 6).toString().padStart(13, '9').slice(0, 13),
      quantity: 1 + (items.length % 5),
      added: new Date(1_760_000_000_000 + items.length * 61_000).toISOString(),
      token: randomBytes(8).toString('hex'),
    })
  }
  return items
}

async function inBatches<T>(items: readonly T[], use: (batch: T[]) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += 50) await use(items.slice(at, at + 50))
}
