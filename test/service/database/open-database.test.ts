import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { openDatabase } from '../../../src/service/database/open-database.ts'
import { readSettings, type Settings } from '../../../src/service/settings/settings.ts'
import { createTestDatabase, runSql, testDatabases } from '../../support/databases.ts'
import { projectFolder } from '../../support/places.ts'

const run = promisify(execFile)
const KEY = 'abcdefghijklmnopqrstuvwxyz012345'
const servers = testDatabases.filter((name) => name !== 'sqlite')
const mysqls = testDatabases.filter((name) => name === 'mariadb' || name === 'mysql')

for (const name of testDatabases) {
  test(`on ${name} an UPDATE that changes nothing still counts the row it matched`, async (t) => {
    const db = open(t, (await withSession(t, name)).url)
    const rows = () => db('django_session').where({ session_key: KEY })
    t.is(await rows().update({ session_data: 'data' }), 1)
    t.is(await rows().update({ session_data: 'data' }), 1)
  })

  test(`on ${name} a date comes as the text of its column, with all six digits`, async (t) => {
    const db = open(t, (await withSession(t, name)).url)
    const row = await db('django_session').first()
    t.regex(row.expire_date, /^2035-11-28 22:13:20\.123456(\+00)?$/)
  })

  test(`on ${name} the message of a failed statement holds none of its values`, async (t) => {
    const db = open(t, (await withSession(t, name)).url)
    const error = await t.throwsAsync(
      db('django_session').insert({ session_key: 'x', no_such_column: 'secret' }),
    )
    t.regex(error?.message ?? '', /no_such_column/)
    t.notRegex(error?.message ?? '', /secret/)
  })

  test(`on ${name} text outside the basic plane survives`, async (t) => {
    const db = open(t, (await withSession(t, name)).url)
    await db('django_session').update({ session_data: '한글 😀' })
    t.is((await db('django_session').first()).session_data, '한글 😀')
  })
}

for (const name of servers) {
  test(`on ${name} statements are committed one by one, and see what others committed`, async (t) => {
    const { url } = await withSession(t, name)
    const db = open(t, url)
    await db.transaction(async (transaction) => {
      const read = async () => (await transaction('django_session').first()).session_data
      t.is(await read(), 'data')
      await db('django_session').update({ session_data: 'new' })
      t.is(await read(), 'new')
    })
    t.is((await runSql(url, 'SELECT session_data FROM django_session'))[0]?.session_data, 'new')
  })

  test(`on ${name} an integer that no double holds comes as text`, async (t) => {
    const db = open(t, (await createTestDatabase(t, name, { tables: 'none' })).url)
    const row = await db.select(db.raw('9007199254740993 AS big')).first()
    t.is(row.big, '9007199254740993')
  })

  test(`on ${name} a connection that died is replaced`, async (t) => {
    const { url } = await withSession(t, name)
    const proxy = await startProxy(t, url)
    const db = open(t, proxy.url, { DATABASE_POOL_SIZE: '1' })
    await db('django_session').first()
    proxy.disconnect()
    // Fails if the disconnect has not been noticed yet.
    await db('django_session')
      .first()
      .catch(() => null)
    t.is((await db('django_session').first()).session_data, 'data')
  })

  test(`on ${name} a process that stood still while it connected warns of nothing`, async (t) => {
    const { url } = await withSession(t, name)
    const warnings: string[] = []
    const listen = ({ message }: Error) => void warnings.push(message)
    process.on('warning', listen)
    t.teardown(() => process.off('warning', listen))
    // Node warns once in a process, so of these tests only the first would fail.
    // It looks at the clock four times until it is connected, and then for the time that is left to set the connection up.
    let looks = 0
    const monotonic = () => (looks++ < 4 ? 0 : 60_000)
    const db = openDatabase(databaseSettings(url), { monotonic })
    t.teardown(() => db.destroy())
    // Its time is over, so the connection may be closed.
    await db('django_session')
      .first()
      .catch(() => null)
    t.deepEqual(warnings, [])
  })
}

/** Seconds within which a busy machine still connects and answers. */
const SHORT = { DATABASE_TIMEOUT: '3' } as const

// Serial, so that other tests do not slow these down.
test.serial(
  'a statement that waits for a lock is given up, and does not happen later, on each server',
  async (t) => {
    await onEachServer(async (name) => {
      const { url } = await withSession(t, name)
      const holder = open(t, url, { DATABASE_TIMEOUT: '30' })
      const db = open(t, url, SHORT)
      await holder.transaction(async (transaction) => {
        await transaction('django_session').update({ session_data: 'held' })
        await t.throwsAsync(db('django_session').update({ session_data: 'waited' }))
      })
      // Locks are granted in turn: a statement that still waits would come first.
      t.is((await db('django_session').forUpdate().first()).session_data, 'held')
    })
  },
)

