import type { SessionData } from '../django/json.ts'

/** What a cache holds under a key. */
export interface CachedSession {
  readonly data: SessionData
  /** When the medium will forget it; null where it cannot tell, or never will. */
  readonly expireDate: Date | null
  /** What `replace` and `remove` compare with; opaque. */
  readonly revision: string
}

/**
 * One of Django's CACHES, as far as sessions need it: a dictionary under a key, which the cache itself extends by
 * KEY_PREFIX and VERSION, and keeps in the very bytes in which that BACKEND keeps it. Timeouts are in seconds; one that
 * is not positive means already expired. Source: django/core/cache/backends/base.py.
 */
export interface Cache {
  /**
   * What is there and has not expired, or null.
   * @throws {UnreadableSession} when it is no dictionary that we can read.
   */
  get(key: string): Promise<CachedSession | null>
  /** Stores unless something is there; whether it did, and then the new revision. Source: `cache.add`. */
  add(key: string, data: SessionData, timeout: number): Promise<{ revision: string } | null>
  /** Stores only where what is there is what `revision` saw. */
  replace(
    key: string,
    data: SessionData,
    timeout: number,
    revision: string,
  ): Promise<{ revision: string } | 'missing' | 'changed'>
  /** Removes whatever is there; nothing is fine. */
  delete(key: string): Promise<void>
  /** Removes what is there only where it is what `revision` saw. */
  remove(key: string, revision: string): Promise<'removed' | 'missing' | 'changed'>
  /** Removes what has expired where the medium does not do so itself; gives the number. */
  clearExpired(): Promise<number>
  /** Ends the connections; nothing may be running any more. */
  close(): Promise<void>
}
