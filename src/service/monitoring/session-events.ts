import { createOncePerInterval } from '../../concurrency/once-per-interval.ts'
import type { CacheFailure, SessionEvents } from '../../session/events.ts'
import { keyHash } from '../../session/key-hash.ts'
import { errorFields, type Log } from './log.ts'
import type { Metrics } from './metrics.ts'

export interface SessionEventsOptions {
  readonly log: Log
  /** Null without metrics. */
  readonly metrics: Metrics | null
  readonly environment: 'development' | 'production'
}

/** What the sessions report, as log lines and as metrics; most metrics come from the tracing channels. */
export function createSessionEvents({
  log,
  metrics,
  environment,
}: SessionEventsOptions): Partial<SessionEvents> {
  const logCacheFailure = createCacheFailureLog(log)
  return {
    ...metrics?.events,
    unreadable(sessionKey, { reason, message }) {
      log.warn('session.unreadable', { keyHash: keyHash(sessionKey), reason, message })
    },
    cacheFailure(failure) {
      logCacheFailure(failure)
      metrics?.events.cacheFailure(failure)
    },
    lostChange:
      environment === 'development'
        ? (keys) => log.warn('session.lost_change', { keys, hint: LOST_CHANGE })
        : null,
  }
}

const LOST_CHANGE =
  'a value was changed in place and not saved; set session.modified = true after such a change'

/** Milliseconds between two lines about the same kind of failure: an unreachable cache fails many times a second. */
const CACHE_LOG_INTERVAL = 10_000

function createCacheFailureLog(log: Log): (failure: CacheFailure) => void {
  const isDue = createOncePerInterval(CACHE_LOG_INTERVAL)
  return ({ error, owed, givenUp }) => {
    if (!isDue(error instanceof Error ? error.name : '')) return
    log.warn('session.cache_failed', { owed, givenUp, ...errorFields(error) })
  }
}
