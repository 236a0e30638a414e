import type { Cache } from '../caches/cache.ts'
import { withDeadline } from '../concurrency/deadline.ts'
import { guardEvents, type SessionEvents } from '../session/events.ts'

export interface CacheInvalidationOptions {
  readonly cache: Pick<Cache, 'delete'>
  /** Milliseconds that a removal may take before the request goes on without it. */
  readonly timeout?: number
  /** Milliseconds after which `removeSoon` removes: longer than a Django request needs from its query to its `set`. */
  readonly settleTime?: number
  /** Milliseconds between two tries while the cache is unreachable. */
  readonly retryInterval?: number
  /** How many failed removals are kept for another try; beyond that the oldest is given up. */
  readonly maxPending?: number
  /** Runs something later and returns what cancels it; default: a timer, which does not keep the process alive. */
  readonly schedule?: (run: () => void, milliseconds: number) => () => void
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
  /** Listeners: `cacheFailure` happens for each removal that fails, and when some are given up; no key is part of it. */
  readonly events?: Partial<SessionEvents>
}

/** Removes entries of a cache, and tries again while the cache is unreachable. */
export interface CacheInvalidation {
  /** Removes the entry; a removal that fails is tried again later. Never rejects. */
  remove(key: string): Promise<void>
  /** Removes the entry once more after `settleTime`, counted from the last call for this key. */
  removeSoon(key: string): void
  /** Waits until each `removeSoon` has removed its entry, or tried to. */
  settle(): Promise<void>
  /** Does the remaining removals at once. Those that fail now are given up. */
  close(): Promise<void>
}

/** The cache did not answer in time. */
export class CacheTimeout extends Error {
  override name = 'CacheTimeout'
  readonly code: string = 'ERR_CACHE_TIMEOUT'
}

/** A removal failed, and will not be tried again. */
export class GivenUp extends Error {
  override name = 'GivenUp'
  readonly code: string = 'ERR_CACHE_REMOVAL_GIVEN_UP'
}

/** How many pending removals run at once. */
const BATCH = 64

/**
 * Failed removals are pending, and tried again every `retryInterval` until all have succeeded. Meanwhile no request waits
 * for a cache that is known to be unreachable. Pending removals are in the memory of this process. They are lost with it;
 * a cache that was unreachable then serves its old entries until they expire.
 */
export function createCacheInvalidation({
  cache,
  timeout = 2000,
  settleTime = 1000,
  retryInterval = 250,
  maxPending = 100_000,
  schedule = unreferencedTimer,
  monotonic = () => performance.now(),
  events,
}: CacheInvalidationOptions): CacheInvalidation {
  const { cacheFailure } = guardEvents(events)
  /**
   * Key to the id of its latest failed attempt. A removal that was requested again while an attempt was in flight has a
   * higher id, so that the success of that attempt does not count for it.
   */
  const pending = new Map<string, number>()
  let attempts = 0
  let isUnreachable = false
  let flushing: Promise<void> | null = null
  let cancelRetry: (() => void) | null = null
  /** Key to the time of its second removal, in the order of the times. */
  const soon = new Map<string, number>()
  let cancelSoon: (() => void) | null = null
  let isClosed = false

  function enqueue(key: string, attemptId: number): void {
    pending.delete(key)
    pending.set(key, attemptId)
    const [oldest] = pending.keys()
    if (pending.size <= maxPending || oldest === undefined) return
    pending.delete(oldest)
    cacheFailure({ error: new GivenUp('too many removals are pending'), owed: pending.size, givenUp: 1 })
  }

  /** Whether the removal succeeded; if not, it is pending. */
  async function attempt(key: string, attemptId: number): Promise<boolean> {
    try {
      await withDeadline(cache.delete(key), timeout, {
        onLate() {
          throw new CacheTimeout('the cache does not answer')
        },
      })
      isUnreachable = false
      if (pending.get(key) === attemptId) pending.delete(key)
      return true
    } catch (error) {
      isUnreachable = true
      // At the end of the queue: the cache may refuse this key alone.
      if ((pending.get(key) ?? 0) <= attemptId) enqueue(key, attemptId)
      cacheFailure({ error, owed: pending.size, givenUp: 0 })
      return false
    }
  }

  /** Begins with one removal: if the cache is still unreachable, only that one waits for its timeout. */
  async function flushPending(): Promise<void> {
    for (let size = 1; pending.size > 0; size = BATCH) {
      const batch = [...pending.entries().take(size)]
      const succeeded = await Promise.all(batch.map(([key, attemptId]) => attempt(key, attemptId)))
      if (succeeded.includes(false)) return
    }
  }

  function retryLater(): void {
    if (!isClosed && flushing === null) cancelRetry ??= schedule(retry, retryInterval)
  }

  function retry(): void {
    cancelRetry = null
    flushing = flushPending().finally(() => {
      flushing = null
      if (pending.size > 0) retryLater()
    })
  }

  async function remove(key: string): Promise<void> {
    attempts += 1
    const attemptId = attempts
    if (isUnreachable) enqueue(key, attemptId)
    else if (await attempt(key, attemptId)) return
    retryLater()
  }

  function removeDue(): void {
    cancelSoon = null
    const now = monotonic()
    for (const [key, due] of soon) {
      if (due > now) {
        cancelSoon = schedule(removeDue, due - now)
        return
      }
      soon.delete(key)
      void remove(key)
    }
  }

  return {
    remove,

    removeSoon(key) {
      soon.delete(key)
      soon.set(key, monotonic() + settleTime)
      cancelSoon ??= schedule(removeDue, settleTime)
    },

    async settle() {
      for (;;) {
        const due = [...soon.values()].at(-1)
        if (due === undefined) return
        const { promise, resolve } = Promise.withResolvers<void>()
        setTimeout(resolve, Math.max(due - monotonic(), 1))
        await promise
      }
    },

    async close() {
      isClosed = true
      cancelSoon?.()
      await flushing
      cancelRetry?.()
      for (const key of soon.keys()) enqueue(key, attempts)
      soon.clear()
      await flushPending()
      const givenUp = pending.size
      pending.clear()
      if (givenUp > 0) cacheFailure({ error: new GivenUp('the process ends'), owed: 0, givenUp })
    },
  }
}

function unreferencedTimer(run: () => void, milliseconds: number): () => void {
  const timer = setTimeout(run, milliseconds)
  timer.unref()
  return () => clearTimeout(timer)
}
