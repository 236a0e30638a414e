import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { CacheSettings } from '../settings/cache-settings.ts'
import { UnsupportedCache } from './cache-errors.ts'
import { type Compressor, compressors } from './compressors.ts'
import { parseRedisLocation, type RedisAddress } from './redis-location.ts'
import { jsonSerializer, pickleSerializer, type Serializer } from './values.ts'

/** Which servers to ask, and what stands in them. */
export interface RedisPlan {
  readonly topology: RedisTopology
  readonly serializer: Serializer
  readonly compressor: Compressor | null
  /** The unit of expiry: Django sends seconds (EX), django-redis milliseconds (PX). */
  readonly expiryUnit: 'EX' | 'PX'
  /** Whether a cache that is down counts as an empty one. */
  readonly ignoresFaults: boolean
}

/**
 * - `leader`: one server. Of several LOCATIONs it is the first: Django writes there, and reads from the replicas.
 * - `shards`: django-redis' ShardClient; each key is on one of them. The names are the LOCATIONs to the letter.
 * - `sentinel`: the leader is whom the sentinels name; the address' host is the service's name.
 * - `cluster`: Redis Cluster, found by any of these.
 */
export type RedisTopology =
  | { readonly kind: 'leader'; readonly server: RedisServerSettings }
  | { readonly kind: 'shards'; readonly shards: ReadonlyMap<string, RedisServerSettings> }
  | {
      readonly kind: 'sentinel'
      readonly server: RedisServerSettings
      readonly sentinels: readonly { readonly host: string; readonly port: number }[]
      readonly sentinelUsername: string | null
      readonly sentinelPassword: string | null
    }
  | { readonly kind: 'cluster'; readonly servers: readonly [RedisServerSettings, ...RedisServerSettings[]] }

export interface RedisServerSettings extends RedisAddress {
  /** Null for plain text. */
  readonly tlsOptions: ConnectionOptions | null
}

type Options = Readonly<Record<string, unknown>>

/** @throws {UnsupportedCache} when the entry asks for what we do not do; it quotes no LOCATION and no secret. */
export function readRedisSettings(settings: CacheSettings): RedisPlan {
  if (settings.backend === 'django.core.cache.backends.redis.RedisCache') return readDjango(settings)
  if (settings.backend === 'django_redis.cache.RedisCache') return readDjangoRedis(settings)
  throw new UnsupportedCache(`BACKEND ${JSON.stringify(settings.backend)} is no Redis backend`)
}

/** Source: RedisCacheClient in django/core/cache/backends/redis.py. */
function readDjango({ location, options }: CacheSettings): RedisPlan {
  const { serializer, REDIS_CLIENT_CLASS, ...connection } = options
  if (serializer !== undefined && serializer !== 'django.core.cache.backends.redis.RedisSerializer')
    throw refused('serializer', serializer)
  const servers = readServers(location, connection, {})
  return {
    topology: isCluster(REDIS_CLIENT_CLASS)
      ? { kind: 'cluster', servers }
      : { kind: 'leader', server: servers[0] },
    serializer: pickleSerializer,
    compressor: null,
    expiryUnit: 'EX',
    ignoresFaults: false,
  }
}

/** Source: DefaultClient.__init__ in django_redis/client/default.py, and django_redis/pool.py. */
function readDjangoRedis({ location, options }: CacheSettings): RedisPlan {
  for (const name of Object.keys(options)) if (!DJANGO_REDIS_OPTIONS.test(name)) throw refused(name)
  const serializer = serializers.get(text(options, 'SERIALIZER') ?? PICKLE_SERIALIZER)
  if (serializer === undefined) throw refused('SERIALIZER', options.SERIALIZER)
  const compressor = compressors.get(text(options, 'COMPRESSOR') ?? IDENTITY_COMPRESSOR)
  if (compressor === undefined) throw refused('COMPRESSOR', options.COMPRESSOR)
  return {
    topology: readTopology(location, options),
    serializer,
    compressor,
    expiryUnit: 'PX',
    ignoresFaults: options.IGNORE_EXCEPTIONS === true,
  }
}

