import type { Cache } from '../caches/cache.ts'
import { ConflictError, type SessionEngine } from '../session/engine.ts'
import { createStaleEntries, type StaleEntriesOptions } from './cache-invalidation.ts'

export interface CachedDbEngineOptions extends Omit<StaleEntriesOptions, 'cache'> {
  /** Where the sessions are; Django's cached_db has the db engine there. */
  readonly engine: SessionEngine
  /** In which Django looks before it looks there. */
  readonly cache: Pick<Cache, 'delete'>
  /** What stands before a session key in the cache; a subclass of Django's store may have its own. */
  readonly keyPrefix?: string
}

/** Source: django/contrib/sessions/backends/cached_db.py, KEY_PREFIX. */
const KEY_PREFIX = 'django.contrib.sessions.cached_db'

/** Source: django-qsessions' backends/cached_db.py, KEY_PREFIX. */
export const QSESSIONS_KEY_PREFIX = 'qsessions.q_cached_db'

/**
 * Sessions of any engine, beside a Django that keeps copies of them in a cache. Unlike Django, which reads the copy
 * first and sets it after each save, we read the engine alone and only ever remove copies: two writers who set could
 * leave the older data, and a copy that is stale can so not reach us.
 *
 * A copy is removed before each write, so that none is left should this process die in between; after it, since Django
 * may have read the old session meanwhile; and once more a moment later, since Django may read it before the write and
 * set it after the second removal. A removal that fails fails no request: it is owed (stale-entries.ts).
 *
 * A copy whose session is not in the engine counts for nothing here. (Django makes such a one where a view that saved
 * its session is rolled back; it shows it until it expires.)
 * Source: django/contrib/sessions/backends/cached_db.py.
 */
export function createCachedDbEngine({
  engine,
  cache,
  keyPrefix = KEY_PREFIX,
  ...options
}: CachedDbEngineOptions): SessionEngine & { close(): Promise<void> } {
  const stale = createStaleEntries({ ...options, cache })

  async function between<R>(sessionKey: string, write: () => Promise<R>): Promise<R> {
    const key = `${keyPrefix}${sessionKey}`
    await stale.remove(key)
    let mayHaveWritten = true
    try {
      return await write()
    } catch (error) {
      mayHaveWritten = !(error instanceof ConflictError)
      throw error
    } finally {
      if (mayHaveWritten) {
        await stale.remove(key)
        stale.removeSoon(key)
      }
    }
  }

  return {
    keepsNothing: engine.keepsNothing === true,
    // With the client: django-qsessions marks a session as modified in `load` when IP or browser differ, behind a cache
    // too (qsessions/backends/db.py, load, which its cached_db.py inherits).
    load: (sessionKey, client) => engine.load(sessionKey, client),
    exists: (sessionKey) => engine.exists(sessionKey),
    create: (sessionKey, session) => between(sessionKey, () => engine.create(sessionKey, session)),
    update: (sessionKey, session, revision) =>
      between(sessionKey, () => engine.update(sessionKey, session, revision)),
    delete: (sessionKey, revision) => between(sessionKey, () => engine.delete(sessionKey, revision)),
    // Django gives a copy the age that its session has left, so what has expired has no copy.
    clearExpired: () => engine.clearExpired(),
    close: () => stale.close(),
  }
}
