import type { Cache } from '../caches/cache.ts'
import { openCache } from '../caches/open-cache.ts'
import { databaseKindOf } from '../sql/dialect.ts'
import type { Project } from './open-project.ts'

/** The cache of the sessions: the open server or folder, or a table, which needs no closing. Null without a cache. */
export function openSiteCache(project: Project): Cache | null {
  const { settings, storage, sessionDb, dates, now } = project
  if (storage.cache !== null || settings.cache === null) return storage.cache
  return openCache(settings.cache, {
    database: { db: sessionDb, kind: databaseKindOf(sessionDb), dates },
    now,
    timeout: settings.database.timeout * 1000,
    maxInflatedBytes: settings.session.maxInflatedBytes,
  })
}
