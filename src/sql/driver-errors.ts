/**
 * What the errors of the drivers (mysql2, pg, better-sqlite3, node:sqlite), of Knex and of Node mean to a program that asks a
 * database. This file holds every table of their codes, and each code stands in one class, which says what happened. The
 * classes below the tables say what to do about it.
 *
 * Sources: MySQL's "Server Error Message Reference" and MariaDB's "Error Codes"; PostgreSQL's appendix "Error Codes";
 * SQLite's "Result and Error Codes"; mysql2's lib/constants/errors.js; pg's lib/client.js; Node's "Common system errors".
 */
interface Codes {
  /**
   * Name and number. mysql2 takes the name from MySQL's list: it has none for what only MariaDB has, and a wrong one where
   * the two use a number differently. Errors of this code have both, and either is enough here.
   */
  readonly mysql?: Readonly<Record<string, number>>
  /** The condition's name and its SQLSTATE. */
  readonly postgresql?: Readonly<Record<string, string>>
  /** A result code; it stands for its extended codes, too: SQLITE_BUSY for SQLITE_BUSY_SNAPSHOT. */
  readonly sqlite?: readonly string[]
  /** What SQLite says under SQLITE_ERROR, its code for every fault of a statement. */
  readonly sqliteMessage?: RegExp
  /** Codes of Node, and of mysql2 itself. */
  readonly client?: readonly string[]
  /** The end of a message, for errors without a code. Knex puts the statement before it, which may hold anything. */
  readonly message?: RegExp
  /** The name of an error without a code. */
  readonly name?: string
}

/** A question about an error. Only the error itself counts, not its cause. */
export type ErrorClass = (error: unknown) => boolean

// ── What happened ──

/** Another transaction holds or has changed the row. The statement is rolled back. */
export const isLockConflict: ErrorClass = errorClass({
  mysql: {
    ER_LOCK_WAIT_TIMEOUT: 1205,
    ER_LOCK_DEADLOCK: 1213, // also a failed certification in Galera
  },
  postgresql: { serialization_failure: '40001', deadlock_detected: '40P01', lock_not_available: '55P03' },
  sqlite: ['SQLITE_BUSY', 'SQLITE_LOCKED'],
})

/** The server gives no connection, since it has no free one. */
export const isTooManyConnections: ErrorClass = errorClass({
  mysql: { ER_CON_COUNT_ERROR: 1040, ER_TOO_MANY_USER_CONNECTIONS: 1203 },
  postgresql: { too_many_connections: '53300' },
})

/** The pool of mysql2 has no free connection, and its settings allow no call, or no further call, to wait for one. */
export const isPoolExhausted: ErrorClass = errorClass({
  message: /^(?:Queue limit reached|No connections available)\.$/,
})

/** The server is up, but takes no statements yet. */
export const isNotReady: ErrorClass = errorClass({
  mysql: { ER_UNKNOWN_COM_ERROR: 1047 }, // Galera: "WSREP has not yet prepared node for application use"
  postgresql: { cannot_connect_now: '57P03' },
})

/** The server accepts no connection or no statement from this client, for now. Nothing says what became of a statement. */
export const isUnavailable: ErrorClass = errorClass({
  mysql: { ER_SERVER_OFFLINE_MODE: 3032, ER_SERVER_ISNT_AVAILABLE: 3168 },
  postgresql: {
    sqlclient_unable_to_establish_sqlconnection: '08001',
    sqlserver_rejected_establishment_of_sqlconnection: '08004',
  },
})

/** The server has too little memory, or a limit of its own is reached. */
export const isOutOfResources: ErrorClass = errorClass({
  mysql: {
    ER_OUTOFMEMORY: 1037,
    ER_OUT_OF_RESOURCES: 1041,
    ER_CANT_CREATE_THREAD: 1135,
    ER_USER_LIMIT_REACHED: 1226,
  },
  postgresql: {
    insufficient_resources: '53000',
    out_of_memory: '53200',
    configuration_limit_exceeded: '53400',
  },
})

