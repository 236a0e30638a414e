import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findExecutable } from '../test/support/executables.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { freePort } from '../test/support/free-port.ts'
import { temporaryFolder } from '../test/support/service.ts'
import { judgeRatio, type Verdict } from './goals.ts'
import { runLoad } from './load.ts'
import { type Measurement, measureLoad } from './measure.ts'
import { randomOrders } from './rounds.ts'
import type { Measure, Summary } from './summary.ts'
import { type RunningTarget, startOurs, startPeer, startServer } from './targets.ts'

/** The name of the service among the proxies. */
export const OURS = 'koa-django-sessions'
const OURS_WITHOUT_KEEPALIVE = `${OURS}, DJANGO_UPSTREAM_KEEPALIVE=0`
const FASTIFY = 'fastify, @fastify/http-proxy'
const EXPRESS = 'express, http-proxy-middleware'
const NGINX = 'nginx'
const NGINX_WITH_KEEPALIVE = 'nginx with keepalive'

/** In the order of the tables. */
const PROXIES = [OURS, OURS_WITHOUT_KEEPALIVE, FASTIFY, EXPRESS, NGINX, NGINX_WITH_KEEPALIVE]

const CONNECTIONS = [16, 1] as const

/** The maximum CPU time of the service for a request, in milliseconds. */
const MAXIMUM_CPU = 0.13

/** Bytes of the page. */
const PAGE = 3000

/** Requests before the first round, so that the JIT compilers finish. */
const WARM_UP = 20_000

/**
 * Measures what passing a page of 3 kB on costs, in a random order in each round. The upstream is nginx with a constant, which is
 * faster than every proxy here. @throws Error without nginx
 */
export async function measureProxies(
  scope: Scope,
  {
    rounds,
    seconds,
    warmUp = WARM_UP,
  }: {
    rounds: number
    seconds: number
    warmUp?: number
  },
): Promise<Measurement[]> {
  const upstream = `http://127.0.0.1:${(await startNginx(scope, null)).port}`
  const env = { DJANGO_UPSTREAM: upstream, NODE_ENV: 'production', ALLOWED_HOSTS: '127.0.0.1' }
  const proxies: readonly [name: string, running: RunningTarget][] = [
    [OURS, await startOurs(scope, null, { env })],
    [
      OURS_WITHOUT_KEEPALIVE,
      await startOurs(scope, null, { env: { ...env, DJANGO_UPSTREAM_KEEPALIVE: '0' } }),
    ],
    [FASTIFY, await startPeer(scope, 'http-proxy-fastify.ts', { UPSTREAM: upstream })],
    [EXPRESS, await startPeer(scope, 'http-proxy-express.ts', { UPSTREAM: upstream })],
    [NGINX, await startNginx(scope, { upstream, keepsConnections: false })],
    [NGINX_WITH_KEEPALIVE, await startNginx(scope, { upstream, keepsConnections: true })],
  ]
  const measurements: Measurement[] = []
  const nextOrder = randomOrders(proxies)
  const load = { path: '/page', cookie: () => null }
  for (const [name, { port, output }] of proxies) {
    const { errors } = await runLoad({ ...load, ports: [port], connections: 16, seconds: 15, limit: warmUp })
    if (errors > 0) throw new Error(`${name} does not pass the page on:\n${output().slice(-2000)}`)
  }
  for (const connections of CONNECTIONS) {
    for (let round = 1; round <= rounds; round += 1) {
      for (const [target, running] of nextOrder()) {
        const cost = await measureLoad([running], {
          ...load,
          connections,
          seconds,
        })
        measurements.push({ scenario: scenarioOf(connections), target, round, ...cost, lost: null })
      }
    }
  }
  return measurements
}

/** The proxies that were measured. */
export function proxiesOf({ measurements }: Summary): string[] {
  const measured = measurements.filter(({ scenario }) => scenario === scenarioOf(16))
  return PROXIES.filter((proxy) => measured.some(({ target }) => target === proxy))
}

/** The name of the scenario. */
export function scenarioOf(connections: (typeof CONNECTIONS)[number]): string {
  return `proxies-${connections}`
}

/** Judges the goals of passing requests on. */
export function judgeProxies(summary: Summary): Verdict[] {
  const cpu = summary.value(scenarioOf(16), OURS, 'cpu')
  if (cpu === null) return []
  const against = (to: string, scenario: string, measure: 'cpu' | 'p50', ratio: number) =>
    judgeRatio(summary, { scenario, measure, targets: { of: OURS, to }, ratio, other: to })
  return [
    {
      scenario: scenarioOf(16),
      what: 'CPU per request in ms',
      wanted: `at most ${MAXIMUM_CPU}`,
      found: cpu.toFixed(2),
      holds: cpu <= MAXIMUM_CPU,
    },
    ...against(FASTIFY, scenarioOf(16), 'cpu', 1),
    ...against(EXPRESS, scenarioOf(16), 'cpu', 1),
    ...against(FASTIFY, scenarioOf(1), 'p50', 1.3),
  ]
}

/** The results as a section of the report. */
export function proxiesSection(summary: Summary): string {
  const table = (connections: (typeof CONNECTIONS)[number]) => {
    const scenario = scenarioOf(connections)
    const rows = proxiesOf(summary).map((proxy) => {
      const value = (measure: Measure, digits: number) =>
        summary.value(scenario, proxy, measure)?.toFixed(digits) ?? '–'
      const ratio = (measure: Measure) =>
        proxy === OURS ? '' : (summary.ratio(scenario, measure, { of: OURS, to: proxy })?.toFixed(2) ?? '–')
      const cells = [
        proxy,
        value('cpu', 3),
        ratio('cpu'),
        value('requestsPerSecond', 0),
        ratio('requestsPerSecond'),
        value('p50', 2),
        value('p99', 1),
        value('errors', 0),
      ]
      return `| ${cells.join(' | ')} |`
    })
    return `### ${connections} ${connections === 1 ? 'connection' : 'connections'}

\`${scenario}\`

| proxy | CPU ms/req | ours ÷ it | req/s | ours ÷ it | p50 ms | p99 ms | errors |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
  }
  return `## Passing requests on

A page of ${PAGE} bytes from nginx, through each proxy, in a random order. koa-django-sessions writes its log; the others write no log.

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
