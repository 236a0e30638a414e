import { setTimeout as delay } from 'node:timers/promises'
import { UnusableUserTable } from '../auth/user-table.ts'
import { createOncePerInterval } from '../concurrency/once-per-interval.ts'
import { isTransient } from '../http/statuses.ts'
import { DatabaseMismatch } from './database/connection.ts'
import { MissingDatabase } from './database/open-database.ts'
import type { Log } from './monitoring/log.ts'
import { CannotStart, type Place, startProblem } from './start-problem.ts'

/** Milliseconds between two attempts. */
const RETRY_INTERVAL = 500

/** Milliseconds between two lines about the same problem. */
const WAITING_LOG_INTERVAL = 30_000

export interface StartRetryOptions {
  readonly log: Log
  /** Aborted when the service is closed. */
  readonly signal: AbortSignal
  /** Called after each failed attempt. */
  readonly onFailure: () => void
}

/**
 * Repeats `start` while it fails for a reason that may pass, such as a database that does not run yet.
 * @throws the signal's reason, or what waiting does not cure: {CannotStart} with words for the operator.
 */
export async function retryStart<R>(
  start: () => Promise<R>,
  { log, signal, onFailure }: StartRetryOptions,
): Promise<R> {
  const isDue = createOncePerInterval(WAITING_LOG_INTERVAL)
  for (;;) {
    try {
      return await start()
    } catch (error) {
      signal.throwIfAborted() // A failure after that may come from closing.
      const { code, message } = transientProblem(error)
      if (isDue(code)) log.warn('service.waiting', { code, message })
      onFailure()
      await delay(RETRY_INTERVAL, undefined, { signal })
    }
  }
}

/**
 * Runs `work` once, for a command that does not wait.
 * @throws {CannotStart} with the setting and the reason when a database or a cache fails; any other error unchanged.
 */
export async function attemptOnce<R>(work: () => Promise<R>): Promise<R> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof DatabaseFailure) {
      const { message, code } = startProblem(error.cause, error.place)
      throw code === null && !(error.cause instanceof Error) ? error : new CannotStart(message)
    }
    throw error
  }
}

/** A database's failure, with the setting that names the database. */
class DatabaseFailure extends Error {
  override name = 'DatabaseFailure'
  readonly place: Place

  constructor(place: Place, options: ErrorOptions) {
    super(`${place.setting} failed`, options)
    this.place = place
  }
}

/** Runs queries on the database at `place`, so that a failure names the setting. */
export async function runAt<R>(place: Place, queries: () => Promise<R>): Promise<R> {
  try {
    return await queries()
  } catch (error) {
    if (error instanceof CannotStart || error instanceof MissingDatabase) throw error
    if (error instanceof UnusableUserTable) throw error
    if (error instanceof DatabaseMismatch) throw new CannotStart(`${place.setting}: ${error.message}`)
    throw new DatabaseFailure(place, { cause: error })
  }
}

/** What the log says about an error that may pass. @throws {CannotStart} or the error itself, when waiting does not help. */
function transientProblem(error: unknown): { code: unknown; message: string } {
  if (!(error instanceof DatabaseFailure)) {
    if (isTransient(error) && error instanceof Error && 'code' in error)
      return { code: error.code, message: `CACHES: ${error.message}` }
    throw error
  }
  const { cause, place } = error
  const { passes, message, code } = startProblem(cause, place)
  if (passes ?? isTransient(cause)) return { code, message: `${message}; it is asked again until it serves` }
  if (passes === null && code === null) throw cause
  throw new CannotStart(message)
}
