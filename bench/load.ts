import { connect } from 'node:net'
import { percentileOf } from './statistics.ts'

export interface LoadOptions {
  /** Ports of 127.0.0.1, to which the connections are distributed in turn. */
  readonly ports: readonly number[]
  readonly connections: number
  readonly seconds: number
  /** The maximum number of requests. */
  readonly limit?: number
  /** Default: the home page. */
  readonly path?: string
  /** The Cookie header of the next request; null for none. */
  readonly cookie: () => string | null
}

export interface LoadResult {
  readonly requests: number
  /** Responses with a status other than 200. */
  readonly errors: number
  /** From the first request to the last answer. */
  readonly seconds: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

/**
 * Requests a page over kept-alive connections, one request at a time on each. Requests in flight when the time
 * is over are awaited and counted. Uses bare sockets, so that the client costs little CPU.
 */
export async function runLoad({
  ports,
  connections,
  seconds,
  limit = Number.POSITIVE_INFINITY,
  path = '/catalog/',
  cookie,
}: LoadOptions): Promise<LoadResult> {
  const times: number[] = []
  let started = 0
  let errors = 0
  const start = performance.now()
  const end = start + seconds * 1000

  async function visitor(port: number): Promise<void> {
    let client = createClient(port)
    while (performance.now() < end && started < limit) {
      started += 1
      const sent = performance.now()
      const status = await client.get(path, cookie())
      times.push(performance.now() - sent)
      if (status !== 200) errors += 1
      if (!client.isOpen()) client = createClient(port)
    }
    client.close()
  }

  await Promise.all(Array.from({ length: connections }, (_, at) => visitor(ports[at % ports.length] ?? 0)))
  return {
    requests: times.length,
    errors,
    seconds: (performance.now() - start) / 1000,
    p50: percentileOf(times, 0.5),
    p99: percentileOf(times, 0.99),
  }
}

interface Client {
  /** Resolves to the status; 0 if the connection ended without an answer. */
  get(path: string, cookie: string | null): Promise<number>
  isOpen(): boolean
  close(): void
}

/** A minimal HTTP client: all these servers send Content-Length. */
function createClient(port: number): Client {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  let isOpen = true
  let head = ''
  /** Bytes of the body that are still missing; null while the head is read. */
  let missing: number | null = null
  let status = 0
  let answer = (_: number): void => {}

  socket.on('data', (chunk) => {
    if (missing === null) {
      head += chunk.toString('latin1')
      const bodyAt = head.indexOf('\r\n\r\n') + 4
      if (bodyAt < 4) return
      status = Number(head.slice(9, 12))
      if (/^connection: close\r$/im.test(head)) isOpen = false
      missing = Number(/^content-length: *(\d+)\r$/im.exec(head)?.[1]) - (head.length - bodyAt)
    } else missing -= chunk.length
    if (missing > 0) return
    head = ''
    if (missing !== 0) status = 0 // no Content-Length, or not the announced length
    missing = null
    answer(status)
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    isOpen = false
    answer(0)
  })
  return {
    get: (path, cookie) =>
      new Promise((resolve) => {
        answer = resolve
        const header = cookie === null ? '' : `Cookie: ${cookie}\r\n`
        socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${header}\r\n`)
      }),
    isOpen: () => isOpen && !socket.destroyed,
    close: () => socket.destroy(),
  }
}
