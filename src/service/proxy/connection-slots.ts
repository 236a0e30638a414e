import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { createOncePerInterval } from '../../concurrency/once-per-interval.ts'
import type { Log } from '../monitoring/log.ts'

/** All connections to the upstream are in use, and none became free in time. Status 503. */
export class UpstreamBusy extends Error {
  override name = 'UpstreamBusy'
  readonly code: string = 'ERR_UPSTREAM_BUSY'
}

export interface ConnectionSlotsOptions {
  /** How many connections may be in use at once. */
  readonly limit: number
  /** How many requests may wait for a connection. */
  readonly waiting: number
  /** The maximum wait in milliseconds. */
  readonly timeout: number
  /** The purpose of the connections, for the log. */
  readonly kind: 'request' | 'websocket'
  readonly log: Log
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

export interface ConnectionSlots {
  /**
   * Waits for a slot, first come, first served. Resolves to the function that frees the slot, or to null when the
   * visitor's response or socket closes first.
   * @throws {UpstreamBusy}
   */
  take(visitor: ServerResponse | Socket): Promise<(() => void) | null>
  /** How many slots are taken. */
  inUse(): number
}

/** Minimum milliseconds between two log lines about waiting: under load every request waits. */
const LOG_INTERVAL = 10_000

/** Limits how many connections to the upstream are in use at once. */
export function createConnectionSlots({
  limit,
  waiting,
  timeout,
  kind,
  log,
  monotonic = () => performance.now(),
}: ConnectionSlotsOptions): ConnectionSlots {
  const queue = new Set<() => void>()
  let used = 0
  const isDue = createOncePerInterval(LOG_INTERVAL, { monotonic })

  function logBusy(): void {
    if (isDue(kind)) log.warn('upstream.busy', { kind, connections: limit, waiting: queue.size })
  }

  function occupy(): () => void {
    used += 1
    let isFree = false
    return function free() {
      if (isFree) return
      isFree = true
      used -= 1
      const [next] = queue
      if (next !== undefined) next()
    }
  }

  return {
    inUse: () => used,
    async take(visitor) {
      if (visitor.closed) return null
      if (used < limit) return occupy()
      logBusy()
      if (queue.size >= waiting) throw new UpstreamBusy(`all ${limit} connections are in use`)
      const { promise, resolve, reject } = Promise.withResolvers<(() => void) | null>()
      const begin = () => {
        queue.delete(begin)
        resolve(occupy())
      }
      const leave = () => resolve(null)
      const late = () =>
        reject(new UpstreamBusy(`none of ${limit} connections became free within ${timeout} ms`))
      const timer = setTimeout(late, timeout)
      queue.add(begin)
      visitor.once('close', leave)
      try {
        return await promise
      } finally {
        clearTimeout(timer)
        queue.delete(begin)
        visitor.off('close', leave)
      }
    },
  }
}
