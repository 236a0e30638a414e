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

export interface RedisCacheOptions extends Partial<RedisTimeouts> {
  /** How large a value may be, also once it is decompressed; 16 MiB unless given. */
  readonly maxInflatedBytes?: number
  readonly now?: () => Date
}

/**
 * A CACHES entry with Redis: Django's own RedisCache or django-redis'. The revision is a digest of the value, compared
 * by a script in the server: a script needs one round trip and any connection, where WATCH would need a connection of
 * its own for each session, and one key, as a cluster demands.
 * Unlike Django, which reads from the replicas, all is read from the leader: a replica lags behind what was just saved.
 * Source: django/core/cache/backends/redis.py, django_redis/client/default.py.
 * @throws {UnsupportedCache} when the entry asks for what we do not do.
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
  const { topology, serializer, compressor, expiryUnit, ignoresFaults } = readRedisSettings(settings)
  const format = createValueFormat({ serializer, compressor, maxBytes: maxInflatedBytes })
  const { connectionOf, connections } = connect(topology, { connectTimeout, commandTimeout })
  const run = (script: string, sessionKey: string, ...parameters: (string | number | Buffer)[]) => {
    const key = cacheKey(settings, sessionKey)
    return connectionOf(key).run('EVAL', script, 1, key, ...parameters)
  }
  /** As `SET` takes it; 0 for at once. Django cuts to whole seconds, django-redis to milliseconds. */
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
  return ignoresFaults ? createFaultIgnoringCache(cache) : cache
}

const MISSING = -2
const FOREVER = -1
const TOO_LARGE = -3

/** The value and its PTTL. What is no string, or too large to be sent, has no value. */
const GET = `
local size = redis.pcall('STRLEN', KEYS[1])
if type(size) == 'table' then return {false, 0} end
if size > tonumber(ARGV[1]) then return {false, ${TOO_LARGE}} end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}`

const ADD = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if ARGV[3] ~= '0' then redis.call('SET', KEYS[1], ARGV[1], ARGV[2], ARGV[3]) end
return 1`

/** Puts a value in the place of the one with that digest; without one, or if it has expired, nothing. */
const REPLACE = `
local stored = redis.pcall('GET', KEYS[1])
if not stored then return 'missing' end
if type(stored) == 'table' or redis.sha1hex(stored) ~= ARGV[1] then return 'changed' end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[3], ARGV[4], ARGV[2]) end
return 'done'`

/** SHA-1, which Redis has in its scripts: who could make two values of one digest owns the session anyway. */
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
      if (connection === undefined) throw new TypeError('the ring names only its own nodes')
      return connection
    },
    connections: [...shards.values()],
  }
}
