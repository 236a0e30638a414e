import { setTimeout as delay } from 'node:timers/promises'
import { createBackoff } from '../concurrency/backoff.ts'
import type { SessionEngine } from '../session/engine.ts'
import { isConnectionLost, isNotExecuted } from '../sql/driver-errors.ts'

/** The options of `createRetryingEngine`. */
export interface RetryingEngineOptions {
  /** How long an operation may be repeated, in milliseconds; default: 2000. */
  readonly timeout?: number
  /** Between 0 and 1: spreads the repeats of several processes. */
  readonly random?: () => number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
  /** Called at each repeat, for a counter. */
  readonly onRetry?: ((error: unknown) => void) | undefined
}

/** Milliseconds between two attempts at most. */
const LONGEST_PAUSE = 100

/**
 * Repeats an operation after a transient failure of the database: a deadlock, a lock time-out, a failed certification of
 * a cluster, a serialization failure, a busy SQLite, a server without a free connection. A write is repeated only after an
 * error that says that it was not executed. After a lost connection that is not known, and to count a visit twice is as
 * wrong as not to count it.
 */
export function createRetryingEngine(
  engine: SessionEngine,
  options: RetryingEngineOptions = {},
): SessionEngine {
  const retryWrite = <R>(write: () => Promise<R>) => retry(write, isNotExecuted, options)
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

/** The same for any read of the database, which is repeated after a lost connection, too. */
export function retryRead<R>(read: () => Promise<R>, options: RetryingEngineOptions = {}): Promise<R> {
  return retry(read, (error) => isNotExecuted(error) || isConnectionLost(error), options)
}

async function retry<R>(
  operation: () => Promise<R>,
  mayRepeat: (error: unknown) => boolean,
  { timeout = 2000, onRetry = () => {}, ...options }: RetryingEngineOptions,
): Promise<R> {
  const nextPause = createBackoff({ timeout, longest: LONGEST_PAUSE, ...options })
  for (;;) {
    try {
      return await operation()
    } catch (error) {
      const pause = mayRepeat(error) ? nextPause() : null
      if (pause === null) throw error
      onRetry(error)
      await delay(pause)
    }
  }
}
