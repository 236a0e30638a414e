import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Cache } from '../../../src/caches/cache.ts'
import type { CacheSettings } from '../../../src/caches/cache-settings.ts'
import { createRedisCache, type RedisCacheOptions } from '../../../src/caches/redis/redis.ts'
import { parseObject } from '../../../src/django/json.ts'
import { djangoVersions } from '../../support/django.ts'
import { startDjangoCaches } from '../../support/django-cache.ts'
import { fileScope } from '../../support/file-scope.ts'
import { startRedis, startRedisCluster, startRedisSentinels } from '../../support/redis.ts'
import { until } from '../../support/until.ts'
import { testCacheContract } from '../contract.ts'
import { survivesHoldUps, survivesOutages } from '../faults.ts'

const file = fileScope(test)
let server: Awaited<ReturnType<typeof startRedis>>
let others: Awaited<ReturnType<typeof startRedis>>[]
let cluster: Awaited<ReturnType<typeof startRedisCluster>>
test.before(async () => {
  ;[server, cluster, ...others] = await Promise.all([
    startRedis({ password: 'made-up' }),
    startRedisCluster(),
    startRedis(),
    startRedis(),
  ])
  file.teardown(() => Promise.all([server.stop(), cluster.stop(), ...others.map((other) => other.stop())]))
})

const DJANGO = 'django.core.cache.backends.redis.RedisCache'
const DJANGO_REDIS = 'django_redis.cache.RedisCache'
const SHARDS = { CLIENT_CLASS: 'django_redis.client.ShardClient' }
const CLUSTER = { REDIS_CLIENT_CLASS: 'redis.cluster.RedisCluster' }

/** Long, because a busy machine answers late. */
const PATIENT = { connectTimeout: 20_000, commandTimeout: 20_000 }
const json = parseObject

const entry = (changes: Partial<CacheSettings> = {}): CacheSettings => ({
  backend: DJANGO,
  location: [server.location],
  keyPrefix: '',
  version: 1,
  options: {},
  ...changes,
})

function open(
  t: ExecutionContext,
  changes: Partial<CacheSettings>,
  options: RedisCacheOptions = PATIENT,
): Cache {
  const cache = createRedisCache(entry(changes), options)
  t.teardown(() => cache.close())
  return cache
}

const underTest = (changes: () => Partial<CacheSettings>) => () => ({
  open: () => createRedisCache(entry(changes()), PATIENT),
  tellsExpiry: true,
})

testCacheContract(
  test,
  "Django's RedisCache",
  underTest(() => ({})),
)
testCacheContract(
  test,
  'django-redis',
  underTest(() => ({ backend: DJANGO_REDIS })),
)
testCacheContract(
  test,
  'shards of django-redis',
  underTest(() => ({
    backend: DJANGO_REDIS,
    location: others.map(({ location }) => location),
    options: SHARDS,
  })),
)
testCacheContract(
  test,
  'a Redis Cluster',
  underTest(() => ({ location: cluster.nodes.map(({ location }) => location), options: CLUSTER })),
)

test('a cluster spreads its keys over all nodes, whichever nodes LOCATION names', async (t) => {
  const cache = open(t, {
    location: [cluster.nodes[0]?.location ?? ''],
    options: CLUSTER,
    keyPrefix: 'spread',
  })
  for (let index = 0; index < 30; index += 1) await cache.add(`key-${index}`, json('{}'), 100)
  for (const node of cluster.nodes) t.regex(await node.command('KEYS', 'spread:*'), /key-/)
})

test('servers are reached by URL: password, user, database, Unix socket', async (t) => {
  await server.command('ACL', 'SETUSER', 'ann:e', 'on', '>p@ss/word', 'allkeys', 'allcommands')
  const { port, socket } = server
  for (const [location, options] of [
    [`redis://:made-up@localhost:${port}/5`, {}],
    [`redis://127.0.0.1:${port}?db=5&password=made-up`, {}],
    [`redis://127.0.0.1:${port}`, { password: 'made-up', db: 5 }],
    [`redis://ann%3Ae:p%40ss%2Fword@127.0.0.1:${port}/5`, {}],
    [`redis://127.0.0.1:${port}/5`, { username: 'ann:e', password: 'p@ss/word' }],
    [`unix://:made-up@${socket}?db=5`, {}],
  ] as const) {
    const cache = open(t, { location: [location], options, keyPrefix: 'by-url' })
    t.truthy(await cache.add('key', json('{}'), 100), location)
    t.is(await server.command('-n', '5', 'DEL', 'by-url:1:key'), '1')
  }
  const options = {
    PASSWORD: 'p@ss/word',
    USERNAME: 'ann:e',
    CONNECTION_POOL_KWARGS: { max_connections: 3, db: 5 },
  }
  const cache = open(t, { backend: DJANGO_REDIS, location: [`redis://127.0.0.1:${port}`], options })
  t.truthy(await cache.add('by-options', json('{}'), 100))
  t.is(await server.command('-n', '5', 'DEL', ':1:by-options'), '1')
})

