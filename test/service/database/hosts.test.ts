import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { isTransient } from '../../../src/http/statuses.ts'
import { openDatabase } from '../../../src/service/database/open-database.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createTestDatabase, runScript, testDatabases } from '../../support/databases.ts'
import {
  type NetworkServer,
  type ServerOptions,
  startMariadb,
  startMysql,
  startPostgresql,
} from '../../support/servers.ts'

const starts = { mariadb: startMariadb, mysql: startMysql, postgresql: startPostgresql }
type ServerName = keyof typeof starts
const servers = testDatabases.filter((name) => name !== 'sqlite')

/** How to start a server that accepts no writes, and how to make a running one read-only. */
const READ_ONLY: Readonly<Record<ServerName, { option: readonly string[]; statement: string }>> = {
  mariadb: { option: ['--read-only'], statement: 'SET GLOBAL read_only = 1' },
  mysql: { option: ['--super-read-only'], statement: 'SET GLOBAL super_read_only = 1' },
  postgresql: {
    option: ['-c', 'default_transaction_read_only=on'],
    statement: 'ALTER DATABASE visits SET default_transaction_read_only = on',
  },
}

// Serial: they depend on time limits, and start servers.
for (const name of servers) {
  test.serial(`on ${name} after a host that refuses or does not answer, the next one is tried`, async (t) => {
    const { url } = await createTestDatabase(t, name)
    const silent = await listen(t)
    const dead = await listen(t)
    await dead.close()
    const db = open(t, withHosts(url, dead.host, silent.host, new URL(url).host), '4')
    await db('django_session').first()
    await db('django_session').first()
    t.is(silent.connections(), 1)
  })

  test.serial(`on ${name} a new connection first tries the host of the last one`, async (t) => {
    const { url } = await createTestDatabase(t, name)
    const silent = await listen(t)
    const db = open(t, withHosts(url, silent.host, new URL(url).host), '4')
    await db('django_session').first()
    // One connection is in use, so others must be opened.
    await db.transaction(async () => {
      await Promise.all([db('django_session').first(), db('django_session').first()])
    })
    t.is(silent.connections(), 1)
  })

  test.serial(
    `on ${name} the error names the failed hosts and the reasons, not the password, and counts as transient`,
    async (t) => {
      const dead = [await listen(t), await listen(t)]
      await Promise.all(dead.map((host) => host.close()))
      const scheme = name === 'postgresql' ? 'postgresql' : 'mysql'
      const hosts = dead.map(({ host }) => host)
      const db = open(t, `${scheme}://site:secret@${hosts.join()}/visits`)
      const error = await t.throwsAsync(db.raw('SELECT 1'), { code: 'ERR_NO_DATABASE_HOST' })
      for (const host of hosts) t.true(error?.message.includes(`${host} (ECONNREFUSED)`), error?.message)
      t.notRegex(error?.message ?? '', /secret/)
      t.true(isTransient(error))
    },
  )

  test.serial(`on ${name} after a read-only server, the next host is tried`, async (t) => {
    const [standby, primary] = await Promise.all([
      startSite(t, name, { extraArguments: READ_ONLY[name].option }),
      startSite(t, name),
    ])
    const hosts = [standby, primary].map(({ port }) => `127.0.0.1:${port}`)
    const db = open(t, withHosts(siteUrl(primary), ...hosts))
    await db('visits').insert({ id: 1 })

    const alone = open(
      t,
      withHosts(siteUrl(standby), `127.0.0.1:${standby.port}`, `127.0.0.1:${standby.port}`),
    )
    const error = await t.throwsAsync(alone('visits').first(), { code: 'ERR_NO_DATABASE_HOST' })
    t.regex(error?.message ?? '', /is read-only/)
    t.true(isTransient(error))
  })

  test.serial(`on ${name} when a server turns read-only, the pool moves to the next host`, async (t) => {
    const [old, next] = await Promise.all([startSite(t, name), startSite(t, name)])
    const hosts = [old, next].map(({ port }) => `127.0.0.1:${port}`)
    const db = open(t, withHosts(siteUrl(old), ...hosts), '5', '1')
    await db('visits').insert({ id: 1 })
    await runScript(administrationUrl(old, name), READ_ONLY[name].statement)
    // On PostgreSQL it is a default that applies to new connections only.
    if (name === 'postgresql') await db.raw('SET default_transaction_read_only = on')
    const error = await t.throwsAsync(db('visits').insert({ id: 2 }))
    t.true(isTransient(error))
    await db('visits').insert({ id: 3 })
    t.deepEqual((await db('visits').pluck('id')).map(Number), [3])
  })
}

/** Starts a server with a database `visits`, which an ordinary user `site` may use. */
async function startSite(
  t: ExecutionContext,
  name: ServerName,
  options?: ServerOptions,
): Promise<NetworkServer> {
  const server = await starts[name](options)
  t.teardown(() => server.stop())
  if (name === 'postgresql') {
    const writable = '?options=-c%20default_transaction_read_only%3Doff'
    await runScript(`${server.url}/postgres${writable}`, 'CREATE DATABASE visits')
    await runScript(
      `${server.url}/visits${writable}`,
      'CREATE ROLE site LOGIN; CREATE TABLE visits (id int); GRANT ALL ON visits TO site',
    )
    return server
  }
  // An administrator may write to a read-only server, but not under MySQL's super_read_only.
  const unlock = name === 'mysql' ? 'SET GLOBAL super_read_only = 0;' : ''
  const lock = options === undefined || name !== 'mysql' ? '' : '; SET GLOBAL super_read_only = 1'
  await runScript(
    server.url,
    `${unlock} CREATE DATABASE visits; CREATE TABLE visits.visits (id int);
     CREATE USER site; GRANT ALL ON visits.* TO site${lock}`,
  )
  return server
}

function siteUrl({ url }: NetworkServer): string {
  return `${url.replace(/\/\/\w+@/, '//site@')}/visits`
}

function administrationUrl({ url }: NetworkServer, name: ServerName): string {
  return name === 'postgresql' ? `${url}/visits` : url
}

function withHosts(url: string, ...hosts: readonly string[]): string {
  return url.replace(new URL(url).host, hosts.join())
}

function open(
  t: ExecutionContext,
  DATABASE_URL: string,
  DATABASE_TIMEOUT = '10',
  DATABASE_POOL_SIZE = '10',
): Knex {
  const env = { DJANGO_SECRET_KEY: 'x', DATABASE_URL, DATABASE_TIMEOUT, DATABASE_POOL_SIZE }
  const db = openDatabase(readSettings(env, { cwd: '/nowhere' }).database)
  t.teardown(() => db.destroy())
  return db
}

/** A port that accepts connections and sends nothing, until it is closed. */
async function listen(t: ExecutionContext) {
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}
