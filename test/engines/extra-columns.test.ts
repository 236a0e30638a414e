import test, { type ExecutionContext } from 'ava'
import { createDbEngine } from '../../src/engines/db.ts'
import {
  createQsessionsColumns,
  createUserSessionsColumns,
  type SessionColumns,
} from '../../src/engines/extra-columns.ts'
import type { SessionClient } from '../../src/session/engine.ts'
import { createSessions } from '../../src/session/handle.ts'
import type { Session } from '../../src/session/session.ts'
import { conformance } from '../session/conformance/conformance.ts'
import { type EngineUnderTest, rules } from '../session/conformance/engine-under-test.ts'
import { runScript, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { fileScope, type Scope } from '../support/file-scope.ts'
import { type DbUnderTest, openDb } from './db-under-test.ts'

const file = fileScope(test)

type Types = Readonly<Record<'text' | 'time' | 'address', string>>

const TYPES: Readonly<Record<DbUnderTest['database']['kind'], Types>> = {
  mysql: { text: 'longtext', time: 'datetime(6)', address: 'char(39)' },
  postgresql: { text: 'text', time: 'timestamp with time zone', address: 'inet' },
  sqlite: { text: 'text', time: 'datetime', address: 'char(39)' },
}

/** What a table of sessions holds beside Django's columns. That real ones take the same, test/interop shows. */
const TABLES: Readonly<Record<string, (types: Types) => string>> = {
  qsessions_session: ({ time, address }) =>
    `user_id integer NULL, user_agent varchar(300) NULL, ip ${address} NULL, updated_at ${time} NOT NULL, created_at ${time} NULL`,
  user_sessions_session: ({ time, address }) =>
    `user_id integer NULL, user_agent varchar(200) NULL, ip ${address} NULL, last_activity ${time} NOT NULL`,
  library_session: () => "account_id integer NULL, note varchar(20) NOT NULL DEFAULT 'by default'",
  strict_session: () => 'account_id integer NOT NULL',
}

interface Extended extends EngineUnderTest {
  readonly site: DbUnderTest
  /** The columns beside Django's, times as text. */
  rows(): Promise<Record<string, unknown>[]>
}

async function openTable(
  t: Scope,
  name: TestDatabaseName,
  table: string,
  createColumns: (site: DbUnderTest) => SessionColumns | undefined,
): Promise<Extended> {
  const site = await openDb(t, name)
  const { db, codec, dates, clock } = site
  const types = TYPES[site.database.kind]
  await runScript(
    site.database.url,
    `CREATE TABLE ${table} (session_key varchar(40) NOT NULL PRIMARY KEY, session_data ${types.text} NOT NULL,
      expire_date ${types.time} NOT NULL, ${TABLES[table]?.(types)})`,
  )
  const columns = createColumns(site)
  return {
    site,
    clock,
    engine: createDbEngine({ db, codec, dates, now: () => clock.now, table, ...(columns && { columns }) }),
    empty: async () => void (await db(table).delete()),
    count: async () => (await db(table).pluck('session_key')).length,
    async rows() {
      const rows: Record<string, unknown>[] = await db(table).select()
      return rows.map(({ session_key, session_data, expire_date, ...others }) =>
        Object.fromEntries(Object.entries(others).map(([column, value]) => [column, plain(value)])),
      )
    },
  }
}

/** PostgreSQL's driver gives times as its own text, `2026-11-23 08:25:12.345+00`. */
function plain(value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/^(.*:\d\d\.\d{3})(?:000|\+00)$/, '$1') : value
}

for (const name of testDatabases) {
  if (name === 'mysql' && testDatabases.includes('mariadb')) continue // the same driver, the same statements
  conformance(`qsessions engine on ${name}`, () =>
    openTable(file, name, 'qsessions_session', ({ dates }) => createQsessionsColumns(dates)),
  )
}
conformance('user_sessions engine on sqlite', () =>
  openTable(file, 'sqlite', 'user_sessions_session', ({ dates }) => createUserSessionsColumns(dates)),
)

const FIREFOX: SessionClient = { userAgent: `Fire'fox "5\\0" \\' -- \xe9`, ip: '192.0.2.1' }
const CHROME: SessionClient = { userAgent: 'x'.repeat(400), ip: '2001:db8::1' }
const NOBODY: SessionClient = { userAgent: '', ip: null }

async function open(
  { engine, clock }: Extended,
  client: SessionClient,
  sessionKey?: string,
): Promise<Session> {
  return await createSessions({ engine, rules, now: () => clock.now })
    .open(sessionKey, { client })
    .load()
}

