import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { UnsupportedCache } from '../cache-errors.ts'
import type { CacheSettings } from '../cache-settings.ts'
import { type Compressor, compressors } from '../compressors.ts'
import { jsonSerializer, pickleSerializer, type Serializer } from '../values.ts'
import {
  isFalsy,
  parseRedisLocation,
  type RedisAddress,
  type RedisKwargs,
  sentText,
} from './redis-location.ts'

/** The servers to use, and the format of the values in them. */
export interface RedisPlan {
  readonly topology: RedisTopology
  readonly serializer: Serializer
  readonly compressor: Compressor | null
  /** The unit of expiry: Django sends seconds (EX), django-redis milliseconds (PX). */
  readonly expiryUnit: 'EX' | 'PX'
  /** IGNORE_EXCEPTIONS: whether an unavailable cache looks empty. */
  readonly ignoresExceptions: boolean
}

/**
 * - `leader`: one server; the first of several LOCATIONs. Django writes to the first and reads from the others.
 * - `shards`: the ShardClient of django-redis; each key is on one server. The names are the LOCATIONs, exactly as written.
 * - `sentinel`: the sentinels report the leader; `server.host` is the name of the service.
 * - `cluster`: Redis Cluster; any of these servers leads to the others.
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
  /** Null: no TLS. */
  readonly tlsOptions: ConnectionOptions | null
}

type Options = RedisKwargs

/**
 * Reads a CACHES entry of Django's RedisCache or of django-redis.
 * @throws {UnsupportedCache} if an option or its value is not supported; the message quotes no LOCATION and no secret.
 */
export function readRedisSettings(settings: CacheSettings): RedisPlan {
  if (settings.backend === 'django.core.cache.backends.redis.RedisCache') return readDjango(settings)
  if (settings.backend === 'django_redis.cache.RedisCache') return readDjangoRedis(settings)
  throw new UnsupportedCache(`BACKEND ${JSON.stringify(settings.backend)} is not a supported Redis backend`)
}

/** Source: RedisCacheClient in django/core/cache/backends/redis.py. */
function readDjango({ location, options }: CacheSettings): RedisPlan {
  const { serializer, REDIS_CLIENT_CLASS, pool_class, parser_class, ...connection } = options
  for (const [name, path] of Object.entries({ pool_class, parser_class }))
    if (path !== undefined && path !== null && typeof path !== 'string') throw invalidValue(name)
  if (
    serializer !== undefined &&
    serializer !== null &&
    serializer !== 'django.core.cache.backends.redis.RedisSerializer'
  )
    throw unsupportedOption('serializer', serializer)
  const servers = readServers(location, connection, { poolClass: pool_class })
  return {
    topology: isCluster(REDIS_CLIENT_CLASS)
      ? { kind: 'cluster', servers }
      : { kind: 'leader', server: servers[0] },
    serializer: pickleSerializer,
    compressor: null,
    expiryUnit: 'EX',
    ignoresExceptions: false,
  }
}

/** Source: DefaultClient.__init__ in django_redis/client/default.py, and django_redis/pool.py. */
function readDjangoRedis({ location, options }: CacheSettings): RedisPlan {
  const { SERIALIZER = PICKLE_SERIALIZER, COMPRESSOR = IDENTITY_COMPRESSOR, PICKLE_VERSION } = options
  const serializer = serializers.get(SERIALIZER)
  if (serializer === undefined) throw unsupportedOption('SERIALIZER', SERIALIZER)
  const compressor = typeof COMPRESSOR === 'string' ? compressors.get(COMPRESSOR) : undefined
  if (compressor === undefined) throw unsupportedOption('COMPRESSOR', COMPRESSOR)
  if (PICKLE_VERSION !== undefined && !/^(?:-1|[0-5])$/.test(String(PICKLE_VERSION)))
    throw invalidValue('PICKLE_VERSION')
  return {
    topology: readTopology(location, options),
    serializer,
    compressor,
    expiryUnit: 'PX',
    ignoresExceptions: !isFalsy(options.IGNORE_EXCEPTIONS),
  }
}

