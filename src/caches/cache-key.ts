import type { CacheSettings } from './cache-settings.ts'

/** The key in the medium. Source: django/core/cache/backends/base.py, default_key_func. */
export function cacheKey({ keyPrefix, version }: CacheSettings, key: string): string {
  return `${keyPrefix}:${version}:${key}`
}