function readTopology(location: readonly string[], options: Options): RedisTopology {
  const servers = readServers(location, record(options, 'CONNECTION_POOL_KWARGS'), {
    username: text(options, 'USERNAME'),
    password: text(options, 'PASSWORD'),
  })
  const clientClass = text(options, 'CLIENT_CLASS') ?? DEFAULT_CLIENT
  const factory = text(options, 'CONNECTION_FACTORY') ?? text(options, 'DJANGO_REDIS_CONNECTION_FACTORY')
  if (factory !== null && !CONNECTION_FACTORIES.has(factory)) throw refused('CONNECTION_FACTORY', factory)
  if (clientClass === SHARD_CLIENT) {
    return {
      kind: 'shards',
      shards: new Map(location.map((name, index) => [name, servers[index] ?? servers[0]])),
    }
  }
  if (clientClass !== DEFAULT_CLIENT && clientClass !== SENTINEL_CLIENT)
    throw refused('CLIENT_CLASS', clientClass)
  if (options.SENTINELS !== undefined) return readSentinels(servers, options)
  if (clientClass === SENTINEL_CLIENT || factory === SENTINEL_FACTORY)
    throw new UnsupportedCache(
      'OPTIONS.SENTINELS is missing; list them as [["host", 26379], …], as in Django',
    )
  return isCluster(options.REDIS_CLIENT_CLASS)
    ? { kind: 'cluster', servers }
    : { kind: 'leader', server: servers[0] }
}

/** Source: SentinelConnectionFactory in django_redis/pool.py. */
function readSentinels(
  servers: readonly [RedisServerSettings, ...RedisServerSettings[]],
  options: Options,
): RedisTopology {
  const listed = options.SENTINELS
  const sentinels = (Array.isArray(listed) ? listed : []).flatMap((each: unknown) => {
    const [host, port] = Array.isArray(each) ? (each as unknown[]) : []
    return typeof host === 'string' && Number.isInteger(Number(port)) ? [{ host, port: Number(port) }] : []
  })
  if (!Array.isArray(listed) || sentinels.length === 0 || sentinels.length !== listed.length)
    throw new UnsupportedCache('OPTIONS.SENTINELS is no list of [host, port]; write [["host", 26379], …]')
  const kwargs = record(options, 'SENTINEL_KWARGS')
  for (const name of Object.keys(kwargs))
    if (!/^(?:username|password)$/.test(name) && !HARMLESS.test(name))
      throw refused(`SENTINEL_KWARGS.${name}`)
  return {
    kind: 'sentinel',
    // django-redis has a second LOCATION for the replicas, which it reads from.
    server:
      servers.find(({ query }) => !/^(?:0|f|false|n|no)$/i.test(query.get('is_master') ?? '')) ?? servers[0],
    sentinels,
    sentinelUsername: text(kwargs, 'username'),
    sentinelPassword: text(kwargs, 'password'),
  }
}

/** What redis-py takes beside the URL, which wins. Source: redis/connection.py, ConnectionPool.from_url. */
function readServers(
  location: readonly string[],
  kwargs: Options,
  credentials: { username?: string | null; password?: string | null },
): readonly [RedisServerSettings, ...RedisServerSettings[]] {
  for (const name of Object.keys(kwargs))
    if (!CONNECTION_OPTIONS.test(name) && !HARMLESS.test(name)) throw refused(name)
  const [first, ...others] = location.map((each): RedisServerSettings => {
    const address = parseRedisLocation(each.trim(), {
      username: credentials.username ?? text(kwargs, 'username'),
      password: credentials.password ?? text(kwargs, 'password'),
      db: typeof kwargs.db === 'number' ? kwargs.db : null,
    })
    for (const name of address.query.keys())
      if (!CONNECTION_OPTIONS.test(name) && !HARMLESS.test(name) && name !== 'is_master') throw refused(name)
    const isTls = address.tls || kwargs.ssl === true
    return {
      ...address,
      tlsOptions: isTls ? readTls({ ...kwargs, ...Object.fromEntries(address.query) }) : null,
    }
  })
  if (first === undefined)
    throw new UnsupportedCache('LOCATION is empty; write redis://host:6379, as in Django')
  return [first, ...others]
}

