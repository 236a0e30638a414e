import { createHash } from 'node:crypto'
import { UnreadableSession } from '../../django/session-data.ts'
import type { Cache } from '../cache.ts'
import { cacheKey } from '../cache-key.ts'
import type { CacheSettings } from '../cache-settings.ts'
import { createFaultIgnoringCache } from '../ignoring-faults.ts'
import { createValueFormat } from '../values.ts'
import { createHashRing } from './hash-ring.ts'
import { createRedisConnection, type RedisConnection, type RedisTimeouts } from './redis-connection.ts'
import { type RedisTopology, readRedisSettings } from './redis-settings.ts'

/** The options of `createRedisCache`, beside the entry of CACHES. */
export interface RedisCacheOptions extends Partial<RedisTimeouts> {
  /** Largest size of a value in bytes, also after decompression; default: 16 MiB. */
  readonly maxInflatedBytes?: number
  readonly now?: () => Date
}

/**
 * Creates a cache on Redis: the RedisCache of Django, or that of django-redis.
 *
 * The revision is a digest of the value, compared by a script on the server. A script needs one round trip on any shared
 * connection, where WATCH would need a separate connection for each session. It uses one key, as Redis Cluster requires.
 *
 * Unlike Django, which reads from replicas, every read goes to the leader: a replica may lag behind the last save.
 * Source: django/core/cache/backends/redis.py, django_redis/client/default.py.
 * @throws {UnsupportedCache} if an option or its value is not supported.
 */
export function createRedisCache(
  settings: CacheSettings,
  {
    connectTimeout = 1000,
    commandTimeout = 1500,
    maxInflatedBytes = 16 * 1024 * 1024,
    now = () => new Date(),
  }: RedisCacheOptions = {},
): Cache {
  const { topology, serializer, compressor, expiryUnit, ignoresExceptions } = readRedisSettings(settings)
  const format = createValueFormat({ serializer, compressor, maxBytes: maxInflatedBytes })
  const { connectionOf, connections } = connect(topology, { connectTimeout, commandTimeout })
  const run = (script: string, sessionKey: string, ...parameters: (string | number | Buffer)[]) => {
    const key = cacheKey(settings, sessionKey)
    return connectionOf(key).run('EVAL', script, 1, key, ...parameters)
  }
  /** The expiry argument of `SET`; 0: already expired. Django truncates to seconds, django-redis to milliseconds. */
  const expiry = (timeout: number) => Math.max(0, Math.trunc(expiryUnit === 'PX' ? timeout * 1000 : timeout))

  const cache: Cache = {
    async get(key) {
      const [value, left] = listOf(await run(GET, key, maxInflatedBytes))
      if (left === MISSING) return null
      if (!Buffer.isBuffer(value)) throw new UnreadableSession(left === TOO_LARGE ? 'too-large' : 'payload')
      return {
        data: format.decode(value),
        expireDate: left === FOREVER ? null : new Date(now().getTime() + Number(left)),
        revision: revisionOf(value),
      }
    },
    async add(key, data, timeout) {
      const value = format.encode(data)
      const isAdded = (await run(ADD, key, value, expiryUnit, expiry(timeout))) === 1
      return isAdded ? { revision: revisionOf(value) } : null
    },
    async replace(key, data, timeout, revision) {
      const value = format.encode(data)
      const outcome = outcomeOf(await run(REPLACE, key, revision, expiry(timeout), value, expiryUnit))
      return outcome === 'done' ? { revision: revisionOf(value) } : outcome
    },
    async delete(key) {
      const placed = cacheKey(settings, key)
      await connectionOf(placed).run('DEL', placed)
    },
    async remove(key, revision) {
      const outcome = outcomeOf(await run(REPLACE, key, revision, 0))
      return outcome === 'done' ? 'removed' : outcome
    },
    clearExpired: async () => 0,
    async close() {
      await Promise.all(connections.map((connection) => connection.close()))
    },
  }
  return ignoresExceptions ? createFaultIgnoringCache(cache) : cache
}

const MISSING = -2
const FOREVER = -1
const TOO_LARGE = -3

/** Returns the value and its PTTL. Returns no value if it is not a string, or larger than the limit. */
const GET = `
local size = redis.pcall('STRLEN', KEYS[1])
if type(size) == 'table' then return {false, 0} end
if size > tonumber(ARGV[1]) then return {false, ${TOO_LARGE}} end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}`

const ADD = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if ARGV[3] ~= '0' then redis.call('SET', KEYS[1], ARGV[1], ARGV[2], ARGV[3]) end
return 1`

/** Replaces the value if it has this digest; deletes it if the new expiry is 0. */
const REPLACE = `
local stored = redis.pcall('GET', KEYS[1])
if not stored then return 'missing' end
if type(stored) == 'table' or redis.sha1hex(stored) ~= ARGV[1] then return 'changed' end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[3], ARGV[4], ARGV[2]) end
return 'done'`

/**
 * SHA-1, because Redis offers it to scripts. A collision is not an attack: only the owner of a session could create two values
 * with the same digest.
 */
function revisionOf(value: Buffer): string {
  return createHash('sha1').update(value).digest('hex')
}

function outcomeOf(answer: unknown): 'done' | 'missing' | 'changed' {
  const outcome = String(answer)
  return outcome === 'done' || outcome === 'missing' ? outcome : 'changed'
}

function listOf(answer: unknown): readonly unknown[] {
  return Array.isArray(answer) ? answer : []
}

function connect(
  topology: RedisTopology,
  timeouts: RedisTimeouts,
): { connectionOf(key: string): RedisConnection; connections: readonly RedisConnection[] } {
  if (topology.kind !== 'shards') {
    const connection = createRedisConnection(topology, timeouts)
    return { connectionOf: () => connection, connections: [connection] }
  }
  const shards = new Map(
    [...topology.shards].map(([name, server]) => [
      name,
      createRedisConnection({ kind: 'leader', server }, timeouts),
    ]),
  )
  const nameOf = createHashRing([...shards.keys()])
  return {
    connectionOf(key) {
      const connection = shards.get(nameOf(key))
      if (connection === undefined) throw new TypeError('the hash ring returned an unknown node')
      return connection
    },
    connections: [...shards.values()],
  }
}
