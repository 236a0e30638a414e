import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import type { SqlDatabase } from '../sql/executor.ts'
import type { Cache } from './cache.ts'
import { UnsupportedCache } from './cache-errors.ts'
import type { CacheSettings } from './cache-settings.ts'
import { createDatabaseCache } from './database.ts'
import { createFileBasedCache } from './file-based.ts'
import { createMemcachedCache } from './memcached/memcached.ts'
import { createRedisCache } from './redis/redis.ts'

export interface OpenCacheOptions {
  /** Needed by DatabaseCache; null without a database. */
  readonly database: {
    readonly db: SqlDatabase
    readonly kind: DatabaseKind
    readonly dates: DateColumn
  } | null
  readonly now: () => Date
  /** Milliseconds that an operation may take, including the connection. */
  readonly timeout: number
  /** Largest size of a value after decompression, in bytes; default: 16 MiB. */
  readonly maxInflatedBytes?: number | undefined
}

/**
 * Opens the cache that an entry of CACHES describes.
 * @throws {UnsupportedCache} if an option or its value is not supported.
 */
export function openCache(settings: CacheSettings, options: OpenCacheOptions): Cache {
  const { database, now, timeout, maxInflatedBytes } = options
  const common = { now, ...(maxInflatedBytes !== undefined && { maxInflatedBytes }) }
  const timeouts = { connectTimeout: timeout / 2, commandTimeout: timeout / 2 }
  const [, kind = ''] = /\.(\w+)\.\w+$/.exec(settings.backend) ?? []
  switch (kind) {
    case 'redis':
    case 'cache': // django_redis.cache.RedisCache
      return createRedisCache(withoutIgnoreOptions(settings), { ...common, ...timeouts })
    case 'memcached':
      return createMemcachedCache(withoutIgnoreOptions(settings), { ...common, ...timeouts })
    case 'filebased':
      return createFileBasedCache(settings, { ...common, timeout })
    case 'db':
      if (database === null)
        throw new UnsupportedCache('DatabaseCache needs a database; pass its pool or Knex as `db`')
      return createDatabaseCache(settings, {
        ...common,
        db: database.db,
        database: database.kind,
        dates: database.dates,
      })
    default:
      throw new UnsupportedCache(`BACKEND ${JSON.stringify(settings.backend)} is not supported for sessions`)
  }
}

/**
 * Unlike Django, where these options make an unavailable cache look empty: all visitors would be logged out, and failed
 * removals would be lost.
 */
function withoutIgnoreOptions(settings: CacheSettings): CacheSettings {
  const { IGNORE_EXCEPTIONS, ignore_exc, ...options } = settings.options
  return { ...settings, options }
}
