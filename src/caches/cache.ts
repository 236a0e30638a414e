import type { SessionData } from '../django/json.ts'

/** A cache entry. */
export interface CachedSession {
  readonly data: SessionData
  /** When the entry expires; null if it never expires, or the cache cannot tell. */
  readonly expireDate: Date | null
  /** Opaque; `replace` and `remove` compare it. */
  readonly revision: string
}

/**
 * One of Django's CACHES, with the operations that sessions need. An entry is a dictionary, stored in the same bytes as
 * by the BACKEND of Django. The cache adds KEY_PREFIX and VERSION to each key. Timeouts are in seconds; zero or less
 * means already expired. Source: django/core/cache/backends/base.py.
 */
export interface Cache {
  /**
   * Returns the entry; null if it does not exist or has expired.
   * @throws {UnreadableSession} if the entry is not a dictionary that can be read here.
   */
  get(key: string): Promise<CachedSession | null>
  /** Stores the entry if none exists, and returns its revision; null if one exists. Source: `cache.add`. */
  add(key: string, data: SessionData, timeout: number): Promise<{ revision: string } | null>
  /** Replaces the entry if its revision is still `revision`; returns the new revision. */
  replace(
    key: string,
    data: SessionData,
    timeout: number,
    revision: string,
  ): Promise<{ revision: string } | 'missing' | 'changed'>
  /** Removes the entry, whatever its revision; does nothing if it does not exist. */
  delete(key: string): Promise<void>
  /** Removes the entry if its revision is still `revision`. */
  remove(key: string, revision: string): Promise<'removed' | 'missing' | 'changed'>
  /** Removes expired entries if the medium does not do so itself; returns their number. */
  clearExpired(): Promise<number>
  /** Closes the connections. Call it only after all other calls have ended. */
  close(): Promise<void>
}
