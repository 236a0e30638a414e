import type { Knex } from 'knex'
import type { Cache } from '../caches/cache.ts'
import { CacheUnavailable } from '../caches/cache-errors.ts'
import { openCache } from '../caches/open-cache.ts'
import { SESSION_ENGINES } from '../django/session-engines.ts'
import { openDatabase } from './database/open-database.ts'
import type { Settings } from './settings/settings.ts'
import { CannotStart, type Place } from './start-problem.ts'

/** The databases and the cache server that the settings name. */
export interface Storage {
  readonly db: Knex
  /** The database of the sessions; the same as `db` without SESSION_DATABASE_URL. */
  readonly sessionDb: Knex
  readonly place: Place
  readonly sessionPlace: Place
  /** A connection to the cache server of the sessions, for checks; null without such a server. */
  readonly cache: Cache | null
  /** Each database once. */
  readonly pools: readonly Knex[]
  close(): Promise<void>
}

/** Connects to nothing yet. @throws {CannotStart} {MissingDatabase} {DatabaseMismatch} */
export function openStorage(settings: Settings): Storage {
  const place: Place = { setting: 'DATABASE_URL', database: settings.database }
  const sessionPlace: Place =
    settings.sessionDatabase === null
      ? place
      : { setting: 'SESSION_DATABASE_URL', database: settings.sessionDatabase }
  const db = openPlace(place)
  const sessionDb = sessionPlace === place ? db : openPlace(sessionPlace)
  const cache = openCacheServer(settings)
  const pools = [...new Set([db, sessionDb])]
  return {
    db,
    sessionDb,
    place,
    sessionPlace,
    cache,
    pools,
    async close() {
      await cache?.close()
      for (const database of pools) await database.destroy()
    },
  }
}

/** @throws {CannotStart} {MissingDatabase} {DatabaseMismatch} */
function openPlace({ setting, database }: Place): Knex {
  try {
    return openDatabase(database)
  } catch (error) {
    const ca = database.kind === 'sqlite' ? null : (database.tls?.ca ?? null)
    if (ca === null || !(error instanceof Error && 'code' in error)) throw error
    throw new CannotStart(
      `${setting}: the file ${ca} of the certificate authority cannot be read; correct its name, or give this process the right to read it (${error.code})`,
    )
  }
}

const DATABASE_CACHE = 'django.core.cache.backends.db.DatabaseCache'

/** Whether the sessions are in a table of the database that is used as a cache. */
export function usesDatabaseCache({ cache }: Settings): boolean {
  return cache?.backend === DATABASE_CACHE
}

function openCacheServer(settings: Settings): Cache | null {
  const { cache, database } = settings
  if (cache === null || usesDatabaseCache(settings)) return null
  return openCache(cache, { database: null, now: () => new Date(), timeout: database.timeout * 1000 })
}

/** Whether the cache is the only place of the sessions, so that no page is served without it. */
export function keepsSessionsInCacheAlone({ session }: Settings): boolean {
  return SESSION_ENGINES.get(session.engine)?.keptIn === 'cache'
}

/**
 * Asks the cache for one key.
 * @throws {CannotStart} when the server rejects the user or the password.
 * @throws {CacheUnavailable} when the server is unavailable and no page is served without it.
 */
export async function checkCache(cache: Cache, settings: Settings): Promise<void> {
  try {
    await probeCache(cache)
  } catch (error) {
    if (!(error instanceof CacheUnavailable)) throw error
    if (/\b(?:NOAUTH|WRONGPASS|NOPERM)$/.test(error.message))
      throw new CannotStart(
        `CACHES: ${error.message}; set user and password in its LOCATION or OPTIONS as in Django`,
      )
    if (keepsSessionsInCacheAlone(settings)) throw error
  }
}

/** Asks for a key that no session has: it is longer than Django's. @throws {CacheUnavailable} */
export async function probeCache(cache: Cache): Promise<void> {
  await cache.get('koa-django-sessions.readiness.is.asked.for.this.key')
}
