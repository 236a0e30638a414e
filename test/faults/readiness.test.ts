import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runScript, runSql, testDatabases } from '../support/databases.ts'
import { visitHome } from '../support/load.ts'
import {
  type NetworkServer,
  type ServerOptions,
  startMariadb,
  startMysql,
  startPostgresql,
} from '../support/servers.ts'
import { freePorts, runCommand, startCommand, startService } from '../support/service.ts'
import { until } from '../support/until.ts'
import { SECRET_KEY } from './site.ts'

const starts = { mariadb: startMariadb, mysql: startMysql, postgresql: startPostgresql }
type ServerName = keyof typeof starts
const servers = testDatabases.filter((name) => name !== 'sqlite')

/** Starts a separate server with LocalLibrary; the site's user has separate rights to each of its tables. */
async function startSite(
  t: ExecutionContext,
  name: ServerName,
  options: ServerOptions = {},
): Promise<{ server: NetworkServer; admin: string; url: string; account: string }> {
  const server = await starts[name](options)
  t.teardown(() => server.stop())
  await runScript(name === 'postgresql' ? `${server.url}/postgres` : server.url, 'CREATE DATABASE site')
  const admin = `${server.url}/site`
  const schema = readFileSync(new URL(`../support/schema/${name}.sql`, import.meta.url), 'utf8')
  const account = name === 'postgresql' ? 'site' : "site@'127.0.0.1'"
  const tables = ['django_session', 'auth_user', 'catalog_book', 'catalog_bookinstance', 'catalog_author']
  const user = `CREATE ${name === 'postgresql' ? 'ROLE site LOGIN' : `USER ${account}`}`
  const grants = tables
    .map((table) => `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${account};`)
    .join('')
  await runScript(admin, `${schema}${user};${grants}`)
  return { server, admin, url: admin.replace(/\w+@/, 'site@'), account }
}

const environment = (url: string) => ({
  DATABASE_URL: url,
  DJANGO_SECRET_KEY: SECRET_KEY,
  DJANGO_VERSION: '5.2',
  USE_TZ: 'True',
})

/** Waits until `/health/ready` has this status; returns its body. */
async function untilReadiness(
  t: ExecutionContext,
  url: string,
  status: number,
  isMeant: (body: unknown) => boolean = () => true,
): Promise<unknown> {
  const end = performance.now() + 60_000
  for (;;) {
    const response = await fetch(`${url}/health/ready`)
    const body: unknown = await response.json()
    if (response.status === status && isMeant(body)) return body
    if (performance.now() > end) return t.fail(`it still says ${JSON.stringify(body)}`)
    await delay(50)
  }
}

const READ_ONLY = /^DATABASE_URL: 127\.0\.0\.1:\d+ is read-only, .*set DATABASE_URL to the primary/

const unready = (check: string) => ({ status: 'unavailable', check })

for (const name of servers) {
  test.serial(
    `on ${name} readiness is 503 while sessions cannot be written or a table is missing, and says which`,
    async (t) => {
      const { admin, url, account } = await startSite(t, name)
      const service = await startService(t, { env: environment(url) })
      t.deepEqual(await untilReadiness(t, service.url, 200), { status: 'ready' })

      for (const right of ['INSERT', 'UPDATE', 'DELETE']) {
        await runScript(admin, `REVOKE ${right} ON django_session FROM ${account}`)
        t.deepEqual(await untilReadiness(t, service.url, 503), unready('session_write'), right)
        await runScript(admin, `GRANT ${right} ON django_session TO ${account}`)
        await untilReadiness(t, service.url, 200)
      }
      for (const table of ['auth_user', 'catalog_author']) {
        await runScript(admin, `ALTER TABLE ${table} RENAME TO elsewhere`)
        t.deepEqual(await untilReadiness(t, service.url, 503), unready('site_tables'), table)
        await runScript(admin, `ALTER TABLE elsewhere RENAME TO ${table}`)
        await untilReadiness(t, service.url, 200)
      }
      await runScript(admin, 'ALTER TABLE django_session RENAME TO elsewhere')
      t.deepEqual(await untilReadiness(t, service.url, 503), unready('database'))
      await runScript(admin, 'ALTER TABLE elsewhere RENAME TO django_session')
      await untilReadiness(t, service.url, 200)

      t.is((await visitHome(service.url)).shown, 1)
      t.true(
        service.log().some(({ event, check }) => event === 'health.unavailable' && check === 'session_write'),
      )
      t.is(await service.stop(), 0)
    },
  )

  test.serial(`while ${name} is read-only, a start waits and readiness is 503`, async (t) => {
    const { admin, url } = await startSite(t, name)
    const setTo = async (value: 'on' | 'off') => {
      if (name !== 'postgresql') return runScript(admin, `SET GLOBAL read_only = ${value === 'on' ? 1 : 0}`)
      const writable = `${admin}?options=-c%20default_transaction_read_only%3Doff`
      await runScript(writable, `ALTER ROLE site SET default_transaction_read_only = ${value}`)
      await runScript(
        writable,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'site'",
      )
    }
    await setTo('on')
    const command = startCommand(t, ['serve'], {
      env: { ...freePorts, DATABASE_TIMEOUT: '30', ...environment(url) },
    })
    const { url: listening } = await command.next('service.listening')
    const service = { ...command, url: new URL(String(listening)).origin }
    // The connections that this test kills may be reported, too.
    const readOnly = () =>
      service
        .log()
        .filter(({ event, message }) => event === 'service.waiting' && READ_ONLY.test(String(message)))
    await until('the service says that the database is read-only', () => readOnly().length > 0)
    t.is((await fetch(`${service.url}/health/ready`)).status, 503)
    await setTo('off')
    await service.next('service.ready')
    t.is(readOnly().length, 1, JSON.stringify(service.log()))

    await setTo('on')
    // Before that the check of the database itself may fail, on a connection that this test has ended.
    const isOfWrites = (body: unknown) => JSON.stringify(body).includes('session_write')
    t.deepEqual(await untilReadiness(t, service.url, 503, isOfWrites), unready('session_write'))
    await setTo('off')
    t.deepEqual(await untilReadiness(t, service.url, 200), { status: 'ready' })
  })
}

