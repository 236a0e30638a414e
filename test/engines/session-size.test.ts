import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import knex, { type Knex } from 'knex'
import { createDatabaseCache } from '../../src/caches/database.ts'
import { createDateColumn } from '../../src/django/datetime.ts'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { SessionTooLarge } from '../../src/django/session-too-large.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createDbEngine } from '../../src/engines/db.ts'
import type { SessionColumns } from '../../src/engines/extra-columns.ts'
import { statusOf } from '../../src/http/statuses.ts'
import { errorFields } from '../../src/service/monitoring/log.ts'
import type { NewSession } from '../../src/session/engine.ts'
import { databaseKindOf } from '../../src/sql/dialect.ts'
import { createTestDatabase, runScript, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { type NetworkServer, startMariadb, startMysql } from '../support/servers.ts'
import { cacheSettings, TABLE, TABLES } from './cache-under-test.ts'
import { connect, secretKey } from './db-under-test.ts'

const file = fileScope(test)
const servers = new Map<TestDatabaseName, NetworkServer>()
const KEY = 'abcdefgh0123456789abcdefgh012345'
const PACKET = 1024 * 1024

for (const name of ['mariadb', 'mysql'] as const) {
  if (!testDatabases.includes(name)) continue

  test.before(`${name} starts with an empty sql_mode and packets of 1 MiB`, async () => {
    const start = name === 'mariadb' ? startMariadb : startMysql
    const server = await start({ extraArguments: ['--sql-mode=', `--max-allowed-packet=${PACKET}`] })
    file.teardown(() => server.stop())
    servers.set(name, server)
  })

  for (const [whose, open] of Object.entries({
    ours: (url: string) => connect(url),
    'any Knex': (url: string) => knex({ client: 'mysql2', connection: url }),
  })) {
    for (const [type, limit] of [
      ['text', 65_535],
      ['tinytext', 255],
      ['varchar(300)', 300],
      ['mediumtext', null],
    ] as const) {
      test(`${name}, ${whose}, without a strict mode: what a column of ${type} would cut is refused`, async (t) => {
        const site = await openSite(t, name, open)
        await site.db.raw(`alter table django_session modify session_data ${type} not null`)
        const fitting = limit === null ? 100_000 : Math.floor(limit / 2)
        const stored = await site.engine.create(KEY, sessionOf(fitting - 100))
        const before = await site.rows()
        if (limit === null) {
          t.is((await site.engine.load(KEY))?.revision, stored.revision)
          return
        }
        const error = await refused(t, site.engine.update(KEY, sessionOf(limit), stored.revision))
        t.true(error.message.includes(`column session_data of django_session can hold (${type}`))
        t.true(error.message.includes(String(limit)))
        t.true(error.message.includes('longtext'))
        await refused(t, site.engine.create('another0', sessionOf(limit)))
        t.deepEqual(await site.rows(), before)
        t.deepEqual((await site.engine.load(KEY))?.data, sessionOf(fitting - 100).data)

        // Without a restart.
        await site.db.raw('alter table django_session modify session_data longtext not null')
        await site.engine.update(KEY, sessionOf(limit), stored.revision)
        t.deepEqual((await site.engine.load(KEY))?.data, sessionOf(limit).data)
      })
    }

    test(`${name}, ${whose}: of many who save at once, one whose session is too large for the column fails alone`, async (t) => {
      const site = await openSite(t, name, open)
      await site.db.raw('alter table django_session modify session_data varchar(300) not null')
      const keys = Array.from({ length: 30 }, (_, at) => `visitor${String(at).padStart(2, '0')}`)
      const create = (key: string, at: number) => site.engine.create(key, sessionOf(at === 11 ? 400 : 20))
      const outcomes = await Promise.allSettled(keys.map(create))
      t.deepEqual(
        outcomes.flatMap(({ status }, at) => (status === 'rejected' ? [at] : [])),
        [11],
      )
      t.is((await site.rows()).length, 29)
    })

    test.serial(
      `${name}, ${whose}: what no packet holds is refused, and no connection is lost for it`,
      async (t) => {
        const site = await openSite(t, name, open)
        const stored = await site.engine.create(KEY, sessionOf(1000))
        const before = await site.rows()
        const lost: unknown[] = []
        site.db.on('query-error', (error) => lost.push(error))
        const large = sessionOf(1.2 * PACKET)
        const error = await refused(t, site.engine.update(KEY, large, stored.revision))
        t.true(error.message.includes(`max_allowed_packet (${PACKET} bytes)`))
        await refused(t, site.engine.create('another0', large))
        t.deepEqual(await site.rows(), before)
        t.deepEqual(lost, [])

        // Raised, it is heeded without a restart; lowered, the server's own refusal is understood.
        await setPacket(site, 4 * PACKET)
        const { revision } = await site.engine.update(KEY, large, stored.revision)
        t.is((await site.engine.load(KEY))?.revision, revision)
        await setPacket(site, PACKET)
        const late = await refused(t, site.engine.update(KEY, sessionOf(1.3 * PACKET), revision))
        t.regex(late.message, /max_allowed_packet \(1048576 bytes\)/)
        t.is((await site.engine.load(KEY))?.revision, revision)
      },
    )

    test(`${name}, ${whose}: a cache's value that would be cut, or that no packet holds, is refused`, async (t) => {
      const site = await openSite(t, name, open)
      await runScript(site.url, TABLES.mysql)
      const cache = createDatabaseCache(cacheSettings('db.DatabaseCache', TABLE), {
        db: site.db,
        database: 'mysql',
        dates: DATES.mysql,
      })
      await refused(t, cache.add('large', sessionOf(1.2 * PACKET).data, 60))
      await site.db.raw(`alter table ${TABLE} modify value text not null`)
      const { revision = '' } = (await cache.add('small', sessionOf(10).data, 60)) ?? {}
      const own = createDatabaseCache(cacheSettings('db.DatabaseCache', TABLE), {
        db: site.db,
        database: 'mysql',
        dates: DATES.mysql,
      })
      const error = await refused(t, own.replace('small', sessionOf(70_000).data, 60, revision))
      t.true(error.message.includes(`column value of ${TABLE} can hold (text: 65535)`))
      await refused(t, own.add('another', sessionOf(70_000).data, 60))
      t.deepEqual((await own.get('small'))?.revision, revision)
      t.is(await own.get('another'), null)
    })
  }

  test(`${name}: a value of another column that is too long is no session that is too large`, async (t) => {
    const site = await openSite(t, name, connect, { values: () => ({ note: 'too long' }) })
    await site.db.raw("alter table django_session add note varchar(3) not null default ''")
    const error = await t.throwsAsync(site.engine.create(KEY, sessionOf(10)), { code: 'ER_DATA_TOO_LONG' })
    t.is(statusOf(error), 500)
  })
}

if (testDatabases.includes('postgresql')) {
  test('postgresql: what a column or an index does not take is refused by name, and the old session stays', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql')
    const site = siteOn(t, url, connect(url))
    const stored = await site.engine.create(KEY, sessionOf(100))
    const before = await site.rows()

    await site.db.raw('alter table django_session alter session_data type varchar(300)')
    const error = await refused(t, site.engine.update(KEY, sessionOf(400), stored.revision))
    t.true(error.message.includes('column session_data of django_session can hold (character varying(300)'))
    await refused(t, site.engine.create('another0', sessionOf(400)))

    await site.db.raw('alter table django_session alter session_data type text')
    await site.db.raw('create index own on django_session (session_data)')
    const indexed = await refused(t, site.engine.update(KEY, sessionOf(20_000), stored.revision))
    t.true(indexed.message.includes('54000'))
    t.deepEqual(await site.rows(), before)
  })
}

