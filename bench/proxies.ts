import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findExecutable } from '../test/support/executables.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { freePort } from '../test/support/free-port.ts'
import { temporaryFolder } from '../test/support/service.ts'
import type { Verdict } from './goals.ts'
import { runLoad } from './load.ts'
import { inTurnAndBack } from './rounds.ts'
import { medianOf } from './statistics.ts'
import { type RunningTarget, startOurs, startPeer, startServer } from './targets.ts'
import { cpuSeconds } from './usage.ts'

/** The results of one proxy with so many connections, in one round. */
export interface ProxyMeasurement {
  readonly proxy: string
  readonly connections: number
  readonly round: number
  readonly requestsPerSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Milliseconds of CPU of the proxy per request. */
  readonly cpu: number
  /** Responses with a status other than 200. */
  readonly errors: number
}

/** The name of the service among the proxies. */
export const OURS = 'koa-django-sessions'
const FASTIFY = 'fastify, @fastify/http-proxy'
const EXPRESS = 'express, http-proxy-middleware'

const CONNECTIONS = [16, 1] as const

/** Bytes of the page. */
const PAGE = 3000

/** Requests before the first round, so that the JIT compilers finish. */
const WARM_UP = 20_000

/**
 * Measures what passing a page of 3 kB on costs, in turn and back. The upstream is nginx with a constant, which is
 * faster than every proxy here. @throws Error without nginx
 */
export async function measureProxies(
  scope: Scope,
  {
    rounds,
    seconds,
    warmUp = WARM_UP,
    onMeasured = () => {},
  }: {
    rounds: number
    seconds: number
    warmUp?: number
    onMeasured?: (measurement: ProxyMeasurement) => void
  },
): Promise<ProxyMeasurement[]> {
  const upstream = `http://127.0.0.1:${(await startNginx(scope, null)).port}`
  const env = { DJANGO_UPSTREAM: upstream, NODE_ENV: 'production', ALLOWED_HOSTS: '127.0.0.1' }
  const proxies: readonly [name: string, running: RunningTarget][] = [
    [OURS, await startOurs(scope, null, { env })],
    [
      `${OURS}, DJANGO_UPSTREAM_KEEPALIVE=0`,
      await startOurs(scope, null, { env: { ...env, DJANGO_UPSTREAM_KEEPALIVE: '0' } }),
    ],
    [FASTIFY, await startPeer(scope, 'http-proxy-fastify.ts', { UPSTREAM: upstream })],
    [EXPRESS, await startPeer(scope, 'http-proxy-express.ts', { UPSTREAM: upstream })],
    ['nginx', await startNginx(scope, { upstream, keepsConnections: false })],
    ['nginx with keepalive', await startNginx(scope, { upstream, keepsConnections: true })],
  ]
  const measurements: ProxyMeasurement[] = []
  const load = { path: '/page', cookie: () => null }
  for (const [name, { port, output }] of proxies) {
    const { errors } = await runLoad({ ...load, ports: [port], connections: 16, seconds: 15, limit: warmUp })
    if (errors > 0) throw new Error(`${name} does not pass the page on:\n${output().slice(-2000)}`)
  }
  for (const connections of CONNECTIONS) {
    for (let round = 1; round <= rounds; round += 1) {
      for (const [proxy, running] of inTurnAndBack(proxies, round)) {
        const pids = running.pids()
        const before = cpuSeconds(pids)
        const result = await runLoad({ ...load, ports: [running.port], connections, seconds })
        const { requests, errors, p50, p99 } = result
        const cpu = (1000 * (cpuSeconds(pids) - before)) / requests
        const requestsPerSecond = requests / result.seconds
        const measurement = { proxy, connections, round, requestsPerSecond, p50, p99, cpu, errors }
        measurements.push(measurement)
        onMeasured(measurement)
      }
    }
  }
  return measurements
}

type Column = 'cpu' | 'requestsPerSecond' | 'p50' | 'p99'

/** Medians of the rounds, and of the rounds' ratios. */
export function summarizeProxies(measurements: readonly ProxyMeasurement[]): ProxySummary {
  const of = (proxy: string, connections: number, column: Column) =>
    measurements
      .filter((one) => one.proxy === proxy && one.connections === connections)
      .map((one) => one[column])
  return {
    proxies: [...new Set(measurements.map(({ proxy }) => proxy))],
    median: (proxy, connections, column) => medianOf(of(proxy, connections, column)) ?? Number.NaN,
    ratio(proxy, connections, column) {
      const others = of(proxy, connections, column)
      const ratios = of(OURS, connections, column).map((ours, at) => ours / (others[at] ?? Number.NaN))
      return medianOf(ratios) ?? Number.NaN
    },
    errors: (proxy, connections) =>
      measurements
        .filter((one) => one.proxy === proxy && one.connections === connections)
        .reduce((sum, one) => sum + one.errors, 0),
  }
}