test.serial(
  'a statement that the server does not answer fails, and the pool recovers, on each server',
  async (t) => {
    await onEachServer(async (name) => {
      const { url } = await withSession(t, name)
      const proxy = await startProxy(t, url)
      const db = open(t, proxy.url, { ...SHORT, DATABASE_POOL_SIZE: '1' })
      await db('django_session').first()
      proxy.freeze()
      await t.throwsAsync(db('django_session').first(), { code: 'ERR_DATABASE_TIMEOUT' })
      proxy.thaw()
      t.is((await db('django_session').first()).session_data, 'data')
    })
  },
)

test.serial('each statement of a connection has its own time, and idle time is not counted', async (t) => {
  await onEachServer(async (name) => {
    const { url } = await withSession(t, name)
    const proxy = await startProxy(t, url)
    const db = open(t, proxy.url, { DATABASE_TIMEOUT: '2', DATABASE_POOL_SIZE: '1' })
    const { sleep, id } = name === 'postgresql' ? POSTGRESQL_FUNCTIONS : MYSQL_FUNCTIONS
    const connection = () => db.select(db.raw(`${id} as id`)).first()
    const first = await connection()
    for (const seconds of [1.2, 1.2, 1.2]) await db.raw(`select ${sleep}(${seconds})`)
    await delay(3000)
    t.deepEqual(await connection(), first)
    proxy.freeze()
    await t.throwsAsync(db('django_session').first(), { code: 'ERR_DATABASE_TIMEOUT' })
  })
})

const MYSQL_FUNCTIONS = { sleep: 'sleep', id: 'connection_id()' } as const
const POSTGRESQL_FUNCTIONS = { sleep: 'pg_sleep', id: 'pg_backend_pid()' } as const

test.serial(
  'a transaction that the server stops answering fails, and the pool recovers, on each server',
  async (t) => {
    await onEachServer(async (name) => {
      const { url } = await withSession(t, name)
      const proxy = await startProxy(t, url)
      const db = open(t, proxy.url, { ...SHORT, DATABASE_POOL_SIZE: '1' })
      const transaction = db.transaction(async (trx) => {
        await trx('django_session').update({ session_data: 'lost' })
        proxy.freeze()
      })
      await t.throwsAsync(transaction, { code: 'ERR_DATABASE_TIMEOUT' })
      proxy.thaw()
      await db('django_session').first()
    })
  },
)

test.serial('a connection to a server that sends no greeting is given up, on each server', async (t) => {
  await onEachServer(async (name) => {
    const { url } = await createTestDatabase(t, name, { tables: 'none' })
    const proxy = await startProxy(t, url)
    proxy.freeze()
    await t.throwsAsync(open(t, proxy.url, SHORT).raw('SELECT 1'))
  })
})

test.serial('waiting too long for a connection is an error, on each server', async (t) => {
  await onEachServer(async (name) => {
    const db = open(t, (await withSession(t, name)).url, { ...SHORT, DATABASE_POOL_SIZE: '1' })
    await db.transaction(async () => {
      await t.throwsAsync(db('django_session').first(), { message: /Timeout acquiring a connection/ })
    })
  })
})

for (const name of mysqls) {
  test(`on ${name} connections are set up as Django's`, async (t) => {
    const db = open(t, (await createTestDatabase(t, name, { tables: 'none' })).url)
    const variables = await sessionVariables(db)
    t.is(variables.transaction_isolation ?? variables.tx_isolation, 'READ-COMMITTED')
    t.is(variables.autocommit, 'ON')
    t.is(variables.character_set_client, 'utf8mb4')
    t.is(variables.innodb_lock_wait_timeout, '30')
    t.is(
      name === 'mariadb' ? variables.max_statement_time : variables.max_execution_time,
      name === 'mariadb' ? '30.000000' : '30000',
    )
  })

  test(`on ${name} the server ends a wait for a lock before its connection is closed`, async (t) => {
    const db = open(t, (await withSession(t, name)).url, { DATABASE_TIMEOUT: '2' })
    await db.transaction(async (holder) => {
      const rows = (of: Knex) => of('django_session').where({ session_key: KEY })
      await rows(holder).update({ session_data: 'held' })
      // MySQL looks once a second for waits that are over, so they begin at different times.
      const waits = Array.from({ length: 8 }, async (_, at) => {
        await delay(at * 120)
        await t.throwsAsync(rows(db).update({ session_data: 'waiting' }), {
          message: /Lock wait timeout exceeded|max_statement_time exceeded/,
        })
      })
      await Promise.all(waits)
    })
  })

  test(`on ${name} the charset of the URL is used`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'none' })
    const variables = await sessionVariables(open(t, `${url}?charset=latin1`))
    t.is(variables.character_set_client, 'latin1')
  })
}

test('on postgresql the schema that the URL names is used, and application_name is set', async (t) => {
  const { url } = await createTestDatabase(t, 'postgresql', { tables: 'none' })
  await runSql(url, 'CREATE SCHEMA site')
  await runSql(url, 'CREATE TABLE site.django_session (session_key varchar(40))')
  const db = open(t, `${url}?currentSchema=site`)
  t.deepEqual(await db('django_session'), [])
  const { rows } = await db.raw("SELECT current_setting('application_name') AS name, true AS truth")
  t.deepEqual(rows, [{ name: 'koa-django-sessions', truth: true }])
})