for (const name of testDatabases) {
  test(`django-qsessions' columns are kept as it keeps them, on ${name}`, async (t) => {
    const table = await openTable(t, name, 'qsessions_session', ({ dates }) => createQsessionsColumns(dates))
    table.clock.now = new Date('2026-11-23T08:25:12.345Z')
    const session = await open(table, FIREFOX)
    t.false(session.modified)
    session.set('_auth_user_id', '7')
    await session.save()
    const created = { created_at: '2026-11-23 08:25:12.345' }
    const seven = { user_id: 7, user_agent: FIREFOX.userAgent, ip: FIREFOX.ip, ...created }
    t.deepEqual(await table.rows(), [{ ...seven, updated_at: '2026-11-23 08:25:12.345' }])
    t.deepEqual(session.keys(), ['_auth_user_id', '_qsessions_user_agent', '_qsessions_ip'])

    // The same client has nothing to save, and what it does save keeps the time of creation.
    table.clock.now = new Date('2026-11-23T09:00:00.123Z')
    const key = session.sessionKey ?? ''
    const again = await open(table, FIREFOX, key)
    t.false(again.modified)
    again.set('a', 1)
    await again.save()
    t.deepEqual(await table.rows(), [{ ...seven, updated_at: '2026-11-23 09:00:00.123' }])

    await meetAnother(t, table, { key, length: 300 })
    t.like((await open(table, CHROME, key)).items(), { 2: ['_qsessions_ip', CHROME.ip] })

    // A new key is a new row, created now.
    const cycled = await open(table, CHROME, key)
    await cycled.cycleKey()
    t.like((await table.rows())[0], { user_id: 7, ip: CHROME.ip, created_at: '2026-11-23 09:00:00.123' })
    cycled.delete('_auth_user_id')
    await cycled.save()
    t.like((await table.rows())[0], { user_id: null })
    await nobody(t, table, cycled.sessionKey ?? '')
    t.is((await open(table, NOBODY, cycled.sessionKey ?? '')).get('_qsessions_ip'), null)
  })

  test(`django-user-sessions' columns are kept as it keeps them, on ${name}`, async (t) => {
    const table = await openTable(t, name, 'user_sessions_session', ({ dates }) =>
      createUserSessionsColumns(dates),
    )
    table.clock.now = new Date('2026-11-23T08:25:12.345Z')
    const session = await open(table, FIREFOX)
    session.set('_auth_user_id', 7)
    await session.save()
    const seven = { user_id: 7, user_agent: FIREFOX.userAgent, ip: FIREFOX.ip }
    t.deepEqual(await table.rows(), [{ ...seven, last_activity: '2026-11-23 08:25:12.345' }])
    t.deepEqual(session.keys(), ['_auth_user_id'])
    const key = session.sessionKey ?? ''
    t.false((await open(table, FIREFOX, key)).modified)
    await meetAnother(t, table, { key, length: 200 })
    const cycled = await open(table, CHROME, key)
    await cycled.cycleKey()
    t.like((await table.rows())[0], { user_id: 7, ip: CHROME.ip })
    cycled.clear()
    await cycled.save()
    t.like((await table.rows())[0], { user_id: null })
    await nobody(t, table, cycled.sessionKey ?? '')
  })

  test(`a column of the site's own is neither lost nor guessed, on ${name}`, async (t) => {
    const table = await openTable(t, name, 'library_session', () => undefined)
    const session = await open(table, FIREFOX)
    session.set('a', 1)
    await session.save()
    t.deepEqual(await table.rows(), [{ account_id: null, note: 'by default' }])
    await table.site.db('library_session').update({ account_id: 7, note: 'kept' })
    session.set('a', 2)
    await session.save()
    t.deepEqual(await table.rows(), [{ account_id: 7, note: 'kept' }])
  })

  test(`a column that only the site can fill is an error that says so, or is filled by it, on ${name}`, async (t) => {
    const unfilled = await openTable(t, name, 'strict_session', () => undefined)
    const session = await open(unfilled, FIREFOX)
    session.set('a', 1)
    const error = await t.throwsAsync(session.save(), {
      name: 'MissingColumnValue',
      code: 'ERR_SESSION_COLUMN',
    })
    t.regex(error?.message ?? '', /^the table strict_session has a NOT NULL column without a value/)

    const filled = await openTable(t, name, 'strict_session', () => ({
      values: ({ data }) => ({ account_id: Number(data.get('a')) }),
    }))
    const other = await open(filled, FIREFOX)
    other.set('a', 5)
    await other.save()
    other.set('a', 6)
    await other.save()
    t.deepEqual(await filled.rows(), [{ account_id: 6 }])
  })
}

/** Another client under the same key: the session is to be saved, and tells of it then. */
async function meetAnother(
  t: ExecutionContext,
  table: Extended,
  { key, length }: { key: string; length: number },
): Promise<void> {
  const other = await open(table, CHROME, key)
  t.true(other.modified)
  await other.save()
  t.like((await table.rows())[0], { user_id: 7, user_agent: 'x'.repeat(length), ip: CHROME.ip })
  t.false((await open(table, CHROME, key)).modified)
}

/** A client that tells neither its name nor its address. */
async function nobody(t: ExecutionContext, table: Extended, key: string): Promise<void> {
  const session = await open(table, NOBODY, key)
  t.true(session.modified)
  await session.save()
  t.like((await table.rows())[0], { user_agent: '', ip: null })
  t.false((await open(table, NOBODY, key)).modified)
}
