import type { Cache } from '../caches/cache.ts'
import { type ExpiryRules, getExpiryAge, InvalidSessionExpiry } from '../django/expiry.ts'
import type { SessionData } from '../django/json.ts'
import { UnreadableSession } from '../django/session-data.ts'
import {
  ConflictError,
  CreateError,
  type NewSession,
  type SessionEngine,
  UpdateError,
} from '../session/engine.ts'
import { expireDateSince, expiryIn } from './stored-expiry.ts'

/** The options of `createCacheEngine`. */
export interface CacheEngineOptions {
  readonly cache: Cache
  /** The rules of expiry, for a cache that cannot say when an entry expires. */
  readonly rules: ExpiryRules
  readonly now?: () => Date
}

/** Source: django/contrib/sessions/backends/cache.py, KEY_PREFIX. */
export const CACHE_KEY_PREFIX = 'django.contrib.sessions.cache'

/**
 * Sessions in a cache alone. Sessions that the cache evicts, or loses at a restart, cannot be restored; their visitors are
 * logged out. Unlike Django, which writes back what it has loaded, an update is compare-and-swap, as far as the cache can
 * (its docstring says). While the cache is away, every call rejects.
 * Source: django/contrib/sessions/backends/cache.py.
 */
export function createCacheEngine({
  cache,
  rules,
  now = () => new Date(),
}: CacheEngineOptions): SessionEngine {
  const keyOf = (sessionKey: string): string => `${CACHE_KEY_PREFIX}${sessionKey}`
  const timeoutOf = (session: NewSession): number => secondsUntil(session, rules, now())

  return {
    async load(sessionKey) {
      const found = await cache.get(keyOf(sessionKey))
      if (found === null) return null
      const { data, revision } = found
      return { data, expireDate: found.expireDate ?? expireDateSince(now(), data, rules), revision }
    },

    async exists(sessionKey) {
      try {
        return (await cache.get(keyOf(sessionKey))) !== null
      } catch (error) {
        if (error instanceof UnreadableSession) return true
        throw error
      }
    },

    async create(sessionKey, session) {
      const added = await cache.add(keyOf(sessionKey), session.data, timeoutOf(session))
      if (added === null) throw new CreateError('the session key is taken')
      return { ...session, sessionKey, ...added }
    },

    async update(sessionKey, session, revision) {
      const replaced = await cache.replace(keyOf(sessionKey), session.data, timeoutOf(session), revision)
      if (replaced === 'missing' || replaced === 'changed') throw failureOf(replaced)
      return { ...session, sessionKey, ...replaced }
    },

    async delete(sessionKey, revision) {
      if (revision === undefined) return cache.delete(keyOf(sessionKey))
      const removed = await cache.remove(keyOf(sessionKey), revision)
      if (removed !== 'removed') throw failureOf(removed)
    },

    clearExpired: () => cache.clearExpired(),
  }
}

function failureOf(outcome: 'missing' | 'changed'): UpdateError | ConflictError {
  return outcome === 'missing'
    ? new UpdateError('this session was deleted')
    : new ConflictError('another request has saved this session')
}

/**
 * The timeout that Django hands to the cache: `get_expiry_age()`, which cuts a date to whole seconds, and does not count
 * the moment that has passed since `expireDate` was computed. An `expireDate` that differs from the data's counts as it is.
 */
function secondsUntil({ data, expireDate }: NewSession, rules: ExpiryRules, now: Date): number {
  const seconds = (expireDate.getTime() - now.getTime()) / 1000
  const age = ageIn(data, rules, now)
  return age !== null && Math.abs(age - seconds) < 1 ? age : seconds
}

function ageIn(data: SessionData, rules: ExpiryRules, now: Date): number | null {
  try {
    return getExpiryAge(expiryIn(data), rules, now)
  } catch (error) {
    if (error instanceof InvalidSessionExpiry) return null
    throw error
  }
}
