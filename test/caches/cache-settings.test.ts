import test from 'ava'
import type { CacheSettings } from '../../src/caches/cache-settings.ts'
import { createMemcachedCache } from '../../src/caches/memcached/memcached.ts'
import { createRedisCache } from '../../src/caches/redis/redis.ts'
import { parseRedisLocation } from '../../src/caches/redis/redis-location.ts'
import { readRedisSettings } from '../../src/caches/redis/redis-settings.ts'
import { serviceEnvironment } from '../interop/sites.ts'
import { createTestDatabase } from '../support/databases.ts'
import { freePorts, startCommand } from '../support/service.ts'

const DJANGO = 'django.core.cache.backends.redis.RedisCache'
const DJANGO_REDIS = 'django_redis.cache.RedisCache'
const MEMCACHED = 'django.core.cache.backends.memcached'

const entry = (changes: Partial<CacheSettings>): CacheSettings => ({
  backend: DJANGO,
  location: ['redis://:hidden-word@127.0.0.1:6379'],
  keyPrefix: '',
  version: 1,
  options: {},
  ...changes,
})

const refused: readonly [why: RegExp, changes: Partial<CacheSettings>][] = [
  [/BACKEND "x.Cache"/, { backend: 'x.Cache' }],
  [/LOCATION is empty/, { location: [] }],
  [/LOCATION is not a Redis URL/, { location: ['http://:hidden-word@host'] }],
  [/LOCATION is not a Redis URL/, { location: ['redis://:hidden-word@host:70000'] }],
  [/OPTIONS.serializer "my.Serializer"/, { options: { serializer: 'my.Serializer' } }],
  [/OPTIONS.ssl_ca_path/, { options: { ssl_ca_path: '/etc' } }],
  [/OPTIONS.decode_responses/, { location: ['redis://host?decode_responses=1'] }],
  [/OPTIONS.REDIS_CLIENT_CLASS "my.Redis"/, { options: { REDIS_CLIENT_CLASS: 'my.Redis' } }],
  [
    /has only database 0/,
    { location: ['redis://host/1'], options: { REDIS_CLIENT_CLASS: 'redis.cluster.RedisCluster' } },
  ],
  ...(
    [
      [
        /SERIALIZER "django_redis.serializers.msgpack/,
        { SERIALIZER: 'django_redis.serializers.msgpack.MSGPackSerializer' },
      ],
      [
        /COMPRESSOR "django_redis.compressors.lz4/,
        { COMPRESSOR: 'django_redis.compressors.lz4.Lz4Compressor' },
      ],
      [
        /COMPRESSOR "django_redis.compressors.lzma/,
        { COMPRESSOR: 'django_redis.compressors.lzma.LzmaCompressor' },
      ],
      [/CLIENT_CLASS "django_redis.client.HerdClient"/, { CLIENT_CLASS: 'django_redis.client.HerdClient' }],
      [/CONNECTION_FACTORY "my.Factory"/, { CONNECTION_FACTORY: 'my.Factory' }],
      [/SENTINELS is missing/, { CLIENT_CLASS: 'django_redis.client.SentinelClient' }],
      [/SENTINELS is not a list/, { SENTINELS: ['host:26379'] }],
      [/OPTIONS.username is not a string/, { USERNAME: [7] }],
      [/OPTIONS.CONNECTION_POOL_KWARGS is not a JSON object/, { CONNECTION_POOL_KWARGS: ['x'] }],
      [/OPTIONS.unheard_of/, { CONNECTION_POOL_KWARGS: { unheard_of: 'hidden-word' } }],
    ] as const
  ).map(([why, options]): [RegExp, Partial<CacheSettings>] => [why, { backend: DJANGO_REDIS, options }]),
]

for (const [why, changes] of refused) {
  test(`an unsupported Redis setting is an error that names it: ${why.source} ${JSON.stringify(changes)}`, (t) => {
    const error = t.throws(() => createRedisCache(entry(changes)), {
      code: 'ERR_CACHE_UNSUPPORTED',
      message: why,
    })
    t.notRegex(String(error), /hidden-word/)
  })
}

const refusedByMemcached: readonly [why: RegExp, changes: Partial<CacheSettings>][] = [
  [/BACKEND "x.Cache"/, { backend: 'x.Cache' }],
  [/LOCATION is empty/, { location: [] }],
  [/LOCATION "udp:host:1"/, { location: ['udp:host:1'] }],
  [/LOCATION "host:1:2"/, { location: ['host:1:2'] }],
  [/KEY_PREFIX/, { keyPrefix: 'with blank' }],
  [/KEY_PREFIX/, { keyPrefix: 'x'.repeat(200) }],
  [/OPTIONS.serde/, { options: { serde: 'my.serde' } }],
  [/OPTIONS.key_prefix/, { options: { key_prefix: 'x' } }],
  [/OPTIONS.username/, { backend: `${MEMCACHED}.PyLibMCCache`, options: { username: 'x' } }],
  [
    /OPTIONS.behaviors.hash/,
    { backend: `${MEMCACHED}.PyLibMCCache`, location: ['a', 'b'], options: { behaviors: { hash: 'md5' } } },
  ],
  [
    /OPTIONS.behaviors.ketama_weighted/,
    {
      backend: `${MEMCACHED}.PyLibMCCache`,
      location: ['a', 'b'],
      options: { behaviors: { ketama_weighted: true } },
    },
  ],
  [/OPTIONS.pickler/, { backend: `${MEMCACHED}.MemcachedCache`, options: { pickler: 'my.Pickler' } }],
]

