import type { Cache } from './cache.ts'
import { CacheUnavailable } from './cache-errors.ts'

/**
 * Implements IGNORE_EXCEPTIONS of django-redis and `ignore_exc` of pymemcache: an unavailable cache looks empty, and what
 * is written to it is dropped.
 * Source: omit_exception in django_redis/cache.py, _safely_run_func in pymemcache/client/hash.py.
 */
export function createFaultIgnoringCache(cache: Cache): Cache {
  return {
    ...cache,
    get: (key) => orElse(cache.get(key), null),
    add: (...parameters) => orElse(cache.add(...parameters), null),
    replace: (...parameters) => orElse(cache.replace(...parameters), 'missing'),
    delete: (key) => orElse(cache.delete(key), undefined),
    remove: (...parameters) => orElse(cache.remove(...parameters), 'missing'),
  }
}

async function orElse<R, S>(result: Promise<R>, fallback: S): Promise<R | S> {
  try {
    return await result
  } catch (error) {
    if (error instanceof CacheUnavailable) return fallback
    throw error
  }
}
