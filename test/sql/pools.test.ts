/** Pools and databases of a program's own: what they are set up with, and what happens to their connections. */
import test, { type ExecutionContext } from 'ava'
import type pg from 'pg'
import { openDjangoSite, type SqlDatabase } from '../../src/index.ts'
import { runStatement, selectRows } from '../../src/sql/executor.ts'
import { type DbUnderTest, openDb, secretKey } from '../engines/db-under-test.ts'
import { runSql, testDatabases } from '../support/databases.ts'
import { betterSqlite, mysqlPool, nodeSqlite, pgPool } from '../support/sql-drivers.ts'

const MYSQL = (['mariadb', 'mysql'] as const).filter((name) => testDatabases.includes(name))
const UNUSABLE = 'ERR_DATABASE_UNUSABLE'
const EXPIRES = '2036-11-23 09:25:12.345'
const INSERT = 'insert into django_session (session_key, session_data, expire_date) values (?, ?, ?)'

const siteOn = (db: SqlDatabase) =>
  openDjangoSite({ db, secretKeys: [secretKey], djangoVersion: '5.2', conflictTimeout: 2000 })

async function saveOn(db: SqlDatabase): Promise<void> {
  const session = await siteOn(db).requests.open(undefined).session.load()
  session.set('a', 1)
  await session.save()
}

const rowsIn = ({ database }: DbUnderTest) => runSql(database.url, 'SELECT session_key FROM django_session')

/** A save says in words what is wrong with the pool, and stores nothing. */
async function isUnusable(
  t: ExecutionContext,
  site: DbUnderTest,
  db: SqlDatabase,
  message: RegExp,
): Promise<void> {
  await t.throwsAsync(saveOn(db), { code: UNUSABLE, message })
  await t.throwsAsync(saveOn(db), { code: UNUSABLE, message }, 'it says so each time')
  t.deepEqual(await rowsIn(site), [])
}

for (const name of MYSQL) {
  test(`a mysql2 pool without FOUND_ROWS is refused where it is opened, on ${name}`, async (t) => {
    const { database } = await openDb(t, name)
    const pool = mysqlPool(t, database.url, { flags: ['-FOUND_ROWS'] })
    for (const db of [pool, pool.promise()] as SqlDatabase[])
      t.throws(() => siteOn(db), { code: UNUSABLE, message: /flag -FOUND_ROWS.*leave that flag out/ })
  })

  test(`a mysql2 pool without autocommit is refused at its first use, on ${name}`, async (t) => {
    const site = await openDb(t, name)
    const pool = mysqlPool(t, site.database.url)
    pool.on('connection', (connection) => void connection.query('SET autocommit = 0'))
    await isUnusable(t, site, pool, /autocommit = 0.*leave autocommit on/)
  })

  test(`a mysql2 pool with a character set that can hide a quote is refused, on ${name}`, async (t) => {
    const site = await openDb(t, name)
    const pool = mysqlPool(t, site.database.url, { charset: 'SJIS_JAPANESE_CI' })
    await isUnusable(t, site, pool, /character set sjis.*utf8mb4/)
  })

  test(`a mysql2 connection that is released inside a transaction is an error, not a lost save, on ${name}`, async (t) => {
    const { database } = await openDb(t, name)
    const pool = mysqlPool(t, database.url, { connectionLimit: 1 })
    await runStatement(pool, 'select 1', [])
    const connection = await pool.promise().getConnection()
    await connection.query('START TRANSACTION')
    connection.release()
    await t.throwsAsync(saveOn(pool), {
      code: UNUSABLE,
      message: /inside a transaction.*before its connection/,
    })
  })

  test(`a mysql2 pool that lets no call wait is busy, not broken, on ${name}`, async (t) => {
    const { database } = await openDb(t, name)
    const pool = mysqlPool(t, database.url, { connectionLimit: 1, waitForConnections: false })
    const connection = await pool.promise().getConnection()
    await t.throwsAsync(saveOn(pool), { code: 'ERR_STORAGE_UNAVAILABLE' })
    connection.release()
    await t.notThrowsAsync(saveOn(pool))
  })

  test(`a mysql2 pool whose connections are killed goes on, on ${name}`, async (t) => {
    const { database } = await openDb(t, name)
    const pool = mysqlPool(t, database.url, { connectionLimit: 2 })
    const [row] = await selectRows(pool, 'select connection_id() as id')
    await runSql(database.url, `KILL ${row?.id}`)
    await t.notThrowsAsync(saveOn(pool))
    const waiting = runStatement(pool, 'select sleep(20)', [])
    const sleeping = `SELECT id FROM information_schema.processlist WHERE info = 'select sleep(20)'`
    for (;;) {
      const [found] = await runSql(database.url, sleeping)
      if (found === undefined) continue
      await runSql(database.url, `KILL ${Object.values(found)[0]}`)
      break
    }
    await t.throwsAsync(waiting)
    await t.notThrowsAsync(saveOn(pool))
  })
}

