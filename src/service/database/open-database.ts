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
  DatabaseMismatch,
  giveUp,
  type QueriedConnection,
  query,
  type ServerDialect,
  socketOf,
  UnfitServer,
} from './connection.ts'
import { createPasswordSigner } from './ed25519.ts'
import { postgresqlConnection, postgresqlDialect, postgresqlDriver } from './postgresql.ts'
import { untilMixUp } from './protocols.ts'
import { lackOfTls, refusedCertificate, secureOptions } from './tls.ts'

/** The SQLite file does not exist. SQLite would make an empty one; Django owns the schema, so it is not ours to make. */
export class MissingDatabase extends Error {
  override name = 'MissingDatabase'
  readonly code: string = 'ERR_DATABASE_MISSING'
}

/** None of the database's hosts gave a connection; the `cause` is what the last one said. */
export class NoDatabaseHost extends Error {
  override name = 'NoDatabaseHost'
  readonly code: string = 'ERR_NO_DATABASE_HOST'
}

/**
 * A Knex on this database, whose connections are set up the way Django sets up its own: autocommit, `isolation_level` on
 * MySQL, an UPDATE counting the rows it matches. Dates come as the text that the column holds. Connects when first used.
 * Every statement ends within `timeout` seconds on the server, or by the loss of its connection a little later.
 * Of several hosts, a connection goes to the first that answers and takes writes, beginning with the one that did last:
 * where that one fails, the pool moves to the next, and comes back only when that one fails too.
 * @throws {MissingDatabase} {DatabaseMismatch}
 */
export function openDatabase(settings: DatabaseSettings): Knex {
  return knex(knexConfig(settings))
}

/** What `openDatabase` gives to Knex; the knex command wants it as it is. @throws as `openDatabase` */
export function knexConfig(settings: DatabaseSettings): Knex.Config {
  const milliseconds = settings.timeout * 1000
  return {
    ...dialectConfig(settings),
    // Otherwise the message of a failed statement holds its values: session data, for one.
    compileSqlOnError: false,
    // What Knex would print here it also throws; a connection lost while idle is replaced.
    log: { warn: ignore, error: ignore },
    pool: {
      min: 0,
      max: settings.kind === 'sqlite' ? 1 : settings.poolSize,
      acquireTimeoutMillis: milliseconds,
      createTimeoutMillis: milliseconds,
      validate: (connection: object) => !misplaced.has(connection),
      ...(settings.kind === 'sqlite' && { afterCreate: setUpSqlite }),
    },
  }
}

/** Connections that the pool replaces: their server takes no writes any more, or was asked to end a statement. */
const misplaced = new WeakSet<object>()

type ServerSettings = MysqlSettings | PostgresqlSettings

// With a version given, Knex does not ask for it: it would without a time-out, and never again if MySQL did not answer.
function dialectConfig(settings: DatabaseSettings): Knex.Config {
  switch (settings.kind) {
    case 'mysql':
      return {
        client: serverClient('mysql2', settings),
        connection: mysqlConnection(settings),
        version: 'latest',
      }
    case 'postgresql':
      return {
        client: serverClient('pg', settings),
        connection: postgresqlConnection(settings),
        version: '14',
      }
    case 'sqlite':
      return { client: 'better-sqlite3', connection: sqliteConnection(settings), useNullAsDefault: true }
  }
}