export interface ProxySummary {
  readonly proxies: readonly string[]
  median(proxy: string, connections: number, column: Column): number
  /** Of the service to this proxy. */
  ratio(proxy: string, connections: number, column: Column): number
  errors(proxy: string, connections: number): number
}

/** Judges the goals of passing requests on. */
export function judgeProxies({ median, ratio }: ProxySummary): Verdict[] {
  const verdict = (what: string, measured: number, wanted: number): Verdict => ({
    scenario: 'proxies',
    what,
    wanted: `at most ${wanted}`,
    found: measured.toFixed(2),
    holds: measured <= wanted,
  })
  return [
    verdict('CPU per request in ms, 16 connections', median(OURS, 16, 'cpu'), 0.13),
    verdict(`CPU per request, 16 connections, to ${FASTIFY}`, ratio(FASTIFY, 16, 'cpu'), 1),
    verdict(`CPU per request, 16 connections, to ${EXPRESS}`, ratio(EXPRESS, 16, 'cpu'), 1),
    verdict(`p50, 1 connection, to ${FASTIFY}`, ratio(FASTIFY, 1, 'p50'), 1.3),
  ]
}

/** The results as a section of the report. */
export function proxiesSection(summary: ProxySummary): string {
  const { proxies, median, ratio, errors } = summary
  const table = (
    connections: number,
  ) => `### ${connections} ${connections === 1 ? 'connection' : 'connections'}

| proxy | CPU ms/req | ours ÷ it | req/s | ours ÷ it | p50 ms | p99 ms | errors |
|---|---|---|---|---|---|---|---|
${proxies
  .map((proxy) => {
    const share = (column: Column) => (proxy === OURS ? '' : ratio(proxy, connections, column).toFixed(2))
    const cells = [
      proxy,
      median(proxy, connections, 'cpu').toFixed(3),
      share('cpu'),
      median(proxy, connections, 'requestsPerSecond').toFixed(0),
      share('requestsPerSecond'),
      median(proxy, connections, 'p50').toFixed(2),
      median(proxy, connections, 'p99').toFixed(1),
      errors(proxy, connections),
    ]
    return `| ${cells.join(' | ')} |`
  })
  .join('\n')}
`
  return `## Passing requests on

\`proxies\`

A page of ${PAGE} bytes from nginx, through each proxy, in turn and back. koa-django-sessions writes its log; the others write no log.

${CONNECTIONS.map(table).join('\n')}`
}

/** Starts nginx with one worker: as the upstream, or as a proxy in front of it. */
async function startNginx(
  scope: Scope,
  proxy: { readonly upstream: string; readonly keepsConnections: boolean } | null,
): Promise<RunningTarget> {
  const nginx = findExecutable(['nginx'])
  if (nginx === null) throw new Error('nginx is not installed; install it (Debian: nginx-core)')
  const [folder, port] = [temporaryFolder(scope), await freePort()]
  const kept = 'proxy_http_version 1.1; proxy_set_header Connection "";'
  const location =
    proxy === null
      ? `return 200 ${'x'.repeat(PAGE)};`
      : `proxy_pass http://back; proxy_set_header Host $http_host; ${proxy.keepsConnections ? kept : ''}`
  const back =
    proxy === null
      ? ''
      : `upstream back { server ${new URL(proxy.upstream).host}; ${proxy.keepsConnections ? 'keepalive 32;' : ''} }`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  const config = join(folder, 'nginx.conf')
  writeFileSync(
    config,
    `worker_processes 1; daemon off; pid ${folder}/pid; error_log stderr notice;
events { worker_connections 1000; }
http { access_log off; default_type text/html; keepalive_requests 1000000; ${temporary} ${back}
  server { listen 127.0.0.1:${port}; location / { ${location} } } }`,
  )
  return startServer(scope, nginx, ['-p', folder, '-e', 'stderr', '-c', config], {
    env: {},
    port: (output) => (output.includes('start worker process ') ? String(port) : undefined),
  })
}
