import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { findExecutable } from '../test/support/executables.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { freePort } from '../test/support/free-port.ts'
import { temporaryFolder } from '../test/support/service.ts'
import { runLoad } from './load.ts'
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

const OURS = 'koa-django-sessions'
const FASTIFY = 'fastify, @fastify/http-proxy'
const EXPRESS = 'express, http-proxy-middleware'

const CONNECTIONS = [16, 1] as const

/** Bytes of the page. */
const PAGE = 3000

/** Requests before the first round, so that the JIT compilers finish. */
const WARM_UP = 20_000

/**
 * Measures what passing a page of 3 kB on costs, in turn (A B C, A B C, …). The upstream is nginx with a constant, which is
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
      for (const [proxy, running] of proxies) {
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

/** The results as a Markdown page. */
export function proxiesReport(
  measurements: readonly ProxyMeasurement[],
  { rounds, seconds }: { rounds: number; seconds: number },
): string {
  type Column = 'cpu' | 'requestsPerSecond' | 'p50' | 'p99'
  const of = (proxy: string, connections: number, column: Column) =>
    measurements
      .filter((one) => one.proxy === proxy && one.connections === connections)
      .map((one) => one[column])
  const median = (proxy: string, connections: number, column: Column) =>
    medianOf(of(proxy, connections, column)) ?? Number.NaN
  const ratio = (proxy: string, connections: number, column: Column) => {
    const others = of(proxy, connections, column)
    return (
      medianOf(of(OURS, connections, column).map((ours, at) => ours / (others[at] ?? Number.NaN))) ??
      Number.NaN
    )
  }
  const verdict = (what: string, measured: number, wanted: number) =>
    `| ${what} | at most ${wanted} | ${measured.toFixed(2)} | ${measured <= wanted ? 'holds' : '**does not hold**'} |`
  const proxies = [...new Set(measurements.map(({ proxy }) => proxy))]
  const table = (
    connections: number,
  ) => `## ${connections} ${connections === 1 ? 'connection' : 'connections'}

| proxy | CPU ms/req | ours ÷ it | req/s | ours ÷ it | p50 ms | p99 ms | errors |
|---|---|---|---|---|---|---|---|
${proxies
  .map((proxy) => {
    const errors = measurements
      .filter((one) => one.proxy === proxy && one.connections === connections)
      .reduce((sum, one) => sum + one.errors, 0)
    const share = (column: Column) => (proxy === OURS ? '' : ratio(proxy, connections, column).toFixed(2))
    return `| ${proxy} | ${median(proxy, connections, 'cpu').toFixed(3)} | ${share('cpu')} | ${median(proxy, connections, 'requestsPerSecond').toFixed(0)} | ${share('requestsPerSecond')} | ${median(proxy, connections, 'p50').toFixed(2)} | ${median(proxy, connections, 'p99').toFixed(1)} | ${errors} |`
  })
  .join('\n')}
`
  return `# Passing requests on

\`npm run bench -- --proxies\`, ${new Date().toISOString().slice(0, 10)}: a page of ${PAGE} bytes from nginx, through each proxy in turn; ${rounds} rounds of ${seconds} seconds,
medians, on ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}. Load average at the end: ${loadavg()[0]?.toFixed(1)}. Client, proxy and upstream
share the machine. koa-django-sessions is the real service with its log and metrics; the others write no log.

| | goal | measured | |
|---|---|---|---|
${[
  verdict(`CPU per request, 16 connections, to ${FASTIFY}`, ratio(FASTIFY, 16, 'cpu'), 1),
  verdict(`CPU per request, 16 connections, to ${EXPRESS}`, ratio(EXPRESS, 16, 'cpu'), 1),
  verdict(`p50, 1 connection, to ${FASTIFY}`, ratio(FASTIFY, 1, 'p50'), 1.3),
].join('\n')}

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
