/**
 * The cache server cannot be reached, does not answer in time, or refuses to work (full, read-only, no password).
 * It has no `cause`: a driver's errors quote the command they failed on, which holds keys and session data.
 */
export class CacheUnavailable extends Error {
  override name = 'CacheUnavailable'
  readonly code: string = 'ERR_CACHE_UNAVAILABLE'
}

/** An entry of CACHES asks for what this cache does not do. The message names it, and never quotes its value. */
export class UnsupportedCache extends Error {
  override name = 'UnsupportedCache'
  readonly code: string = 'ERR_CACHE_UNSUPPORTED'
}
