import { setTimeout as delay } from 'node:timers/promises'
import type { SessionEngine } from '../session/engine.ts'
import { isConnectionLost, isNotExecuted } from '../sql/driver-errors.ts'

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

/** The same for any question to the database, which may be repeated after a lost connection too. */
export function retryRead<R>(read: () => Promise<R>, options: RetryingEngineOptions = {}): Promise<R> {
  return retry(read, (error) => isNotExecuted(error) || isConnectionLost(error), options)
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
