import test from 'ava'
import type { Cache } from '../../src/caches/cache.ts'
import type { CacheSettings } from '../../src/caches/cache-settings.ts'
import { createMemcachedCache } from '../../src/caches/memcached/memcached.ts'
import { createRedisCache } from '../../src/caches/redis/redis.ts'
import { canonicalize, parseObject, type SessionData } from '../../src/django/json.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { djangoVersions } from '../support/django.ts'
import { startDjangoCaches } from '../support/django-cache.ts'
import { fileScope } from '../support/file-scope.ts'
import { startMemcached } from '../support/memcached.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

const file = fileScope(test)
let redis: RedisServer
let memcached: CacheServer
test.before(async () => {
  ;[redis, memcached] = await Promise.all([startRedis(), startMemcached()])
  file.teardown(() => Promise.all([redis.stop(), memcached.stop()]))
})

const DJANGO = 'django.core.cache.backends'
const DJANGO_REDIS = 'django_redis.cache.RedisCache'

/** The Django versions that have each backend, in the environments of test/support/django-environments.ts. */
const BACKENDS: readonly {
  backend: string
  versions: readonly string[]
  options?: Record<string, unknown>
}[] = [
  { backend: `${DJANGO}.redis.RedisCache`, versions: ['4.2', '5.2', '6.1'] },
  { backend: DJANGO_REDIS, versions: ['2.2', '3.2', '4.2', '5.2', '6.1'] },
  ...['zlib.ZlibCompressor', 'gzip.GzipCompressor'].map((name) => ({
    backend: DJANGO_REDIS,
    versions: name.startsWith('gzip') ? ['5.2', '6.1'] : ['2.2', '5.2', '6.1'],
    options: { COMPRESSOR: `django_redis.compressors.${name}` },
  })),
  ...[0, 2, 4].map((PICKLE_VERSION) => ({
    backend: DJANGO_REDIS,
    versions: ['5.2'],
    options: { PICKLE_VERSION },
  })),
  {
    backend: DJANGO_REDIS,
    versions: ['2.2', '6.1'],
    options: { SERIALIZER: 'django_redis.serializers.json.JSONSerializer' },
  },
  {
    backend: DJANGO_REDIS,
    versions: ['6.1'],
    options: {
      SERIALIZER: 'django_redis.serializers.json.JSONSerializer',
      COMPRESSOR: 'django_redis.compressors.zlib.ZlibCompressor',
    },
  },
  { backend: `${DJANGO}.memcached.PyMemcacheCache`, versions: ['3.2', '4.2', '5.2', '6.1'] },
  { backend: `${DJANGO}.memcached.PyLibMCCache`, versions: ['2.2', '3.2', '4.2', '5.2'] },
  { backend: `${DJANGO}.memcached.MemcachedCache`, versions: ['2.2'] },
]

/** Dictionaries that JSON can represent: as a Python literal and as JSON. */
const PLAIN: readonly [python: string, json: string][] = [
  ['{}', '{}'],
  [
    "{'a': 1, 'b': -1.5, 'c': True, 'd': None, 'e': 'häß\\u20ac\\U0001f600', 'f': [1, [2, {}]], 'g': {'h': 'i, j: k'}}",
    '{"a":1,"b":-1.5,"c":true,"d":null,"e":"h\\u00e4\\u00df\\u20ac\\ud83d\\ude00","f":[1,[2,{}]],"g":{"h":"i, j: k"}}',
  ],
  [
    "{'big': 123456789012345678901234567890, 'float': 1.0, 'tiny': 1e-07}",
    '{"big":123456789012345678901234567890,"float":1.0,"tiny":1e-07}',
  ],
  [
    "{'_auth_user_id': '1', '_session_expiry': 300, '10': 1, '2': 2, '__proto__': 3}",
    '{"_auth_user_id":"1","_session_expiry":300,"10":1,"2":2,"__proto__":3}',
  ],
  [
    `{'long': ${JSON.stringify('lörem ipsum '.repeat(4000))}}`,
    `{"long":${JSON.stringify('lörem ipsum '.repeat(4000)).replaceAll('ö', '\\u00f6')}}`,
  ],
]

/** Dictionaries that only a pickle can represent. */
const PICKLED = [
  "{'t': (1, 'a'), 's': {1, 2}, 'b': b'\\x00\\xff', 1: 2}",
  "{'at': datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc), 'day': datetime.date(2024, 1, 2), 'age': datetime.timedelta(days=1)}",
  "{'price': Decimal('1.50'), 'id': UUID('12345678-1234-5678-1234-567812345678')}",
]

/** Long, because a busy machine answers late; timeouts are tested elsewhere. */
const timeouts = { connectTimeout: 20_000, commandTimeout: 20_000 }

const open = (settings: CacheSettings): Cache =>
  settings.backend.toLowerCase().includes('redis')
    ? createRedisCache(settings, timeouts)
    : createMemcachedCache(settings, timeouts)