for (const name of servers.filter((one): one is 'mariadb' | 'mysql' => one !== 'postgresql')) {
  test.serial(
    `on ${name} a binary log that rejects the isolation level of the URL fails the start, or the readiness of a running service`,
    async (t) => {
      const { admin, url } = await startSite(t, name, {
        extraArguments: ['--log-bin=binlog', '--server-id=1', '--binlog-format=MIXED'],
      })
      const env = environment(`${url}?isolation_level=read%20committed`)
      const service = await startService(t, { env })
      await runScript(admin, "SET GLOBAL binlog_format = 'STATEMENT'")
      // A connection uses the format that was set when it began.
      for (const { id } of await runSql(
        admin,
        "SELECT id FROM information_schema.processlist WHERE user = 'site'",
      ))
        await runScript(admin, `KILL ${id}`).catch(() => {}) // It has already ended.
      t.deepEqual(await untilReadiness(t, service.url, 503), unready('database'))
      t.is((await visitHome(service.url)).status, 500)

      const { status, stderr } = await runCommand(t, ['serve'], {
        env: { ...freePorts, ...env },
      })
      t.is(status, 1)
      t.regex(
        stderr,
        /^CannotStart: DATABASE_URL: .*binlog_format is STATEMENT, .*set binlog_format to ROW or MIXED\n$/,
      )
    },
  )

  test.serial(`on ${name} the readiness check leaves no trace in the tables or the binary log`, async (t) => {
    const { admin, url } = await startSite(t, name, {
      extraArguments: ['--log-bin=binlog', '--server-id=1', '--binlog-format=ROW'],
    })
    await runScript(admin, `INSERT INTO django_session VALUES ('${'k'.repeat(32)}', 'data', '2020-01-01')`)
    const position = async () => {
      const [status] = await runSql(admin, 'SHOW MASTER STATUS').catch(() =>
        runSql(admin, 'SHOW BINARY LOG STATUS'),
      )
      return status
    }
    const service = await startService(t, { env: environment(url) })
    const before = await position()
    const rows = await runSql(admin, 'CHECKSUM TABLE django_session, auth_user')
    // Longer than an answer is cached.
    for (const end = performance.now() + 6000; performance.now() < end; await delay(100))
      t.is((await fetch(`${service.url}/health/ready`)).status, 200)
    t.deepEqual(await position(), before)
    t.deepEqual(await runSql(admin, 'CHECKSUM TABLE django_session, auth_user'), rows)
  })
}

for (const name of testDatabases) {
  for (const engine of ['db', 'cache'] as const) {
    test.serial(`on ${name} start and readiness check of the engine ${engine} write no row`, async (t) => {
      const { url } = await createTestDatabase(t, name, { tables: 'library' })
      const CACHE_TABLE = {
        mariadb: 'cache_key varchar(255) PRIMARY KEY, value longtext NOT NULL, expires datetime(6) NOT NULL',
        mysql: 'cache_key varchar(255) PRIMARY KEY, value longtext NOT NULL, expires datetime(6) NOT NULL',
        postgresql: 'cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires timestamptz NOT NULL',
        sqlite: 'cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires datetime NOT NULL',
      }[name]
      await runScript(url, `CREATE TABLE site_cache (${CACHE_TABLE})`)
      const all = () =>
        Promise.all(
          ['django_session', 'site_cache', 'auth_user'].map((table) => runSql(url, `SELECT * FROM ${table}`)),
        )
      if (name === 'sqlite') await runScript(url, 'PRAGMA user_version = 17')
      const before = await all()
      const service = await startService(t, {
        env: {
          ...environment(url),
          SESSION_ENGINE: `django.contrib.sessions.backends.${engine}`,
          CACHES: JSON.stringify({
            default: { BACKEND: 'django.core.cache.backends.db.DatabaseCache', LOCATION: 'site_cache' },
          }),
        },
      })
      for (let times = 0; times < 5; times += 1)
        t.is((await fetch(`${service.url}/health/ready`)).status, 200)
      t.deepEqual(await all(), before)
      if (name === 'sqlite') t.deepEqual(await runSql(url, 'PRAGMA user_version'), [{ user_version: 17 }])
      await runScript(url, `DROP TABLE ${engine === 'db' ? 'django_session' : 'site_cache'}`)
      await untilReadiness(t, service.url, 503)
    })
  }
}
