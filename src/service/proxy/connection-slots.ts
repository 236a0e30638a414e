import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Log } from '../monitoring/log.ts'

/** All connections to the upstream are in use, and none became free in time; status 503. */
export class UpstreamBusy extends Error {
  override name = 'UpstreamBusy'
  readonly code: string = 'ERR_UPSTREAM_BUSY'
}

export interface ConnectionSlotsOptions {
  /** How many connections may be in use at once. */
  readonly limit: number
  /** How many visitors may wait for one. */
  readonly waiting: number
  /** Milliseconds that a visitor waits at most. */
  readonly timeout: number
  /** What the connections are for, as the log says it. */
  readonly kind: 'request' | 'websocket'
  readonly log: Log
}

export interface ConnectionSlots {
  /**
   * Takes a slot, in the order of asking; resolves to the function that frees it, or to null once the visitor, whose
   * response or socket this is, has left.
   * @throws {UpstreamBusy}
   */
  take(visitor: ServerResponse | Socket): Promise<(() => void) | null>
}

/** Milliseconds between two log lines about waiting: under load every request waits. */
const LOG_INTERVAL = 10_000

/** Limits how many connections to the upstream are in use at once. */
export function createConnectionSlots({
  limit,
  waiting,
  timeout,
  kind,
  log,
}: ConnectionSlotsOptions): ConnectionSlots {
  const queue = new Set<() => void>()
  let used = 0
  let loggedAt = Number.NEGATIVE_INFINITY

  function logBusy(): void {
    const now = performance.now()
    if (now - loggedAt < LOG_INTERVAL) return
    loggedAt = now
    log.warn('upstream.busy', { kind, connections: limit, waiting: queue.size })
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
