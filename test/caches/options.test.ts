import test, { type ExecutionContext } from 'ava'
import { UnsupportedCache } from '../../src/caches/cache-errors.ts'
import { openCache } from '../../src/caches/open-cache.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { readSettings, SettingsError } from '../../src/service/settings/settings.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { djangoVersions } from '../support/django.ts'
import { startDjangoCaches } from '../support/django-cache.ts'
import { fileScope } from '../support/file-scope.ts'
import { startMemcached } from '../support/memcached.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { temporaryFolder } from '../support/service.ts'

const file = fileScope(test)
const DJANGO = 'django.core.cache.backends.'

let redis: RedisServer
/** A Redis server with the password 7. */
let locked: RedisServer
let memcached: CacheServer
test.before(async () => {
  ;[redis, locked, memcached] = await Promise.all([
    startRedis(),
    startRedis({ password: '7' }),
    startMemcached(),
  ])
  file.teardown(() => Promise.all([redis.stop(), locked.stop(), memcached.stop()]))
})

type Options = Readonly<Record<string, unknown>>
type Entry = Readonly<Record<string, unknown>>

/** The rest of the URL after redis://host:port, and the OPTIONS. */
type RedisCase = readonly [path: string, options: Options]

const REDIS_CASES: readonly RedisCase[] = [
  ...['10', 10, '0', 0, null, '', false, ' 10 ', '010', '1_0', 10.5, 'ten', true, -1, '-1', [1]].map(
    (db): RedisCase => ['', { db }],
  ),
  ...['/5', '/1_0', '/%31', '/ 3', '/+2', '/007', '/x', '/', '/1/2', '/-1', '/1.0'].map(
    (path): RedisCase => [path, { db: '4' }],
  ),
  ...['?db=3', '/5?db=3', '?db=03', '?db=+3', '?db=%203', '?db=1_1', '?db=3&db=4', '/5?db=', '?DB=3'].map(
    (query): RedisCase => [query, {}],
  ),
  ...['?db=x', '?db=-1', '?db=1.5', '?socket_timeout=x', '?socket_timeout=5', '?max_connections=x'].map(
    (query): RedisCase => [query, { db: '4' }],
  ),
  ...['?health_check_interval=1', '?socket_keepalive=no', '?retry_on_timeout=yes', '?unheard_of=1'].map(
    (query): RedisCase => [query, {}],
  ),
  ...[5, 1.5, '5', null, true].map((socket_timeout): RedisCase => ['', { socket_timeout }]),
  ...[5, '5', null].map((socket_connect_timeout): RedisCase => ['', { socket_connect_timeout }]),
  ...[5, '5', null, 0, 1.5, -1].map((max_connections): RedisCase => ['', { max_connections }]),
  ...[5, '5', null, 0].map((health_check_interval): RedisCase => ['', { health_check_interval }]),
  ...[true, 'yes', 1, null].map((retry_on_timeout): RedisCase => ['', { retry_on_timeout }]),
  ...['ours', 5, null, true].map((client_name): RedisCase => ['', { client_name }]),
  ...[false, null, 0].map((decode_responses): RedisCase => ['', { decode_responses }]),
  ['', { encoding: 'utf-8' }],
  ['', { encoding: 'UTF8' }],
  ['', { encoding_errors: 'strict' }],
  ['', { unheard_of: 1 }],
  ['', { ssl: true }],
  ['', { ssl: false }],
  ['', { ssl_cert_reqs: 'none' }],
  ['', { timeout: 5 }],
  ['', { MAX_ENTRIES: 5 }],
  ['', { pool_class: 'redis.BlockingConnectionPool', timeout: 5 }],
  ['', { pool_class: 'redis.BlockingConnectionPool', max_connections: '5' }],
  ['', { host: 'unused.invalid', port: '1' }],
  ['', { socket_read_size: 4096 }],
]

/** The same, for a server with the password 7. */
const PASSWORDS: readonly unknown[] = [7, '7', 7.5, true, null, '', [7], ' 7']

const DJANGO_REDIS_OPTIONS: readonly Options[] = [
  ...['10', 10, 'ten', null].map((db) => ({ CONNECTION_POOL_KWARGS: { db } })),
  ...[5, '5', true, 0, -1].map((SOCKET_TIMEOUT) => ({ SOCKET_TIMEOUT })),
  ...[5, '5'].map((SOCKET_CONNECT_TIMEOUT) => ({ SOCKET_CONNECT_TIMEOUT })),
  ...['2', 2, 'x', null, 99].map((PICKLE_VERSION) => ({ PICKLE_VERSION })),
  ...['50', 50].map((max_connections) => ({ CONNECTION_POOL_KWARGS: { max_connections } })),
  ...[{ ssl: true }, { retry_on_timeout: true }, { unheard_of: 1 }, null, []].map((kwargs) => ({
    CONNECTION_POOL_KWARGS: kwargs,
  })),
  ...[{ db: '10' }, { UNHEARD_OF: 1 }, { MAX_ENTRIES: 'x' }, { IGNORE_EXCEPTIONS: 1 }, { SERIALIZER: null }],
  ...[
    { COMPRESSOR: null },
    { CLIENT_CLASS: null },
    { REDIS_CLIENT_KWARGS: { db: 3 } },
    { socket_timeout: 'x' },
  ],
  ...[{ PASSWORD: '' }, { REPLICA_READ_ONLY: 'x' }, { REDIS_CLIENT_CLASS: 'redis.client.Redis' }],
  ...[{ CONNECTION_POOL_CLASS: 'redis.BlockingConnectionPool', CONNECTION_POOL_KWARGS: { timeout: 5 } }],
  { PARSER_CLASS: null },
  { CONNECTION_FACTORY: null },
]

