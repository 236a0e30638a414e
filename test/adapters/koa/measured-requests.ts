/** The requests that were measured on real Django, to be asked of any server that has its sessions. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { type PythonValue, parseValue } from '../../../src/django/json.ts'
import type { DjangoSessionsOptions } from '../../../src/site/site-options.ts'
import { type DbUnderTest, openDb } from '../../engines/db-under-test.ts'
import type { TestDatabaseName } from '../../support/databases.ts'
import type { Scope } from '../../support/file-scope.ts'
import { keyIn, operations, type serve as serveKoa } from './session-site.ts'

/** Serves one handler behind the sessions, by whatever server; see session-site.ts. */
export type Serve = typeof serveKoa

/** One request to real Django, as measured (test/measured/middleware-….json). */
export interface Measured {
  name: string
  op?: string
  settings?: { SESSION_COOKIE_NAME?: string } & Record<string, string>
  /** `valid`: of a stored session. */
  sentCookie?: string | null
  rowsBefore?: number
  rowsAfter?: number
  status: string
  setCookie: string[]
  vary: string[]
  body: string
  rowOfSentKey?: Record<string, PythonValue> | null
  keyInSetCookie?: 'same' | 'new'
  rowOfSetCookieKey?: Record<string, PythonValue>
}

/** What the stored session of a case held before the request, where it is not `{ a: 1 }`. */
export const STORED: Readonly<Record<string, Record<string, string>>> = {
  'valid cookie, read': { num_visits: '3' },
  'valid cookie, set': { num_visits: '3' },
  'valid cookie, nested mutation': { cart: '{"items":[]}' },
  'SAVE_EVERY, empty data row, untouched': {},
  'empty data row, set': {},
  'empty data row, read': {},
  'test cookie worked': { testcookie: '"worked"' },
}

/** Where we differ on purpose; all else is exactly Django's. */
export const UNLIKE_DJANGO: Readonly<Record<string, { reason: string; expected: Partial<Measured> }>> = {
  'corrupted row, set (overwrites the row)': {
    reason: 'a row that cannot be read may be readable to another site: it stays, the visitor gets a new key',
    expected: { keyInSetCookie: 'new', rowsBefore: 1, rowsAfter: 2 },
  },
  'no cookie, truthiness': { reason: 'a JavaScript object is always true', expected: { body: 'true' } },
}

/** Makes a test of each request that was measured on this Django: the same answer, and the same rows. */
export function replay(
  version: string,
  database: TestDatabaseName,
  { file, serve, name = '' }: { file: Scope; serve: Serve; name?: string },
): void {
  let opened: Promise<DbUnderTest> | undefined
  for (const measured of readTable(version)) {
    test.serial(`${name}as Django ${version}, on ${database}: ${measured.name}`, async (t) => {
      opened ??= openDb(file, database, { djangoVersion: version })
      const site = await opened
      site.clock.now = new Date('2026-11-23T08:25:12.345Z')
      await site.empty()
      const { op = /, (\w+)/.exec(measured.name)?.[1] ?? '' } = measured
      const operation = operations(site)[op]
      if (operation === undefined) return t.fail(`there is no operation ${op}`)
      const sent = await prepare(site, measured)
      const before = await site.rows()
      const request = await serve(t, site, operation, { settings: readSettings(measured) })
      const answer = await request(sent.cookie)

      const expected = { ...measured, ...UNLIKE_DJANGO[measured.name]?.expected }
      t.is(answer.status, Number.parseInt(expected.status, 10))
      t.deepEqual(answer.setCookie.map(withoutChance), expected.setCookie.map(withoutChance))
      t.is(answer.vary, expected.vary.length === 0 ? null : expected.vary.join(', '))
      if (isJson(expected.body)) t.deepEqual(JSON.parse(answer.body), JSON.parse(expected.body))
      const rows = await site.rows()
      if (expected.rowsBefore !== undefined && expected.rowsAfter !== undefined) {
        t.is(rows.length - before.length, expected.rowsAfter - expected.rowsBefore)
      }
      const key = keyIn(answer)
      const isNew = key === sent.key ? 'same' : 'new'
      t.is(key === undefined || key === '' ? undefined : isNew, expected.keyInSetCookie)
      if (expected.rowOfSentKey !== undefined) t.deepEqual(await rowOf(site, sent.key), expected.rowOfSentKey)
      if (expected.rowOfSetCookieKey !== undefined)
        t.deepEqual(await rowOf(site, key), expected.rowOfSetCookieKey)
      if (measured.name.startsWith('corrupted'))
        t.deepEqual(
          rows.filter((row) => row.session_key === sent.key),
          before,
        )
    })
  }
}

