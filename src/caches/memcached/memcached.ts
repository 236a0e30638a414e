import { createHash } from 'node:crypto'
import type { SessionData } from '../../django/json.ts'
import { UnreadableSession } from '../../django/session-data.ts'
import type { Cache } from '../cache.ts'
import { UnsupportedCache } from '../cache-errors.ts'
import { cacheKey } from '../cache-key.ts'
import type { CacheSettings } from '../cache-settings.ts'
import { inflated } from '../compressors.ts'
import { createFaultIgnoringCache } from '../ignoring-faults.ts'
import { dump, load, pickleSerializer } from '../values.ts'
import { createMemcachedClient, type MemcachedClient, type MemcachedItem } from './memcached-client.ts'
import {
  crc32Modulo,
  ketama,
  type MemcachedServer,
  oneAtATimeModulo,
  parseMemcachedLocation,
  rendezvous,
  type ServerOfKey,
} from './memcached-servers.ts'

/** The options of `createMemcachedCache`, beside the entry of CACHES. */
export interface MemcachedCacheOptions {
  /** Milliseconds. */
  readonly connectTimeout?: number
  /** Milliseconds. */
  readonly commandTimeout?: number
  /** Largest size of a value in bytes, also after decompression; default: 16 MiB. memcached's own limit is 1 MB by default. */
  readonly maxInflatedBytes?: number
  readonly now?: () => Date
}

/**
 * Creates a cache on memcached, as Django's PyMemcacheCache, PyLibMCCache or MemcachedCache.
 *
 * The revision is a digest of the value. `replace` and `remove` fetch the item, compare the digest, and then use
 * memcached's compare-and-swap. With several servers, each key is on the server that the Python client would choose.
 *
 * Unlike those clients, which move the keys of a dead server to the others, and return to stale values when it is back:
 * here the keys of a dead server are unavailable until it is back.
 * Source: django/core/cache/backends/memcached.py.
 * @throws {UnsupportedCache} if an option or its value is not supported.
 */
export function createMemcachedCache(
  settings: CacheSettings,
  {
    connectTimeout = 1000,
    commandTimeout = 1500,
    maxInflatedBytes = 16 * 1024 * 1024,
    now = () => new Date(),
  }: MemcachedCacheOptions = {},
): Cache {
  const backend = backends.get(settings.backend)
  if (backend === undefined)
    throw new UnsupportedCache(
      `BACKEND ${JSON.stringify(settings.backend)} is not a memcached backend of Django`,
    )
  const servers = settings.location.map(parseMemcachedLocation)
  if (servers.length === 0)
    throw new UnsupportedCache('LOCATION is empty; write host:port or unix:/path, as in Django')
  checkOptions(settings, backend, servers)
  if (!isValidKey(cacheKey(settings, 'x'.repeat(80)))) {
    throw new UnsupportedCache(
      'KEY_PREFIX is too long for memcached, or contains a space or a control character, so every key would be invalid; correct it, as in Django',
    )
  }
  const serverOf = backend.distribute(servers, settings.options)
  const clients = servers.map(({ address }) =>
    createMemcachedClient({ address, connectTimeout, commandTimeout, maxBytes: maxInflatedBytes }),
  )

  /** Null if the key is invalid in memcached: Django raises InvalidCacheKey, so no session has such a key. */
  function locate(sessionKey: string): { client: MemcachedClient; key: string } | null {
    const key = cacheKey(settings, sessionKey)
    const client = clients[serverOf(key)]
    return isValidKey(key) && client !== undefined ? { client, key } : null
  }

  function newItem(data: SessionData, timeout: number) {
    return {
      value: dump(pickleSerializer, data, maxInflatedBytes),
      flags: PICKLE,
      expiry: backendTimeout(timeout, now()),
    }
  }

  function read({ value, flags }: MemcachedItem): SessionData {
    if (value === null) throw new UnreadableSession('too-large')
    const isCompressed = backend?.inflates === true && (flags & COMPRESSED) !== 0
    const plain = isCompressed ? inflated(value, maxInflatedBytes) : value
    if ((flags & ~(isCompressed ? COMPRESSED : 0)) !== PICKLE) throw new UnreadableSession('not-an-object')
    return load(pickleSerializer, plain, maxInflatedBytes)
  }

  /** Replaces the item if its revision is still `revision`. */
  async function swap(
    key: string,
    item: { value: Buffer; flags: number; expiry: number },
    revision: string,
  ): Promise<'stored' | 'missing' | 'changed'> {
    const location = locate(key)
    const found = location === null ? null : await location.client.get(location.key)
    if (location === null || found === null) return 'missing'
    if (revisionOf(found) !== revision) return 'changed'
    return location.client.cas(location.key, item, found.unique)
  }

  const cache: Cache = {
    async get(key) {
      const location = locate(key)
      const found = location === null ? null : await location.client.get(location.key)
      if (found === null) return null
      const { secondsLeft } = found
      return {
        data: read(found),
        expireDate: secondsLeft === null ? null : new Date(now().getTime() + secondsLeft * 1000),
        revision: revisionOf(found),
      }
    },
    async add(key, data, timeout) {
      const location = locate(key)
      if (location === null) return null
      const item = newItem(data, timeout)
      return (await location.client.add(location.key, item)) === 'stored'
        ? { revision: revisionOf(item) }
        : null
    },
    async replace(key, data, timeout, revision) {
      const item = newItem(data, timeout)
      const outcome = await swap(key, item, revision)
      return outcome === 'stored' ? { revision: revisionOf(item) } : outcome
    },
    async delete(key) {
      const location = locate(key)
      await location?.client.delete(location.key)
    },
    // The protocol's `delete` does not compare; storing an empty, already expired item has the same effect.
    async remove(key, revision) {
      const outcome = await swap(key, { value: Buffer.alloc(0), flags: 0, expiry: EXPIRED }, revision)
      return outcome === 'stored' ? 'removed' : outcome
    },
    clearExpired: async () => 0,
    async close() {
      await Promise.all(clients.map((client) => client.close()))
    },
  }
  return settings.options.ignore_exc ? createFaultIgnoringCache(cache) : cache
}