const MEMCACHED_OPTIONS: Readonly<Record<string, readonly (Options | null)[]>> = {
  PyMemcacheCache: [
    ...[5, '5', null, 1.5].map((timeout) => ({ timeout })),
    ...[5, '5', null].map((connect_timeout) => ({ connect_timeout })),
    ...[true, 1, 'x', null].map((no_delay) => ({ no_delay })),
    ...[true, null].map((socket_keepalive) => ({ socket_keepalive })),
    ...[4, '4', null].map((max_pool_size) => ({ use_pooling: true, max_pool_size })),
    ...[4, '4'].map((max_pool_size) => ({ max_pool_size })),
    ...[4, '4', null].map((pool_idle_timeout) => ({ use_pooling: true, pool_idle_timeout })),
    ...[{ retry_attempts: 2 }, { retry_attempts: '2' }, { dead_timeout: '1' }, { retry_timeout: '1' }],
    ...[{ allow_unicode_keys: false }, { default_noreply: true }, { encoding: 'utf-8' }, { encoding: 'x' }],
    ...[{ ignore_exc: 1 }, { lock_generator: null }, { MAX_ENTRIES: 5 }, { unheard_of: 1 }, null],
    ...[{ key_prefix: '' }, { tls_context: null }, { serializer: null }, { deserializer: null }],
  ],
  PyLibMCCache: [
    ...[true, 'yes', null, 0].map((binary) => ({ binary })),
    ...[null, {}, { tcp_nodelay: true }, { tcp_nodelay: 'x' }, { unheard_of: 1 }, { ketama: 1 }].map(
      (behaviors) => ({ behaviors }),
    ),
    ...[{ connect_timeout: 100 }, { connect_timeout: '100' }, { hash: 'md5' }, { hash: 'x' }, []].map(
      (behaviors) => ({ behaviors }),
    ),
    ...[{ username: null, password: null }, { MAX_ENTRIES: 5 }, { unheard_of: 1 }, null],
  ],
  MemcachedCache: [
    ...[2, '2', null].map((pickleProtocol) => ({ pickleProtocol })),
    ...[3, '3', null].map((socket_timeout) => ({ socket_timeout })),
    ...[{ debug: 1 }, { dead_retry: '1' }, { cache_cas: true }, { check_keys: false }, { MAX_ENTRIES: 5 }],
    ...[{ server_max_value_length: 'x' }, { server_max_key_length: 'x' }, { server_max_key_length: null }],
    ...[{ unheard_of: 1 }, null, { server_max_value_length: null }],
  ],
}

/** Settings of every backend besides OPTIONS. */
const ENTRIES: readonly Entry[] = [
  ...['7', 7, null, true, 1.5, 'x:y', '', 0, -3, 'höß', 1e21].map((VERSION) => ({ VERSION })),
  ...[5, 1.5, null, true, false, 'x', 'höß', 'a:b', -0.5].map((KEY_PREFIX) => ({ KEY_PREFIX })),
  ...[60, 'x', null, [1]].map((TIMEOUT) => ({ TIMEOUT })),
  ...[{ OPTIONS: {} }, { OPTIONS: null }, { OPTIONS: [] }, { OPTIONS: 'x' }, { UNHEARD_OF: 1 }],
  ...[{ max_entries: 'x' }, { KEY_FUNCTION: null }, { KEY_FUNCTION: '' }],
]

const FILES_OPTIONS: readonly Options[] = [
  ...['5', 5, 'x', null, [1], true].map((MAX_ENTRIES) => ({ MAX_ENTRIES })),
  ...['5', 'x'].map((CULL_FREQUENCY) => ({ CULL_FREQUENCY })),
  { unheard_of: 1 },
]

