import type { SessionEngine } from '../session/engine.ts'
import { type RetryOptions, retryRead, retryWrite } from '../sql/retry.ts'

/** The options of `createRetryingEngine`. */
export type RetryingEngineOptions = RetryOptions

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
  return {
    keepsNothing: engine.keepsNothing === true,
    load: (...parameters) => retryRead(() => engine.load(...parameters), options),
    exists: (...parameters) => retryRead(() => engine.exists(...parameters), options),
    create: (...parameters) => retryWrite(() => engine.create(...parameters), options),
    update: (...parameters) => retryWrite(() => engine.update(...parameters), options),
    delete: (...parameters) => retryWrite(() => engine.delete(...parameters), options),
    clearExpired: () => engine.clearExpired(),
  }
}
