import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext, TestFn } from 'ava'
import type { Cache } from '../../src/caches/cache.ts'
import { parseObject, stringifyObject } from '../../src/django/json.ts'

export interface CacheUnderTest {
  /** Opens another cache on the same medium; the contract closes it. */
  open(): Cache
  /** Whether `get` returns the time at which an entry expires. */
  readonly tellsExpiry: boolean
}

const json = (text: string) => parseObject(text)

/**
 * Tests the promises of src/caches/cache.ts on a real medium. `under` is called inside each test, since the medium is
 * started in a `before` hook.
 */
export function testCacheContract(
  test: TestFn<never> | TestFn,
  name: string,
  under: () => CacheUnderTest,
): void {
  const run = (title: string, body: (t: ExecutionContext, cache: Cache, key: string) => Promise<void>) =>
    (test as TestFn)(`${name}: ${title}`, async (t) => {
      const cache = under().open()
      t.teardown(() => cache.close())
      await body(t, cache, randomUUID())
    })

  run('an added entry exists until it is deleted', async (t, cache, key) => {
    t.is(await cache.get(key), null)
    const added = await cache.add(key, json('{"a":[1,{"b":"ü"}]}'), 100)
    t.truthy(added)
    const found = await cache.get(key)
    t.is(found && stringifyObject(found.data), '{"a":[1,{"b":"\\u00fc"}]}')
    t.is(found?.revision, added?.revision)
    await cache.delete(key)
    t.is(await cache.get(key), null)
    await t.notThrowsAsync(cache.delete(key))
  })

  run('add leaves an existing entry unchanged', async (t, cache, key) => {
    await cache.add(key, json('{"a":1}'), 100)
    t.is(await cache.add(key, json('{"a":2}'), 100), null)
    t.is(await cache.add(key, json('{"a":2}'), 0), null)
    t.deepEqual((await cache.get(key))?.data, json('{"a":1}'))
  })

  run('replace stores only if the revision has not changed', async (t, cache, key) => {
    t.is(await cache.replace(key, json('{"a":1}'), 100, 'none'), 'missing')
    t.is(await cache.get(key), null)
    const added = await cache.add(key, json('{"a":1}'), 100)
    const first = await cache.replace(key, json('{"a":2}'), 100, added?.revision ?? '')
    if (typeof first === 'string') return t.fail(first)
    t.is(await cache.replace(key, json('{"a":3}'), 100, added?.revision ?? ''), 'changed')
    t.deepEqual((await cache.get(key))?.data, json('{"a":2}'))
    const second = await cache.replace(key, json('{"a":4}'), 100, first.revision)
    t.is(typeof second, 'object')
    t.deepEqual((await cache.get(key))?.data, json('{"a":4}'))
  })

  run('remove removes only if the revision has not changed', async (t, cache, key) => {
    t.is(await cache.remove(key, 'none'), 'missing')
    const added = await cache.add(key, json('{"a":1}'), 100)
    await cache.replace(key, json('{"a":2}'), 100, added?.revision ?? '')
    t.is(await cache.remove(key, added?.revision ?? ''), 'changed')
    const found = await cache.get(key)
    t.deepEqual(found?.data, json('{"a":2}'))
    t.is(await cache.remove(key, found?.revision ?? ''), 'removed')
    t.is(await cache.get(key), null)
    t.is(await cache.remove(key, found?.revision ?? ''), 'missing')
    t.truthy(await cache.add(key, json('{}'), 100))
  })

  run('an expired entry is gone, and a timeout of zero or less expires at once', async (t, cache, key) => {
    const start = performance.now()
    await cache.add(key, json('{"a":1}'), 2)
    const fresh = await cache.get(key)
    t.true(fresh !== null || performance.now() - start > 900) // a busy machine may have taken too long
    const revision = (await cache.add(`${key}-replaced`, json('{"a":1}'), 100))?.revision ?? ''
    t.is(typeof (await cache.replace(`${key}-replaced`, json('{"a":2}'), -1, revision)), 'object')
    t.is(await cache.get(`${key}-replaced`), null)
    t.truthy(await cache.add(`${key}-zero`, json('{"a":1}'), 0))
    t.is(await cache.get(`${key}-zero`), null)
    t.truthy(await cache.add(`${key}-zero`, json('{"a":1}'), 100))
    await sleep(2300) // memcached counts whole seconds, and may expire an entry one second early
    t.is(await cache.get(key), null)
  })

  run('get returns the expiry time if the medium knows it', async (t, cache, key) => {
    const DAY = 86_400
    for (const seconds of [20, 14 * DAY, 31 * DAY, 400 * DAY]) {
      const start = Date.now()
      await cache.add(`${key}-${seconds}`, json('{}'), seconds)
      const { expireDate } = (await cache.get(`${key}-${seconds}`)) ?? { expireDate: null }
      if (under().tellsExpiry) {
        const at = (expireDate?.getTime() ?? 0) - seconds * 1000
        t.true(at > start - 2500 && at < Date.now() + 2500, `${seconds} s: off by ${at - start} ms`)
      } else t.is(expireDate, null)
    }
  })

  run('of 50 simultaneous calls of replace exactly one succeeds', async (t, cache, key) => {
    const caches = [cache, under().open(), under().open()]
    t.teardown(() => Promise.all(caches.map((each) => each.close())))
    const { revision } = (await cache.add(key, json('{"n":0}'), 100)) ?? { revision: '' }
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, async (_, index) =>
        caches[index % 3]?.replace(key, json(`{"n":${index + 1}}`), 100, revision),
      ),
    )
    const winners = outcomes.flatMap((outcome, index) => (typeof outcome === 'object' ? [index + 1] : []))
    t.is(winners.length, 1)
    t.is(outcomes.filter((outcome) => outcome === 'changed').length, 49)
    t.deepEqual((await cache.get(key))?.data, json(`{"n":${winners[0]}}`))
  })

  run('of 20 simultaneous calls of add exactly one succeeds', async (t, cache, key) => {
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) => cache.add(key, json(`{"n":${index}}`), 100)),
    )
    t.is(outcomes.filter((outcome) => outcome !== null).length, 1)
  })

  run('clearExpired leaves live entries', async (t, cache, key) => {
    await cache.add(key, json('{"a":1}'), 100)
    t.is(typeof (await cache.clearExpired()), 'number')
    t.truthy(await cache.get(key))
  })
}
