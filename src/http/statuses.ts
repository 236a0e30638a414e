/** The database or the store of sessions is away, full or too busy, as `cause` says; status 503. */
export class StorageUnavailable extends Error {
  override name = 'StorageUnavailable'
  readonly code: string = 'ERR_STORAGE_UNAVAILABLE'

  // Not in the driver's words, which may quote the session's key: Fastify shows a message to visitors.
  constructor(cause: Error) {
    super('the database or the store of sessions cannot be reached just now; try again in a moment', {
      cause,
    })
  }
}

/** The database or the store of sessions refuses an operation, as `cause` says; a status of 500. */
export class StorageFailure extends Error {
  override name = 'StorageFailure'
  readonly code: string = 'ERR_STORAGE_FAILURE'

  constructor(cause: Error) {
    super('the database or the store of sessions refuses an operation; the cause of this error says why', {
      cause,
    })
  }
}

/** What passes: the database or the cache is away, full or too busy, and the same request may succeed in a moment. */
const PASSING: readonly (string | number)[] = [
  'ERR_CACHE_UNAVAILABLE',
  'ERR_DATABASE_TIMEOUT',
  'ERR_FILE_LOCK_TIMEOUT',
  'ERR_NOT_READY',
  'ERR_PASSWORDS_BUSY',
  'ERR_REQUEST_TIMEOUT',
  'ERR_SESSION_CONFLICT_TIMEOUT',
  'ERR_STORAGE_UNAVAILABLE',
  'ERR_UPSTREAM_BUSY',
  // Node: the network
  ...['EAI_AGAIN', 'ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND', 'EPIPE'],
  'ETIMEDOUT',
  // MySQL and MariaDB
  ...['ER_CON_COUNT_ERROR', 'ER_TOO_MANY_USER_CONNECTIONS', 'ER_SERVER_SHUTDOWN', 'ER_LOCK_DEADLOCK'],
  ...['ER_LOCK_WAIT_TIMEOUT', 'ER_QUERY_TIMEOUT', 'ER_QUERY_INTERRUPTED'],
  ...['PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT'],
  // MariaDB's own, which mysql2 cannot name: connection killed, statement time-out
  ...[1927, 1969],
  // PostgreSQL: connection exceptions; too many connections; serialization failure, deadlock, lock not available,
  // statement time-out; shutting down, crashed, starting
  ...['08000', '08003', '08006', '53300', '40001', '40P01', '55P03', '57014', '57P01', '57P02', '57P03'],
  // Read-only for now, as during a failover; in Galera, a node that takes no statements
  ...[
    'ER_ERROR_DURING_COMMIT',
    'ER_OPTION_PREVENTS_STATEMENT',
    'ER_READ_ONLY_MODE',
    1047,
    '25006',
    'SQLITE_READONLY',
    'EROFS',
  ],
  'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION',
  // The disk is full
  ...['ER_DISK_FULL', 'ER_RECORD_FILE_FULL', '53100', 'SQLITE_FULL', 'ENOSPC', 'EDQUOT'],
  // SQLite
  ...['SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT', 'SQLITE_LOCKED'],
]

/** The one table from an error's code (or its driver's number) to a status. What is not in it nobody expected: 500. */
const STATUS_OF_CODE: ReadonlyMap<unknown, number> = new Map([
  ['ERR_DISALLOWED_HOST', 400], // django/core/handlers/exception.py, response_for_exception: SuspiciousOperation
  ['ERR_SESSION_INTERRUPTED', 400], // django/contrib/sessions/exceptions.py, SessionInterrupted
  ['ERR_CSRF', 403], // django/views/csrf.py, csrf_failure
  ['ERR_REQUEST_DATA_TOO_BIG', 400], // response_for_exception again: these are SuspiciousOperation, too,
  ['ERR_TOO_MANY_FIELDS', 400],
  ['ERR_TOO_MANY_FILES', 400],
  ['ERR_UNREADABLE_POST', 400], // or a MultiPartParserError
  ['ERR_INVALID_URL', 400], // Node, for a request line such as "GET http://[ HTTP/1.1"
  ['ERR_UNKNOWN_UPGRADE', 400],
  ['ERR_RESERVED_PATH', 404],
  ['ERR_REQUEST_TOO_SLOW', 408],
  ['ERR_TOO_MANY_TRIES', 429],
  ['ERR_SESSION_TOO_LARGE', 500], // whatever its cause says: waiting does not help
  ['ERR_DATABASE_MISMATCH', 500], // whatever its cause: the settings are to be mended
  ['ERR_UPSTREAM_UNAVAILABLE', 502],
  ['ERR_UPSTREAM_TIMEOUT', 504],
  ...PASSING.map((code) => [code, 503] as const),
])

/** Whether waiting may mend it: the database is away, full or too busy. */
export function isPassing(error: unknown): boolean {
  return statusOf(error) === 503
}

/** The status for an error: by itself or, where it says nothing that we know, by its cause. */
export function statusOf(error: unknown): number {
  return knownStatusOf(error) ?? 500
}

function knownStatusOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if (isHttpError(error)) return error.status
  const known = STATUS_OF_CODE.get(codeOf(error)) ?? STATUS_OF_CODE.get('errno' in error ? error.errno : null)
  return known ?? (isConnectionFailure(error) ? 503 : knownStatusOf(error.cause))
}

/**
 * The same error, with its status under the names that Koa, Express and Fastify ask for where they answer it:
 * `status`, `statusCode` and `expose`. Only errors of ours: what another one means is for its own program to say.
 */
export function withStatus(error: unknown): unknown {
  const code = codeOf(error)
  const status = STATUS_OF_CODE.get(code)
  if (!(error instanceof Error) || status === undefined || !String(code).startsWith('ERR_')) return error
  return Object.assign(error, { status, statusCode: status, expose: status < 500 })
}

/**
 * The same for what an engine or a database has thrown. An error of its driver becomes StorageUnavailable, or where waiting
 * does not help StorageFailure.
 */
export function withStorageStatus(error: unknown): unknown {
  if (!(error instanceof Error) || String(codeOf(error)).startsWith('ERR_')) return withStatus(error)
  if (knownStatusOf(error) === 503) return withStatus(new StorageUnavailable(error))
  return codeOf(error) === undefined ? error : new StorageFailure(error)
}

/** An error of the package http-errors, such as Koa's `ctx.throw` makes. */
function isHttpError(error: Error): error is Error & { readonly status: number } {
  return 'expose' in error && 'status' in error && typeof error.status === 'number'
}

/** An error's code, if it has one. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

/** Failures of a connection that their drivers give no code, or one that says less. */
function isConnectionFailure(error: Error): boolean {
  return (
    error.name === 'KnexTimeoutError' || // no free connection in the pool
    ('fatal' in error && error.fatal === true) || // mysql2: this connection is of no use any more
    ('syscall' in error && error.syscall === 'connect') || // Node: e.g. ENOENT, there is no such socket
    LOST_BY_PG.test(error.message)
  )
}

/** pg gives these no code. */
const LOST_BY_PG =
  /(?:Connection terminated(?: unexpectedly)?|timeout expired|Query read timeout|is not queryable)$/