function readTopology(location: readonly string[], options: Options): RedisTopology {
  const { USERNAME, PASSWORD, CONNECTION_POOL_CLASS } = options
  for (const [name, kwarg] of DJANGO_REDIS_TIMEOUTS)
    if (!isFalsy(options[name]) && KWARGS.get(kwarg)?.(options[name]) === false) throw invalidValue(name)
  const kwargs = {
    ...(!isFalsy(USERNAME) && { username: USERNAME }),
    ...(!isFalsy(PASSWORD) && { password: PASSWORD }),
    ...record(options, 'CONNECTION_POOL_KWARGS'),
  }
  const isSentinel = options.SENTINELS !== undefined
  const servers = readServers(location, kwargs, { poolClass: CONNECTION_POOL_CLASS, isSentinel })
  const { CLIENT_CLASS: clientClass = DEFAULT_CLIENT } = options
  const factory = text(options, 'CONNECTION_FACTORY') ?? text(options, 'DJANGO_REDIS_CONNECTION_FACTORY')
  if (factory !== null && !CONNECTION_FACTORIES.has(factory))
    throw unsupportedOption('CONNECTION_FACTORY', factory)
  if (clientClass === SHARD_CLIENT) {
    return {
      kind: 'shards',
      shards: new Map(location.map((name, index) => [name, servers[index] ?? servers[0]])),
    }
  }
  if (clientClass !== DEFAULT_CLIENT && clientClass !== SENTINEL_CLIENT)
    throw unsupportedOption('CLIENT_CLASS', clientClass)
  if (isSentinel) return readSentinels(servers, options)
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
    throw new UnsupportedCache('OPTIONS.SENTINELS is not a list of [host, port]; write [["host", 26379], …]')
  const kwargs = options.SENTINEL_KWARGS === null ? {} : record(options, 'SENTINEL_KWARGS')
  for (const name of Object.keys(kwargs))
    if (!KWARGS.has(name)) throw unsupportedOption(`SENTINEL_KWARGS.${name}`)
  return {
    kind: 'sentinel',
    // With django-redis a second LOCATION (is_master=0) is for the replicas, from which it reads.
    server:
      servers.find(({ kwargs }) => !/^(?:0|f|false|n|no)$/i.test(String(kwargs.is_master ?? ''))) ??
      servers[0],
    sentinels,
    sentinelUsername: sentText(kwargs, 'username'),
    sentinelPassword: sentText(kwargs, 'password'),
  }
}

/** Each LOCATION with these keyword arguments, which the URL overrides. Source: redis/connection.py, ConnectionPool.from_url. */
function readServers(
  location: readonly string[],
  kwargs: Options,
  { poolClass, isSentinel = false }: { poolClass: unknown; isSentinel?: boolean },
): readonly [RedisServerSettings, ...RedisServerSettings[]] {
  const [first, ...others] = location.map((each): RedisServerSettings => {
    const address = parseRedisLocation(each.trim(), kwargs)
    for (const [name, value] of Object.entries(address.kwargs)) {
      const isKnown =
        name === 'timeout'
          ? /\bBlockingConnectionPool$/.test(String(poolClass)) // no other pool accepts it
          : (name === 'is_master' && isSentinel) || (name.startsWith('ssl_') ? address.tls : true)
      const isAccepted = KWARGS.get(name)?.(value)
      if (!isKnown || isAccepted === undefined) throw unsupportedOption(name)
      if (isAccepted === false) throw invalidValue(name)
    }
    return { ...address, tlsOptions: address.tls ? readTls(address.kwargs) : null }
  })
  if (first === undefined)
    throw new UnsupportedCache('LOCATION is empty; write redis://host:6379, as in Django')
  return [first, ...others]
}

/**
 * Reads each file once. Unlike redis-py before 6, checks by default that the certificate matches the host;
 * `ssl_check_hostname` turns that off.
 */
