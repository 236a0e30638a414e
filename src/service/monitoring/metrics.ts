import type { RequestListener } from 'node:http'
import Koa from 'koa'
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { withDeadline } from '../../concurrency/deadline.ts'
import type { PoolState } from '../database/pool-state.ts'
import { errorFields, type Log } from './log.ts'
import type { FinishedRequest } from './request-log.ts'
import { createSessionMetrics, type SessionMetrics } from './session-metrics.ts'

export interface MetricsOptions {
  /** The version of this package. */
  readonly version: string
  /** The number of secret keys, SECRET_KEY and its fallbacks. Each has a series from the start, also an unused one. */
  readonly keyCount: number
  readonly pool: () => PoolState
  /** Seconds by which the database's clock is ahead; rejects when the database is unavailable. */
  readonly clockSkew: () => Promise<number>
  readonly log: Log
  /** Minimum milliseconds between two queries of the clock, whatever the number of scrapes. */
  readonly probeInterval?: number
  /** Milliseconds that a scrape waits for the database. */
  readonly probeTimeout?: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

export interface Metrics {
  onRequest(request: FinishedRequest): void
  /** Counts what no tracing channel tells of sessions. */
  readonly events: SessionMetrics['events']
  /** Answers `/metrics`. It needs its own port: behind a proxy on the same machine, all requests come from 127.0.0.1. */
  readonly listener: RequestListener
  /** Counts no more sessions. */
  close(): void
}

/**
 * Metrics in Prometheus' text format, in their own registry. No label has a value that a visitor chooses, so the number
 * of series is bounded. A scrape also answers while the database is unavailable.
 */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Seconds from a request to the end of its response. status: its class such as 2xx, or aborted.',
    labelNames: ['method', 'route', 'status'],
    registers,
  })
  const sessions = createSessionMetrics(registers, options)
  addDatabase(registers, options)
  new Gauge({
    name: 'koa_django_sessions_build_info',
    help: 'Always 1.',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version: options.version, node: process.version }, 1)

  return {
    onRequest({ method, route, status, seconds }) {
      const labels = {
        method: METHODS.has(method) ? method : 'other',
        route: route ?? 'none',
        status: status === null ? 'aborted' : `${Math.floor(status / 100)}xx`,
      }
      requests.observe(labels, seconds)
    },
    events: sessions.events,
    listener: listenerOf(registry, options.log),
    close: sessions.close,
  }
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

function addDatabase(
  registers: Registry[],
  {
    pool,
    clockSkew,
    probeInterval = 15_000,
    probeTimeout = 1000,
    monotonic = () => performance.now(),
  }: MetricsOptions,
): void {
  const probe = createProbe(clockSkew, { interval: probeInterval, monotonic })
  const probed = () =>
    withDeadline(
      probe().catch(() => null),
      probeTimeout,
      { onLate: () => null },
    )
  new Gauge({
    name: 'database_pool_connections',
    help: 'Connections to the database, by state.',
    labelNames: ['state'],
    registers,
    collect() {
      const { used, free } = pool()
      this.set({ state: 'used' }, used)
      this.set({ state: 'free' }, free)
    },
  })
  new Gauge({
    name: 'database_pool_waiting',
    help: 'Requests that wait for a connection.',
    registers,
    collect() {
      this.set(pool().waiting)
    },
  })
  new Gauge({
    name: 'database_up',
    help: 'Whether the database answered the last query of its clock (1) or not (0). Queried at most every 15 seconds.',
    registers,
    async collect() {
      this.set((await probed()) === null ? 0 : 1)
    },
  })
  new Gauge({
    name: 'database_clock_skew_seconds',
    help: "Seconds by which the database's clock is ahead of the service's clock. Absent while the database is unavailable.",
    registers,
    async collect() {
      const seconds = await probed()
      if (seconds === null) this.remove()
      else this.set(seconds)
    },
  })
}

/** Calls `ask` once per interval and never twice at once: with an unavailable database, a call may take long. */
function createProbe(
  ask: () => Promise<number>,
  { interval, monotonic }: { interval: number; monotonic: () => number },
): () => Promise<number> {
  let answer: Promise<number> | null = null
  let asked = Number.NEGATIVE_INFINITY
  let isAsking = false
  return () => {
    if (answer === null || (!isAsking && monotonic() - asked >= interval)) {
      asked = monotonic()
      isAsking = true
      answer = ask().finally(() => {
        isAsking = false
      })
    }
    return answer
  }
}

function listenerOf(registry: Registry, log: Log): RequestListener {
  const app = new Koa()
  app.on('error', (error: unknown) => log.warn('metrics.broken', errorFields(error)))
  app.use(async function metrics(ctx) {
    if (ctx.path !== '/metrics' || !['GET', 'HEAD'].includes(ctx.method)) return
    ctx.set('Content-Type', registry.contentType)
    ctx.body = await registry.metrics()
  })
  return app.callback()
}
