import { existsSync, readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import knex, { type Knex } from 'knex'
import type {
  DatabaseSettings,
  MysqlSettings,
  PostgresqlSettings,
  SqliteSettings,
  TlsSettings,
} from './settings/database-settings.ts'

/** The SQLite file does not exist. SQLite would make an empty one; Django owns the schema, so it is not ours to make. */
export class MissingDatabase extends Error {
  override name = 'MissingDatabase'
  readonly code: string = 'ERR_DATABASE_MISSING'
}

/** The server did not answer in time; its connection is gone. */
export class DatabaseTimeout extends Error {
  override name = 'DatabaseTimeout'
  readonly code: string = 'ERR_DATABASE_TIMEOUT'
}

/**
 * A Knex on this database, whose connections are set up the way Django sets up its own: autocommit, READ COMMITTED on
 * MySQL, an UPDATE counting the rows it matches. Dates come as the text that the column holds. Connects when first used.
 * Every statement ends within `timeout` seconds on the server, or by the loss of its connection a little later.
 * @throws {MissingDatabase}
 */
export function openDatabase(settings: DatabaseSettings): Knex {
  return knex(knexConfig(settings))
}

/** What `openDatabase` gives to Knex; the knex command wants it as it is. @throws {MissingDatabase} */
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
      afterCreate(connection: RawConnection, done: Done) {
        setUp(connection, settings).then(() => done(null), done)
      },
    },
  }
}

/** Knex's and this module's common view of what the three drivers connect with. */
type RawConnection = { pragma(text: string): unknown } | QueriedConnection

interface QueriedConnection {
  query(...statementAndCallback: unknown[]): unknown
  /** mysql2's socket. */
  stream?: Duplex
  /** pg's protocol handler, and its socket. */
  connection?: { stream: Duplex }
  /** pg's, for one connection. */
  setTypeParser?(type: number, parse: (text: string) => unknown): void
}

type Done = (error: unknown) => void

function dialectConfig(settings: DatabaseSettings): Knex.Config {
  switch (settings.kind) {
    case 'mysql':
      return { client: 'mysql2', connection: mysqlConnection(settings) }
    case 'postgresql':
      return { client: 'pg', connection: postgresqlConnection(settings) }
    case 'sqlite':
      return { client: 'better-sqlite3', connection: sqliteConnection(settings), useNullAsDefault: true }
  }
}

function mysqlConnection(settings: MysqlSettings): Knex.MySql2ConnectionConfig {
  const { host, port, user, password, database, charset, tls, timeout } = settings
  return {
    ...(host.startsWith('/') ? { socketPath: host } : { host, port }),
    user,
    password,
    database,
    charset,
    // All six digits of a datetime(6), in no zone but the column's.
    dateStrings: true,
    supportBigNumbers: true,
    connectTimeout: timeout * 1000,
    ...(tls !== null && { ssl: mysqlTls(tls) }),
  }
}

function mysqlTls({ ca, verify }: TlsSettings): Knex.MariaSslConfiguration & { verifyIdentity: boolean } {
  return { ...authority(ca), rejectUnauthorized: verify !== 'nothing', verifyIdentity: verify === 'host' }
}

function postgresqlConnection(settings: PostgresqlSettings): Knex.PgConnectionConfig {
  const { host, port, user, password, database, options, applicationName, tls, timeout } = settings
  return {
    host,
    port,
    ...(user !== '' && { user }),
    ...(password !== '' && { password }),
    database,
    ...(options !== null && { options }),
    application_name: applicationName,
    connectionTimeoutMillis: timeout * 1000,
    statement_timeout: timeout * 1000,
    ssl: tls !== null && {
      ...authority(tls.ca),
      rejectUnauthorized: tls.verify !== 'nothing',
      ...(tls.verify !== 'host' && { checkServerIdentity: () => undefined }),
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

function authority(filename: string | null): { ca?: string } {
  return filename === null ? {} : { ca: readFileSync(filename, 'utf8') }
}

async function setUp(connection: RawConnection, { kind, timeout }: DatabaseSettings): Promise<void> {
  if ('pragma' in connection) {
    connection.pragma(`busy_timeout = ${Math.ceil(timeout * 1000)}`)
    connection.pragma('foreign_keys = ON')
    return
  }
  // On these connections only: pg's own parsers are global, and make a Date of what has microseconds.
  for (const type of POSTGRESQL_TEXT_TYPES) connection.setTypeParser?.(type, String)
  boundStatements(connection, timeout * 1000 + GRACE)
  const statements = kind === 'mysql' ? mysqlSetUp(timeout) : POSTGRESQL_SET_UP
  for (const statement of statements) await query(connection, statement)
}

/**
 * Source: django/db/backends/mysql/base.py, get_connection_params and init_connection_state; autocommit as `_set_autocommit`.
 * MariaDB alone reads a comment that begins with M!, and skips MySQL's from 5.07.00 on (its manual, "Comment Syntax").
 */
function mysqlSetUp(timeout: number): string[] {
  return [
    'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
    `SET SESSION autocommit = 1, innodb_lock_wait_timeout = ${Math.ceil(timeout)}
      /*M! , max_statement_time = ${timeout} */ /*!50708 , max_execution_time = ${Math.ceil(timeout * 1000)} */`,
  ]
}

/** A time stamp's text depends on both. Source: django/db/backends/postgresql/base.py, ensure_timezone. */
const POSTGRESQL_SET_UP = ["SET DateStyle = 'ISO'", "SET TimeZone = 'UTC'"]

/** date, timestamp, timestamptz, int8: by their numbers in pg_type. */
const POSTGRESQL_TEXT_TYPES = [1082, 1114, 1184, 20]

/** Milliseconds that the server has to say itself that a statement took too long. */
const GRACE = 500

/**
 * Ends the connection under a statement that is not answered: the server may be frozen, or the network gone. The drivers'
 * own time-outs leave such a connection in the pool, and Knex's `timeout` does not reach BEGIN and COMMIT.
 */
function boundStatements(connection: QueriedConnection, milliseconds: number): void {
  const send = connection.query
  connection.query = (...args) => {
    const callback = args.pop()
    // Only Knex calls, and always with a callback; a stream is bounded by its reader.
    if (typeof callback !== 'function') return send.call(connection, ...args, callback)
    const timer = setTimeout(() => {
      const socket = connection.stream ?? connection.connection?.stream
      socket?.destroy(new DatabaseTimeout(`The database did not answer within ${milliseconds} ms`))
    }, milliseconds)
    const settle = (...result: unknown[]) => {
      clearTimeout(timer)
      callback(...result)
    }
    return send.call(connection, ...args, settle)
  }
}

function query(connection: QueriedConnection, statement: string): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.query(statement, (error: unknown) => (error ? reject(error) : resolve()))
  })
}

function ignore(): void {}