test('TLS is used, and the certificate is checked', async (t) => {
  const secure = await startRedis({ tls: true })
  t.teardown(() => secure.stop())
  const ca = join(secure.folder, 'ca.crt')
  t.true(readFileSync(ca, 'utf8').startsWith('-----BEGIN CERTIFICATE'))
  const trusting = open(t, { location: [secure.location], options: { ssl_ca_certs: ca } })
  t.truthy(await trusting.add('key', json('{}'), 100))
  const careless = open(t, { location: [`${secure.location}?ssl_cert_reqs=none`] })
  t.truthy(await careless.get('key'))
  const strict = open(t, { location: [secure.location] })
  await t.throwsAsync(strict.get('key'), { code: 'ERR_CACHE_UNAVAILABLE', message: /CERT|SELF_SIGNED/ })
})

test('an error reply is reported by its code, without key, data or password', async (t) => {
  const wrong = open(t, { location: [`redis://:not-the-password@127.0.0.1:${server.port}`] })
  const refused = await t.throwsAsync(wrong.add('the-key', json('{"the":"data"}'), 100), {
    code: 'ERR_CACHE_UNAVAILABLE',
  })
  t.regex(refused?.message ?? '', /WRONGPASS/)
  const unnamed = open(t, { location: [`redis://127.0.0.1:${server.port}`] })
  await t.throwsAsync(unnamed.get('the-key'), { message: /NOAUTH/ })

  const full = await startRedis({ extraArguments: ['--maxmemory', '100kb'] })
  t.teardown(() => full.stop())
  const cache = open(t, { location: [full.location] })
  const error = await t.throwsAsync(cache.add('the-key', json('{"the":"data"}'), 100), { message: /OOM/ })
  for (const each of [refused, error])
    t.notRegex(JSON.stringify([each, { ...each }, each?.stack]), /the-key|data"|not-the/)
})

test('a value that is not a string, too large, or inflates beyond the limit is unreadable', async (t) => {
  const cache = open(t, {}, { ...PATIENT, maxInflatedBytes: 1000 })
  await server.command('LPUSH', ':1:list', 'x')
  await t.throwsAsync(cache.get('list'), { code: 'ERR_SESSION_UNREADABLE' })
  t.is(await cache.replace('list', json('{}'), 100, 'any'), 'changed')
  t.is(await cache.remove('list', 'any'), 'changed')
  await server.command('SETRANGE', ':1:large', '100000000', 'x')
  await t.throwsAsync(cache.get('large'), {
    code: 'ERR_SESSION_UNREADABLE',
    message: /larger than the limit/,
  })
  await t.throwsAsync(cache.add('much', json(`{"a":"${'x'.repeat(2000)}"}`), 100), {
    code: 'ERR_PAYLOAD_TOO_LARGE',
  })
  for (const name of ['zlib.ZlibCompressor', 'gzip.GzipCompressor', 'zstd.ZStdCompressor']) {
    const options = { COMPRESSOR: `django_redis.compressors.${name}` }
    const roomy = open(t, { backend: DJANGO_REDIS, options })
    await roomy.add(`bomb-${name}`, json(`{"a":"${'x'.repeat(100_000)}"}`), 100)
    const tight = open(t, { backend: DJANGO_REDIS, options }, { ...PATIENT, maxInflatedBytes: 1000 })
    await t.throwsAsync(tight.get(`bomb-${name}`), { code: 'ERR_SESSION_UNREADABLE', message: /larger/ })
  }
  for (const [key, value] of [
    ['empty', ''],
    ['text', 'hello'],
    ['json', '{"a":1}'],
    ['code', 'cos\nsystem\n(S"false"\ntR.'],
  ]) {
    await server.command('SET', `:1:${key}`, value ?? '')
    await t.throwsAsync(cache.get(key ?? ''), { code: 'ERR_SESSION_UNREADABLE' }, key)
  }
})

test('any text can be a key, and no key becomes a command', async (t) => {
  const cache = open(t, { keyPrefix: 'odd' })
  for (const key of ['', ' ', 'a b\r\nFLUSHALL\r\n', '*', '{a}', '\0', 'ü'.repeat(3000)]) {
    t.is(await cache.get(key), null)
    t.truthy(await cache.add(key, json('{"a":1}'), 100))
    t.truthy(await cache.get(key))
  }
})

test('a reply counts that arrives while this process is held up', async (t) => {
  const own = await startRedis()
  t.teardown(() => own.stop())
  await survivesHoldUps(t, (options) => open(t, { location: [own.location] }, options))
})

test('commands fail at once while the server is down, and work when it is back', async (t) => {
  const own = await startRedis()
  t.teardown(() => own.stop())
  await survivesOutages(t, own, (options) => open(t, { location: [own.location] }, options))
})

test('commands fail in time while a cluster is down, and work when it is back', async (t) => {
  const own = await startRedisCluster()
  t.teardown(() => own.stop())
  const cache = open(
    t,
    { location: own.nodes.map(({ location }) => location), options: CLUSTER },
    { connectTimeout: 1000, commandTimeout: 1000 },
  )
  await cache.add('key', json('{}'), 100)
  await Promise.all(own.nodes.map((node) => node.kill()))
  const start = performance.now()
  await t.throwsAsync(cache.get('key'), { code: 'ERR_CACHE_UNAVAILABLE' })
  await t.throwsAsync(cache.get('key'), { code: 'ERR_CACHE_UNAVAILABLE' })
  t.true(performance.now() - start < 5000)
  await Promise.all(own.nodes.map((node) => node.restart()))
  const isBack = () => cache.add('key', json('{"a":1}'), 100).catch(() => null)
  for (let tries = 0; tries < 200 && (await isBack()) === null; tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 50))
  t.deepEqual((await cache.get('key'))?.data, json('{"a":1}'))
})