export function readTable(version: string): Measured[] {
  return JSON.parse(
    readFileSync(new URL(`../../measured/middleware-${version}.json`, import.meta.url), 'utf8'),
  )
}

/** Stores the session that the case had, and gives the cookie that it sent. */
async function prepare(site: DbUnderTest, { name, sentCookie, settings }: Measured) {
  if (name.startsWith('corrupted')) {
    const key = /=(\w+)/.exec(sentCookie ?? '')?.[1] ?? 'corruptedcorruptedcorruptedcorru'
    await site.insert({ session_key: key, session_data: 'garbage', expire_date: '2026-12-01 00:00:00' })
    return { key, cookie: `sessionid=${key}` }
  }
  if (sentCookie !== 'valid') return { key: undefined, cookie: sentCookie ?? undefined }
  const key = 'abcdefgh0123456789abcdefgh012345'
  const data = new Map(Object.entries(STORED[name] ?? { a: '1' }))
  await site.engine.create(key, { data, expireDate: new Date('2026-12-01T00:00:00Z') })
  return { key, cookie: `${settings?.SESSION_COOKIE_NAME ?? 'sessionid'}=${key}` }
}

function readSettings({ name: title, settings: measured = {} }: Measured): Partial<DjangoSessionsOptions> {
  const settings: Record<string, unknown> = {}
  const cookie: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(measured)) {
    const [place, option] = OPTIONS[name] ?? []
    if (place === undefined || option === undefined) throw new Error(`the setting ${name} is not known here`)
    // Measured as Python's own texts, which for None and 'None' are one.
    const isText = title.includes("'None' string") && text === 'None'
    const value = isText || !(text in CONSTANTS) ? text : CONSTANTS[text]
    const group = place === 'cookie' ? cookie : settings
    group[option] = option === 'cookieAge' ? Number(value) : option === 'sameSite' ? value || null : value
  }
  return { ...settings, cookie }
}

const CONSTANTS: Readonly<Record<string, unknown>> = { True: true, False: false, None: null }

/** Django's settings by our options. */
const OPTIONS: Readonly<Record<string, readonly ['settings' | 'cookie', string]>> = {
  SESSION_SAVE_EVERY_REQUEST: ['settings', 'saveEveryRequest'],
  SESSION_EXPIRE_AT_BROWSER_CLOSE: ['settings', 'expireAtBrowserClose'],
  SESSION_COOKIE_AGE: ['settings', 'cookieAge'],
  SESSION_COOKIE_NAME: ['cookie', 'name'],
  SESSION_COOKIE_DOMAIN: ['cookie', 'domain'],
  SESSION_COOKIE_PATH: ['cookie', 'path'],
  SESSION_COOKIE_SECURE: ['cookie', 'secure'],
  SESSION_COOKIE_HTTPONLY: ['cookie', 'httpOnly'],
  SESSION_COOKIE_SAMESITE: ['cookie', 'sameSite'],
}

/** A Set-Cookie text without what differs each time: the key and the date. */
function withoutChance(text: string): string {
  return text
    .trim()
    .replace(/=[a-z0-9]{32}(?=;)/, '=<key>')
    .replace(/expires=(?!Thu, 01 Jan 1970)\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/, 'expires=<date>')
}

async function rowOf(
  site: DbUnderTest,
  key: string | undefined,
): Promise<Record<string, PythonValue> | null> {
  const row = (await site.rows()).find(({ session_key }) => session_key === key)
  if (row === undefined) return null
  const { data } = site.codec.decode(row.session_data)
  return Object.fromEntries([...data].map(([name, text]) => [name, parseValue(text)]))
}

function isJson(body: string): boolean {
  try {
    JSON.parse(body)
    return true
  } catch {
    return false
  }
}
