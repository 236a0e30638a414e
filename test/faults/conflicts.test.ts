import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { createDateColumn } from '../../src/django/datetime.ts'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createDbEngine } from '../../src/engines/db.ts'
import { createRetryingEngine } from '../../src/engines/retrying-engine.ts'
import { openDatabase } from '../../src/service/database/open-database.ts'
import { readSettings } from '../../src/service/settings/settings.ts'
import type { SessionEngine } from '../../src/session/engine.ts'
import { databaseKindOf } from '../../src/sql/dialect.ts'
import { createTestDatabase, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'
import { startLibrary } from '../support/library.ts'
import { startLoad, summary, visitHome } from '../support/load.ts'
import { waitForLockWait } from '../support/lock-waits.ts'
import { assertNothingLost, startReadyService } from './site.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'
const expireDate = new Date(Date.now() + 3_600_000)
const session = (number: number) => ({ data: new Map([['number', String(number)]]), expireDate })

for (const name of ['mariadb', 'mysql'] as const) {
  if (!testDatabases.includes(name)) continue

  test(`a lock wait timeout on ${name} (1205) is retried`, async (t) => {
    const { url, db, engine, retries } = await openEngine(t, name)
    const { revision } = await engine.create(KEY, session(1))
    const other = await openTransaction(t, url)
    await other('django_session').where({ session_key: KEY }).forUpdate()
    await db.raw('SET SESSION innodb_lock_wait_timeout = 1')
    const update = engine.update(KEY, session(2), revision)
    while (retries.length === 0) await delay(20)
    await other.rollback()
    await update
    t.deepEqual(new Set(retries), new Set(['ER_LOCK_WAIT_TIMEOUT']))
    t.is((await engine.load(KEY))?.data.get('number'), '2')
  })

  test(`a deadlock on ${name} (1213) is retried`, async (t) => {
    const { url, engine, retries } = await openEngine(t, name)
    const { revision } = await engine.create(KEY, session(1))
    const other = await openTransaction(t, url)
    // The server rolls back the transaction that has written less, which must be the other one.
    const rows = Array.from({ length: 50 }, (_, at) => ({
      session_key: `other-${at}`,
      session_data: '',
      expire_date: '2030-01-01 00:00:00',
    }))
    await other('django_session').insert(rows)
    // It locks the row's entry in the index of `expire_date`, then the row; the UPDATE locks them in the other order.
    const index = await expiryIndex(other)
    await other.raw(
      `SELECT expire_date FROM django_session FORCE INDEX (${index}) WHERE expire_date < '2029-01-01' LOCK IN SHARE MODE`,
    )
    const update = engine.update(
      KEY,
      { ...session(2), expireDate: new Date(expireDate.getTime() + 1000) },
      revision,
    )
    await waitForLockWait(url)
    await other('django_session').where({ session_key: KEY }).forUpdate()
    await other.rollback()
    await update
    t.deepEqual(retries, ['ER_LOCK_DEADLOCK'])
    t.is((await engine.load(KEY))?.data.get('number'), '2')
  })
}

if (testDatabases.includes('postgresql')) {
  const SERIALIZABLE = '?options=-c%20default_transaction_isolation%3Dserializable'

  test('a serialization failure on postgresql (40001) is retried', async (t) => {
    const { url, engine, retries } = await openEngine(t, 'postgresql', SERIALIZABLE)
    const { revision } = await engine.create(KEY, session(1))
    const other = await openTransaction(t, url)
    await other('django_session').where({ session_key: KEY }).update({ expire_date: '2030-01-01T00:00:00Z' })
    const update = engine.update(KEY, session(2), revision)
    await waitForLockWait(url)
    await other.commit()
    await update
    t.deepEqual(retries, ['40001'])
    t.is((await engine.load(KEY))?.data.get('number'), '2')
  })

  test('a lock that is not available on postgresql (55P03) is retried', async (t) => {
    const { url, db, engine, retries } = await openEngine(t, 'postgresql')
    const { revision } = await engine.create(KEY, session(1))
    const other = await openTransaction(t, url)
    await other('django_session').where({ session_key: KEY }).forUpdate()
    await db.raw("SET lock_timeout = '100ms'")
    const update = engine.update(KEY, session(2), revision)
    while (retries.length === 0) await delay(20)
    await other.rollback()
    await update
    t.deepEqual(new Set(retries), new Set(['55P03']))
    t.is((await engine.load(KEY))?.data.get('number'), '2')
  })

  test('two services at SERIALIZABLE count every visit to one session, without a visible conflict', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql', { tables: 'library' })
    const start = () => startReadyService(t, `${url}${SERIALIZABLE}`, { DATABASE_TIMEOUT: '20' })
    const [one, other] = [await start(), await start()]
    const first = await visitHome(one.url)
    const sessionKeys = Array<string | undefined>(8).fill(first.sessionKey ?? undefined)
    const loads = [one, other].map((service) => startLoad(service.url, { sessionKeys, limit: 40 }))
    await Promise.all(loads.map((load) => load.more(8 * 40, () => true)))
    const visits = [first, ...(await Promise.all(loads.map((load) => load.stop()))).flat()]
    t.is(summary(visits), `200 × ${visits.length}`)
    await assertNothingLost(t, url, visits)
    t.is(Math.max(...visits.map(({ shown }) => shown ?? 0)), visits.length)
  })
}

