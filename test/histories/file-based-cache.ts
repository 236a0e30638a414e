import type { CacheSettings } from '../../src/caches/cache-settings.ts'

/** Django's FileBasedCache in this folder, which processes of both sides share. */
export function fileBasedCache(folder: string): CacheSettings {
  const backend = 'django.core.cache.backends.filebased.FileBasedCache'
  return { backend, location: [folder], keyPrefix: '', version: 1, options: {} }
}

/** CACHES of settings.py with this cache, as JSON. */
export function cachesOf({ backend, location: [folder] }: CacheSettings): string {
  return JSON.stringify({ default: { BACKEND: backend, LOCATION: folder } })
}