const canonical = (data: SessionData | undefined) =>
  data && new Map([...data].map(([key, text]) => [key, canonicalize(text)]))

const raw = ({ keyPrefix, version }: CacheSettings, key: string) =>
  redis.command('-n', '3', 'GET', `${keyPrefix}:${version}:${key}`)

const nameOf = ({ backend, options = {} }: (typeof BACKENDS)[number]) =>
  [backend.split('.').slice(-2).join('.'), ...Object.values(options)].join(', ')

const settingsOf = ({ backend, options = {} }: (typeof BACKENDS)[number]): CacheSettings => ({
  backend,
  location: [backend.toLowerCase().includes('redis') ? `${redis.location}/3` : memcached.location],
  keyPrefix: `prefix-${nameOf({ backend, versions: [], options }).replaceAll(/\W/g, '')}`,
  version: 7,
  options,
})

for (const version of djangoVersions) {
  const backends = BACKENDS.filter(({ versions }) => versions.includes(version))
  // One Python process, started by the first test that needs it and shared: one for each test would take too long.
  let caches: ReturnType<typeof startDjangoCaches> | null = null
  const djangoCaches = () => {
    const entries = backends.map((each) => {
      const { backend, location, keyPrefix, version: VERSION, options } = settingsOf(each)
      const entry = { BACKEND: backend, LOCATION: location[0], VERSION, OPTIONS: options }
      return [nameOf(each), { ...entry, KEY_PREFIX: `${version}-${keyPrefix}` }]
    })
    caches ??= startDjangoCaches(file, version, Object.fromEntries(entries))
    return caches
  }

  for (const backend of backends) {
    test(`Django ${version} and ours read each other's entries: ${nameOf(backend)}`, async (t) => {
      const django = djangoCaches()(nameOf(backend))
      const plain = settingsOf(backend)
      const settings = { ...plain, keyPrefix: `${version}-${plain.keyPrefix}` }
      const ours = open(settings)
      t.teardown(() => ours.close())
      const isJson = settings.options.SERIALIZER !== undefined

      for (const [index, [python, json]] of PLAIN.entries()) {
        await django.set(`theirs-${index}`, python, 500)
        const theirs = await ours.get(`theirs-${index}`)
        t.deepEqual(canonical(theirs?.data), parseObject(json))
        const left = (theirs?.expireDate?.getTime() ?? 0) - Date.now()
        t.true(left > 490_000 && left <= 502_000, `${left} ms`)
        t.is(
          typeof (await ours.replace(`theirs-${index}`, parseObject(json), 500, theirs?.revision ?? '')),
          'object',
        )
        await ours.add(`ours-${index}`, parseObject(json), 500)
        const reference = await django.get(`theirs-${index}`)
        t.is(await django.get(`ours-${index}`), reference)
        await django.set(`again-${index}`, python, 500)
        t.is(await django.get(`again-${index}`), reference)
        if (isJson && settings.options.COMPRESSOR === undefined)
          t.is(await raw(settings, `ours-${index}`), await raw(settings, `again-${index}`))
      }
      if (!isJson) {
        for (const [index, python] of PICKLED.entries()) {
          await django.set(`pickled-${index}`, python, 500)
          const stored = await django.get(`pickled-${index}`)
          const found = await ours.get(`pickled-${index}`)
          const data = found?.data ?? new Map()
          const changed = new Map([...data, ['n', '1']])
          t.is(typeof (await ours.replace(`pickled-${index}`, changed, 500, found?.revision ?? '')), 'object')
          t.is(await django.get(`pickled-${index}`), stored.replace(/}$/, ", 'n': 1}"))
        }
      }

      t.is(await django.add('ours-0', "{'x': 1}", 500), 'False')
      t.is(await ours.add('theirs-0', parseObject('{"x":1}'), 500), null)
      await django.delete('ours-0')
      t.is(await ours.get('ours-0'), null)
      await ours.delete('theirs-0')
      t.is(await django.get('theirs-0'), 'None')

      const seen = await ours.get('theirs-1')
      await django.set('theirs-1', "{'newer': 1}", 500)
      t.is(await ours.replace('theirs-1', parseObject('{}'), 500, seen?.revision ?? ''), 'changed')
      t.is(await django.get('theirs-1'), "{'newer': 1}")

      await django.set('short', "{'x': 1}", 2)
      await ours.add('short-too', parseObject('{"x":1}'), 2)
      await t.throwsAsync(
        async () => {
          await django.set('digits', '12345', 500)
          await ours.get('digits')
        },
        { code: 'ERR_SESSION_UNREADABLE', message: /not a dictionary/ },
      )
      await django.set('list', '[1]', 500)
      await t.throwsAsync(ours.get('list'), { code: 'ERR_SESSION_UNREADABLE', message: /not a dictionary/ })
      await new Promise((resolve) => setTimeout(resolve, 2300))
      t.is(await ours.get('short'), null)
      t.is(await django.get('short-too'), 'None')
    })
  }
}