test('a SQLite that another process is writing to (SQLITE_BUSY) is retried, without blocking the process', async (t) => {
  const { url, engine, retries } = await openEngine(t, 'sqlite')
  const { revision } = await engine.create(KEY, session(1))
  const holder = await holdSqlite(t, url, 60_000)
  const update = engine.update(KEY, session(2), revision)
  while (retries.length < 3) await delay(1) // during each wait the event loop can run other tasks
  holder.kill('SIGKILL')
  await update
  t.deepEqual(new Set(retries), new Set(['SQLITE_BUSY']))
  t.is((await engine.load(KEY))?.data.get('number'), '2')
})

test('while another process locks a SQLite file, visitors get a 503, and all other requests are answered', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const service = await startReadyService(t, url)
  const { sessionKey } = await visitHome(service.url)
  const holder = await holdSqlite(t, url, 60_000)
  const visits = Promise.all(
    Array.from({ length: 8 }, () => visitHome(service.url, { sessionKey: sessionKey ?? undefined })),
  )
  let answered = 0
  let isOver = false
  void visits.then(() => {
    isOver = true
  })
  while (!isOver) {
    t.is((await fetch(`${service.url}/health/live`)).status, 200)
    answered += 1
    await delay(20)
  }
  t.is(summary(await visits), '503 × 8')
  t.log(`${answered} answers meanwhile`)
  t.true(answered > 2, `${answered} answers`)
  holder.kill()
  await once(holder, 'close')
  t.is((await visitHome(service.url, { sessionKey: sessionKey ?? undefined })).shown, 2)
})

test('while the disk is full, a session that cannot be stored is a 503', async (t) => {
  const { url, db } = await startLibrary(t)
  const [{ page_count: pages }] = (await db.raw('PRAGMA page_count')) as [{ page_count: number }]
  await db.raw(`PRAGMA max_page_count = ${pages}`)
  const visits = [await visitHome(url)]
  while (visits.at(-1)?.status === 200) visits.push(await visitHome(url))

  const refused = visits.pop()
  t.is(refused?.status, 503)
  t.true(Number(refused?.retryAfter) > 0)
  t.is(refused?.sessionKey, null)
  t.is((await db('django_session').pluck('session_key')).length, visits.length)
  await db.raw(`PRAGMA max_page_count = ${pages + 100}`)
  t.is((await visitHome(url)).shown, 1)
})

/** The engine as in the service, on one connection; `retries` contains the codes of retried errors. */
async function openEngine(
  t: Scope,
  name: TestDatabaseName,
  options = '',
): Promise<{ url: string; db: Knex; engine: SessionEngine; retries: unknown[] }> {
  const { url } = await createTestDatabase(t, name)
  const db = open(t, `${url}${options}`)
  const secretKeys = ['a key of the tests'] as const
  const now = () => new Date()
  const codec = createSessionCodec({ secretKeys, profile: versionProfile('5.2'), now })
  const dates = createDateColumn({ database: databaseKindOf(db), useTz: true, timeZone: 'UTC' })
  const retries: unknown[] = []
  const engine = createRetryingEngine(createDbEngine({ db, codec, dates, now }), {
    timeout: 10_000,
    onRetry: (error) => void retries.push(error instanceof Error && 'code' in error ? error.code : error),
  })
  return { url, db, engine, retries }
}

function open(t: Scope, url: string): Knex {
  const env = { DATABASE_URL: url, DJANGO_SECRET_KEY: 'x', DATABASE_POOL_SIZE: '1', DATABASE_TIMEOUT: '20' }
  const db = openDatabase(readSettings(env, { cwd: tmpdir() }).database)
  t.teardown(() => db.destroy())
  return db
}

async function openTransaction(t: Scope, url: string): Promise<Knex.Transaction> {
  return open(t, url).transaction()
}

async function expiryIndex(db: Knex): Promise<string> {
  const [rows] = (await db.raw('SHOW INDEX FROM django_session')) as [
    { Key_name: string; Column_name: string }[],
  ]
  return rows.find(({ Column_name }) => Column_name === 'expire_date')?.Key_name ?? ''
}

/** Starts a process that locks the file exclusively, for this many milliseconds. */
async function holdSqlite(
  t: ExecutionContext,
  url: string,
  milliseconds: number,
): Promise<ReturnType<typeof spawn>> {
  const script = `
    const db = require('better-sqlite3')(${JSON.stringify(url.slice('sqlite:///'.length))})
    db.exec('BEGIN EXCLUSIVE')
    console.log('held')
    setTimeout(() => db.exec('COMMIT'), ${milliseconds})`
  const holder = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  return holder
}
