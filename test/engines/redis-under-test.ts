import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Cache } from '../../src/caches/cache.ts'
import type { CacheSettings } from '../../src/caches/cache-settings.ts'
import type { Scope } from '../support/file-scope.ts'
import { startRedis } from '../support/redis.ts'

/** A Redis to break, and what a Django does in it. */
export interface RedisUnderTest {
  readonly cache: Pick<Cache, 'delete'>
  /** The same Redis as an entry of CACHES. */
  readonly settings: CacheSettings
  /** The keys whose removal has succeeded, in turn. */
  readonly removed: readonly string[]
  get(key: string): Promise<string | null>
  set(key: string, value: string): Promise<unknown>
  /** Waits until that is what is there. @throws Error after some seconds. */
  until(key: string, value: string | null): Promise<void>
  empty(): Promise<unknown>
  freeze(): void
  thaw(): void
  kill(): Promise<void>
  restart(): Promise<void>
}

export async function openRedisUnderTest(t: Scope): Promise<RedisUnderTest> {
  const server = await startRedis()
  t.teardown(() => server.stop())
  const connect = (options = {}) => {
    const client = new Redis(server.location, { retryStrategy: () => 10, ...options })
    client.on('error', () => {})
    t.teardown(() => client.disconnect())
    return client
  }
  const django = connect()
  const ours = connect({ enableOfflineQueue: false, maxRetriesPerRequest: 0 })
  const removed: string[] = []
  return {
    cache: {
      async delete(key) {
        await ours.del(`:1:${key}`)
        removed.push(`:1:${key}`)
      },
    },
    settings: {
      backend: 'django.core.cache.backends.redis.RedisCache',
      location: [server.location],
      keyPrefix: '',
      version: 1,
      options: {},
    },
    removed,
    get: (key) => django.get(key),
    set: (key, value) => django.set(key, value),
    async until(key, value) {
      for (let tries = 0; (await django.get(key)) !== value; tries += 1) {
        if (tries === 200) throw new Error('it is still there')
        await delay(10)
      }
    },
    empty: () => django.flushall(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    kill: () => server.kill(),
    restart: () => server.restart(),
  }
}