/** Files are read once. Unlike redis-py before 6, a certificate must be for the host unless ssl_check_hostname is off. */
function readTls(options: Options): ConnectionOptions {
  const file = (name: string) => {
    const path = text(options, name)
    return path === null ? undefined : readFileSync(path)
  }
  const requirement = options.ssl_cert_reqs === null ? 'none' : (text(options, 'ssl_cert_reqs') ?? 'required')
  const checksHost = !/^(?:false|no|n|f|0)$/i.test(String(options.ssl_check_hostname ?? true))
  const [ca, cert, key] = ['ssl_ca_certs', 'ssl_certfile', 'ssl_keyfile'].map(file)
  return {
    rejectUnauthorized: requirement !== 'none',
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(!checksHost && { checkServerIdentity: () => undefined }),
  }
}

const PICKLE_SERIALIZER = 'django_redis.serializers.pickle.PickleSerializer'
const IDENTITY_COMPRESSOR = 'django_redis.compressors.identity.IdentityCompressor'
const DEFAULT_CLIENT = 'django_redis.client.DefaultClient'
const SENTINEL_CLIENT = 'django_redis.client.SentinelClient'
const SHARD_CLIENT = 'django_redis.client.ShardClient'
const SENTINEL_FACTORY = 'django_redis.pool.SentinelConnectionFactory'
const CONNECTION_FACTORIES: ReadonlySet<string> = new Set([
  'django_redis.pool.ConnectionFactory',
  SENTINEL_FACTORY,
])

const serializers: ReadonlyMap<string, Serializer> = new Map([
  [PICKLE_SERIALIZER, pickleSerializer],
  ['django_redis.serializers.json.JSONSerializer', jsonSerializer],
])

const DJANGO_REDIS_OPTIONS =
  /^(?:CLIENT_CLASS|SERIALIZER|COMPRESSOR|USERNAME|PASSWORD|PICKLE_VERSION|IGNORE_EXCEPTIONS|SOCKET_TIMEOUT|SOCKET_CONNECT_TIMEOUT|CONNECTION_POOL_CLASS|CONNECTION_POOL_KWARGS|CONNECTION_FACTORY|DJANGO_REDIS_CONNECTION_FACTORY|SENTINELS|SENTINEL_KWARGS|PARSER_CLASS|REDIS_CLIENT_CLASS|REDIS_CLIENT_KWARGS|REPLICA_READ_ONLY|SLAVE_READ_ONLY|CLOSE_CONNECTION|MAX_ENTRIES|CULL_FREQUENCY)$/

const CONNECTION_OPTIONS =
  /^(?:username|password|db|ssl|ssl_cert_reqs|ssl_ca_certs|ssl_certfile|ssl_keyfile|ssl_check_hostname)$/

/** redis-py's own affairs, which change neither keys nor values. Our time-outs are settings of ours. */
const HARMLESS =
  /^(?:pool_class|parser_class|max_connections|timeout|socket_timeout|socket_connect_timeout|socket_keepalive|socket_keepalive_options|retry|retry_on_timeout|retry_on_error|health_check_interval|client_name|lib_name|lib_version|protocol|MAX_ENTRIES|CULL_FREQUENCY)$/

/** redis-py's class, and that of redis-py-cluster before it. */
function isCluster(clientClass: unknown): boolean {
  if (clientClass === undefined || clientClass === 'redis.client.Redis' || clientClass === 'redis.Redis')
    return false
  if (clientClass === 'redis.cluster.RedisCluster' || clientClass === 'redis.RedisCluster') return true
  if (clientClass === 'rediscluster.RedisCluster') return true
  throw refused('REDIS_CLIENT_CLASS', clientClass)
}

function text(options: Options, name: string): string | null {
  const value = options[name]
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'string') return value
  throw new UnsupportedCache(`OPTIONS.${name} is no text; write it as in Django`)
}

function record(options: Options, name: string): Options {
  const value = options[name] ?? {}
  if (typeof value === 'object' && !Array.isArray(value)) return value as Options
  throw new UnsupportedCache(`OPTIONS.${name} is no JSON object; write it as in Django`)
}

/** `value` is quoted: give only what names a class. */
function refused(name: string, value?: unknown): UnsupportedCache {
  const what = value === undefined ? '' : ` ${JSON.stringify(value)}`
  return new UnsupportedCache(`OPTIONS.${name}${what} is not supported with Redis`)
}
