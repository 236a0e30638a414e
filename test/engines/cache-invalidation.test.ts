import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { createStaleEntries } from '../../src/engines/cache-invalidation.ts'
import type { CacheFailure } from '../../src/session/events.ts'

/** A cache whose answers the test gives: what of them is late, and in which order, a real one leaves to chance. */
function createScriptedCache() {
  const asked: { key: string; succeed(): void; fail(): void }[] = []
  return {
    asked,
    keys: () => asked.map(({ key }) => key),
    delete: (key: string) =>
      new Promise<void>((resolve, reject) => {
        asked.push({ key, succeed: resolve, fail: () => reject(new Error('the cache is away')) })
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

test('a removal that fails is owed, and tried until it succeeds', async (t) => {
  const [cache, { schedule, elapse, waiting }] = [createScriptedCache(), createSchedule()]
  const failures: CacheFailure[] = []
  const stale = createStaleEntries({
    cache,
    schedule,
    events: { cacheFailure: (failure) => failures.push(failure) },
  })
  const removal = stale.remove('a')
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
  t.is(waiting.size, 0, 'nothing is owed, so nothing waits')
})

test('while the cache is away removals do not ask it, and one alone is tried at first', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const stale = createStaleEntries({ cache, schedule })
  const removal = stale.remove('a')
  cache.asked[0]?.fail()
  await removal
  for (const key of ['b', 'c', 'd']) await stale.remove(key)
  t.is(cache.asked.length, 1)
  await elapse()
  t.deepEqual(cache.keys(), ['a', 'a'])
  cache.asked[1]?.succeed()
  await delay(0)
  t.deepEqual(cache.keys(), ['a', 'a', 'b', 'c', 'd'])
})

test('a debt made anew while its removal is under way is paid once more', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const stale = createStaleEntries({ cache, schedule })
  const removal = stale.remove('a')
  cache.asked[0]?.fail()
  await removal
  await elapse() // the second try is under way,
  await stale.remove('a') // and another write comes
  cache.asked[1]?.succeed()
  await delay(0)
  t.deepEqual(cache.keys(), ['a', 'a', 'a'])
})

test('one key that the cache refuses does not stand in the way of the others', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const stale = createStaleEntries({ cache, schedule })
  const removals = [stale.remove('refused'), stale.remove('b')]
  for (const { fail } of cache.asked) fail()
  await Promise.all(removals)
  await elapse()
  cache.asked[2]?.fail()
  await delay(0)
  await elapse()
  t.deepEqual(cache.keys(), ['refused', 'b', 'refused', 'b'])
})

test('beyond the limit the oldest debt is given up, and that is said', async (t) => {
  const [cache, { schedule, elapse }] = [createScriptedCache(), createSchedule()]
  const failures: CacheFailure[] = []
  const stale = createStaleEntries({
    cache,
    schedule,
    maxOwed: 2,
    events: { cacheFailure: (failure) => failures.push(failure) },
  })
  const removal = stale.remove('a')
  cache.asked[0]?.fail()
  await removal
  for (const key of ['b', 'c']) await stale.remove(key)
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

test('closing removes at once what was to be removed soon', async (t) => {
  const [cache, { schedule, waiting }] = [createScriptedCache(), createSchedule()]
  const stale = createStaleEntries({ cache, schedule })
  stale.removeSoon('a')
  t.is(waiting.size, 1)
  const closing = stale.close()
  await delay(0)
  cache.asked[0]?.succeed()
  await closing
  t.deepEqual(cache.keys(), ['a'])
  t.is(waiting.size, 0)
})

test('closing while the cache is away ends, and says what is given up', async (t) => {
  const [cache, { schedule, waiting }] = [createScriptedCache(), createSchedule()]
  const failures: CacheFailure[] = []
  const stale = createStaleEntries({
    cache,
    schedule,
    timeout: 20,
    events: { cacheFailure: (failure) => failures.push(failure) },
  })
  await stale.remove('a') // never answered
  await stale.remove('b')
  await stale.close()
  t.like(failures.at(-1), { owed: 0, givenUp: 2 })
  t.is(waiting.size, 0)
})

test('what is to be removed soon is removed once, however often it is asked for', async (t) => {
  const cache = createScriptedCache()
  const stale = createStaleEntries({ cache, settleTime: 50 })
  for (let times = 0; times < 5; times += 1) stale.removeSoon('a')
  stale.removeSoon('b')
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
  const stale = createStaleEntries({ cache, schedule, events: { cacheFailure } })
  const removal = stale.remove('a')
  cache.asked[0]?.fail()
  await t.notThrowsAsync(removal)
  t.is(waiting.size, 1, 'it is tried again')
})

test('the time until the second removal of a key begins anew with each call for it', async (t) => {
  const [cache, { schedule, elapse, waiting }] = [createScriptedCache(), createSchedule()]
  let milliseconds = 0
  const stale = createStaleEntries({ cache, schedule, settleTime: 1000, monotonic: () => milliseconds })
  stale.removeSoon('a')
  stale.removeSoon('b')
  milliseconds = 600
  stale.removeSoon('a')
  milliseconds = 1000
  await elapse()
  t.deepEqual(cache.keys(), ['b'])
  milliseconds = 1600
  await elapse()
  t.deepEqual(cache.keys(), ['b', 'a'])
  t.is(waiting.size, 0)
})
