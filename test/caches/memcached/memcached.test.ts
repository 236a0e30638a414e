import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { Cache } from '../../../src/caches/cache.ts'
import type { CacheSettings } from '../../../src/caches/cache-settings.ts'
import { createMemcachedCache, type MemcachedCacheOptions } from '../../../src/caches/memcached/memcached.ts'
import { parseObject } from '../../../src/django/json.ts'
import type { CacheServer } from '../../support/cache-server.ts'
import { fileScope, type Scope } from '../../support/file-scope.ts'
import { startMemcached } from '../../support/memcached.ts'
import { testCacheContract } from '../contract.ts'
import { survivesHoldUps, survivesOutages } from '../faults.ts'

const file = fileScope(test)
let server: CacheServer
let onSocket: CacheServer
let oldServer: string
test.before(async () => {
  ;[server, onSocket] = await Promise.all([startMemcached(), startMemcached({ onSocket: true })])
  file.teardown(() => Promise.all([server.stop(), onSocket.stop()]))
  oldServer = await startProxy(file, server, (answer) => answer.replace('VERSION 1.6', 'VERSION 1.5'))
})

const PYMEMCACHE = 'django.core.cache.backends.memcached.PyMemcacheCache'
const PYLIBMC = 'django.core.cache.backends.memcached.PyLibMCCache'

/** Long, because a busy machine answers late. */
const PATIENT = { connectTimeout: 20_000, commandTimeout: 20_000 }
const json = parseObject

const entry = (changes: Partial<CacheSettings> = {}): CacheSettings => ({
  backend: PYMEMCACHE,
  location: [server.location],
  keyPrefix: '',
  version: 1,
  options: {},
  ...changes,
})

function open(
  t: ExecutionContext,
  changes: Partial<CacheSettings>,
  options: MemcachedCacheOptions = PATIENT,
): Cache {
  const cache = createMemcachedCache(entry(changes), options)
  t.teardown(() => cache.close())
  return cache
}