function readTls(options: Options): ConnectionOptions {
  const file = (name: string) => {
    const path = text(options, name)
    return path === null ? undefined : readFileSync(path)
  }
  const { ssl_cert_reqs: requirement = 'required', ssl_check_hostname: checksHost = true } = options
  const [ca, cert, key] = ['ssl_ca_certs', 'ssl_certfile', 'ssl_keyfile'].map(file)
  return {
    rejectUnauthorized: !CERT_NONE.has(requirement),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(isFalsy(checksHost) && { checkServerIdentity: () => undefined }),
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

const serializers: ReadonlyMap<unknown, Serializer> = new Map([
  [PICKLE_SERIALIZER, pickleSerializer],
  ['django_redis.serializers.json.JSONSerializer', jsonSerializer],
])

/** Options of django-redis, and the keyword arguments that they set. Source: ConnectionFactory.make_connection_params. */
const DJANGO_REDIS_TIMEOUTS = [
  ['SOCKET_TIMEOUT', 'socket_timeout'],
  ['SOCKET_CONNECT_TIMEOUT', 'socket_connect_timeout'],
] as const

type Check = (value: unknown) => boolean

const any: Check = () => true
const isText: Check = (value) => value === null || typeof value === 'string'
/** An argument of a command; redis-py does not send one that is falsy in Python. */
const isSent: Check = (value) => isFalsy(value) || typeof value === 'string' || typeof value === 'number'
/** Python's True is the number 1. */
const isNumber: Check = (value) => isFalsy(value) || value === true || typeof value === 'number'
const isSeconds: Check = (value) =>
  value === null || value === true || (typeof value === 'number' && value > 0)
const isCount: Check = (value) => isNumber(value) && Number.isInteger(Number(value)) && Number(value) >= 0

/** The values of ssl_cert_reqs that tell redis-py not to verify the certificate. */
const CERT_NONE: ReadonlySet<unknown> = new Set([null, 'none', 0])

/**
 * The supported keyword arguments of redis-py, with a check of their values: those that are implemented here, and those
 * that affect neither keys nor values. redis-py fails on any other name or value at its first command. Its timeouts are
 * not used: ours are separate settings.
 * Source: redis/connection.py of 4.6 to 8.1, AbstractConnection, SSLConnection and ConnectionPool.
 */
const KWARGS: ReadonlyMap<string, Check> = new Map(
  Object.entries<Check>({
    // Checked where they are read: redis-location.ts.
    ...{ db: any, username: any, password: any, host: any, port: any, path: any, is_master: any },
    ssl_cert_reqs: (value) => CERT_NONE.has(value) || /^(?:optional|required)$/.test(String(value)),
    ...{ ssl_ca_certs: isText, ssl_certfile: isText, ssl_keyfile: isText, ssl_check_hostname: any },
    ...{ socket_timeout: isSeconds, socket_connect_timeout: isSeconds, timeout: isNumber },
    ...{ max_connections: isCount, health_check_interval: isNumber, socket_read_size: isCount },
    ...{ client_name: isSent, lib_name: isSent, lib_version: isSent },
    ...{ socket_keepalive: any, socket_keepalive_options: any },
    ...{ retry: isFalsy, retry_on_timeout: any, retry_on_error: any },
    protocol: (value) => value === null || /^[23]$/.test(String(value)),
    legacy_responses: any,
    decode_responses: isFalsy, // a pickle cannot be decoded as text
    encoding: (value) => /^utf[-_]?8$/i.test(String(value)),
    encoding_errors: (value) => typeof value === 'string',
  }),
)

/** The cluster class of redis-py, or of the older redis-py-cluster. */
function isCluster(clientClass: unknown): boolean {
  if (clientClass === undefined || clientClass === 'redis.client.Redis' || clientClass === 'redis.Redis')
    return false
  if (clientClass === 'redis.cluster.RedisCluster' || clientClass === 'redis.RedisCluster') return true
  if (clientClass === 'rediscluster.RedisCluster') return true
  throw unsupportedOption('REDIS_CLIENT_CLASS', clientClass)
}

function text(options: Options, name: string): string | null {
  const value = options[name]
  if (value === undefined || value === null || value === '') return null
  if (typeof value === 'string') return value
  throw new UnsupportedCache(`OPTIONS.${name} is not a string; write it as in Django`)
}

function record(options: Options, name: string): Options {
  const value = options[name] === undefined ? {} : options[name]
  if (typeof value === 'object' && value !== null && (!Array.isArray(value) || value.length === 0))
    return { ...value }
  throw new UnsupportedCache(`OPTIONS.${name} is not a JSON object; write it as in Django`)
}

function invalidValue(name: string): UnsupportedCache {
  return new UnsupportedCache(
    `OPTIONS.${name} has a value that is not supported here, or on which redis-py fails; correct it, as in Django`,
  )
}

/** The message quotes `value`: pass only the name of a class, never a secret. */
function unsupportedOption(name: string, value?: unknown): UnsupportedCache {
  const what = value === undefined ? '' : ` ${JSON.stringify(value)}`
  return new UnsupportedCache(`OPTIONS.${name}${what} is not supported with Redis`)
}