if (testDatabases.includes('postgresql')) {
  test('a pg pool with another DateStyle is refused at its first use', async (t) => {
    const site = await openDb(t, 'postgresql')
    const pool = pgPool(t, site.database.url, { options: '-c datestyle=German' })
    await isUnusable(t, site, pool, /DateStyle German.*datestyle=ISO/)
  })

  test('a pg pool with another client_encoding is refused at its first use', async (t) => {
    const site = await openDb(t, 'postgresql')
    const onConnect = (client: pg.Client) => client.query('SET client_encoding TO LATIN1')
    const pool = pgPool(t, site.database.url, { onConnect } as object)
    await isUnusable(t, site, pool, /client_encoding LATIN1.*leave it out/)
  })

  test('a pg pool with binary values is refused where it is opened', async (t) => {
    const { database } = await openDb(t, 'postgresql')
    const pool = pgPool(t, database.url, { binary: true } as object)
    t.throws(() => siteOn(pool), { code: UNUSABLE, message: /binary: true/ })
  })

  test('a pg client that is released inside a transaction is an error, not a lost save', async (t) => {
    const site = await openDb(t, 'postgresql')
    const pool = pgPool(t, site.database.url, { max: 1 })
    await runStatement(pool, 'select 1', [])
    const client = await pool.connect()
    await client.query('BEGIN')
    client.release()
    await isUnusable(t, site, pool, /inside a transaction.*before its client/)
    await pool.query('ROLLBACK')
    await t.notThrowsAsync(saveOn(pool))
  })

  test('a statement that PostgreSQL refuses leaves its connection in the pool', async (t) => {
    const { database } = await openDb(t, 'postgresql')
    const pool = pgPool(t, database.url, { max: 1 })
    const pid = async () => (await selectRows(pool, 'select pg_backend_pid() as pid'))[0]?.pid
    const first = await pid()
    await runStatement(pool, INSERT, ['a', 'x', EXPIRES])
    await t.throwsAsync(runStatement(pool, INSERT, ['a', 'x', EXPIRES]), { code: '23505' })
    t.is(await pid(), first)
  })

  test('a pg pool whose connections PostgreSQL ends goes on, and the process does not end', async (t) => {
    const { database } = await openDb(t, 'postgresql')
    const pool = pgPool(t, database.url, { max: 1 })
    const [row] = await selectRows(pool, 'select pg_backend_pid() as pid')
    const removed = new Promise((resolve) => pool.once('remove', resolve))
    await runSql(database.url, 'SELECT pg_terminate_backend($1)', [row?.pid])
    await removed
    await t.notThrowsAsync(saveOn(pool), 'an idle connection')
    await t.throwsAsync(runStatement(pool, 'select pg_terminate_backend(pg_backend_pid())', []))
    await t.notThrowsAsync(saveOn(pool), 'a connection at work')
  })

  test('a pg pool without a free client is busy, not broken', async (t) => {
    const { database } = await openDb(t, 'postgresql')
    const pool = pgPool(t, database.url, { max: 1 })
    const client = await pool.connect()
    pool.options.connectionTimeoutMillis = 50
    await t.throwsAsync(saveOn(pool), { code: 'ERR_STORAGE_UNAVAILABLE' })
    client.release()
    await t.notThrowsAsync(saveOn(pool))
  })

  test('a statement that takes longer than query_timeout is a time-out, and its connection is closed', async (t) => {
    const { database } = await openDb(t, 'postgresql')
    const pool = pgPool(t, database.url, { max: 1, query_timeout: 300 })
    await t.throwsAsync(runStatement(pool, 'select pg_sleep(20)', []), { message: 'Query read timeout' })
    await t.notThrowsAsync(saveOn(pool), 'not queued behind that statement')
  })
}

test('a question mark in a quoted name is not a placeholder of pg', async (t) => {
  const sent: object[] = []
  const client = {
    query(query: object, done: (error: null, result: object) => void) {
      sent.push(query)
      done(null, { rows: [{ style: 'ISO, MDY', encoding: 'UTF8' }] })
    },
    getTypeParser: () => String,
    on() {},
    off() {},
  }
  const connect = (done: (error: undefined, got: object, release: () => void) => void) =>
    done(undefined, client, () => {})
  const pool = { connect, query() {}, totalCount: 0, idleCount: 0, listenerCount: () => 1 }
  await runStatement(pool, 'select "a?" from b where c = ? and d = ?', ['1', '2'])
  t.like(sent.at(-1), { text: 'select "a?" from b where c = $1 and d = $2', values: ['1', '2'] })
})

for (const [driver, open] of [
  ['better-sqlite3', betterSqlite],
  ['node:sqlite', nodeSqlite],
] as const) {
  test(`a save does not become part of a transaction of the program, with ${driver}`, async (t) => {
    const site = await openDb(t, 'sqlite')
    const db = open(t, site.database.url)
    db.exec('BEGIN')
    const saving = saveOn(db)
    setTimeout(() => db.exec('ROLLBACK'), 50)
    await t.notThrowsAsync(saving)
    t.is((await rowsIn(site)).length, 1)
    db.exec('BEGIN')
    for (const insert of [INSERT, `${INSERT} returning session_key`])
      await t.throwsAsync(runStatement(db, insert, ['a', 'x', EXPIRES]), {
        code: 'SQLITE_BUSY',
        message: /the program has a transaction open/,
      })
    t.is((await selectRows(db, 'select session_key from django_session', [])).length, 1)
    db.exec('COMMIT')
  })

  test(`a file that another process holds is busy, not broken, with ${driver}`, async (t) => {
    const site = await openDb(t, 'sqlite')
    const [db, other] = [open(t, site.database.url), open(t, site.database.url)]
    db.exec('PRAGMA busy_timeout = 0')
    other.exec('BEGIN IMMEDIATE')
    setTimeout(() => other.exec('COMMIT'), 50)
    await t.notThrowsAsync(saveOn(db))
    t.is((await rowsIn(site)).length, 1)
  })

  test(`integers beyond 2^53 are read, not refused, with ${driver}`, async (t) => {
    const { database } = await openDb(t, 'sqlite')
    const [row] = await selectRows(open(t, database.url), 'select 9007199254740995 as big, 1 as one')
    t.deepEqual({ ...row }, { big: 9007199254740996, one: 1 })
  })
}