test('sqlite: what is too large for SQLite is refused by name, and the old session stays', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite')
  const site = siteOn(t, url, connect(url))
  const stored = await site.engine.create(KEY, sessionOf(100))
  const before = await site.rows()
  await site.db.raw(`create trigger own before update on django_session when length(new.session_data) > 300
    begin select zeroblob(2147483648); end`)
  const error = await refused(t, site.engine.update(KEY, sessionOf(400), stored.revision))
  t.true(error.message.includes('SQLITE_TOOBIG'))
  t.deepEqual(await site.rows(), before)
})

const DATES = {
  mysql: createDateColumn({ database: 'mysql', useTz: true, timeZone: 'UTC' }),
  postgresql: createDateColumn({ database: 'postgresql', useTz: true, timeZone: 'UTC' }),
  sqlite: createDateColumn({ database: 'sqlite', useTz: true, timeZone: 'UTC' }),
}

let databases = 0

/** The db engine on a database of the test's own, on the server that cuts. */
async function openSite(
  t: ExecutionContext,
  name: 'mariadb' | 'mysql',
  open: (url: string) => Knex,
  columns?: SessionColumns,
) {
  const server = servers.get(name)
  if (server === undefined) throw new Error(`${name} is not started`)
  databases += 1
  const url = `${server.url}/site${databases}`
  await runScript(`${server.url}/mysql`, `CREATE DATABASE site${databases}`)
  const schema = readFileSync(new URL(`../support/schema/${name}.sql`, import.meta.url), 'utf8')
  await runScript(url, schema.split('-- The library')[0] ?? '')
  return siteOn(t, url, open(url), columns)
}

function siteOn(t: ExecutionContext, url: string, db: Knex, columns?: SessionColumns) {
  t.teardown(() => db.destroy())
  const codec = createSessionCodec({
    secretKeys: [secretKey],
    profile: versionProfile('5.2'),
    now: () => new Date(),
  })
  const dates = DATES[databaseKindOf(db)]
  const engine = createDbEngine({ db, codec, dates, ...(columns !== undefined && { columns }) })
  const rows = (): Promise<object[]> => db('django_session').select().orderBy('session_key')
  return { url, db, engine, rows }
}

/** For connections that begin from now on, which are all of the site's. */
async function setPacket({ url, db }: { url: string; db: Knex }, bytes: number): Promise<void> {
  await runScript(url, `SET GLOBAL max_allowed_packet = ${bytes}`)
  await db.destroy()
  db.initialize()
}

/** Whose stored text has at least so many characters: zlib makes it smaller, base64 larger. */
function sessionOf(length: number): NewSession {
  const note = JSON.stringify(noise(Math.max(Math.ceil(length * 1.3), 1)))
  return { data: new Map([['note', note]]), expireDate: new Date('2999-01-01') }
}

/** Text that does not compress. */
function noise(length: number): string {
  const parts: string[] = []
  for (let seed = 1, made = 0; made < length; seed = (seed * 48_271) % 2_147_483_647) {
    const part = seed.toString(36)
    parts.push(part)
    made += part.length
  }
  return parts.join('').slice(0, length)
}

/** An error that tells why, to the log as well, and that waiting does not help. */
async function refused(t: ExecutionContext, answer: Promise<unknown>): Promise<Error> {
  const error = await t.throwsAsync(answer, { instanceOf: SessionTooLarge, code: 'ERR_SESSION_TOO_LARGE' })
  t.is(statusOf(error), 500)
  const { message } = errorFields(error)
  t.is(message, error.message)
  t.regex(error.message, /^The session needs \d+ characters, more than .*; store less in it, or /)
  return error
}