test("on sqlite connections are set up as Django's, and the journal mode is unchanged", async (t) => {
  const db = open(t, (await createTestDatabase(t, 'sqlite')).url)
  t.deepEqual(await db.raw('PRAGMA foreign_keys'), [{ foreign_keys: 1 }])
  t.deepEqual(await db.raw('PRAGMA busy_timeout'), [{ timeout: 5 }])
  t.deepEqual(await db.raw('PRAGMA journal_mode'), [{ journal_mode: 'delete' }])
})

test('a missing SQLite file is an error, and is not created', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'database-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const settings = databaseSettings(`sqlite:///${join(folder, 'none.sqlite3')}`)
  for (let attempt = 0; attempt < 2; attempt += 1) {
    t.throws(() => openDatabase(settings), { code: 'ERR_DATABASE_MISSING', message: /manage\.py migrate/ })
  }
})

test('knexfile.ts uses the database of the settings, and the knex command cannot migrate it', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite')
  const env = { ...process.env, DATABASE_URL: url, DJANGO_SECRET_KEY: 'x' }
  const node = (...args: string[]) => run(process.execPath, args, { cwd: projectFolder, env })
  const tables = () => runSql(url, 'SELECT name FROM sqlite_master ORDER BY name')
  const before = await tables()
  for (const command of ['migrate:currentVersion', 'migrate:status', 'migrate:latest']) {
    const knex = node('node_modules/knex/bin/cli.js', '--knexfile', 'knexfile.ts', command)
    const error = await t.throwsAsync<Error & { stderr: string }>(knex)
    t.regex(error?.stderr ?? '', /Django owns this schema/)
  }
  t.deepEqual(await tables(), before)
  const script = `
    import knex from 'knex'
    import config from './knexfile.ts'
    const db = knex(config)
    console.log(await db('django_session').pluck('session_key'))
    await db.destroy()`
  t.is((await node('--input-type=module', '-e', script)).stdout, '[]\n')
})

test('only the driver of the database in use is loaded', async (t) => {
  const drivers = async (url: string) => {
    const script = `
      import { createRequire } from 'node:module'
      import { openDatabase } from './src/service/database/open-database.ts'
      import { readSettings } from './src/service/settings/settings.ts'
      openDatabase(readSettings({ DATABASE_URL: '${url}', DJANGO_SECRET_KEY: 'x' }).database)
      const loaded = Object.keys(createRequire(import.meta.url).cache).join()
      console.log(['mysql2', 'pg', 'better-sqlite3'].filter((name) => loaded.includes('/node_modules/' + name + '/')).join())`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: projectFolder,
    })
    return stdout.trim()
  }
  t.is(await drivers('mysql://localhost/library'), 'mysql2')
  t.is(await drivers('postgres://localhost/library'), 'pg')
})

async function onEachServer(check: (name: (typeof servers)[number]) => Promise<void>): Promise<void> {
  await Promise.all(servers.map(check))
}

async function withSession(
  t: ExecutionContext,
  name: (typeof testDatabases)[number],
): ReturnType<typeof createTestDatabase> {
  const database = await createTestDatabase(t, name)
  const row = `'${KEY}', 'data', '2035-11-28 22:13:20.123456${name === 'postgresql' ? '+00' : ''}'`
  await runSql(
    database.url,
    `INSERT INTO django_session (session_key, session_data, expire_date) VALUES (${row})`,
  )
  return database
}

function databaseSettings(DATABASE_URL: string, env: NodeJS.ProcessEnv = {}): Settings['database'] {
  return readSettings(
    { DJANGO_SECRET_KEY: 'x', DATABASE_TIMEOUT: '30', ...env, DATABASE_URL },
    { cwd: '/nowhere' },
  ).database
}

function open(t: ExecutionContext, url: string, env?: NodeJS.ProcessEnv): Knex {
  const db = openDatabase(databaseSettings(url, env))
  t.teardown(() => db.destroy())
  return db
}

async function sessionVariables(db: Knex): Promise<Partial<Record<string, string>>> {
  const [rows] = await db.raw('SHOW SESSION VARIABLES')
  return Object.fromEntries(
    rows.map((row: { Variable_name: string; Value: string }) => [row.Variable_name, row.Value]),
  )
}

interface Proxy {
  url: string
  /** Drops all data; connections stay open, as with a server that hangs. */
  freeze(): void
  thaw(): void
  /** Ends every connection. */
  disconnect(): void
}

/** Starts a TCP proxy in front of the server of this URL. */
async function startProxy(t: ExecutionContext, url: string): Promise<Proxy> {
  const server = new URL(url)
  const sockets = new Set<Socket>()
  let frozen = false
  const proxy = createServer((near) => {
    const far = connect(Number(server.port), server.hostname)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      // Data that arrives while frozen is lost, so its connection must be closed.
      from.on('data', (chunk) => frozen || to.write(chunk))
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  const { port } = proxy.address() as AddressInfo
  return {
    url: url.replace(server.host, `127.0.0.1:${port}`),
    freeze() {
      frozen = true
    },
    thaw() {
      frozen = false
    },
    disconnect() {
      for (const socket of sockets) socket.destroy()
    },
  }
}
