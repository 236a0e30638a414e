import { spawn } from 'node:child_process'
import { once } from 'node:events'
import test from 'ava'
import { dyingWithUs } from '../support/executables.ts'
import { startMemcached } from '../support/memcached.ts'
import { projectFolder } from '../support/places.ts'
import { startRedis, startRedisCluster, startRedisSentinels } from '../support/redis.ts'

/** Opens a cache in a separate process, reads once and closes it. Returns the output of the process after it exits by itself. */
async function openAndClose(
  factory: string,
  settings: object,
  freeze: () => void = () => {},
): Promise<string> {
  const script = `
    const { ${factory} } = await import('./src/caches/${factory === 'createRedisCache' ? 'redis/redis' : 'memcached/memcached'}.ts')
    const settings = { keyPrefix: '', version: 1, options: {}, ...${JSON.stringify(settings)} }
    const cache = ${factory}(settings, { connectTimeout: 2000, commandTimeout: 2000 })
    const ask = () => cache.get('key').then((found) => (found === null ? 'none' : 'some'), (error) => error.code)
    const first = await ask()
    console.log(first)
    await new Promise((resolve) => process.stdin.once('data', resolve))
    process.stdin.destroy()
    const asked = ask()
    await cache.close()
    await asked`
  const child = spawn(...dyingWithUs(process.execPath, ['--input-type=module', '-e', script]), {
    cwd: projectFolder,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      said += text
    })
  await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  freeze()
  child.stdin.write('on\n')
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
  const [code] = await once(child, 'exit')
  clearTimeout(timer)
  return code === 0 ? said.trim() : `${said} (${code})`
}

const REDIS = 'django.core.cache.backends.redis.RedisCache'
const MEMCACHED = 'django.core.cache.backends.memcached.PyMemcacheCache'
const redisAt = (...location: string[]) => ({ backend: REDIS, location })
const memcachedAt = (...location: string[]) => ({ backend: MEMCACHED, location })

test('a process exits after closing its cache', async (t) => {
  const [redis, memcached] = await Promise.all([startRedis(), startMemcached()])
  t.teardown(() => Promise.all([redis.stop(), memcached.stop()]))
  t.is(await openAndClose('createRedisCache', redisAt(redis.location)), 'none')
  t.is(await openAndClose('createMemcachedCache', memcachedAt(memcached.location)), 'none')
})

test('a process exits after closing a cache whose server is down', async (t) => {
  t.is(await openAndClose('createRedisCache', redisAt('redis://127.0.0.1:1')), 'ERR_CACHE_UNAVAILABLE')
  t.is(await openAndClose('createMemcachedCache', memcachedAt('127.0.0.1:1')), 'ERR_CACHE_UNAVAILABLE')
})

test('a process exits after closing a cache whose server is frozen', async (t) => {
  const [redis, memcached] = await Promise.all([startRedis(), startMemcached()])
  t.teardown(() => Promise.all([redis.stop(), memcached.stop()]))
  t.is(await openAndClose('createRedisCache', redisAt(redis.location), () => redis.freeze()), 'none')
  t.is(
    await openAndClose('createMemcachedCache', memcachedAt(memcached.location), () => memcached.freeze()),
    'none',
  )
})

test('a process exits after closing a cache on a cluster or behind sentinels', async (t) => {
  const [cluster, sentinels] = await Promise.all([startRedisCluster(), startRedisSentinels()])
  t.teardown(() => Promise.all([cluster.stop(), sentinels.stop()]))
  const options = { REDIS_CLIENT_CLASS: 'redis.cluster.RedisCluster' }
  const nodes = cluster.nodes.map(({ location }) => location)
  t.is(await openAndClose('createRedisCache', { ...redisAt(...nodes), options }), 'none')
  const behind = {
    backend: 'django_redis.cache.RedisCache',
    location: [`redis://${sentinels.service}/0`],
    options: { SENTINELS: sentinels.sentinels.map(({ port }) => ['127.0.0.1', port]) },
  }
  t.is(await openAndClose('createRedisCache', behind), 'none')
  await Promise.all(sentinels.sentinels.map((sentinel) => sentinel.kill()))
  t.is(await openAndClose('createRedisCache', behind), 'ERR_CACHE_UNAVAILABLE')
})
