import { codeOf, isTransientDriverError } from '../sql/driver-errors.ts'

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

/** Our own errors' codes and their statuses. For errors of the drivers see `isTransientDriverError`: 503. All others: 500. */
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
  ['ERR_SESSION_MERGE_CONFLICT', 409],
  ['ERR_TOO_MANY_TRIES', 429],
  ['ERR_SESSION_TOO_LARGE', 500], // whatever its cause says: waiting does not help
  ['ERR_DATABASE_MISMATCH', 500], // whatever its cause: the settings are to be mended
  ['ERR_UPSTREAM_UNAVAILABLE', 502],
  ['ERR_UPSTREAM_TIMEOUT', 504],
  // Transient: the same request may succeed in a moment.
  ['ERR_CACHE_UNAVAILABLE', 503],
  ['ERR_DATABASE_TIMEOUT', 503],
  ['ERR_FILE_LOCK_TIMEOUT', 503],
  ['ERR_NOT_READY', 503],
  ['ERR_PASSWORDS_BUSY', 503],
  ['ERR_REQUEST_TIMEOUT', 503],
  ['ERR_SESSION_CONFLICT_TIMEOUT', 503],
  ['ERR_SESSION_UNCERTAIN', 503],
  ['ERR_STORAGE_UNAVAILABLE', 503],
  ['ERR_UPSTREAM_BUSY', 503],
])

/** Whether the same request may succeed in a moment: its status is 503. */
export function isTransient(error: unknown): boolean {
  return statusOf(error) === 503
}

/** The status for an error: by itself or, where it says nothing that we know, by its cause. */
export function statusOf(error: unknown): number {
  return knownStatusOf(error) ?? 500
}

function knownStatusOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if (isHttpError(error)) return error.status
  const known = STATUS_OF_CODE.get(codeOf(error))
  return known ?? (isTransientDriverError(error) ? 503 : knownStatusOf(error.cause))
}

/**
 * The same error, with its status under the names that Koa, Express and Fastify ask for where they answer it:
 * `status`, `statusCode` and `expose`. Only errors of ours: what another one means is for its own program to say.
 */
export function withStatus(error: unknown): unknown {
  const status = STATUS_OF_CODE.get(codeOf(error))
  if (!(error instanceof Error) || status === undefined) return error
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

/** An error that says how it is to be answered. */
export interface HttpError extends Error {
  readonly status: number
  /** Whether its message may be shown to visitors. */
  readonly expose: boolean
}

/**
 * An error that is marked for an answer, as `withStatus`, http-errors and Koa's `ctx.throw` do. An error with a status alone
 * may be another server's, which a client of HTTP has thrown: it is a bug here.
 */
export function isHttpError(error: unknown): error is HttpError {
  if (!(error instanceof Error && 'status' in error && 'expose' in error)) return false
  const { status, expose } = error
  return typeof expose === 'boolean' && typeof status === 'number' && status >= 400 && status < 600
}
