import { once } from 'node:events'
import { createRequire } from 'node:module'
import type * as Ioredis from 'ioredis'
import { loadingError } from '../../checks/optional-package.ts'
import { withDeadline } from '../../concurrency/deadline.ts'
import { CacheUnavailable, UnsupportedCache } from '../cache-errors.ts'
import type { RedisServerSettings, RedisTopology } from './redis-settings.ts'

/**
 * The connection to a server, to the leader that sentinels report, or to a cluster. Connects at the first command, and
 * reconnects after each loss.
 */
export interface RedisConnection {
  /**
   * Runs one command; bulk strings in the reply are Buffers.
   * @throws {CacheUnavailable} if there is no reply within the timeouts, or the reply is an error.
   */
  run(command: string, ...parameters: readonly (string | number | Buffer)[]): Promise<unknown>
  close(): Promise<void>
}

/** Time limits of one connection. */
export interface RedisTimeouts {
  /** Milliseconds. */
  readonly connectTimeout: number
  /** Milliseconds. */
  readonly commandTimeout: number
}

/**
 * Creates the connection; nothing is connected before the first command.
 * @throws {UnsupportedCache} if a cluster is asked for a database other than 0, or for a Unix socket.
 */
export function createRedisConnection(
  topology: Exclude<RedisTopology, { kind: 'shards' }>,
  timeouts: RedisTimeouts,
): RedisConnection {
  const { connectTimeout, commandTimeout } = timeouts
  const { name, redis } = createClient(topology, timeouts)
  const unavailable = (reason: string) => new CacheUnavailable(`${name} is unavailable: ${reason}`)
  /** Why the last attempt to connect failed; null if none has failed since the last successful one. */
  let failure: string | null = null
  let wasReady = false
  let attempt: Promise<unknown> | null = null
  redis.on('ready', () => {
    failure = null
    wasReady = true
  })
  // Without a listener, ioredis prints the error.
  redis.on('error', (error: unknown) => {
    if (redis.status !== 'ready') failure = reasonOf(error)
  })
  redis.on('close', () => {
    if (!wasReady) failure ??= 'the connection was closed'
    wasReady = false
  })

  /**
   * Waits for the first attempt to connect. While a server is down, further attempts run in the background, and commands
   * fail at once.
   */
  async function connected(): Promise<void> {
    if (redis.status === 'ready') return
    if (failure !== null) throw unavailable(failure)
    if (redis.status === 'wait') redis.connect().catch(() => null) // the events report it
    attempt ??= anyOf(['ready', 'close', 'end']).finally(() => {
      attempt = null
    })
    await attempt.catch((error) => {
      failure ??= reasonOf(error)
    })
    if (!isReady()) throw unavailable(failure ?? 'the connection was closed')
  }
  const isReady = (): boolean => redis.status === 'ready'

  /** Resolves at the first of these events; rejects at an `error`, and after `connectTimeout`. */
  async function anyOf(events: readonly string[]): Promise<unknown> {
    const listening = new AbortController()
    try {
      const { signal } = listening
      const first = Promise.race(events.map((event) => once(redis, event, { signal })))
      return await withDeadline(first, connectTimeout, { onLate })
    } finally {
      listening.abort()
    }
  }

  return {
    async run(command, ...parameters) {
      await connected()
      try {
        return await withDeadline(redis.callBuffer(command, ...parameters), commandTimeout, { onLate })
      } catch (error) {
        throw unavailable(reasonOf(error))
      }
    },
    async close() {
      const mustEnd = redis.status === 'ready' || redis.status === 'connect' || redis.status === 'connecting'
      const ended = mustEnd ? anyOf(['end']).catch(() => null) : null
      redis.disconnect()
      await ended
    },
  }
}

