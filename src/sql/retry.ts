import { setTimeout as delay } from 'node:timers/promises'
import { createBackoff } from '../concurrency/backoff.ts'
import { isConnectionLost, isNotExecuted } from './driver-errors.ts'

/** How a transient failure of the database is met. */
export interface RetryOptions {
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

/** Repeats a write, only after an error that says that it was not executed. */
export function retryWrite<R>(write: () => Promise<R>, options: RetryOptions = {}): Promise<R> {
  return retry(write, isNotExecuted, options)
}

/** Repeats a read, after a lost connection, too. */
export function retryRead<R>(read: () => Promise<R>, options: RetryOptions = {}): Promise<R> {
  return retry(read, (error) => isNotExecuted(error) || isConnectionLost(error), options)
}

async function retry<R>(
  operation: () => Promise<R>,
  mayRepeat: (error: unknown) => boolean,
  { timeout = 2000, onRetry = () => {}, ...options }: RetryOptions,
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
