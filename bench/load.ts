import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface LoadOptions {
  /** Ports of 127.0.0.1, to which the connections are distributed in turn. */
  readonly ports: readonly number[]
  readonly connections: number
  /** The measured time. */
  readonly seconds: number
  /** Seconds of the same load before the measured time. Default: 0 */
  readonly leadIn?: number
  /** The maximum number of requests. */
  readonly limit?: number
  /** Default: the home page. */
  readonly path?: string
  /** The Cookie header of the next request; null for none. */
  readonly cookie: () => string | null
  /** Called where the measured time begins and where it ends. */
  readonly onBegin?: () => void
  readonly onEnd?: () => void
}

export interface LoadResult {
  /** The number of all requests, also before and after the measured time. */
  readonly sent: number
  /** Those of them that were answered with a status other than 200. */
  readonly errors: number
  /** The measured time: at least until the first answer. */
  readonly seconds: number
  /** Milliseconds from the request to the answer, for each answer in the measured time. */
  readonly times: readonly number[]
}

/**
 * Requests a page over kept-alive connections, one request at a time on each. Only answers in the measured time count, and the
 * load goes on until it is over, so a slow server is not measured while its last requests end one by one. Uses bare sockets, so
 * that the client costs little CPU.
 */
export async function runLoad({
  ports,
  connections,
  seconds,
  leadIn = 0,
  limit = Number.POSITIVE_INFINITY,
  path = '/catalog/',
  cookie,
  onBegin,
  onEnd,
}: LoadOptions): Promise<LoadResult> {
  const times: number[] = []
  const firstAnswer = Promise.withResolvers<void>()
  let [sent, errors] = [0, 0]
  const phase: { name: 'lead-in' | 'measured' | 'over' } = { name: 'lead-in' }

  async function visitor(port: number): Promise<void> {
    let client = createClient(port)
    while (phase.name !== 'over' && sent < limit) {
      sent += 1
      const begin = performance.now()
      const status = await client.get(path, cookie())
      if (phase.name === 'measured') {
        times.push(performance.now() - begin)
        firstAnswer.resolve()
      }
      if (status !== 200) errors += 1
      if (!client.isOpen()) client = createClient(port)
    }
    client.close()
  }

  const load = Promise.all(
    Array.from({ length: connections }, (_, at) => visitor(ports[at % ports.length] ?? 0)),
  )
  await Promise.race([load, pause(leadIn)])
  onBegin?.()
  const begin = performance.now()
  phase.name = 'measured'
  await Promise.race([load, Promise.all([pause(seconds), firstAnswer.promise])])
  phase.name = 'over'
  const end = performance.now()
  onEnd?.()
  await load
  return { sent, errors, seconds: (end - begin) / 1000, times }
}

/** A pause that does not keep the process alive when the load has ended before. */
function pause(seconds: number): Promise<void> {
  return delay(seconds * 1000, undefined, { ref: false })
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