/** A command whose connection was lost is not repeated: it may have been executed. */
function createClient(
  topology: Exclude<RedisTopology, { kind: 'shards' }>,
  { connectTimeout, commandTimeout }: RedisTimeouts,
): { name: string; redis: Ioredis.Redis | Ioredis.Cluster } {
  const { Cluster, default: Redis } = loadIoredis()
  const node: Options = {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout,
    socketTimeout: commandTimeout * 2, // a silent server: treat its connection as lost
    disconnectTimeout: 100,
    protocol: 2, // every Redis supports it, and redis-py uses it
    disableClientInfo: true,
    enableReadyCheck: false,
    // The leader has become a replica: reconnect, to find the new leader by DNS or sentinels.
    reconnectOnError: ({ message }) => message.startsWith('READONLY'),
  }
  const client: Options = { ...node, lazyConnect: true, enableOfflineQueue: false, retryStrategy: pause }
  switch (topology.kind) {
    case 'leader': {
      const { server } = topology
      const address = server.path === null ? { host: server.host, port: server.port } : { path: server.path }
      return {
        name: `Redis at ${server.path ?? `${server.host}:${server.port}`}`,
        redis: new Redis({ ...client, ...address, ...credentials(server) }),
      }
    }
    case 'sentinel': {
      const { server, sentinels, sentinelUsername, sentinelPassword } = topology
      return {
        name: `Redis service ${server.host}`,
        redis: new Redis({
          ...client,
          ...credentials(server),
          name: server.host,
          sentinels: [...sentinels],
          ...(sentinelUsername !== null && { sentinelUsername }),
          ...(sentinelPassword !== null && { sentinelPassword }),
          enableTLSForSentinelMode: server.tlsOptions !== null,
          sentinelCommandTimeout: commandTimeout,
          sentinelRetryStrategy: pause,
          enableReadyCheck: true, // checks the role: a sentinel may still report the old leader
        }),
      }
    }
    case 'cluster': {
      const [first] = topology.servers
      if (topology.servers.some(({ path, db }) => path !== null || db !== 0))
        throw new UnsupportedCache(
          'a Redis Cluster has only database 0, and no Unix socket; write redis://host:port without a database in its LOCATION',
        )
      return {
        name: `Redis Cluster at ${first.host}:${first.port}`,
        redis: new Cluster(
          topology.servers.map(({ host, port }) => ({ host, port })),
          {
            lazyConnect: true,
            enableOfflineQueue: true, // each node is connected at its first command, which waits for that
            clusterRetryStrategy: pause,
            retryDelayOnFailover: 0, // otherwise ioredis repeats commands whose connection was lost
            slotsRefreshTimeout: commandTimeout,
            // A certificate contains host names, not addresses.
            ...(first.tlsOptions !== null && { dnsLookup: (host, callback) => callback(null, host) }),
            redisOptions: { ...node, ...credentials(first) },
          },
        ),
      }
    }
  }
}

/** Before ioredis 5.3, the class is the default export only. */
interface IoredisModule {
  readonly default: typeof Ioredis.Redis
  readonly Cluster: typeof Ioredis.Cluster
}

/** Loaded only when needed: most sites have no Redis, and ioredis would take a tenth of their start time. */
function loadIoredis(): IoredisModule {
  try {
    return createRequire(import.meta.url)('ioredis')
  } catch (error) {
    throw loadingError(error, 'ioredis', 'to read sessions from Redis')
  }
}

function pause(times: number): number {
  return Math.min((times - 1) * 100, 1000)
}

type Options = Omit<Ioredis.RedisOptions, 'replyMapping'>

function credentials({ username, password, db, tlsOptions }: RedisServerSettings): Options {
  return {
    db,
    ...(username !== null && { username }),
    ...(password !== null && { password }),
    ...(tlsOptions !== null && { tls: tlsOptions }),
  }
}

/** As ioredis' own time-out. */
function onLate(): never {
  throw new Error('Command timed out')
}

/**
 * A short reason without secrets. An error reply of Redis begins with a code, e.g. `WRONGPASS`; only the code is used,
 * since the rest may quote the command.
 */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'an unknown error'
  if ('lastNodeError' in error && error.lastNodeError instanceof Error) return reasonOf(error.lastNodeError)
  if ('code' in error && typeof error.code === 'string') return error.code
  if (error.name === 'ReplyError') return /^[A-Z]+/.exec(error.message)?.[0] ?? 'an error'
  if (error.message === 'Command timed out') return 'no reply in time'
  if (error.message.startsWith('All sentinels are unreachable')) return 'no sentinel reports its leader'
  return 'the connection was lost'
}
