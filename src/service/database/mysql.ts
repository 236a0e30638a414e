import type { Knex } from 'knex'
import type { MysqlSettings } from '../settings/database-settings.ts'
import {
  DatabaseMismatch,
  type QueriedConnection,
  query,
  type ServerDialect,
  UnfitServer,
} from './connection.ts'
import { createPasswordSigner } from './ed25519.ts'
import { lackOfTls, refusedCertificate, secureOptions } from './tls.ts'

/** How a connection to MySQL or MariaDB is made. */
export function mysqlDialect(settings: MysqlSettings): ServerDialect {
  const { tls } = settings
  const ssl = tls === null ? undefined : { ...secureOptions(tls), verifyIdentity: tls.verify === 'host' }
  return {
    protocol: 'mysql',
    // A Unix socket cannot be intercepted.
    encrypts: ({ host }) => tls !== null && (tls.use === 'required' || !host.startsWith('/')),
    address: ({ host, port }, { milliseconds, isEncrypted }) => ({
      host,
      port,
      socketPath: host.startsWith('/') ? host : undefined,
      connectTimeout: milliseconds,
      ssl: isEncrypted ? ssl : undefined,
    }),
    retryAfter(error, { isEncrypted }) {
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
    cancel() {}, // The server ends it: setUpMysql sets the server's own limits.
  }
}

/** mysql2's options, except the host. */
export function mysqlConnection(settings: MysqlSettings): Knex.MySql2ConnectionConfig {
  const { user, password, database, charset } = settings
  const signer = createPasswordSigner(password)
  return {
    user,
    password,
    database,
    charset,
    // All six digits of a datetime(6), without a conversion to another time zone.
    dateStrings: true,
    supportBigNumbers: true,
    authPlugins: {
      client_ed25519: () => async (challenge) =>
        password === '' ? Buffer.alloc(0) : signer.sign(challenge.subarray(0, 32)),
    },
  }
}

/**
 * Source: django/db/backends/mysql/base.py, get_connection_params and init_connection_state; autocommit as `_set_autocommit`.
 * Only MariaDB runs a comment that begins with M!, and it skips MySQL's from 5.07.00 on (its manual, "Comment Syntax").
 * @throws {UnfitServer} {DatabaseMismatch}
 */
async function setUpMysql(
  connection: QueriedConnection,
  { timeout, writableOnly, isolationLevel }: MysqlSettings,
): Promise<number> {
  const variables = await readVariables(connection, [
    ...['read_only', 'wsrep_on', 'wsrep_provider'],
    ...['log_bin', 'binlog_format', 'max_statement_time'],
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
    `SET SESSION autocommit = 1, innodb_lock_wait_timeout = ${Math.max(Math.floor(timeout), 1)},
      /* mysql2 escapes with backslashes; without the strict mode a value too long for its column is truncated */
      sql_mode = CONCAT(REPLACE(@@SESSION.sql_mode, 'NO_BACKSLASH_ESCAPES', ''), ',STRICT_TRANS_TABLES')
      /*M! , max_statement_time = ${timeout} */ /*!50708 , max_execution_time = ${Math.ceil(timeout * 1000)} */`,
  )
  return variables.has('max_statement_time') || timeout < 1 ? 0 : LOCK_CHECKS
}

/**
 * MySQL limits no write but by its wait for a lock, and looks once a second for waits that are over. Its own error says
 * that nothing was written; after a connection was closed, that is not known. MariaDB's `max_statement_time` is exact.
 */
const LOCK_CHECKS = 1000

/**
 * InnoDB then refuses writes at READ COMMITTED (error 1665). Compare-and-swap works at any level: it is one statement.
 * Source: MySQL's manual, "Setting The Binary Log Format".
 */
function logsStatements(variables: ReadonlyMap<string, string>): boolean {
  return variables.get('log_bin') === 'ON' && variables.get('binlog_format') === 'STATEMENT'
}

const STATEMENTS_LOGGED =
  "the server's binlog_format is STATEMENT, so the server refuses writes at the isolation_level of the database's " +
  'URL; leave isolation_level out or write repeatable read, or set binlog_format to ROW or MIXED'

/**
 * One node of a Galera cluster may acknowledge a write before another node applies it. A read that does not wait for
 * that could miss the session of the previous page, and the visitor would get a new one. A write need not wait: if it is
 * based on old data, its certification fails (error 1213).
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