for (const [why, changes] of refusedByMemcached) {
  test(`an unsupported memcached setting is an error that names it: ${why.source} ${JSON.stringify(changes)}`, (t) => {
    const settings = entry({ backend: `${MEMCACHED}.PyMemcacheCache`, location: ['localhost'], ...changes })
    t.throws(() => createMemcachedCache(settings), { code: 'ERR_CACHE_UNSUPPORTED', message: why })
  })
}

test('an unsupported option stops the start, with an error that names it', async (t) => {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const entries: [RegExp, object][] = [
    [
      /OPTIONS\.db is not a database number/,
      { BACKEND: DJANGO, LOCATION: 'redis://h', OPTIONS: { db: 'ten' } },
    ],
    [
      /OPTIONS\.MAX_ENTRIES is not supported with memcached/,
      { BACKEND: `${MEMCACHED}.PyMemcacheCache`, LOCATION: 'h:1', OPTIONS: { MAX_ENTRIES: 5 } },
    ],
  ]
  for (const [why, entry] of entries) {
    const settings = {
      CACHES: JSON.stringify({ default: entry }),
      SESSION_ENGINE: 'django.contrib.sessions.backends.cache',
    }
    const command = startCommand(t, ['serve'], {
      env: { ...freePorts, ...serviceEnvironment({ version: '5.2', databaseUrl, settings }) },
    })
    t.is(await command.ended, 1)
    t.regex(command.stderr(), why)
  }
})

test('options that affect neither keys nor values are accepted', async (t) => {
  const pymemcache = { no_delay: true, use_pooling: true, max_pool_size: 4, timeout: 1, retry_attempts: 0 }
  const pylibmc = { binary: true, behaviors: { ketama: true, tcp_nodelay: true, hash: 'default' } }
  for (const cache of [
    createMemcachedCache(
      entry({ backend: `${MEMCACHED}.PyMemcacheCache`, location: ['h'], options: pymemcache }),
    ),
    createMemcachedCache(
      entry({ backend: `${MEMCACHED}.PyLibMCCache`, location: ['a', 'b:2'], options: pylibmc }),
    ),
    createRedisCache(
      entry({
        options: { health_check_interval: 3, socket_timeout: 5, pool_class: 'redis.BlockingConnectionPool' },
      }),
    ),
  ])
    await t.notThrowsAsync(cache.close())
})

test('a Redis URL is parsed as by redis-py', (t) => {
  const read = (location: string) => {
    const { host, port, path, tls, username, password, db } = parseRedisLocation(location)
    return [host, port, path, tls, username, password, db]
  }
  t.deepEqual(read('redis://Host'), ['host', 6379, null, false, null, null, 0])
  t.deepEqual(read('rediss://u:p%40:x@[::1]:7/3'), ['::1', 7, null, true, 'u', 'p@:x', 3])
  t.deepEqual(read('redis://:p@x@h:7/3?db=4'), ['h', 7, null, false, null, 'p@x', 4])
  t.deepEqual(read('redis://h/?password=a&username=b'), ['h', 6379, null, false, 'b', 'a', 0])
  t.deepEqual(read('unix://u:p@/run/my%20redis.sock?db=2'), [
    'localhost',
    6379,
    '/run/my redis.sock',
    false,
    'u',
    'p',
    2,
  ])
  t.deepEqual(read('redis://h/none'), ['h', 6379, null, false, null, null, 0])
})

test('with two LOCATIONs for sentinels, the one of the leader is used', (t) => {
  const { topology } = readRedisSettings(
    entry({
      backend: DJANGO_REDIS,
      location: ['redis://service/2?is_master=0', 'redis://service/1?is_master=1'],
      options: {
        SENTINELS: [
          ['a', 26379],
          ['b', '26380'],
        ],
        SENTINEL_KWARGS: { password: 'x' },
      },
    }),
  )
  if (topology.kind !== 'sentinel') return t.fail(topology.kind)
  t.is(topology.server.db, 1)
  t.is(topology.sentinelPassword, 'x')
  t.deepEqual(topology.sentinels, [
    { host: 'a', port: 26379 },
    { host: 'b', port: 26380 },
  ])
})