test('with IGNORE_EXCEPTIONS an unavailable cache looks empty', async (t) => {
  const cache = open(t, {
    backend: DJANGO_REDIS,
    location: ['redis://127.0.0.1:1'],
    options: { IGNORE_EXCEPTIONS: true },
  })
  t.is(await cache.get('key'), null)
  t.is(await cache.add('key', json('{}'), 100), null)
  t.is(await cache.replace('key', json('{}'), 100, 'any'), 'missing')
  t.is(await cache.remove('key', 'any'), 'missing')
  await t.notThrowsAsync(cache.delete('key'))
})

test('after a failover, sentinels lead ours and django-redis to the new leader', async (t) => {
  const { service, sentinels, servers, leaderPort, stop } = await startRedisSentinels()
  t.teardown(stop)
  const changes = {
    backend: DJANGO_REDIS,
    location: [`redis://${service}/0`],
    options: {
      CLIENT_CLASS: 'django_redis.client.SentinelClient',
      CONNECTION_FACTORY: 'django_redis.pool.SentinelConnectionFactory',
      SENTINELS: sentinels.map(({ port }) => ['127.0.0.1', port]),
    },
  }
  const cache = open(t, changes, { connectTimeout: 2000, commandTimeout: 2000 })
  const version = djangoVersions.at(-1) ?? ''
  const { backend: BACKEND, location, options: OPTIONS } = changes
  const django = startDjangoCaches(t, version, { default: { BACKEND, LOCATION: location[0], OPTIONS } })(
    'default',
  )
  // redis-py rejects a leader that the sentinels consider down. They do so until its first reply, and on a busy machine;
  // redis-py then raises MasterNotFoundError.
  const djangoSets = async (value: string): Promise<string> => {
    for (const deadline = performance.now() + 60_000; ; ) {
      try {
        return await django.set('theirs', value, 1000)
      } catch (error) {
        if (!/^MasterNotFoundError/.test(String(error instanceof Error && error.message))) throw error
        if (performance.now() > deadline) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  await djangoSets("{'n': 1}")
  t.deepEqual((await cache.get('theirs'))?.data, json('{"n":1}'))
  const port = await leaderPort()
  const leader = servers.find((server) => server.port === port)
  const replica = servers.find((server) => server.port !== port)
  const added = await cache.add('key', json('{"a":1}'), 1000)
  t.is(await leader?.command('EXISTS', ':1:key'), '1')
  // Not WAIT, which waits for the writes of its own connection: the leader streams to a new replica only some time after
  // that replica says that it is in step.
  const replicaHasEntry = async () => (await replica?.command('EXISTS', ':1:key')) === '1'
  await until('the replica has the entry', replicaHasEntry)
  await leader?.kill()

  const deadline = performance.now() + 30_000
  let slowest = 0
  for (;;) {
    const start = performance.now()
    const outcome = await cache
      .replace('key', json('{"a":2}'), 1000, added?.revision ?? '')
      .catch((error) => error)
    slowest = Math.max(slowest, performance.now() - start)
    if (typeof outcome === 'object' && 'revision' in outcome) break
    t.is(outcome.code, 'ERR_CACHE_UNAVAILABLE', String(outcome))
    t.true(performance.now() < deadline, 'no new leader was found')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  t.true(slowest < 6000, `${slowest} ms`)
  t.is(await replica?.command('EXISTS', ':1:key'), '1')
  t.deepEqual((await cache.get('key'))?.data, json('{"a":2}'))

  t.is(await djangoSets("{'n': 2}"), 'True')
  t.deepEqual((await cache.get('theirs'))?.data, json('{"n":2}'))
  t.is(await django.get('key'), "{'a': 2}")
})