/** Flags that all three Python clients use. */
const PICKLE = 1
const COMPRESSED = 8

const EXPIRED = -1
const DAYS_30 = 30 * 24 * 60 * 60

/** Source: get_backend_timeout in django/core/cache/backends/memcached.py. */
function backendTimeout(timeout: number, now: Date): number {
  if (timeout < 1) return EXPIRED
  const seconds = timeout > DAYS_30 ? timeout + Math.floor(now.getTime() / 1000) : timeout
  return Math.trunc(seconds)
}

/** memcached limits the length in bytes. Source: memcache_key_warnings in django/core/cache/backends/base.py. */
function isValidKey(key: string): boolean {
  return !INVALID_IN_KEY.test(key) && Buffer.byteLength(key) <= 250
}

const INVALID_IN_KEY = /[\0- \x7f]/

function revisionOf({ value, flags }: { value: Buffer | null; flags: number }): string {
  return createHash('sha256')
    .update(value ?? '')
    .update(String(flags))
    .digest('base64')
}

type Options = CacheSettings['options']

/** Whether the Python client accepts this value of an option, given the other options. */
type Check = (value: unknown, options: Options) => boolean

interface Backend {
  distribute(servers: readonly MemcachedServer[], options: Options): ServerOfKey
  /** Whether the client decompresses values that are flagged as compressed. */
  readonly inflates: boolean
  /**
   * The supported OPTIONS: those that are implemented here, and those that affect neither keys nor values. The client
   * fails on any other name.
   */
  readonly options: Readonly<Record<string, Check>>
}

const any: Check = () => true
const isNull: Check = (value) => value === null
const isInteger = (value: unknown): boolean => typeof value === 'boolean' || Number.isInteger(value)
const isSeconds: Check = (value) =>
  value === null || value === true || (typeof value === 'number' && value > 0)
const isNumber = (value: unknown): boolean =>
  value === null || typeof value === 'number' || typeof value === 'boolean'
/** For options that the client reads only when it uses a connection pool. */
const ifPooling =
  (check: Check): Check =>
  (value, options) =>
    !options.use_pooling || check(value, options)

