/**
 * The cache server cannot be reached, does not answer in time, or refuses commands (full, read-only, wrong password).
 * It has no `cause`, because a driver's error quotes the command that failed, with session keys and data.
 */
export class CacheUnavailable extends Error {
  override name = 'CacheUnavailable'
  readonly code: string = 'ERR_CACHE_UNAVAILABLE'
}

/** An entry of CACHES uses an option or value that is not supported here. The message names the option and quotes no secret. */
export class UnsupportedCache extends Error {
  override name = 'UnsupportedCache'
  readonly code: string = 'ERR_CACHE_UNSUPPORTED'
}
