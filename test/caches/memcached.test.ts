import test from 'ava'
import { createMemcachedCache } from '../../src/caches/memcached.ts'
import type { CacheSettings } from '../../src/settings/cache-settings.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { fileScope } from '../support/file-scope.ts'
import { startMemcached } from '../support/memcached.ts'
import { testCacheContract } from './contract.ts'

const file = fileScope(test)
let server: CacheServer
test.before(async () => {
  server = await startMemcached()
  file.teardown(() => server.stop())
})

const PYMEMCACHE = 'django.core.cache.backends.memcached.PyMemcacheCache'

const entry = (changes: Partial<CacheSettings> = {}): CacheSettings => ({
  backend: PYMEMCACHE,
  location: [server.location],
  keyPrefix: '',
  version: 1,
  options: {},
  ...changes,
})

testCacheContract(test, 'memcached', () => ({ open: () => createMemcachedCache(entry()), tellsExpiry: true }))