const backends: ReadonlyMap<string, Backend> = new Map([
  [
    'django.core.cache.backends.memcached.PyMemcacheCache',
    {
      distribute: (servers) => rendezvous(servers.map(({ name }) => name)),
      inflates: false,
      // Source: pymemcache/client/hash.py, HashClient.__init__.
      options: {
        ...{ timeout: isSeconds, connect_timeout: isSeconds, retry_timeout: any, dead_timeout: any },
        ...{ no_delay: any, use_pooling: any, lock_generator: any, retry_attempts: any, ignore_exc: any },
        max_pool_size: ifPooling((value) => !value || (isInteger(value) && Number(value) > 0)),
        pool_idle_timeout: ifPooling((value) => typeof value === 'number' || typeof value === 'boolean'),
        ...{ allow_unicode_keys: any, default_noreply: any },
        encoding: (value) => /^(?:us-?)?ascii$|^utf[-_]?8$|^latin-?1$|^iso-8859-1$/i.test(String(value)),
        ...{ socket_keepalive: isNull, tls_context: isNull, serializer: isNull, deserializer: isNull },
      },
    },
  ],
  [
    'django.core.cache.backends.memcached.PyLibMCCache',
    {
      distribute: (servers, { behaviors }) =>
        behaviorsOf(behaviors).ketama
          ? ketama(servers.map(({ name }) => name))
          : oneAtATimeModulo(servers.length),
      inflates: true,
      // Source: pylibmc/client.py, Client.__init__.
      options: { binary: isInteger, behaviors: areBehaviors, username: isNull, password: isNull },
    },
  ],
  [
    'django.core.cache.backends.memcached.MemcachedCache',
    {
      distribute: (servers) => crc32Modulo(servers.length),
      inflates: true,
      // Source: memcache.py, Client.__init__.
      options: {
        ...{ debug: any, dead_retry: any, cache_cas: any, flush_on_reconnect: any, check_keys: any },
        pickleProtocol: (value) => value === null || isInteger(value),
        socket_timeout: isSeconds,
        ...{ server_max_key_length: isNumber, server_max_value_length: isNumber },
      },
    },
  ],
])

/** Source: pylibmc's _pylibmc.all_behaviors. The behaviors for hash and distribution take names, too. */
const BEHAVIORS: ReadonlySet<string> = new Set(
  (
    'no_block tcp_nodelay tcp_keepalive ketama ketama_weighted cas buffer_requests verify_keys connect_timeout ' +
    'send_timeout receive_timeout num_replicas auto_eject retry_timeout remove_failed failure_limit ' +
    '_io_msg_watermark _io_bytes_watermark _io_key_prefetch _hash_with_prefix_key _noreply _sort_hosts ' +
    '_poll_timeout _socket_send_size _socket_recv_size dead_timeout pickle_protocol'
  ).split(' '),
)
const HASHES: ReadonlySet<unknown> = new Set(
  'crc default fnv1_32 fnv1_64 fnv1a_32 fnv1a_64 hsieh jenkins md5 murmur'.split(' '),
)
const DISTRIBUTIONS: ReadonlySet<unknown> = new Set([
  ...['consistent', 'consistent ketama', 'consistent ketama spy', 'consistent max', 'consistent weighted'],
  ...['modula', 'random', 'virtual bucket'],
])

function areBehaviors(behaviors: unknown): boolean {
  if (!behaviors) return true
  return Object.entries(behaviorsOf(behaviors)).every(([name, value]) => {
    if (name === 'hash' || name === 'ketama_hash') return HASHES.has(value)
    return name === 'distribution' ? DISTRIBUTIONS.has(value) : BEHAVIORS.has(name) && isInteger(value)
  })
}

/** Behaviors of libmemcached that affect which server stores a key, and their defaults. `ketama` is implemented here. */
const AFFECTS_PLACEMENT: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ...['ketama_weighted', 'ketama_hash', 'auto_eject', 'remove_failed', 'num_replicas', '_sort_hosts'].map(
    (name) => [name, 0] as const,
  ),
  ['hash', 'default'],
  ['distribution', 'modula'],
])

function checkOptions(
  { options }: CacheSettings,
  { options: checks }: Backend,
  servers: readonly MemcachedServer[],
): void {
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) throw new UnsupportedCache(`OPTIONS.${name} is not supported with memcached`)
    if (!check(value, options))
      throw new UnsupportedCache(
        `OPTIONS.${name} has a value that is not supported here, or on which the Python client fails; correct it, as in Django`,
      )
  }
  if (servers.length === 1) return
  for (const [name, value] of Object.entries(behaviorsOf(options.behaviors))) {
    if (
      AFFECTS_PLACEMENT.has(name) &&
      value !== AFFECTS_PLACEMENT.get(name) &&
      value !== false &&
      value !== null
    )
      throw new UnsupportedCache(
        `OPTIONS.behaviors.${name} is not supported with several servers, because it affects which server stores a key`,
      )
  }
}

function behaviorsOf(behaviors: unknown): Readonly<Record<string, unknown>> {
  return typeof behaviors === 'object' && behaviors !== null ? { ...behaviors } : {}
}
