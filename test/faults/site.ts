import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { runScript, runSql } from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'
import type { Visit } from '../support/load.ts'
import { type DatabaseServer, startMariadb, startPostgresql } from '../support/servers.ts'
import { type RunningCommand, startCommand } from '../support/service.ts'

export type ServerName = 'mariadb' | 'postgresql'

/** A database server that the test may break, with LocalLibrary's tables. */
export interface Backend extends DatabaseServer {
  readonly name: ServerName
  /** A DATABASE_URL with a user who has only the rights on rows that Django needs. */
  readonly databaseUrl: string
  /** A connection of the administrator, open until it or the test ends. */
  connect(): Promise<Administrator>
  /** Ends all connections of the site's user, and waits until they are closed. */
  dropConnections(administrator: Administrator): Promise<void>
  /** Sends SIGKILL to all its processes, like the kernel's out-of-memory killer or a power failure. */
  crash(): Promise<void>
  /** Sends SIGSTOP, which looks like a network that drops all packets. */
  freeze(): void
  thaw(): void
}

export interface Administrator {
  sql(sql: string): Promise<Record<string, unknown>[]>
  end(): Promise<void>
}

const starts = { mariadb: startMariadb, postgresql: startPostgresql }

/** Commits are flushed to disk, because the promises are about acknowledged writes. */
const DURABLE: Readonly<Record<ServerName, readonly string[]>> = {
  mariadb: ['--innodb-flush-log-at-trx-commit=1', '--innodb-flush-method=fsync'],
  postgresql: ['-c', 'fsync=on', '-c', 'full_page_writes=on'],
}

export async function startBackend(t: Scope, name: ServerName): Promise<Backend> {
  const server = await starts[name]({ extraArguments: DURABLE[name] })
  t.teardown(() => server.stop())
  await runScript(name === 'postgresql' ? `${server.url}/postgres` : server.url, 'CREATE DATABASE library')
  const administration = `${server.url}/library`
  const schema = readFileSync(new URL(`../support/schema/${name}.sql`, import.meta.url), 'utf8')
  await runScript(administration, `${schema}${USER[name]}`)
  const databaseUrl = administration.replace(/\w+@/, 'site@')
  const signal = (signal: NodeJS.Signals) => {
    for (const pid of processes(server.pid)) {
      try {
        process.kill(pid, signal)
      } catch {} // It has already ended, by itself or with its parent.
    }
  }
  return Object.assign(Object.create(server) as DatabaseServer, {
    name,
    databaseUrl,
    async connect() {
      const administrator = await administrators[name](administration)
      t.teardown(() => administrator.end())
      return administrator
    },
    async dropConnections({ sql }: Administrator) {
      const list = async () => (await sql(CONNECTIONS[name])).map(({ id }) => Number(id))
      const doomed = await list()
      for (const id of doomed) await sql(DROP[name](id)).catch(() => {}) // already closed
      while ((await list()).some((id) => doomed.includes(id))) await delay(10)
    },
    async crash() {
      signal('SIGKILL')
      await server.kill() // only waits
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
  })
}

const USER: Readonly<Record<ServerName, string>> = {
  mariadb: `CREATE USER site@'127.0.0.1'; GRANT SELECT, INSERT, UPDATE, DELETE ON library.* TO site@'127.0.0.1';`,
  postgresql:
    'CREATE ROLE site LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO site;',
}

const CONNECTIONS: Readonly<Record<ServerName, string>> = {
  mariadb: "SELECT id FROM information_schema.processlist WHERE user = 'site'",
  postgresql: "SELECT pid AS id FROM pg_stat_activity WHERE usename = 'site'",
}

const DROP: Readonly<Record<ServerName, (id: number) => string>> = {
  mariadb: (id) => `KILL CONNECTION ${id}`,
  postgresql: (id) => `SELECT pg_terminate_backend(${id})`,
}

const administrators: Readonly<Record<ServerName, (url: string) => Promise<Administrator>>> = {
  async mariadb(url) {
    const connection = await mysql.createConnection(url)
    connection.on('error', () => {}) // the test has killed the server
    return {
      async sql(sql) {
        const [rows] = await connection.query(sql)
        return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : []
      },
      end: async () => connection.destroy(),
    }
  },
  async postgresql(url) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    return {
      sql: async (sql) => (await client.query(sql)).rows as Record<string, unknown>[],
      end: () => client.end(),
    }
  },
}

/** PostgreSQL has a process for each connection. */
function processes(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return [
    pid,
    ...children
      .split(' ')
      .filter((child) => child !== '')
      .map(Number),
  ]
}

/** The real service, in a separate process. */
export interface Service extends RunningCommand {
  /** Without a trailing slash. */
  readonly url: string
  readonly isRunning: boolean
}

/** Starts `koa-django-sessions serve` with its default timeouts; returns when it listens, even without a database. */
export async function startService(
  t: Scope,
  databaseUrl: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Service> {
  const command = startCommand(t, ['serve'], {
    env: {
      NODE_ENV: 'production',
      DATABASE_URL: databaseUrl,
      DJANGO_SECRET_KEY: SECRET_KEY,
      DJANGO_VERSION,
      USE_TZ: 'True',
      ALLOWED_HOSTS: '127.0.0.1',
      PORT: '0',
      METRICS_PORT: '0',
      ...env,
    },
  })
  let isRunning = true
  void command.ended.then(() => {
    isRunning = false
  })
  const { url } = await command.next('service.listening')
  return {
    ...command,
    url: new URL(String(url)).origin,
    get isRunning() {
      return isRunning
    },
  }
}

/** The same, but returns when it is ready. */
export async function startReadyService(...parameters: Parameters<typeof startService>): Promise<Service> {
  const service = await startService(...parameters)
  await service.next('service.ready')
  return service
}

export const SECRET_KEY = 'a-secret-key-for-tests-0123456789-abcdefghijklmnop'
const DJANGO_VERSION = '5.2'

/**
 * Checks the promise to each visitor: each number that was shown is stored, no number was shown twice, and no more visits
 * were counted than requested. A visit without a 200 answer may or may not have been counted.
 */
export async function assertNothingLost(
  t: ExecutionContext,
  databaseUrl: string,
  visits: readonly Visit[],
): Promise<void> {
  const codec = createSessionCodec({
    secretKeys: [SECRET_KEY],
    profile: versionProfile(DJANGO_VERSION),
    now: () => new Date(),
  })
  const rows = await runSql(databaseUrl, 'SELECT session_key, session_data FROM django_session')
  const stored = new Map(
    rows.map((row) => [
      String(row.session_key),
      Number(codec.decode(String(row.session_data)).data.get('num_visits')),
    ]),
  )
  const sessions = Map.groupBy(
    visits.filter((visit) => visit.sessionKey !== null),
    (visit) => String(visit.sessionKey),
  )
  for (const [sessionKey, all] of sessions) {
    const shown = all.filter((visit) => visit.status === 200).map((visit) => visit.shown ?? Number.NaN)
    const count = stored.get(sessionKey) ?? 0
    t.is(new Set(shown).size, shown.length, 'no number is shown twice')
    t.true(Math.max(0, ...shown) <= count, `shown ${Math.max(...shown)}, stored ${count}`)
    t.true(shown.length <= count, `${shown.length} pages, stored ${count}`)
    t.true(count <= all.length, `${all.length} visits, stored ${count}`)
  }
  t.true(sessions.size > 0)
  for (const { status, shown, sessionKey } of visits) {
    if (status === 200) t.true(shown !== null && sessionKey !== null)
  }
}
