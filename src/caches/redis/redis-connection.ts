import { once } from 'node:events'
import { createRequire } from 'node:module'
import type * as Ioredis from 'ioredis'
import { withDeadline } from '../../concurrency/deadline.ts'
import { CacheUnavailable, UnsupportedCache } from '../cache-errors.ts'
import type { RedisServerSettings, RedisTopology } from './redis-settings.ts'

/** A server, the leader whom sentinels name, or a cluster; connects when first needed, and again after each loss. */
export interface RedisConnection {
  /**
   * Runs one command; bulk strings in its answer are Buffers.
   * @throws {CacheUnavailable} when there is no answer within the time-outs, or a refusal.
   */
  run(command: string, ...parameters: readonly (string | number | Buffer)[]): Promise<unknown>
  close(): Promise<void>
}

export interface RedisTimeouts {
  /** Milliseconds. */
  readonly connectTimeout: number
  /** Milliseconds. */
  readonly commandTimeout: number
}

export function createRedisConnection(
  topology: Exclude<RedisTopology, { kind: 'shards' }>,
  timeouts: RedisTimeouts,
): RedisConnection {
  const { connectTimeout, commandTimeout } = timeouts
  const { name, redis } = createClient(topology, timeouts)
  const unavailable = (reason: string) => new CacheUnavailable(`${name} does not serve: ${reason}`)
  /** Why the last attempt to connect failed; null while none has failed since the last connection. */
  let failure: string | null = null
  let wasReady = false
  let attempt: Promise<unknown> | null = null
  redis.on('ready', () => {
    failure = null
    wasReady = true
  })
  // Without a listener ioredis would print the error.
  redis.on('error', (error: unknown) => {
    if (redis.status !== 'ready') failure = reasonOf(error)
  })
  redis.on('close', () => {
    if (!wasReady) failure ??= 'the connection was closed'
    wasReady = false
  })

  /** Waits for the first attempt. While a server is down, attempts go on in the background and nobody waits for them. */
  async function connected(): Promise<void> {
    if (redis.status === 'ready') return
    if (failure !== null) throw unavailable(failure)
    if (redis.status === 'wait') redis.connect().catch(() => null) // the events tell
    attempt ??= anyOf(['ready', 'close', 'end']).finally(() => {
      attempt = null
    })
    await attempt.catch((error) => {
      failure ??= reasonOf(error)
    })
    if (!isReady()) throw unavailable(failure ?? 'the connection was closed')
  }
  const isReady = (): boolean => redis.status === 'ready'

  /** The first of these events; rejects at an `error`, and after `connectTimeout`. */
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

/** A command that is lost with its connection is not repeated: it may have been done. */
function createClient(
  topology: Exclude<RedisTopology, { kind: 'shards' }>,
  { connectTimeout, commandTimeout }: RedisTimeouts,
): { name: string; redis: Ioredis.Redis | Ioredis.Cluster } {
  // Here, since most sites have no Redis: it would cost each of them a tenth of its start.
  const { Cluster, Redis }: typeof Ioredis = createRequire(import.meta.url)('ioredis')
  const node: Options = {
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout,
    commandTimeout,
    socketTimeout: commandTimeout * 2, // a server that stopped: its connection is as good as lost
    disconnectTimeout: 100,
    protocol: 2, // which every Redis speaks, and redis-py too
    disableClientInfo: true,
    enableReadyCheck: false,
    // A leader that was made a replica: connect anew, to whom the name or the sentinels lead now.
    reconnectOnError: ({ message }) => message.startsWith('READONLY'),
  }
  const client: Options = { ...node, lazyConnect: true, enableOfflineQueue: false, retryStrategy: pause }
  switch (topology.kind) {
    case 'leader': {
      const { server } = topology
      const place = server.path === null ? { host: server.host, port: server.port } : { path: server.path }
      return {
        name: `Redis at ${server.path ?? `${server.host}:${server.port}`}`,
        redis: new Redis({ ...client, ...place, ...credentials(server) }),
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
          enableReadyCheck: true, // asks for the role: a sentinel may still name the old leader
        }),
      }
    }
    case 'cluster': {
      const [first] = topology.servers
      if (topology.servers.some(({ path, db }) => path !== null || db !== 0))
        throw new UnsupportedCache('a Redis Cluster has no database but 0, and no Unix socket')
      return {
        name: `Redis Cluster at ${first.host}:${first.port}`,
        redis: new Cluster(
          topology.servers.map(({ host, port }) => ({ host, port })),
          {
            lazyConnect: true,
            enableOfflineQueue: true, // for nodes that are still being connected: each is when first needed
            clusterRetryStrategy: pause,
            retryDelayOnFailover: 0, // it would repeat commands that are lost with their connection
            slotsRefreshTimeout: commandTimeout,
            // A certificate names hosts, not addresses.
            ...(first.tlsOptions !== null && { dnsLookup: (host, callback) => callback(null, host) }),
            redisOptions: { ...node, ...credentials(first) },
          },
        ),
      }
    }
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

/** In a few words; Redis' own begin with a code, e.g. `WRONGPASS`, and may quote the command behind it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'an unknown error'
  if ('lastNodeError' in error && error.lastNodeError instanceof Error) return reasonOf(error.lastNodeError)
  if ('code' in error && typeof error.code === 'string') return error.code
  if (error.name === 'ReplyError') return /^[A-Z]+/.exec(error.message)?.[0] ?? 'an error'
  if (error.message === 'Command timed out') return 'no answer in time'
  if (error.message.startsWith('All sentinels are unreachable')) return 'no sentinel names its leader'
  return 'the connection was lost'
}
