import { setTimeout as delay } from 'node:timers/promises'
import type { SessionEngine } from '../session/engine.ts'

export interface RetryingEngineOptions {
  /** How long an operation may be repeated, in milliseconds. */
  readonly timeout?: number
  /** Between 0 and 1: spreads the repeats of several processes. */
  readonly random?: () => number
  /** Called at each repeat, for a counter. */
  readonly onRetry?: ((error: unknown) => void) | undefined
}

/**
 * Repeats what a database has refused for the moment: deadlocks, lock time-outs, certification failures of a cluster,
 * serialization failures, a busy SQLite, a server without a connection left. A write is repeated only after an error
 * that says that it was not done; a connection that is lost under a write leaves that open, and counting twice is as
 * wrong as not at all.
 */
export function createRetryingEngine(
  engine: SessionEngine,
  options: RetryingEngineOptions = {},
): SessionEngine {
  const retryWrite = <R>(write: () => Promise<R>) => retry(write, isUndone, options)
  return {
    keepsNothing: engine.keepsNothing === true,
    load: (...parameters) => retryRead(() => engine.load(...parameters), options),
    exists: (...parameters) => retryRead(() => engine.exists(...parameters), options),
    create: (...parameters) => retryWrite(() => engine.create(...parameters)),
    update: (...parameters) => retryWrite(() => engine.update(...parameters)),
    delete: (...parameters) => retryWrite(() => engine.delete(...parameters)),
    clearExpired: () => engine.clearExpired(),
  }
}

/** The same for any question to the database, which may be repeated after a lost connection too. */
export function retryRead<R>(read: () => Promise<R>, options: RetryingEngineOptions = {}): Promise<R> {
  return retry(read, isUndoneOrLost, options)
}

async function retry<R>(
  operation: () => Promise<R>,
  isSafe: (error: unknown) => boolean,
  { timeout = 2000, random = Math.random, onRetry = () => {} }: RetryingEngineOptions,
): Promise<R> {
  const start = performance.now()
  for (let tries = 1; ; tries += 1) {
    try {
      return await operation()
    } catch (error) {
      const pause = random() * Math.min(2 ** tries, 100)
      if (!isSafe(error) || performance.now() + pause - start > timeout) throw error
      onRetry(error)
      await delay(pause)
    }
  }
}

/** The statement was rolled back, or never reached the server. */
const UNDONE: ReadonlySet<unknown> = new Set([
  ...['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT'], // MySQL; a failed certification in Galera is a deadlock too
  ...['ER_CON_COUNT_ERROR', 'ER_TOO_MANY_USER_CONNECTIONS', 'ECONNREFUSED'],
  ...['40001', '40P01', '55P03'], // PostgreSQL: serialization failure, deadlock, lock not available
  ...['53300', '57P03'], // PostgreSQL: too many connections, starting up
  ...['SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT', 'SQLITE_LOCKED'],
  'ERR_NO_DATABASE_HOST', // ours: no connection to any of several hosts
  1047, // "WSREP has not yet prepared node for application use": this node of a Galera cluster takes no statements now
])

/** The connection had ended before: mysql2 and pg give these no code, and Knex puts the statement before them. */
const NEVER_SENT = /(?:Can't add new command when connection is in closed state|is not queryable)$/

const LOST: ReadonlySet<unknown> = new Set([
  ...['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE', '57P01', '57P02'],
  1927, // MariaDB: connection killed
])

/** pg's, without a code. */
const LOST_BY_PG = /Connection terminated(?: unexpectedly)?$/

function isUndone(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return isAmong(UNDONE, error) || NEVER_SENT.test(error.message)
}

function isUndoneOrLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return isUndone(error) || isAmong(LOST, error) || LOST_BY_PG.test(error.message)
}

/** By its code, or its driver's number. */
function isAmong(codes: ReadonlySet<unknown>, error: Error): boolean {
  return ('code' in error && codes.has(error.code)) || ('errno' in error && codes.has(error.errno))
}
