/**
 * Whether the server answered the statement with an error, and did nothing of it. Not so where the connection was lost
 * or there was none, nor where the transaction may be committed all the same; nor for a busy SQLite, which has looked at
 * nothing yet. Errors are those of mysql2, pg and better-sqlite3.
 */
export function isRefused(error: unknown): boolean {
  if (!(error instanceof Error) || ('fatal' in error && error.fatal === true)) return false
  const code = 'code' in error ? String(error.code) : ''
  if ('sqlState' in error) {
    if (code === 'ER_NET_PACKET_TOO_LARGE') return true // not even read, though of a class of connection errors
    if ('errno' in error && LEFT_OPEN_BY_MYSQL.has(error.errno)) return false
    return /^(?!08|28)[0-9A-Z]{5}$/.test(String(error.sqlState))
  }
  if ('severity' in error) return /^(?!08|28|3D|53300|57P)[0-9A-Z]{5}$/.test(code)
  return /^SQLITE_(?!BUSY|LOCKED)/.test(code)
}

/** mysql2 names them by what MySQL calls them; MariaDB has some of its own. */
const LEFT_OPEN_BY_MYSQL: ReadonlySet<unknown> = new Set([
  1053, // ER_SERVER_SHUTDOWN
  1105, // ER_UNKNOWN_ERROR
  1180, // ER_ERROR_DURING_COMMIT
  1203, // ER_TOO_MANY_USER_CONNECTIONS
  1927, // MariaDB: connection killed
  4031, // ER_CLIENT_INTERACTION_TIMEOUT
])

/** Whether a value of the statement is larger than the server, the table or the column takes. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && TOO_LARGE.has(error.code)
}

const TOO_LARGE: ReadonlySet<unknown> = new Set([
  ...[
    'ER_NET_PACKET_TOO_LARGE',
    'ER_WARN_ALLOWED_PACKET_OVERFLOWED',
    'ER_DATA_TOO_LONG',
    'ER_TOO_BIG_ROWSIZE',
  ],
  ...['22001', '54000'], // PostgreSQL: string_data_right_truncation, program_limit_exceeded
  'SQLITE_TOOBIG',
])
