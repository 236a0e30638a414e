import type { Cache } from '../caches/cache.ts'
import type { SessionEngineNeeds } from '../django/session-engines.ts'
import { ConflictError, type SessionEngine } from '../session/engine.ts'
import { type CacheInvalidationOptions, createCacheInvalidation } from './cache-invalidation.ts'

/** The options of `createCachedDbEngine`. */
export interface CachedDbEngineOptions extends Omit<CacheInvalidationOptions, 'cache'> {
  /** Where the sessions are stored; in Django's cached_db the db engine. */
  readonly engine: SessionEngine
  /** Where Django looks first. */
  readonly cache: Pick<Cache, 'delete'>
  /** The prefix of a session key in the cache; default: that of Django's cached_db. A subclass may have its own. */
  readonly keyPrefix?: string
}

export interface CachedDbEngine extends SessionEngine {
  /** Removes the copies of these sessions before and after `write`, which changes or deletes them in the engine. */
  invalidatingAll<R>(sessionKeys: readonly string[], write: () => Promise<R>): Promise<R>
  /** Waits for the last removals of copies, for a process that ends soon after. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** Source: django/contrib/sessions/backends/cached_db.py, KEY_PREFIX. */
export const CACHED_DB_KEY_PREFIX = 'django.contrib.sessions.cached_db'

/** Source: django-qsessions' backends/cached_db.py, KEY_PREFIX. */
const QSESSIONS_KEY_PREFIX = 'qsessions.q_cached_db'

/** What the keys of the copies begin with that a `cached_db` engine of this package makes. */
export function copyPrefixOf({ package: name }: Pick<SessionEngineNeeds, 'package'>): string {
  return name === 'django-qsessions' ? QSESSIONS_KEY_PREFIX : CACHED_DB_KEY_PREFIX
}

/**
 * Sessions of any engine, beside a Django that keeps copies of them in a cache. Unlike Django, which reads the copy
 * first and sets it after each save, we read from the engine alone and only remove copies. Two writers that both set the
 * copy could leave the older data in it; and a stale copy is never read here.
 *
 * A copy is removed three times. Before the write: no copy is left if this process dies after it. After the write: Django
 * may have read the old session meanwhile. And a moment later: Django may read the old session before the write, and set
 * the copy after the second removal. A removal that fails does not fail the request; it is tried again
 * (cache-invalidation.ts).
 *
 * A copy without a session in the engine is ignored here. Django makes such a copy when it rolls back a view that saved
 * its session, and serves it until it expires.
 * Source: django/contrib/sessions/backends/cached_db.py.
 */
export function createCachedDbEngine({
  engine,
  cache,
  keyPrefix = CACHED_DB_KEY_PREFIX,
  ...options
}: CachedDbEngineOptions): CachedDbEngine {
  const copies = createCacheInvalidation({ ...options, cache })
  const invalidating = <R>(sessionKey: string, write: () => Promise<R>) =>
    invalidatingAll([sessionKey], write)

  async function invalidatingAll<R>(sessionKeys: readonly string[], write: () => Promise<R>): Promise<R> {
    const keys = sessionKeys.map((sessionKey) => `${keyPrefix}${sessionKey}`)
    const removeAll = () => Promise.all(keys.map((key) => copies.remove(key)))
    await removeAll()
    let mayHaveWritten = true
    try {
      return await write()
    } catch (error) {
      mayHaveWritten = !(error instanceof ConflictError)
      throw error
    } finally {
      if (mayHaveWritten) {
        await removeAll()
        for (const key of keys) copies.removeSoon(key)
      }
    }
  }

  return {
    keepsNothing: engine.keepsNothing === true,
    // With the client: django-qsessions marks a session as modified in `load` when IP or browser differ, behind a cache
    // too (qsessions/backends/db.py, load, which its cached_db.py inherits).
    load: (sessionKey, client) => engine.load(sessionKey, client),
    exists: (sessionKey) => engine.exists(sessionKey),
    create: (sessionKey, session) => invalidating(sessionKey, () => engine.create(sessionKey, session)),
    update: (sessionKey, session, revision) =>
      invalidating(sessionKey, () => engine.update(sessionKey, session, revision)),
    delete: (sessionKey, revision) => invalidating(sessionKey, () => engine.delete(sessionKey, revision)),
    // Django gives a copy the remaining age of its session, so an expired session has no copy.
    clearExpired: () => engine.clearExpired(),
    invalidatingAll,
    settle: () => copies.settle(),
    close: () => copies.close(),
  }
}