/** The connection ended without a word from the server. */
export const isHungUp: ErrorClass = errorClass({
  client: ['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'ECONNABORTED', 'EPIPE'],
  message: /Connection terminated(?: unexpectedly)?$/, // pg
})

/** The server said that it ends the connection. */
export const isEndedByServer: ErrorClass = errorClass({
  mysql: {
    ER_SERVER_SHUTDOWN: 1053,
    ER_NORMAL_SHUTDOWN: 1077,
    ER_ABORTING_CONNECTION: 1152,
    ER_NEW_ABORTING_CONNECTION: 1184,
    ER_CONNECTION_KILLED: 1927, // MariaDB
    ER_CLIENT_INTERACTION_TIMEOUT: 4031,
  },
  postgresql: {
    connection_exception: '08000',
    connection_does_not_exist: '08003',
    connection_failure: '08006',
    admin_shutdown: '57P01',
    crash_shutdown: '57P02',
    idle_session_timeout: '57P05',
  },
})

/** The connection had ended before the statement was sent. */
export const isNeverSent: ErrorClass = errorClass({
  message: /(?:Can't add new command when connection is in closed state|is not queryable)$/, // mysql2; pg
})

export const isConnectionRefused: ErrorClass = errorClass({ client: ['ECONNREFUSED'] })

/** There is no way to the host, or its name does not resolve. */
const isUnreachable = errorClass({
  client: ['EAI_AGAIN', 'ENOTFOUND', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETUNREACH'],
})

/** No answer came in time, or the server ended a statement that took too long. */
export const isTimedOut: ErrorClass = errorClass({
  mysql: {
    ER_QUERY_INTERRUPTED: 1317,
    ER_STATEMENT_TIMEOUT: 1969, // MariaDB
    ER_QUERY_TIMEOUT: 3024,
  },
  postgresql: { query_canceled: '57014' },
  client: ['ETIMEDOUT', 'PROTOCOL_SEQUENCE_TIMEOUT'],
  // pg, pg-pool
  message:
    /(?:timeout expired|Query read timeout|terminated due to connection timeout|timeout exceeded when trying to connect)$/,
  name: 'KnexTimeoutError', // no free connection in the pool
})

/** Nothing can be written there for now, as during a failover. */
export const isReadOnly: ErrorClass = errorClass({
  mysql: {
    ER_OPTION_PREVENTS_STATEMENT: 1290, // read_only, super_read_only
    ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION: 1792, // transaction_read_only
    ER_READ_ONLY_MODE: 1836,
    ER_INNODB_READ_ONLY: 1874,
  },
  postgresql: { read_only_sql_transaction: '25006' }, // a standby
  sqlite: ['SQLITE_READONLY'],
  client: ['EROFS'],
})

export const isDiskFull: ErrorClass = errorClass({
  mysql: { ER_DISK_FULL: 1021, ER_RECORD_FILE_FULL: 1114 },
  postgresql: { disk_full: '53100' },
  sqlite: ['SQLITE_FULL'],
  client: ['ENOSPC', 'EDQUOT'],
})

/** A node of Galera left its cluster during the COMMIT: it may have been done or not. */
const isLostAtCommit = errorClass({ mysql: { ER_ERROR_DURING_COMMIT: 1180 } })

/** Says nothing, not even whether something was done. */
const isUnknownError = errorClass({ mysql: { ER_UNKNOWN_ERROR: 1105 } })

/** A row with this primary or unique key exists. */
export const isDuplicateKey: ErrorClass = errorClass({
  mysql: { ER_DUP_ENTRY: 1062 },
  postgresql: { unique_violation: '23505' },
  sqlite: ['SQLITE_CONSTRAINT_PRIMARYKEY', 'SQLITE_CONSTRAINT_UNIQUE'],
})

/** A subquery that must have one row has several: the UPDATE of `BulkStatements` found a row that was changed. */
export const isSubqueryOfRows: ErrorClass = errorClass({ mysql: { ER_SUBQUERY_NO_1_ROW: 1242 } })

/** A NOT NULL column was given NULL, or no value where it has no default. */
export const isMissingValue: ErrorClass = errorClass({
  mysql: {
    ER_BAD_NULL_ERROR: 1048,
    ER_NO_DEFAULT_FOR_FIELD: 1364, // also of an INSERT … SELECT without a row
  },
  postgresql: { not_null_violation: '23502' },
  sqlite: ['SQLITE_CONSTRAINT_NOTNULL'],
})

export const isMissingTable: ErrorClass = errorClass({
  mysql: { ER_NO_SUCH_TABLE: 1146 },
  postgresql: { invalid_schema_name: '3F000', undefined_table: '42P01' },
  sqliteMessage: /no such table/,
})

export const isMissingColumn: ErrorClass = errorClass({
  mysql: { ER_BAD_FIELD_ERROR: 1054 },
  postgresql: { undefined_column: '42703' },
  sqliteMessage: /no such column/,
})

/** This database user may not do this with this table. MySQL says so as well where the table does not exist. */
export const isPermissionDenied: ErrorClass = errorClass({
  mysql: { ER_TABLEACCESS_DENIED_ERROR: 1142, ER_COLUMNACCESS_DENIED_ERROR: 1143 },
  postgresql: { insufficient_privilege: '42501' },
})

/** The character set of the column cannot hold a text that it is compared with. */
export const isNotInCharset: ErrorClass = errorClass({
  mysql: {
    ER_CANT_AGGREGATE_2COLLATIONS: 1267, // MariaDB
    ER_CANNOT_CONVERT_STRING: 3854, // MySQL
  },
})

/** The statement is larger than `max_allowed_packet`. The server does not read it, and hangs up after this answer. */
export const isTooLargeForPacket: ErrorClass = errorClass({
  mysql: { ER_NET_PACKET_TOO_LARGE: 1153, ER_WARN_ALLOWED_PACKET_OVERFLOWED: 1301 },
})

export const isTooLongForColumn: ErrorClass = errorClass({
  mysql: { ER_DATA_TOO_LONG: 1406 },
  postgresql: { string_data_right_truncation: '22001' },
})

/** A row, or an entry of an index, is larger than the database can store. */
const isTooLargeForTable = errorClass({
  mysql: { ER_TOO_BIG_ROWSIZE: 1118 },
  postgresql: { program_limit_exceeded: '54000' },
  sqlite: ['SQLITE_TOOBIG'],
})

// ── What to do about it ──

/** A value of the statement is larger than the server, the table or the column takes. */
export function isTooLarge(error: unknown): boolean {
  return isTooLargeForPacket(error) || isTooLongForColumn(error) || isTooLargeForTable(error)
}

/** The connection was lost under the statement, which may have been executed or not: only a read may be repeated. */
export function isConnectionLost(error: unknown): boolean {
  return isHungUp(error) || isEndedByServer(error)
}

/**
 * The statement was not executed, so that a write may be repeated, and a moment later may succeed. Unlike after a
 * time-out, which has used up the time for that.
 */
export function isNotExecuted(error: unknown): boolean {
  return (
    isLockConflict(error) ||
    isTooManyConnections(error) ||
    isPoolExhausted(error) ||
    isNotReady(error) ||
    isNeverSent(error) ||
    isConnectionRefused(error) ||
    codeOf(error) === 'ERR_NO_DATABASE_HOST' // ours; whether it is transient, its cause says
  )
}

/** The database cannot be reached, or is full, too busy or read-only: the same request may succeed in a moment. */
export function isTransientDriverError(error: unknown): boolean {
  return (
    TRANSIENT.some((isOfClass) => isOfClass(error)) ||
    isFatal(error) ||
    // Node, whatever the code: ENOENT says that there is no such socket.
    (error instanceof Error && 'syscall' in error && error.syscall === 'connect')
  )
}

const TRANSIENT: readonly ErrorClass[] = [
  isLockConflict,
  isTooManyConnections,
  isPoolExhausted,
  isNotReady,
  isUnavailable,
  isOutOfResources,
  isConnectionLost,
  isNeverSent,
  isConnectionRefused,
  isUnreachable,
  isTimedOut,
  isReadOnly,
  isDiskFull,
  isLostAtCommit,
]

/**
 * The server answered the statement with an error, and did nothing of it: where it had several rows, each may be tried on
 * its own. Not so where the connection was lost or there was none, nor where the transaction may be committed all the
 * same; nor for a busy SQLite, which has looked at nothing yet.
 */
export function isRefused(error: unknown): boolean {
  if (!(error instanceof Error) || isFatal(error)) return false
  if (NOT_REFUSED.some((isOfClass) => isOfClass(error))) return false
  // The classes of SQLSTATE: 08 connection, 28 login, 3D no database, 57P the server stops. Not even read is refused.
  if ('sqlState' in error)
    return isTooLargeForPacket(error) || /^(?!08|28)[0-9A-Z]{5}$/.test(String(error.sqlState))
  const code = String(codeOf(error))
  return 'severity' in error
    ? /^(?!08|28|3D|57P)[0-9A-Z]{5}$/.test(code)
    : /^SQLITE_(?!BUSY|LOCKED)/.test(code)
}

const NOT_REFUSED: readonly ErrorClass[] = [
  isTooManyConnections,
  isNotReady,
  isUnavailable,
  isConnectionLost,
  isLostAtCommit,
  isUnknownError,
]

/** An error's code, if it has one. */
export function codeOf(error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error)) return undefined
  return error.code === 'ERR_SQLITE_ERROR' && 'errcode' in error
    ? sqliteCode(Number(error.errcode))
    : error.code
}

/** node:sqlite has SQLite's number, extended, where better-sqlite3 has its name. */
function sqliteCode(number: number): string {
  return SQLITE_CODES.get(number) ?? SQLITE_CODES.get(number & 0xff) ?? 'SQLITE_ERROR'
}

/** An extended code that is missing here stands for its lowest byte. Source: sqlite.org, "Result and Error Codes". */
const SQLITE_CODES: ReadonlyMap<number, string> = new Map([
  [3, 'SQLITE_PERM'],
  [5, 'SQLITE_BUSY'],
  [6, 'SQLITE_LOCKED'],
  [7, 'SQLITE_NOMEM'],
  [8, 'SQLITE_READONLY'],
  [10, 'SQLITE_IOERR'],
  [11, 'SQLITE_CORRUPT'],
  [13, 'SQLITE_FULL'],
  [14, 'SQLITE_CANTOPEN'],
  [18, 'SQLITE_TOOBIG'],
  [19, 'SQLITE_CONSTRAINT'],
  [23, 'SQLITE_AUTH'],
  [26, 'SQLITE_NOTADB'],
  [1299, 'SQLITE_CONSTRAINT_NOTNULL'],
  [1555, 'SQLITE_CONSTRAINT_PRIMARYKEY'],
  [2067, 'SQLITE_CONSTRAINT_UNIQUE'],
])

/** An error's code and its number, as far as it has them. */
export function codesOf(error: unknown): ReadonlySet<string | number> {
  const number = error instanceof Error && 'errno' in error ? error.errno : undefined
  // Node's numbers are negative, and differ between systems.
  const isCode = (one: unknown) => typeof one === 'string' || (typeof one === 'number' && one > 0)
  return new Set([codeOf(error), number].filter(isCode) as (string | number)[])
}

/** mysql2's mark of an error after which the connection is of no use. */
function isFatal(error: unknown): boolean {
  return error instanceof Error && 'fatal' in error && error.fatal === true
}

function errorClass({
  mysql = {},
  postgresql = {},
  sqlite = [],
  sqliteMessage,
  client = [],
  message,
  name,
}: Codes): ErrorClass {
  const known = new Set([...Object.entries(mysql).flat(), ...Object.values(postgresql), ...sqlite, ...client])
  const isKnown = (code: string | number): boolean =>
    known.has(code) || sqlite.some((one) => String(code).startsWith(`${one}_`))
  return (error) => {
    if (!(error instanceof Error)) return false
    if (error.name === name || message?.test(error.message) === true) return true
    const codes = codesOf(error)
    return (
      [...codes].some(isKnown) || (codes.has('SQLITE_ERROR') && sqliteMessage?.test(error.message) === true)
    )
  }
}
