import test from 'ava'
import { createRedisCache } from '../../src/caches/redis.ts'
import type { CacheSettings } from '../../src/settings/cache-settings.ts'
import { fileScope } from '../support/file-scope.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { testCacheContract } from './contract.ts'

const file = fileScope(test)
let server: RedisServer & { socket: string; folder: string }
test.before(async () => {
  server = await startRedis({ password: 'made-up' })
  file.teardown(() => server.stop())
})

const DJANGO = 'django.core.cache.backends.redis.RedisCache'
const DJANGO_REDIS = 'django_redis.cache.RedisCache'

const entry = (changes: Partial<CacheSettings> = {}): CacheSettings => ({
  backend: DJANGO,
  location: [server.location],
  keyPrefix: '',
  version: 1,
  options: {},
  ...changes,
})

testCacheContract(test, "Django's RedisCache", () => ({
  open: () => createRedisCache(entry(), timeouts),
  tellsExpiry: true,
}))
testCacheContract(test, 'django-redis', () => ({
  open: () => createRedisCache(entry({ backend: DJANGO_REDIS }), timeouts),
  tellsExpiry: true,
}))
