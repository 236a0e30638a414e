import { setTimeout as delay } from 'node:timers/promises'
import type { SessionEngine } from '../session/engine.ts'

export interface RetryingEngineOptions {
  /** How long an operation may be repeated, in milliseconds. */
  readonly timeout?: number
  /** Between 0 and 1: spreads the repeats of several processes. */
  readonly random?: () => number
  /** Called at each repeat, for a counter. */
  readonly onRetry?: (error: unknown) => void
}

/**
 * Repeats what a database has refused for the moment: deadlocks, lock time-outs, certification failures of a cluster,
 * serialization failures, a busy SQLite, no free connection. A write is repeated only after an error that says that it
 * was not done; a connection that is lost under a write leaves that open, and counting twice is as wrong as not at all.
 */
export function createRetryingEngine(
  engine: SessionEngine,
  { timeout = 2000, random = Math.random, onRetry = () => {} }: RetryingEngineOptions = {},
): SessionEngine {
  async function retry<R>(isSafe: (error: unknown) => boolean, operation: () => Promise<R>): Promise<R> {
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

  return {
    load: (...parameters) => retry(isUndoneOrLost, () => engine.load(...parameters)),
    exists: (...parameters) => retry(isUndoneOrLost, () => engine.exists(...parameters)),
    create: (...parameters) => retry(isUndone, () => engine.create(...parameters)),
    update: (...parameters) => retry(isUndone, () => engine.update(...parameters)),
    delete: (...parameters) => retry(isUndone, () => engine.delete(...parameters)),
    clearExpired: () => engine.clearExpired(),
  }
}

/** The statement was rolled back, or never reached the server. */
const UNDONE: ReadonlySet<unknown> = new Set([
  ...['ER_LOCK_DEADLOCK', 'ER_LOCK_WAIT_TIMEOUT'], // MySQL; a failed certification in Galera is a deadlock too
  ...['ER_CON_COUNT_ERROR', 'ER_TOO_MANY_USER_CONNECTIONS', 'ECONNREFUSED'],
  ...['40001', '40P01', '55P03'], // PostgreSQL: serialization failure, deadlock, lock not available
  ...['53300', '57P03'], // PostgreSQL: too many connections, starting up
  ...['SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT', 'SQLITE_LOCKED'],
])

/** "WSREP has not yet prepared node for application use": this node of a Galera cluster takes no statements now. */
const WSREP_NOT_READY = 1047

const LOST: ReadonlySet<unknown> = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'ECONNRESET',
  'EPIPE',
  '57P01',
  '57P02',
])

function isUndone(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('errno' in error && error.errno === WSREP_NOT_READY) return true
  return 'code' in error && UNDONE.has(error.code)
}

function isUndoneOrLost(error: unknown): boolean {
  return isUndone(error) || (error instanceof Error && 'code' in error && LOST.has(error.code))
}
