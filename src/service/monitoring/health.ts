import type { Middleware } from 'koa'
import { withDeadline } from '../../concurrency/deadline.ts'
import { errorFields, type Log } from './log.ts'

export interface HealthOptions {
  /** Runs the readiness checks; rejects with a {@link CheckFailed} that names the failed check. */
  readonly ping: () => Promise<void>
  /** Whether the service is shutting down: it still answers, but should get no new requests. */
  readonly isDraining?: (() => boolean) | undefined
  /** For `ready?verbose`. */
  readonly doctor?: (() => DoctorReport) | undefined
  readonly log: Log
  /** Milliseconds within which the checks must finish. */
  readonly timeout?: number
}

/** For an orchestrator: `live` while the process runs (if not, restart it), `ready` while it can serve (if not, wait). */
export function createHealth({
  ping,
  isDraining = () => false,
  doctor,
  log,
  timeout = 2000,
}: HealthOptions): {
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
      ctx.body = doctor !== undefined && 'verbose' in ctx.query ? { ...body, doctor: doctor() } : body
    },
  }
}

/**
 * What the doctor found. Anyone may be able to read it, so it has no text with names of tables, users or hosts: those are in
 * the log (`doctor.finding`).
 */
export interface DoctorReport {
  /** The worst level; `pending` before the first run has ended. */
  readonly outcome: 'pending' | 'ok' | 'warning' | 'error'
  /** The checks that failed. */
  readonly findings: readonly {
    readonly id: string
    readonly level: 'error' | 'warning'
    /** What is right when the check passes. */
    readonly title: string
  }[]
}

interface Readiness {
  readonly status: 'ready' | 'draining' | 'unavailable'
  /** The name of the failed check, and nothing else about it. */
  readonly check?: string
}

/** A readiness check failed. The `cause` says why; it is only logged. */
export class CheckFailed extends Error {
  override name = 'CheckFailed'
  readonly code: string = 'ERR_CHECK_FAILED'
  readonly check: string

  constructor(check: string, options: ErrorOptions) {
    super(`the check ${check} failed`, options)
    this.check = check
  }
}

/** The readiness checks did not finish in time. */
export class PingTimeout extends Error {
  override name = 'PingTimeout'
  readonly code: string = 'ERR_PING_TIMEOUT'
}
