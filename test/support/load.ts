import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'

/** One request for the home page and what came back. Times are those of `performance.now()`. */
export interface Visit {
  readonly startedAt: number
  readonly endedAt: number
  /** Null where no response came: refused, reset, or given up after `patience`. */
  readonly status: number | null
  readonly failure: string | null
  readonly retryAfter: string | null
  readonly connectionHeader: string | null
  /** The session that the visitor holds after it. */
  readonly sessionKey: string | null
  /** The number of visits that the page shows. */
  readonly shown: number | null
}

export interface Load {
  /** In the order in which they ended. */
  readonly visits: readonly Visit[]
  /** Waits until this many visits more, from now on, meet the condition. @throws Error after `patience`. */
  more(count: number, condition: (visit: Visit) => boolean): Promise<void>
  /** Waits for the running requests. Returns all visits. */
  stop(): Promise<readonly Visit[]>
}

export interface LoadOptions {
  /** The session that each connection's visitor begins with; undefined for a new visitor. */
  readonly sessionKeys: readonly (string | undefined)[]
  /** Of one request, and of `more`, in milliseconds. */
  readonly patience?: number
  /** Visits of one connection at most. */
  readonly limit?: number
}

/** Starts visitors, each on its own connection, that request the home page again and again until they are stopped. */
export function startLoad(url: string, { sessionKeys, patience = 30_000, limit = 5000 }: LoadOptions): Load {
  const visits: Visit[] = []
  let isStopped = false

  async function visitor(sent: string | undefined): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    let sessionKey = sent
    for (let count = 0; count < limit && !isStopped; count += 1) {
      const visit = await visitHome(url, { sessionKey, agent, patience })
      visits.push(visit)
      sessionKey = visit.sessionKey ?? undefined
      if (visit.status !== 200) await delay(50) // Without a pause, refused requests would be a storm.
    }
    agent.destroy()
  }

  const running = Promise.all(sessionKeys.map(visitor))
  return {
    visits,
    async more(count, condition) {
      const from = visits.length
      const deadline = performance.now() + patience
      while (visits.slice(from).filter(condition).length < count) {
        if (performance.now() > deadline)
          throw new Error(`${count} such visits did not come: ${summary(visits.slice(from))}`)
        await delay(20)
      }
    },
    async stop() {
      isStopped = true
      await running
      return visits
    },
  }
}

/** How many visits ended with each status. */
export function summary(visits: readonly Visit[]): string {
  const counts = new Map<string, number>()
  for (const { status, failure } of visits) {
    const name = String(status ?? failure)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return [...counts].map(([name, count]) => `${name} × ${count}`).join(', ')
}

export async function visitHome(
  url: string,
  {
    sessionKey,
    agent,
    patience = 30_000,
  }: { sessionKey?: string | undefined; agent?: Agent; patience?: number } = {},
): Promise<Visit> {
  const startedAt = performance.now()
  const visit = {
    startedAt,
    retryAfter: null,
    connectionHeader: null,
    shown: null,
    sessionKey: sessionKey ?? null,
  }
  const request = get(`${url}/catalog/`, {
    signal: AbortSignal.timeout(patience),
    ...(agent !== undefined && { agent }),
    ...(sessionKey !== undefined && { headers: { Cookie: `sessionid=${sessionKey}` } }),
  })
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    const page = await text(response)
    const { headers, statusCode: status = 0 } = response
    return {
      ...visit,
      endedAt: performance.now(),
      status,
      failure: null,
      retryAfter: headers['retry-after'] ?? null,
      connectionHeader: headers.connection ?? null,
      sessionKey: /sessionid=(\w+)/.exec(headers['set-cookie']?.join() ?? '')?.[1] ?? visit.sessionKey,
      shown: numberIn(page),
    }
  } catch (error) {
    const failure = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return { ...visit, endedAt: performance.now(), status: null, failure }
  }
}

function numberIn(page: string): number | null {
  const found = /visited this page (\d+) time/.exec(page)
  return found === null ? null : Number(found[1])
}
