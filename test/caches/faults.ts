import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import type { Cache } from '../../src/caches/cache.ts'
import { parseObject } from '../../src/django/json.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { holdUp } from '../support/hold-up.ts'

interface Timeouts {
  readonly connectTimeout: number
  readonly commandTimeout: number
}

const json = parseObject
const UNAVAILABLE = { code: 'ERR_CACHE_UNAVAILABLE', name: 'CacheUnavailable' }

/** Kills, restarts and freezes the server of a cache: every operation ends in time, and none crashes. */
export async function survivesOutages(
  t: ExecutionContext,
  server: CacheServer,
  open: (timeouts: Timeouts) => Cache,
): Promise<void> {
  const timeouts = { connectTimeout: 1000, commandTimeout: 1000 }
  const cache = open(timeouts)
  const timed = async (operation: Promise<unknown>): Promise<number> => {
    const start = performance.now()
    await operation
    return performance.now() - start
  }
  const works = async () => {
    for (let tries = 0; ; tries += 1) {
      const outcome = await cache.get('none').catch((error) => error)
      if (outcome === null) return
      if (tries === 100) throw outcome
      await sleep(50)
    }
  }
  await works()

  await server.kill()
  const refused = await Promise.all(
    Array.from({ length: 50 }, () => timed(t.throwsAsync(cache.get('key'), UNAVAILABLE))),
  )
  t.true(Math.max(...refused) < 2500, `${Math.max(...refused)} ms`)
  await t.throwsAsync(cache.add('key', json('{}'), 100), UNAVAILABLE)
  await t.throwsAsync(cache.replace('key', json('{}'), 100, 'any'), UNAVAILABLE)
  await t.throwsAsync(cache.delete('key'), UNAVAILABLE)
  await t.throwsAsync(cache.remove('key', 'any'), UNAVAILABLE)
  const openedWhileDown = open(timeouts)
  await t.throwsAsync(openedWhileDown.get('key'), UNAVAILABLE)

  await server.restart()
  await works()
  t.is(await cache.get('key'), null)
  t.truthy(await cache.add('key', json('{"a":1}'), 100))

  server.freeze()
  const frozen = await Promise.all(
    Array.from({ length: 20 }, () => timed(t.throwsAsync(cache.get('key'), UNAVAILABLE))),
  )
  t.true(Math.max(...frozen) < 4000, `${Math.max(...frozen)} ms`)
  const openedWhileFrozen = open(timeouts)
  t.true((await timed(t.throwsAsync(openedWhileFrozen.get('key'), UNAVAILABLE))) < 5000)
  t.true((await timed(openedWhileFrozen.close())) < 2500)
  server.thaw()
  await works()
  t.deepEqual((await cache.get('key'))?.data, json('{"a":1}'))
}

/** A reply that has arrived counts, though this process was held up past the time limit before it could read the reply. */
export async function survivesHoldUps(
  t: ExecutionContext,
  open: (timeouts: Timeouts) => Cache,
): Promise<void> {
  const cache = open({ connectTimeout: 1000, commandTimeout: 500 })
  t.is(await cache.get('key'), null)
  const reply = cache.get('key')
  await new Promise<void>((resolve) => process.nextTick(resolve)) // The command is sent, and its reply not yet read.
  holdUp(700) // ioredis ends a connection that is silent for twice the time limit.
  t.is(await reply, null)
}
