import type { Cache } from '../caches/cache.ts'
import { withDeadline } from '../concurrency/deadline.ts'
import { guardEvents, type SessionEvents } from '../session/events.ts'

export interface StaleEntriesOptions {
  readonly cache: Pick<Cache, 'delete'>
  /** Milliseconds that a removal may take before the request goes on without it. */
  readonly timeout?: number
  /** Milliseconds after which `removeSoon` removes: longer than a Django request needs from its query to its `set`. */
  readonly settleTime?: number
  /** Milliseconds between two tries while the cache is away. */
  readonly retryInterval?: number
  /** How many removals may be owed; beyond it the oldest is given up. */
  readonly maxOwed?: number
  /** Runs something later and gives what cancels it; unless given a timer, which keeps no process alive. */
  readonly schedule?: (run: () => void, milliseconds: number) => () => void
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
  /** Listeners: `cacheFailure` happens for each removal that fails, and when some are given up; no key is part of it. */
  readonly events?: Partial<SessionEvents>
}

/** Entries of a cache that must go, whatever becomes of the cache meanwhile. */
export interface StaleEntries {
  /** Removes the entry; while the cache is away the removal is owed. Never rejects. */
  remove(key: string): Promise<void>
  /** Removes it once more after `settleTime`, counted from the last call for this key. */
  removeSoon(key: string): void
  /** Does at once what is left to do; a cache that is away then ends it, and what is owed is given up. */
  close(): Promise<void>
}

/** A cache that does not answer in time. */
export class CacheTimeout extends Error {
  override name = 'CacheTimeout'
  readonly code: string = 'ERR_CACHE_TIMEOUT'
}

/** A removal that was owed and will not be tried again. */
export class GivenUp extends Error {
  override name = 'GivenUp'
  readonly code: string = 'ERR_CACHE_REMOVAL_GIVEN_UP'
}

/** How many removals are on their way at once when many are owed. */
const BATCH = 64

/**
 * What is owed is tried again every `retryInterval` until all of it has succeeded. Meanwhile no request waits for a cache
 * that is known to be away. The debt is in this process's memory: it is lost with
 * the process, and so may a cache that was unreachable then show what it had until it expires.
 */
export function createStaleEntries({
  cache,
  timeout = 2000,
  settleTime = 1000,
  retryInterval = 250,
  maxOwed = 100_000,
  schedule = unreferencedTimer,
  monotonic = () => performance.now(),
  events,
}: StaleEntriesOptions): StaleEntries {
  const { cacheFailure } = guardEvents(events)
  /** The number tells a debt that was made anew while its removal was under way. */
  const owed = new Map<string, number>()
  let debts = 0
  let isAway = false
  let retrying: Promise<void> | null = null
  let cancelRetry: (() => void) | null = null
  /** When it is to be removed once more, in the order of the times. */
  const soon = new Map<string, number>()
  let cancelSoon: (() => void) | null = null
  let isClosed = false

  function owe(key: string, debt: number): void {
    owed.delete(key)
    owed.set(key, debt)
    const [oldest] = owed.keys()
    if (owed.size <= maxOwed || oldest === undefined) return
    owed.delete(oldest)
    cacheFailure({ error: new GivenUp('too many removals are owed'), owed: owed.size, givenUp: 1 })
  }

  /** Owes the removal where it fails; gives whether it succeeded. */
  async function attempt(key: string, debt: number): Promise<boolean> {
    try {
      await withDeadline(cache.delete(key), timeout, {
        onLate() {
          throw new CacheTimeout('the cache does not answer')
        },
      })
      isAway = false
      if (owed.get(key) === debt) owed.delete(key)
      return true
    } catch (error) {
      isAway = true
      if ((owed.get(key) ?? 0) <= debt) owe(key, debt) // to the end: it may be this one key that the cache refuses
      cacheFailure({ error, owed: owed.size, givenUp: 0 })
      return false
    }
  }

  /** One first: many at a cache that is still away would all wait in vain. */
  async function payBack(): Promise<void> {
    for (let size = 1; owed.size > 0; size = BATCH) {
      const paid = await Promise.all([...owed.entries().take(size)].map(([key, debt]) => attempt(key, debt)))
      if (paid.includes(false)) return
    }
  }

  function retryLater(): void {
    if (!isClosed && retrying === null) cancelRetry ??= schedule(retry, retryInterval)
  }

  function retry(): void {
    cancelRetry = null
    retrying = payBack().finally(() => {
      retrying = null
      if (owed.size > 0) retryLater()
    })
  }

  async function remove(key: string): Promise<void> {
    debts += 1
    const debt = debts
    if (isAway) owe(key, debt)
    else if (await attempt(key, debt)) return
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

    async close() {
      isClosed = true
      cancelSoon?.()
      await retrying
      cancelRetry?.()
      for (const key of soon.keys()) owe(key, debts)
      soon.clear()
      await payBack()
      const givenUp = owed.size
      owed.clear()
      if (givenUp > 0) cacheFailure({ error: new GivenUp('the process ends'), owed: 0, givenUp })
    },
  }
}

function unreferencedTimer(run: () => void, milliseconds: number): () => void {
  const timer = setTimeout(run, milliseconds)
  timer.unref()
  return () => clearTimeout(timer)
}