/** Django sets a value, and ours reads it; where Django fails, our start fails with an error that names the option. */
async function check(t: ExecutionContext, version: string, entries: readonly Entry[]): Promise<void> {
  const caches = Object.fromEntries(entries.map((entry, at) => [`c${at}`, entry]))
  const python = startDjangoCaches(t, version, {
    default: { BACKEND: `${DJANGO}dummy.DummyCache` },
    ...caches,
  })
  for (const [at, { LOCATION, BACKEND, ...entry }] of entries.entries()) {
    const alias = `c${at}`
    const key = `${alias}-${Math.random().toString(36).slice(2)}`
    const theirs = await python(alias)
      .set(key, `{'n': ${at}}`, 60)
      .then(() => python(alias).get(key))
      .catch((error: Error) => error)
    const ours = await readOurs(version, alias, caches, key)
    const label = `${String(BACKEND).replace(/^.*\./, '')} ${String(LOCATION).replace(/^.*:\d+/, '')} ${JSON.stringify(entry)}`
    // Only the server can check a password, so ours fails at the first request.
    const failure = /^AuthenticationError/.test(String(theirs instanceof Error && theirs.message))
      ? /^fails: CacheUnavailable.*(?:WRONGPASS|NOAUTH)/
      : /^refused/
    if (theirs instanceof Error) t.regex(ours, failure, `${label}: Django fails with ${theirs.message}`)
    else t.is(ours, `n = ${at}`, `${label}: Django has ${theirs}`)
  }
}

async function readOurs(version: string, alias: string, caches: object, key: string): Promise<string> {
  try {
    const { cache: settings } = readSettings(
      {
        CACHES: JSON.stringify(caches),
        SESSION_CACHE_ALIAS: alias,
        DJANGO_VERSION: version,
        SESSION_ENGINE: 'django.contrib.sessions.backends.cache',
      },
      { cwd: '/nowhere' },
    )
    if (settings === null) return 'no cache'
    const cache = openCache(settings, { database: null, now: () => new Date(), timeout: 20_000 })
    try {
      const found = await cache.get(key)
      return found === null ? 'nothing' : `n = ${found.data.get('n')}`
    } finally {
      await cache.close()
    }
  } catch (error) {
    if (error instanceof SettingsError || error instanceof UnsupportedCache)
      return `refused: ${error.message}`
    return `fails: ${error}`
  }
}

for (const version of djangoVersions) {
  const profile = versionProfile(version)
  /** The backends that this Django has, and whose Python client is installed in its environment. */
  const clients = Object.keys(MEMCACHED_OPTIONS).filter(
    (name) =>
      profile.hasCacheBackend(`${DJANGO}memcached.${name}`) &&
      !(name === 'MemcachedCache' && version !== '2.2') &&
      !(name === 'PyLibMCCache' && version === '6.1'),
  )
  const hasRedis = profile.hasCacheBackend(`${DJANGO}redis.RedisCache`)
  const BACKEND = 'django_redis.cache.RedisCache'

  if (hasRedis)
    test(`the options of Redis are read as Django ${version} reads them`, async (t) => {
      t.timeout(110_000)
      const own = { BACKEND: `${DJANGO}redis.RedisCache`, LOCATION: redis.location }
      await check(t, version, [
        ...REDIS_CASES.map(([path, OPTIONS]) => ({ ...own, LOCATION: own.LOCATION + path, OPTIONS })),
        ...PASSWORDS.map((password) => ({ ...own, LOCATION: bare(locked), OPTIONS: { password } })),
        ...ENTRIES.map((entry) => ({ ...own, ...entry })),
      ])
    })

  test(`the options of django-redis are read as Django ${version} reads them`, async (t) => {
    t.timeout(110_000)
    const own = { BACKEND, LOCATION: redis.location }
    // django-redis shares one pool among all entries with the same LOCATION.
    const at = (n: number) => `${redis.location}/0#${n}`
    await check(t, version, [
      ...DJANGO_REDIS_OPTIONS.map((OPTIONS, n) => ({ ...own, LOCATION: at(n), OPTIONS })),
      ...PASSWORDS.flatMap((PASSWORD, n) => [
        { BACKEND, LOCATION: `${bare(locked)}#${n}`, OPTIONS: { PASSWORD } },
        {
          BACKEND,
          LOCATION: `${bare(locked)}#pool${n}`,
          OPTIONS: { PASSWORD: 'wrong', CONNECTION_POOL_KWARGS: { password: PASSWORD } },
        },
      ]),
      ...ENTRIES.map((entry) => ({ ...own, ...entry })),
    ])
  })

  test(`the options of memcached's clients are read as Django ${version} reads them`, async (t) => {
    t.timeout(110_000)
    for (const name of clients) {
      const own = { BACKEND: `${DJANGO}memcached.${name}`, LOCATION: memcached.location }
      await check(t, version, [
        ...(MEMCACHED_OPTIONS[name] ?? []).map((OPTIONS) => ({ ...own, OPTIONS })),
        ...ENTRIES.map((entry) => ({ ...own, ...entry })),
      ])
    }
  })

  test(`the options of files are read as Django ${version} reads them`, async (t) => {
    const own = { BACKEND: `${DJANGO}filebased.FileBasedCache`, LOCATION: temporaryFolder(t) }
    await check(t, version, [
      ...FILES_OPTIONS.map((OPTIONS) => ({ ...own, OPTIONS })),
      ...ENTRIES.map((entry) => ({ ...own, ...entry })),
    ])
  })
}

/** The LOCATION without its password. */
function bare({ location }: CacheServer): string {
  return location.replace(/\/\/.*@/, '//')
}
