import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CacheServer, serverFolder, startCacheServer } from './cache-server.ts'
import { makeCertificate } from './certificates.ts'
import { execute } from './executables.ts'
import { freePort } from './free-port.ts'
import { until } from './until.ts'

export interface RedisServer extends CacheServer {
  /** Runs a command through redis-cli. Returns its output. */
  command(...words: readonly string[]): Promise<string>
}

export interface RedisOptions {
  /** Of the user `default`. */
  password?: string
  /** redis-server's own, e.g. `['--replicaof', '127.0.0.1 6379']`. */
  extraArguments?: readonly string[]
  /** TLS on the port instead of plain text; `location` begins with `rediss:` then. The folder holds ca.crt. */
  tls?: boolean
}

/** Starts a Redis that keeps nothing on disk; it listens on a Unix socket too. @throws Error when it is not installed. */
export async function startRedis({
  password,
  extraArguments = [],
  tls = false,
}: RedisOptions = {}): Promise<RedisServer & { socket: string; folder: string }> {
  const folder = serverFolder('redis')
  const socket = join(folder, 'socket')
  const port = await freePort()
  if (tls) await makeCertificate(folder)
  const address = tls
    ? ['--port', '0', '--tls-port', String(port), '--tls-auth-clients', 'no', ...certificateOf(folder)]
    : ['--port', String(port)]
  const credentials = password === undefined ? '' : `:${encodeURIComponent(password)}@`
  const server = await startCacheServer(
    {
      name: 'redis-server',
      port,
      socket,
      location: `${tls ? 'rediss' : 'redis'}://${credentials}127.0.0.1:${port}`,
      args: () => [
        ...address,
        ...['--bind', '127.0.0.1', '--unixsocket', socket, '--save', '', '--appendonly', 'no'],
        ...(password === undefined ? [] : ['--requirepass', password]),
        ...extraArguments,
      ],
    },
    folder,
  )
  return Object.assign(server, {
    socket,
    folder,
    command: (...words: readonly string[]) => cli(socket, words, password),
  })
}

export interface RedisSentinels {
  /** The name under which the sentinels watch the leader. */
  readonly service: string
  readonly sentinels: readonly RedisServer[]
  readonly servers: readonly RedisServer[]
  /** The port of the present leader, as the sentinels see it. */
  leaderPort(): Promise<number>
  stop(): Promise<void>
}

/** A leader, a replica, and three sentinels that replace the leader within about two seconds of its death: a
 * shorter silence is no death on a busy machine. */
export async function startRedisSentinels(): Promise<RedisSentinels> {
  const service = 'sessions'
  const leader = await startRedis()
  const replica = await startRedis({ extraArguments: ['--replicaof', `127.0.0.1 ${leader.port}`] })
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(service, leader.port)))
  const all = [...sentinels, replica, leader]
  const stop = async () => void (await Promise.all(all.map((server) => server.stop())))
  try {
    await until('the replica is in step', async () =>
      (await replica.command('INFO', 'replication')).includes('master_link_status:up'),
    )
    for (const sentinel of sentinels) {
      await until('the sentinels know one another', async () => {
        const master = await sentinel.command('SENTINEL', 'MASTER', service)
        return /num-slaves\n1\n/.test(master) && /num-other-sentinels\n2\n/.test(master)
      })
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    service,
    sentinels,
    servers: [leader, replica],
    async leaderPort() {
      const [sentinel] = sentinels
      const answer = (await sentinel?.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', service)) ?? ''
      return Number(answer.split('\n')[1])
    },
    stop,
  }
}

async function startSentinel(service: string, leaderPort: number): Promise<RedisServer> {
  const folder = serverFolder('redis-sentinel')
  const port = await freePort()
  const file = join(folder, 'sentinel.conf')
  // A sentinel writes into its file, and takes the watched leader from nowhere else.
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor ${service} 127.0.0.1 ${leaderPort} 2`,
    `sentinel down-after-milliseconds ${service} 1000`,
    `sentinel failover-timeout ${service} 2000`,
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  const server = await startCacheServer(
    {
      name: 'redis-server',
      port,
      location: `redis://127.0.0.1:${port}`,
      args: () => [file, '--sentinel'],
    },
    folder,
  )
  return Object.assign(server, { command: (...words: readonly string[]) => cli(port, words) })
}

/** Three leaders without replicas, which have a third of the slots each. */
export async function startRedisCluster(): Promise<{ nodes: readonly RedisServer[]; stop(): Promise<void> }> {
  const nodes = await Promise.all(
    [1, 2, 3].map(async () => {
      const flags = ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())]
      return startRedis({ extraArguments: [...flags, '--cluster-node-timeout', '2000'] })
    }),
  )
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())))
  try {
    const [first] = nodes
    for (const [index, node] of nodes.entries()) {
      const [from, to] = [Math.ceil((index * 16384) / 3), Math.ceil(((index + 1) * 16384) / 3) - 1]
      await node.command('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
      if (node === first) continue
      const bus = (await node.command('CONFIG', 'GET', 'cluster-port')).split('\n')[1] ?? ''
      await first?.command('CLUSTER', 'MEET', '127.0.0.1', String(node.port), bus)
    }
    for (const node of nodes) {
      await until('the cluster is up', async () => {
        const info = await node.command('CLUSTER', 'INFO')
        return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3')
      })
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { nodes, stop }
}

/** By the Unix socket, which has no TLS; a sentinel has a port alone. */
async function cli(address: string | number, words: readonly string[], password?: string): Promise<string> {
  const to = typeof address === 'number' ? ['-p', String(address)] : ['-s', address]
  const env = { PATH: process.env.PATH, ...(password !== undefined && { REDISCLI_AUTH: password }) }
  return (await execute('redis-cli', [...to, ...words], { env })).stdout.replace(/\n$/, '')
}

const certificateOf = (folder: string): string[] => [
  ...['--tls-cert-file', join(folder, 'server.crt'), '--tls-key-file', join(folder, 'server.key')],
  ...['--tls-ca-cert-file', join(folder, 'ca.crt')],
]