/** Knex's client, whose connections find their host themselves, and come set up. */
function serverClient(client: 'mysql2' | 'pg', settings: ServerSettings): typeof knex.Client {
  const { hosts, timeout } = settings
  const Client: typeof knex.Client = knex({ client }).client.constructor
  let driver: unknown
  const dialect =
    settings.kind === 'mysql'
      ? mysqlDialect(settings)
      : postgresqlDialect(settings, () => driver as typeof pg)
  /** Where the last connection was made. */
  let current = 0
  let hasServed = false

  return class extends Client {
    override initializeDriver(): void {
      super.initializeDriver()
      driver = this.driver
      if (settings.kind === 'postgresql') this.driver = postgresqlDriver(this.driver, settings)
    }

    override async acquireRawConnection(): Promise<QueriedConnection> {
      const end = performance.now() + timeout * 1000
      const inTurn = [...hosts.entries()]
      inTurn.push(...inTurn.splice(0, current))
      const failures: string[] = []
      let cause: unknown
      for (const [at, host] of inTurn) {
        try {
          // Those not yet tried share what is left of the time.
          const share = (end - performance.now()) / (hosts.length - failures.length)
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
      const end = performance.now() + milliseconds
      const attempt = this.attempt(host, end)
      const isFirst = !hasServed && hosts.length === 1
      const connection = await (isFirst ? untilMixUp(attempt, { dialect, host, milliseconds }) : attempt)
      const timer = setTimeout(() => giveUp(connection, milliseconds), end - performance.now())
      try {
        await dialect.setUp(connection)
      } catch (error) {
        socketOf(connection)?.destroy()
        throw error
      } finally {
        clearTimeout(timer)
      }
      boundStatements(connection, {
        milliseconds: timeout * 1000,
        cancel: () => dialect.cancel(connection, host),
      })
      return connection
    }

    /** A connection, encrypted or not, as the settings and the server have it. */
    private async attempt(host: DatabaseHost, end: number): Promise<QueriedConnection> {
      let isEncrypted = dialect.encrypts(host)
      for (;;) {
        const milliseconds = Math.max(end - performance.now(), 1)
        // Knex reads them at once, before anybody else's connection can begin.
        Object.assign(this.connectionSettings, dialect.address(host, { milliseconds, isEncrypted }))
        try {
          return await super.acquireRawConnection()
        } catch (error) {
          const next = dialect.again(error, { isEncrypted })
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

/** How a connection to MySQL is made. */
function mysqlDialect(settings: MysqlSettings): ServerDialect {
  const { tls } = settings
  const ssl = tls === null ? undefined : { ...secureOptions(tls), verifyIdentity: tls.verify === 'host' }
  return {
    protocol: 'mysql',
    // Nobody listens to a socket of the machine.
    encrypts: ({ host }) => tls !== null && (tls.use === 'required' || !host.startsWith('/')),
    address: ({ host, port }, { milliseconds, isEncrypted }) => ({
      host,
      port,
      socketPath: host.startsWith('/') ? host : undefined,
      connectTimeout: milliseconds,
      ssl: isEncrypted ? ssl : undefined,
    }),
    again(error, { isEncrypted }) {
      if (!isEncrypted || !(error instanceof Error && 'code' in error)) return null
      const mayBeClear = tls?.use === 'preferred'
      if (error.code === 'HANDSHAKE_NO_SSL_SUPPORT') {
        if (mayBeClear) return { isEncrypted: false }
        throw lackOfTls('ssl_mode', error)
      }
      if (error.code !== 'HANDSHAKE_SSL_ERROR') return null
      const refused = refusedCertificate(error, 'ssl_ca')
      if (refused !== null) throw refused
      return mayBeClear && tls?.verify === 'nothing' ? { isEncrypted: false } : null
    },
    setUp: (connection) => setUpMysql(connection, settings),
    cancel() {}, // the server's own limits, see setUpMysql
  }
}

function mysqlConnection(settings: MysqlSettings): Knex.MySql2ConnectionConfig {
  const { user, password, database, charset } = settings
  const signer = createPasswordSigner(password)
  return {
    user,
    password,
    database,
    charset,
    // All six digits of a datetime(6), in no zone but the column's.
    dateStrings: true,
    supportBigNumbers: true,
    authPlugins: {
      client_ed25519: () => async (challenge) =>
        password === '' ? Buffer.alloc(0) : signer.sign(challenge.subarray(0, 32)),
    },
  }
}

function sqliteConnection({ filename, embedded }: SqliteSettings): Knex.BetterSqlite3ConnectionConfig {
  if (!existsSync(filename)) {
    const remedy = embedded
      ? '`npm start` makes it'
      : 'set DATABASE_URL to the one that `manage.py migrate` made'
    throw new MissingDatabase(`There is no SQLite database ${filename}; ${remedy}`)
  }
  return { filename }
}

function setUpSqlite(connection: { pragma(text: string): unknown }, done: (error: unknown) => void): void {
  // Milliseconds, and short: better-sqlite3 waits without letting anything else run. Whoever asks repeats it instead.
  connection.pragma('busy_timeout = 5')
  connection.pragma('foreign_keys = ON')
  done(null)
}

/**
 * Source: django/db/backends/mysql/base.py, get_connection_params and init_connection_state; autocommit as `_set_autocommit`.
 * MariaDB alone reads a comment that begins with M!, and skips MySQL's from 5.07.00 on (its manual, "Comment Syntax").
 * @throws {UnfitServer} {DatabaseMismatch}
 */
async function setUpMysql(
  connection: QueriedConnection,
  { timeout, writableOnly, isolationLevel }: MysqlSettings,
): Promise<void> {
  const variables = await readVariables(connection, [
    ...['read_only', 'wsrep_on', 'wsrep_provider'],
    ...['log_bin', 'binlog_format'],
  ])
  const provider = variables.get('wsrep_provider') ?? 'none'
  if (provider !== 'none' && provider !== '') await setUpGalera(connection, variables.get('wsrep_on'))
  if (writableOnly && !['OFF', '0'].includes(variables.get('read_only') ?? 'OFF')) {
    throw new UnfitServer('is read-only', { code: 'ER_OPTION_PREVENTS_STATEMENT', errno: 1290 })
  }
  const level = isolationLevel ?? (logsStatements(variables) ? 'REPEATABLE READ' : 'READ COMMITTED')
  if (level.startsWith('READ ') && logsStatements(variables)) throw new DatabaseMismatch(STATEMENTS_LOGGED)
  await query(connection, `SET SESSION TRANSACTION ISOLATION LEVEL ${level}`)
  await query(
    connection,
    `SET SESSION autocommit = 1, innodb_lock_wait_timeout = ${Math.ceil(timeout)},
      /* mysql2 escapes with backslashes; without the strict mode a value too long for its column is cut */
      sql_mode = CONCAT(REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', ''), ',STRICT_TRANS_TABLES')
      /*M! , max_statement_time = ${timeout} */ /*!50708 , max_execution_time = ${Math.ceil(timeout * 1000)} */`,
  )
}

/**
 * InnoDB then refuses what is written at READ COMMITTED (error 1665). To compare and swap needs no isolation: it is one
 * statement. Source: MySQL's manual, "Setting The Binary Log Format".
 */
function logsStatements(variables: ReadonlyMap<string, string>): boolean {
  return variables.get('log_bin') === 'ON' && variables.get('binlog_format') === 'STATEMENT'
}

const STATEMENTS_LOGGED =
  "the server's binlog_format is STATEMENT, under which nothing can be written at the isolation_level of the database's " +
  'URL; leave isolation_level out or write repeatable read, or set binlog_format to ROW or MIXED'

/**
 * What one node of a Galera cluster has acknowledged, another may apply a moment later. A read that does not wait for
 * that could miss the session that the last page made, and give its visitor another one; a write needs not wait, since
 * one based on what is out of date fails its certification (error 1213).
 */
async function setUpGalera(connection: QueriedConnection, isReplicating: string | undefined): Promise<void> {
  const [ready] = await query(connection, "SHOW GLOBAL STATUS LIKE 'wsrep_ready'")
  if (ready?.Value !== 'ON' || isReplicating !== 'ON') {
    throw new UnfitServer('is not ready in its Galera cluster', { code: 'ER_UNKNOWN_COM_ERROR', errno: 1047 })
  }
  await query(connection, 'SET SESSION wsrep_sync_wait = @@SESSION.wsrep_sync_wait | 1')
}

async function readVariables(
  connection: QueriedConnection,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const list = names.map((name) => `'${name}'`).join()
  const rows = await query(connection, `SHOW GLOBAL VARIABLES WHERE Variable_name IN (${list})`)
  return new Map(rows.map((row) => [String(row.Variable_name), String(row.Value)]))
}

/** Milliseconds beyond its time in which the server is to end a statement, first by itself, then because it is asked to. */
const GRACE = 500

/**
 * Ends the connection under a statement that is not answered: the server may be frozen, or the network gone. The drivers'
 * own time-outs leave such a connection in the pool, and Knex's `timeout` does not reach BEGIN and COMMIT.
 */
function boundStatements(
  connection: QueriedConnection,
  { milliseconds, cancel }: { milliseconds: number; cancel: () => void },
): void {
  const send = connection.query
  connection.query = (...args) => {
    const callback = args.pop()
    // Only Knex calls, and always with a callback; a stream is bounded by its reader.
    if (typeof callback !== 'function') return send.call(connection, ...args, callback)
    const end = setTimeout(() => giveUp(connection, milliseconds + GRACE), milliseconds + GRACE)
    const ask = setTimeout(
      () => {
        misplaced.add(connection) // What comes late must not end the next statement.
        cancel()
      },
      milliseconds + GRACE / 2,
    )
    const settle = (...result: unknown[]) => {
      clearTimeout(end)
      clearTimeout(ask)
      if (takesNoWrites(result[0])) misplaced.add(connection)
      callback(...result)
    }
    return send.call(connection, ...args, settle)
  }
}

/** Errors of a server that is up but takes no writes: not ready in a Galera cluster, read-only, a standby. */
const TAKES_NO_WRITES: ReadonlySet<unknown> = new Set([1047, 1290, 1836, '25006'])

function takesNoWrites(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return [...('errno' in error ? [error.errno] : []), ...('code' in error ? [error.code] : [])].some((code) =>
    TAKES_NO_WRITES.has(code),
  )
}

function ignore(): void {}