/** Starts a proxy that changes the replies of a memcached; returns its LOCATION. */
async function startProxy(t: Scope, to: CacheServer, change: (answer: string) => string): Promise<string> {
  const proxy = createServer((client) => {
    const upstream = connect(to.port, '127.0.0.1')
    client.on('data', (data) => upstream.write(data))
    upstream.on('data', (data) => client.write(change(data.toString('latin1')), 'latin1'))
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => null)
      one.on('close', () => other.destroy())
    }
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => proxy.close())
  return `127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

/** Sends lines directly to the server; returns all its replies. */
async function say(text: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('latin1').on('data', (data) => {
    answer += data
  })
  socket.write(`${text}\r\nquit\r\n`, 'latin1')
  await once(socket, 'close')
  return answer
}

testCacheContract(test, 'memcached', () => ({
  open: () => createMemcachedCache(entry(), PATIENT),
  tellsExpiry: true,
}))
testCacheContract(test, 'a memcached older than 1.6', () => ({
  open: () => createMemcachedCache(entry({ location: [oldServer] }), PATIENT),
  tellsExpiry: false,
}))
testCacheContract(test, 'two memcacheds', () => ({
  open: () => createMemcachedCache(entry({ location: [server.location, onSocket.location] }), PATIENT),
  tellsExpiry: true,
}))

test('a session larger than the server accepts is an error, and the stored one stays', async (t) => {
  for (const location of [server.location, oldServer]) {
    const cache = open(t, { location: [location] })
    const large = json(`{"a":"${'x'.repeat(1024 * 1024)}"}`)
    const TOO_LARGE = { code: 'ERR_PAYLOAD_TOO_LARGE', message: /more than memcached .* accepts/ }
    await t.throwsAsync(cache.add('large', large, 100), TOO_LARGE)
    t.is(await cache.get('large'), null)
    const added = await cache.add('small', json('{"a":1}'), 100)
    await t.throwsAsync(cache.replace('small', large, 100, added?.revision ?? ''), TOO_LARGE)
    t.is((await cache.get('small'))?.revision, added?.revision)
    t.deepEqual((await cache.get('small'))?.data, json('{"a":1}'))
    await cache.delete('small')
    const nearly = json(`{"a":"${'x'.repeat(1_000_000)}"}`)
    t.truthy(await cache.add('nearly', nearly, 100))
    t.deepEqual((await cache.get('nearly'))?.data, nearly)
    await cache.delete('nearly')
  }
})

test('a server with a higher limit stores more, up to our own limit', async (t) => {
  const roomy = await startMemcached({ extraArguments: ['-I', '8m', '-m', '128'] })
  t.teardown(() => roomy.stop())
  const cache = open(t, { location: [roomy.location] })
  const large = json(`{"a":"${'x'.repeat(3_000_000)}"}`)
  t.truthy(await cache.add('large', large, 100))
  t.deepEqual((await cache.get('large'))?.data, large)
  const tight = open(t, { location: [roomy.location] }, { ...PATIENT, maxInflatedBytes: 1_000_000 })
  await t.throwsAsync(tight.get('large'), {
    code: 'ERR_SESSION_UNREADABLE',
    message: /larger than the limit/,
  })
  await t.throwsAsync(tight.add('much', large, 100), { code: 'ERR_PAYLOAD_TOO_LARGE' })
  t.is(await tight.get('none'), null)
})

test('a key that is invalid in memcached has no session, and never becomes a command', async (t) => {
  const before = await say('add :1:victim 0 100 1\r\nx')
  t.is(before, 'STORED\r\n')
  for (const location of [server.location, oldServer]) {
    const cache = open(t, { location: [location] })
    for (const key of [
      'a b',
      'x\r\ndelete :1:victim\r\n',
      'x\ndelete :1:victim\n',
      '\0',
      '\x7f',
      'x'.repeat(251),
      '鍵'.repeat(83),
    ]) {
      t.is(await cache.get(key), null)
      t.is(await cache.add(key, json('{}'), 100), null)
      t.is(await cache.replace(key, json('{}'), 100, 'any'), 'missing')
      t.is(await cache.remove(key, 'any'), 'missing')
      await t.notThrowsAsync(cache.delete(key))
    }
    for (const key of ['ключ', '\u0085', '\u2028', 'x'.repeat(247)]) {
      t.truthy(await cache.add(key, json('{"a":1}'), 100), key)
      t.truthy(await cache.get(key))
      await cache.delete(key)
    }
  }
  t.regex(await say('get :1:victim'), /VALUE :1:victim 0 1\r\nx/)
})

test('values of other types are unreadable, and stay', async (t) => {
  const cache = open(t, {})
  const compressing = open(t, { backend: PYLIBMC })
  for (const [key, flags, value] of [
    ['bytes', 0, 'END'],
    ['text', 16, 'END\r\nVALUE x 1 1\r\n'],
    ['int', 2, '12'],
    ['junk', 1, 'VA 1 f1 c1 t1\r\nx\r\n'],
    ['empty', 1, ''],
    ['unzipped', 9, 'not compressed'],
    ['many', 4294967295, 'x'],
  ] as const) {
    t.is(await say(`set :1:${key} ${flags} 100 ${value.length}\r\n${value}`), 'STORED\r\n')
    for (const each of [cache, compressing, open(t, { location: [oldServer] })]) {
      await t.throwsAsync(each.get(key), { code: 'ERR_SESSION_UNREADABLE' }, key)
      t.is(await each.get('none'), null)
      t.is(await each.replace(key, json('{}'), 100, 'any'), 'changed')
    }
  }
})

test('a reply counts that arrives while this process is held up', async (t) => {
  const own = await startMemcached()
  t.teardown(() => own.stop())
  await survivesHoldUps(t, (options) => open(t, { location: [own.location] }, options))
})

test('commands fail at once while the server is down, and work when it is back', async (t) => {
  const own = await startMemcached()
  t.teardown(() => own.stop())
  await survivesOutages(t, own, (options) => open(t, { location: [own.location] }, options))
})

test('a server that is down does not affect the other servers', async (t) => {
  const own = await startMemcached()
  t.teardown(() => own.stop())
  const cache = open(t, { location: [server.location, own.location], keyPrefix: 'some' })
  await own.kill()
  const outcomes = await Promise.all(
    Array.from({ length: 40 }, (_, index) => cache.get(`key-${index}`).catch((error) => error.code)),
  )
  t.true(outcomes.includes(null))
  t.true(outcomes.includes('ERR_CACHE_UNAVAILABLE'))
})

test('a server that uses another protocol is unavailable at once', async (t) => {
  for (const answer of ['HTTP/1.1 400 Bad Request\r\n\r\n', 'x'.repeat(5000), '-ERR unknown command\r\n']) {
    const cache = open(t, { location: [await startProxy(t, server, () => answer)] })
    const start = performance.now()
    await t.throwsAsync(cache.get('key'), { code: 'ERR_CACHE_UNAVAILABLE' })
    t.true(performance.now() - start < 10_000)
  }
})

test('with ignore_exc an unavailable cache looks empty', async (t) => {
  const cache = open(t, { location: ['127.0.0.1:1'], options: { ignore_exc: true } })
  t.is(await cache.get('key'), null)
  t.is(await cache.add('key', json('{}'), 100), null)
  t.is(await cache.replace('key', json('{}'), 100, 'any'), 'missing')
})
