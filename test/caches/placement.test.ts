import test from 'ava'
import type { CacheSettings } from '../../src/caches/cache-settings.ts'
import { createMemcachedCache } from '../../src/caches/memcached/memcached.ts'
import { createRedisCache } from '../../src/caches/redis/redis.ts'
import { parseObject } from '../../src/django/json.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { djangoVersions } from '../support/django.ts'
import { startDjangoCaches } from '../support/django-cache.ts'
import { fileScope } from '../support/file-scope.ts'
import { startMemcached } from '../support/memcached.ts'
import { startRedis } from '../support/redis.ts'

const file = fileScope(test)
let memcacheds: CacheServer[]
let redises: CacheServer[]
test.before(async () => {
  ;[memcacheds, redises] = await Promise.all([
    Promise.all([startMemcached(), startMemcached(), startMemcached(), startMemcached({ onSocket: true })]),
    Promise.all([startRedis(), startRedis(), startRedis()]),
  ])
  file.teardown(() => Promise.all([...memcacheds, ...redises].map((server) => server.stop())))
})

const MEMCACHED = 'django.core.cache.backends.memcached'
const BACKENDS: readonly [backend: string, versions: readonly string[], options?: Record<string, unknown>][] =
  [
    [`${MEMCACHED}.PyMemcacheCache`, ['3.2', '6.1']],
    [`${MEMCACHED}.PyLibMCCache`, ['2.2', '5.2']],
    [`${MEMCACHED}.PyLibMCCache`, ['2.2', '5.2'], { behaviors: { ketama: true } }],
    [`${MEMCACHED}.MemcachedCache`, ['2.2']],
    ['django_redis.cache.RedisCache', ['2.2', '6.1'], { CLIENT_CLASS: 'django_redis.client.ShardClient' }],
  ]

const KEYS = [
  ...Array.from({ length: 40 }, (_, index) => `django.contrib.sessions.cache${(index ** 7).toString(36)}`),
  ...['', 'ä', 'ключ', '鍵', '😀', 'x{shared}y', '{a}{b}', '}{'].flatMap((text) => [
    `${text}1`,
    `${text}22`,
    `${text}333`,
    text,
  ]),
]

const settingsOf = (version: string, [backend, , options = {}]: (typeof BACKENDS)[number]): CacheSettings => {
  // pylibmc accepts Unix sockets, but not together with ports.
  const servers = backend.startsWith('django_redis')
    ? redises
    : backend.endsWith('PyLibMCCache')
      ? memcacheds.slice(0, 3)
      : memcacheds
  const keyPrefix = `${version}-${JSON.stringify([backend, options]).replaceAll(/\W/g, '')}`
  return { backend, location: servers.map(({ location }) => location), keyPrefix, version: 1, options }
}

for (const version of djangoVersions) {
  const entries = BACKENDS.filter(([, versions]) => versions.includes(version))
  // One Python process for all tests of a version, started by the first test that needs it.
  let started: ReturnType<typeof startDjangoCaches> | null = null
  const djangoCaches = () => {
    const caches = entries.map((entry) => {
      const { backend, location, keyPrefix, options } = settingsOf(version, entry)
      return [keyPrefix, { BACKEND: backend, LOCATION: location, KEY_PREFIX: keyPrefix, OPTIONS: options }]
    })
    started ??= startDjangoCaches(file, version, Object.fromEntries(caches))
    return started
  }

  for (const entry of entries) {
    const [backend, , options] = entry
    const name = options === undefined ? backend : `${backend} ${JSON.stringify(options)}`
    test(`a key is on the same server as with Django ${version}: ${name}`, async (t) => {
      const settings = settingsOf(version, entry)
      const django = djangoCaches()(settings.keyPrefix)
      const create = backend.startsWith('django_redis') ? createRedisCache : createMemcachedCache
      const ours = create(settings, { connectTimeout: 20_000, commandTimeout: 20_000 })
      t.teardown(() => ours.close())

      await Promise.all(KEYS.map((key) => django.set(key, "{'n': 1}", 100)))
      for (const key of KEYS) {
        const found = await ours.get(key)
        if (found === null) return t.fail(`Django's ${key} is elsewhere`)
        t.is(await ours.remove(key, found.revision), 'removed')
        t.truthy(await ours.add(key, parseObject('{"n":2}'), 100))
      }
      t.deepEqual(
        await Promise.all(KEYS.map((key) => django.get(key))),
        KEYS.map(() => "{'n': 2}"),
      )
    })
  }
}
