import type { Middleware } from 'koa'
import { errorFields, type Log } from './log.ts'
import { within } from './time-limit.ts'

export interface HealthOptions {
  /** A cheap question to the database; rejects where there is no answer. */
  readonly ping: () => Promise<void>
  /** Whether the service is shutting down: it still answers, but wants no new visitors. */
  readonly isDraining?: (() => boolean) | undefined
  readonly log: Log
  /** How long an answer may take, in milliseconds. */
  readonly timeout?: number
}

/** For an orchestrator: `live` while the process runs (else restart it), `ready` while it can serve (else wait). */
export function createHealth({ ping, isDraining = () => false, log, timeout = 2000 }: HealthOptions): {
  live: Middleware
  ready: Middleware
} {
  async function readiness(): Promise<'ready' | 'draining' | 'unavailable'> {
    if (isDraining()) return 'draining'
    try {
      await within(timeout, ping(), () => new PingTimeout(`the database did not answer within ${timeout} ms`))
      return 'ready'
    } catch (error) {
      log.warn('health.unavailable', errorFields(error))
      return 'unavailable'
    }
  }

  return {
    live(ctx) {
      ctx.set('Cache-Control', 'no-store')
      ctx.body = { status: 'live' }
    },
    async ready(ctx) {
      const status = await readiness()
      ctx.set('Cache-Control', 'no-store')
      ctx.status = status === 'ready' ? 200 : 503
      ctx.body = { status }
    },
  }
}

export class PingTimeout extends Error {
  override name = 'PingTimeout'
  readonly code: string = 'ERR_PING_TIMEOUT'
}
