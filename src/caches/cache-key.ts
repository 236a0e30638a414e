import type { CacheSettings } from './cache-settings.ts'

/** Returns the key under which the cache server or table stores the entry. Source: django/core/cache/backends/base.py, default_key_func. */
export function cacheKey({ keyPrefix, version }: CacheSettings, key: string): string {
  return `${keyPrefix}:${version}:${key}`
}
