import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { createCacheInvalidation } from '../../src/engines/cache-invalidation.ts'
import type { CacheFailure } from '../../src/session/events.ts'

/** A cache whose answers the test decides: with a real one their order and their delay are random. */
function createScriptedCache() {
  const asked: { key: string; succeed(): void; fail(): void }[] = []
  return {
    asked,
    keys: () => asked.map(({ key }) => key),
    delete: (key: string) =>
      new Promise<void>((resolve, reject) => {
        asked.push({ key, succeed: resolve, fail: () => reject(new Error('the cache is unreachable')) })
      }),
  }
}

/** Timers that the test lets run. */
function createSchedule() {
  const waiting = new Set<() => void>()
  return {
    schedule(run: () => void) {
      waiting.add(run)
      return () => void waiting.delete(run)
    },
    async elapse() {
      const due = [...waiting]
      waiting.clear()
      for (const run of due) run()
      await delay(0)
    },
    waiting,
  }
}

test('a removal that fails is pending, and tried again until it succeeds', async (t) => {
  const [cache, { schedule, elapse, waiting }] = [createScriptedCache(), createSchedule()]
  const failures: CacheFailure[] = []
  const copies = createCacheInvalidation({
    cache,
    schedule,
    events: { cacheFailure: (failure) => failures.push(failure) },
  })
  const removal = copies.remove('a')
  cache.asked[0]?.fail()
  await removal
  await elapse()
  cache.asked[1]?.fail()
  await delay(0)
  await elapse()
  cache.asked[2]?.succeed()
  await delay(0)
  t.deepEqual(cache.keys(), ['a', 'a', 'a'])
  t.deepEqual(
    failures.map(({ owed }) => owed),
    [1, 1],
  )
  t.is(waiting.size, 0, 'nothing is pending, so no timer runs')
})

test('while the cache is unreachable removals do not ask it, and the first retry is a single removal', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const copies = createCacheInvalidation({ cache, schedule })
  const removal = copies.remove('a')
  cache.asked[0]?.fail()
  await removal
  for (const key of ['b', 'c', 'd']) await copies.remove(key)
  t.is(cache.asked.length, 1)
  await elapse()
  t.deepEqual(cache.keys(), ['a', 'a'])
  cache.asked[1]?.succeed()
  await delay(0)
  t.deepEqual(cache.keys(), ['a', 'a', 'b', 'c', 'd'])
})

test('a removal that is requested again while its retry is in flight is done once more', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const copies = createCacheInvalidation({ cache, schedule })
  const removal = copies.remove('a')
  cache.asked[0]?.fail()
  await removal
  await elapse() // the second try is in flight,
  await copies.remove('a') // and another write removes the copy
  cache.asked[1]?.succeed()
  await delay(0)
  t.deepEqual(cache.keys(), ['a', 'a', 'a'])
})

test('a key that the cache refuses does not block the other keys', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const copies = createCacheInvalidation({ cache, schedule })
  const removals = [copies.remove('refused'), copies.remove('b')]
  for (const { fail } of cache.asked) fail()
  await Promise.all(removals)
  await elapse()
  cache.asked[2]?.fail()
  await delay(0)
  await elapse()
  t.deepEqual(cache.keys(), ['refused', 'b', 'refused', 'b'])
})

test('beyond the limit the oldest pending removal is given up, and a listener is told', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const failures: CacheFailure[] = []
  const copies = createCacheInvalidation({
    cache,
    schedule,
    maxPending: 2,
    events: { cacheFailure: (failure) => failures.push(failure) },
  })
  const removal = copies.remove('a')
  cache.asked[0]?.fail()
  await removal
  for (const key of ['b', 'c']) await copies.remove(key)
  t.deepEqual(
    failures.map(({ owed, givenUp }) => ({ owed, givenUp })),
    [
      { owed: 1, givenUp: 0 },
      { owed: 2, givenUp: 1 },
    ],
  )
  await elapse()
  t.deepEqual(cache.keys(), ['a', 'b'])
})

test('closing does at once the removals that were scheduled', async (t) => {
  const [cache, { schedule, waiting }] = [createScriptedCache(), createSchedule()]
  const copies = createCacheInvalidation({ cache, schedule })
  copies.removeSoon('a')
  t.is(waiting.size, 1)
  const closing = copies.close()
  await delay(0)
  cache.asked[0]?.succeed()
  await closing
  t.deepEqual(cache.keys(), ['a'])
  t.is(waiting.size, 0)
})

test('closing while the cache is unreachable ends, and a listener is told how many removals are given up', async (t) => {
  const [cache, { schedule, waiting }] = [createScriptedCache(), createSchedule()]
  const failures: CacheFailure[] = []
  const copies = createCacheInvalidation({
    cache,
    schedule,
    timeout: 20,
    events: { cacheFailure: (failure) => failures.push(failure) },
  })
  await copies.remove('a') // never answered
  await copies.remove('b')
  await copies.close()
  t.like(failures.at(-1), { owed: 0, givenUp: 2 })
  t.is(waiting.size, 0)
})

test('removals of one key that are scheduled several times are done once', async (t) => {
  const cache = createScriptedCache()
  const copies = createCacheInvalidation({ cache, settleTime: 50 })
  for (let times = 0; times < 5; times += 1) copies.removeSoon('a')
  copies.removeSoon('b')
  t.is(cache.asked.length, 0)
  // The timer of the removals keeps no process alive; this one does.
  for (let tries = 0; cache.asked.length < 2 && tries < 500; tries += 1) await delay(10)
  t.deepEqual(cache.keys(), ['a', 'b'])
})

test('a removal that fails does not reject, though its listener throws', async (t) => {
  const cache = createScriptedCache()
  const cacheFailure = () => {
    throw new Error('the listener failed')
  }
  const { schedule, waiting } = createSchedule()
  const copies = createCacheInvalidation({ cache, schedule, events: { cacheFailure } })
  const removal = copies.remove('a')
  cache.asked[0]?.fail()
  await t.notThrowsAsync(removal)
  t.is(waiting.size, 1, 'it is tried again')
})

test('the time until the second removal of a key begins anew with each call for it', async (t) => {
  const [cache, { schedule, elapse, waiting }] = [createScriptedCache(), createSchedule()]
  let milliseconds = 0
  const copies = createCacheInvalidation({ cache, schedule, settleTime: 1000, monotonic: () => milliseconds })
  copies.removeSoon('a')
  copies.removeSoon('b')
  milliseconds = 600
  copies.removeSoon('a')
  milliseconds = 1000
  await elapse()
  t.deepEqual(cache.keys(), ['b'])
  milliseconds = 1600
  await elapse()
  t.deepEqual(cache.keys(), ['b', 'a'])
  t.is(waiting.size, 0)
})
