import type { Middleware } from 'koa'
import { withDeadline } from '../../concurrency/deadline.ts'
import { errorFields, type Log } from './log.ts'

export interface HealthOptions {
  /** Whether visitors can be served; rejects where they cannot, with a {@link CheckFailed} that says what is missing. */
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
  async function readiness(): Promise<Readiness> {
    if (isDraining()) return { status: 'draining' }
    try {
      await withDeadline(ping(), timeout, {
        onLate() {
          throw new PingTimeout(`the database did not answer within ${timeout} ms`)
        },
      })
      return { status: 'ready' }
    } catch (error) {
      const check = error instanceof CheckFailed ? { check: error.check } : {}
      log.warn('health.unavailable', {
        ...check,
        ...errorFields(error instanceof CheckFailed ? error.cause : error),
      })
      return { status: 'unavailable', ...check }
    }
  }

  return {
    live(ctx) {
      ctx.set('Cache-Control', 'no-store')
      ctx.body = { status: 'live' }
    },
    async ready(ctx) {
      const body = await readiness()
      ctx.set('Cache-Control', 'no-store')
      ctx.status = body.status === 'ready' ? 200 : 503
      ctx.body = body
    },
  }
}

interface Readiness {
  readonly status: 'ready' | 'draining' | 'unavailable'
  /** What is missing; a name, and never more. */
  readonly check?: string
}

/** One of the things that visitors need is not there; the `cause` says why, for the log alone. */
export class CheckFailed extends Error {
  override name = 'CheckFailed'
  readonly code: string = 'ERR_CHECK_FAILED'
  readonly check: string

  constructor(check: string, options: ErrorOptions) {
    super(`the check ${check} failed`, options)
    this.check = check
  }
}

/** The database did not answer a check in time. */
export class PingTimeout extends Error {
  override name = 'PingTimeout'
  readonly code: string = 'ERR_PING_TIMEOUT'
}
