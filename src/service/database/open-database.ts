import { existsSync } from 'node:fs'
import knex, { type Knex } from 'knex'
import type pg from 'pg'
import type {
  DatabaseHost,
  DatabaseSettings,
  MysqlSettings,
  PostgresqlSettings,
  SqliteSettings,
} from '../settings/database-settings.ts'
import {
  closeUnanswered,
  isRetired,
  limitStatements,
  type QueriedConnection,
  socketOf,
  UnfitServer,
} from './connection.ts'
import { mysqlConnection, mysqlDialect } from './mysql.ts'
import { postgresqlConnection, postgresqlDialect, postgresqlDriver } from './postgresql.ts'
import { rejectOtherProtocol } from './protocols.ts'
import { quickClient } from './quick-client.ts'
import { sqliteClient } from './sqlite-client.ts'

/** The SQLite file does not exist. SQLite would create an empty one, but Django owns the schema. */
export class MissingDatabase extends Error {
  override name = 'MissingDatabase'
  readonly code: string = 'ERR_DATABASE_MISSING'
}

/** No host of the database gave a connection; the `cause` is the error of the last one. */
export class NoDatabaseHost extends Error {
  override name = 'NoDatabaseHost'
  readonly code: string = 'ERR_NO_DATABASE_HOST'
}

export interface Clock {
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

/**
 * Returns a Knex on this database. Its connections are set up as Django sets up its own: autocommit, `isolation_level`
 * on MySQL, an UPDATE counts the rows that it matches. Dates are returned as the text of the column. Connects when first
 * used. Every statement ends within `timeout` seconds on the server; if not, its connection is closed a little later.
 * With several hosts, a connection goes to the first host that answers and accepts writes, starting with the host of the
 * last connection. When that host fails, the pool moves to the next, and stays there until that one fails too.
 * @throws {MissingDatabase} {DatabaseMismatch}
 */
export function openDatabase(settings: DatabaseSettings, clock: Clock = {}): Knex {
  return knex(knexConfig(settings, clock))
}

/** The Knex configuration of `openDatabase`, also for the `knex` command. @throws as `openDatabase` */
export function knexConfig(settings: DatabaseSettings, clock: Clock = {}): Knex.Config {
  const milliseconds = settings.timeout * 1000
  return {
    ...dialectConfig(settings, clock),
    // Otherwise the message of a failed statement contains its values, such as session data.
    compileSqlOnError: false,
    // Knex also throws what it would print here; a connection lost while idle is replaced.
    log: { warn: ignore, error: ignore },
    pool: {
      min: 0,
      max: settings.kind === 'sqlite' ? 1 : settings.poolSize,
      acquireTimeoutMillis: milliseconds,
      createTimeoutMillis: milliseconds,
      validate: (connection: object) => !isRetired(connection),
      ...(settings.kind === 'sqlite' && { afterCreate: setUpSqlite }),
    },
  }
}

type ServerSettings = MysqlSettings | PostgresqlSettings

// With `version`, Knex does not query the version: that query has no time-out, and if MySQL does not answer, Knex does not
// query again.
function dialectConfig(settings: DatabaseSettings, clock: Clock): Knex.Config {
  switch (settings.kind) {
    case 'mysql':
      return {
        client: serverClient('mysql2', settings, clock),
        connection: mysqlConnection(settings),
        version: 'latest',
      }
    case 'postgresql':
      return {
        client: serverClient('pg', settings, clock),
        connection: postgresqlConnection(settings),
        version: '14',
      }
    case 'sqlite':
      return { client: sqliteClient(), connection: sqliteConnection(settings), useNullAsDefault: true }
  }
}

/** Knex's client class, with connections that choose their host and set themselves up. */
function serverClient(
  client: 'mysql2' | 'pg',
  settings: ServerSettings,
  { monotonic = () => performance.now() }: Clock,
): typeof knex.Client {
  const { hosts, timeout } = settings
  const Client = quickClient(knex({ client }).client.constructor)
  let driver: unknown
  const dialect =
    settings.kind === 'mysql'
      ? mysqlDialect(settings)
      : postgresqlDialect(settings, () => driver as typeof pg)
  /** Index of the host of the last connection. */
  let current = 0
  let hasServed = false

  return class extends Client {
    override initializeDriver(): void {
      super.initializeDriver()
      driver = this.driver
      if (settings.kind === 'postgresql') this.driver = postgresqlDriver(this.driver, settings)
    }

    override async acquireRawConnection(): Promise<QueriedConnection> {
      const end = monotonic() + timeout * 1000
      const inTurn = [...hosts.entries()]
      inTurn.push(...inTurn.splice(0, current))
      const failures: string[] = []
      let cause: unknown
      for (const [at, host] of inTurn) {
        try {
          // The hosts not yet tried share the remaining time.
          const share = (end - monotonic()) / (hosts.length - failures.length)
          const connection = await this.connectTo(host, Math.max(share, 1))
          current = at
          hasServed = true
          return connection
        } catch (error) {
          if (hosts.length === 1) throw error
          failures.push(`${host.host}:${host.port} (${reason(error)})`)
          cause = error
        }
      }
      throw new NoDatabaseHost(`no database host gives a connection: ${failures.join(', ')}`, { cause })
    }

    private async connectTo(host: DatabaseHost, milliseconds: number): Promise<QueriedConnection> {
      const end = monotonic() + milliseconds
      const attempt = this.attempt(host, end)
      const isFirst = !hasServed && hosts.length === 1
      const connection = await (isFirst
        ? rejectOtherProtocol(attempt, { dialect, host, milliseconds })
        : attempt)
      const left = Math.max(end - monotonic(), 1)
      const timer = setTimeout(() => closeUnanswered(connection, milliseconds), left)
      let lateness: number
      try {
        lateness = await dialect.setUp(connection)
      } catch (error) {
        socketOf(connection)?.destroy()
        throw error
      } finally {
        clearTimeout(timer)
      }
      limitStatements(connection, {
        milliseconds: timeout * 1000 + lateness,
        cancel: () => dialect.cancel(connection, host),
      })
      return connection
    }

    /** Connects with TLS or without, as the settings and the server allow. */
    private async attempt(host: DatabaseHost, end: number): Promise<QueriedConnection> {
      let isEncrypted = dialect.encrypts(host)
      for (;;) {
        const milliseconds = Math.max(end - monotonic(), 1)
        // Knex reads them synchronously, before another connection can start.
        Object.assign(this.connectionSettings, dialect.address(host, { milliseconds, isEncrypted }))
        try {
          return await super.acquireRawConnection()
        } catch (error) {
          const next = dialect.retryAfter(error, { isEncrypted })
          if (next === null) throw error
          isEncrypted = next.isEncrypted
        }
      }
    }
  }
}

function reason(error: unknown): string {
  if (error instanceof UnfitServer) return error.message
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function sqliteConnection({ filename, embedded }: SqliteSettings): Knex.BetterSqlite3ConnectionConfig {
  if (!existsSync(filename)) {
    const remedy = embedded
      ? '`npm start` creates it'
      : 'set DATABASE_URL to the file that `manage.py migrate` created'
    throw new MissingDatabase(`There is no SQLite database ${filename}; ${remedy}`)
  }
  return { filename }
}

function setUpSqlite(connection: { pragma(text: string): unknown }, done: (error: unknown) => void): void {
  // Milliseconds. Short, because better-sqlite3 blocks the event loop while it waits. The caller retries instead.
  connection.pragma('busy_timeout = 5')
  connection.pragma('foreign_keys = ON')
  done(null)
}

function ignore(): void {}
