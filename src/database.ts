import { existsSync, readFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import knex, { type Knex } from 'knex'
import type {
  DatabaseHost,
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

/** None of the database's hosts gave a connection; the `cause` is what the last one said. */
export class NoDatabaseHost extends Error {
  override name = 'NoDatabaseHost'
  readonly code: string = 'ERR_NO_DATABASE_HOST'
}

/** A server that answers but takes no writes. Its `code` or `errno` is what one would have met there. */
export class UnfitServer extends Error {
  override name = 'UnfitServer'
  readonly code: string
  readonly errno: number | undefined

  constructor(message: string, { code, errno }: { code: string; errno?: number }) {
    super(message)
    this.code = code
    this.errno = errno
  }
}

/**
 * A Knex on this database, whose connections are set up the way Django sets up its own: autocommit, READ COMMITTED on
 * MySQL, an UPDATE counting the rows it matches. Dates come as the text that the column holds. Connects when first used.
 * Every statement ends within `timeout` seconds on the server, or by the loss of its connection a little later.
 * Of several hosts, a connection goes to the first that answers and takes writes, beginning with the one that did last:
 * where that one fails, the pool moves to the next, and comes back only when that one fails too.
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
      validate: (connection: object) => !misplaced.has(connection),
      ...(settings.kind === 'sqlite' && { afterCreate: setUpSqlite }),
    },
  }
}

/** Connections whose server takes no writes any more: the pool replaces them, if need be by those to another host. */
const misplaced = new WeakSet<object>()

interface QueriedConnection {
  query(...statementAndCallback: unknown[]): unknown
  /** mysql2's socket. */
  stream?: Duplex
  /** pg's protocol handler, and its socket. */
  connection?: { stream: Duplex }
  /** pg's, for one connection. */
  setTypeParser?(type: number, parse: (text: string) => unknown): void
}

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

/** Knex's client of this dialect, whose connections find their host themselves, and come set up. */
function serverClient(dialect: 'mysql2' | 'pg', settings: ServerSettings): typeof knex.Client {
  const { kind, hosts, timeout } = settings
  const Dialect: typeof knex.Client = knex({ client: dialect }).client.constructor
  const address = kind === 'mysql' ? mysqlAddress : postgresqlAddress
  /** Where the last connection was made. */
  let current = 0

  return class extends Dialect {
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
      // Knex reads them at once, before anybody else's connection can begin.
      Object.assign(this.connectionSettings, address(host, milliseconds))
      const connection: QueriedConnection = await super.acquireRawConnection()
      const timer = setTimeout(() => giveUp(connection, milliseconds), end - performance.now())
      try {
        await (kind === 'mysql' ? setUpMysql(connection, settings) : setUpPostgresql(connection, settings))
      } catch (error) {
        socketOf(connection)?.destroy()
        throw error
      } finally {
        clearTimeout(timer)
      }
      boundStatements(connection, timeout * 1000 + GRACE)
      return connection
    }
  }
}

function reason(error: unknown): string {
  if (error instanceof UnfitServer) return error.message
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function mysqlAddress({ host, port }: DatabaseHost, connectTimeout: number): object {
  return { host, port, socketPath: host.startsWith('/') ? host : undefined, connectTimeout }
}

function postgresqlAddress({ host, port }: DatabaseHost, connectionTimeoutMillis: number): object {
  return { host, port, connectionTimeoutMillis }
}

function mysqlConnection(settings: MysqlSettings): Knex.MySql2ConnectionConfig {
  const { user, password, database, charset, tls } = settings
  return {
    user,
    password,
    database,
    charset,
    // All six digits of a datetime(6), in no zone but the column's.
    dateStrings: true,
    supportBigNumbers: true,
    ...(tls !== null && { ssl: mysqlTls(tls) }),
  }
}

function mysqlTls({ ca, verify }: TlsSettings): Knex.MariaSslConfiguration & { verifyIdentity: boolean } {
  return { ...authority(ca), rejectUnauthorized: verify !== 'nothing', verifyIdentity: verify === 'host' }
}

function postgresqlConnection(settings: PostgresqlSettings): Knex.PgConnectionConfig {
  const { user, password, database, options, applicationName, tls, timeout } = settings
  return {
    ...(user !== '' && { user }),
    ...(password !== '' && { password }),
    database,
    ...(options !== null && { options }),
    application_name: applicationName,
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

function setUpSqlite(connection: { pragma(text: string): unknown }, done: (error: unknown) => void): void {
  // Milliseconds, and short: better-sqlite3 waits without letting anything else run. Whoever asks repeats it instead.
  connection.pragma('busy_timeout = 5')
  connection.pragma('foreign_keys = ON')
  done(null)
}

/**
 * Source: django/db/backends/mysql/base.py, get_connection_params and init_connection_state; autocommit as `_set_autocommit`.
 * MariaDB alone reads a comment that begins with M!, and skips MySQL's from 5.07.00 on (its manual, "Comment Syntax").
 * @throws {UnfitServer}
 */
async function setUpMysql(
  connection: QueriedConnection,
  { timeout, writableOnly }: MysqlSettings,
): Promise<void> {
  const variables = await readVariables(connection, ['read_only', 'wsrep_on', 'wsrep_provider'])
  const provider = variables.get('wsrep_provider') ?? 'none'
  if (provider !== 'none' && provider !== '') await setUpGalera(connection, variables.get('wsrep_on'))
  if (writableOnly && !['OFF', '0'].includes(variables.get('read_only') ?? 'OFF')) {
    throw new UnfitServer('is read-only', { code: 'ER_OPTION_PREVENTS_STATEMENT', errno: 1290 })
  }
  await query(connection, 'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED')
  await query(
    connection,
    `SET SESSION autocommit = 1, innodb_lock_wait_timeout = ${Math.ceil(timeout)},
      /* mysql2 escapes with backslashes; without the strict mode a value too long for its column is cut */
      sql_mode = CONCAT(REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', ''), ',STRICT_TRANS_TABLES')
      /*M! , max_statement_time = ${timeout} */ /*!50708 , max_execution_time = ${Math.ceil(timeout * 1000)} */`,
  )
}

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

/**
 * A time stamp's text depends on both settings. Source: django/db/backends/postgresql/base.py, ensure_timezone.
 * @throws {UnfitServer}
 */
async function setUpPostgresql(
  connection: QueriedConnection,
  { writableOnly }: PostgresqlSettings,
): Promise<void> {
  // On these connections only: pg's own parsers are global, and make a Date of what has microseconds.
  for (const type of POSTGRESQL_TEXT_TYPES) connection.setTypeParser?.(type, String)
  if (writableOnly) {
    // Also "on" for a standby. Source: libpq's target_session_attrs=read-write.
    const [row] = await query(connection, 'SHOW transaction_read_only')
    if (row?.transaction_read_only !== 'off') throw new UnfitServer('is read-only', { code: '25006' })
  }
  await query(connection, "SET DateStyle = 'ISO'")
  await query(connection, "SET TimeZone = 'UTC'")
}

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
    const timer = setTimeout(() => giveUp(connection, milliseconds), milliseconds)
    const settle = (...result: unknown[]) => {
      clearTimeout(timer)
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

function giveUp(connection: QueriedConnection, milliseconds: number): void {
  const error = new DatabaseTimeout(`The database did not answer within ${Math.round(milliseconds)} ms`)
  socketOf(connection)?.destroy(error)
}

function socketOf(connection: QueriedConnection): Duplex | undefined {
  return connection.stream ?? connection.connection?.stream
}

/** Gives the rows. */
function query(connection: QueriedConnection, statement: string): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    connection.query(statement, (error: unknown, result: Rows | { rows: Rows }) => {
      if (error) reject(error)
      else resolve('rows' in result ? result.rows : result)
    })
  })
}

type Rows = Record<string, unknown>[]

function ignore(): void {}
