import type { ClientRequest, IncomingMessage } from 'node:http'

/** The client sends its body more slowly than the least rate; status 408. */
export class RequestTooSlow extends Error {
  override name = 'RequestTooSlow'
  readonly code: string = 'ERR_REQUEST_TOO_SLOW'
}

/** Bytes a second that a client must send while its body is awaited. Apache's mod_reqtimeout asks for 500. */
const LEAST_RATE = 1024

/** Milliseconds over which the rate is taken, so that a stall of a mobile network is no offence. */
const RATE_WINDOW = 20_000

/** Over less than this, in milliseconds, a rate says nothing. */
const LEAST_WINDOW = 1000

/** Bytes that the bodies of all requests may hold at once; what comes beyond that streams. */
const TOTAL = 64 * 1024 ** 2

export interface RequestBodiesOptions {
  /** Bytes of one body that are read before it is sent on; 0: none. */
  readonly buffer: number
  /** Milliseconds of the longest silence. */
  readonly timeout: number
}

/** The body of one request, from its client to the upstream. */
export interface RequestBody {
  /** Reads the body, or as much of it as may be held. @throws {RequestTooSlow} */
  readAhead(): Promise<void>
  /** The length of the body where all of it is held; else null. */
  wholeLength(): number | null
  /** Whether it is the client that keeps the others waiting. */
  isAwaited(): boolean
  /** Sends what is held, and then what comes, at the pace of the slower side. `onSlow` hears of a client too slow. */
  sendTo(outgoing: ClientRequest, onSlow: (error: RequestTooSlow) => void): void
  /** Lets go of what is held, and reads what is still to come into nothing. */
  drop(): void
}

/** Whether a body follows the head of this request. Source: RFC 9112, 6.3. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * Reads bodies so that a slow client costs us a socket and not one of Django's workers: a body, or the beginning of a
 * large one, is read before the upstream is asked, as nginx does (proxy_request_buffering).
 */
export function createRequestBodies({
  buffer,
  timeout,
}: RequestBodiesOptions): (request: IncomingMessage) => RequestBody {
  const total = Math.max(TOTAL, buffer)
  const window = Math.min(RATE_WINDOW, Math.max(timeout, LEAST_WINDOW))
  let heldByAll = 0

  return function requestBody(request) {
    const hasNone = !hasBody(request)
    let chunks: Buffer[] = []
    let held = 0
    let isWhole = hasNone
    let onChunk: (chunk: Buffer) => void = hold
    let onSlow: (error: RequestTooSlow) => void = () => {}
    const rate = watchRate(window, () =>
      onSlow(new RequestTooSlow(`the body came with less than ${LEAST_RATE} bytes a second`)),
    )
    function read(): void {
      if (isWhole || request.destroyed || request.socket.destroyed) return
      rate.start()
      request.resume()
    }
    function pause(): void {
      rate.stop()
      request.pause()
    }
    function hold(chunk: Buffer): void {
      chunks.push(chunk)
      held += chunk.length
      heldByAll += chunk.length
    }
    function letGo(): void {
      chunks = []
      heldByAll -= held
      held = 0
    }

    if (!hasNone) {
      request
        .pause()
        .on('data', (chunk: Buffer) => {
          rate.count(chunk.length)
          onChunk(chunk)
        })
        .once('end', () => {
          isWhole = true
          rate.stop()
        })
        .once('close', rate.stop)
    }

    return {
      wholeLength: () => (isWhole ? held : null),
      isAwaited: rate.isRunning,
      async readAhead() {
        if (isWhole || buffer === 0) return
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        onChunk = (chunk) => {
          hold(chunk)
          if (held > buffer || heldByAll >= total) resolve()
        }
        onSlow = reject
        request.once('end', resolve).once('close', resolve)
        read()
        try {
          await promise
        } finally {
          pause()
          request.off('end', resolve).off('close', resolve)
        }
      },
      sendTo(outgoing, whenSlow) {
        outgoing.once('close', letGo)
        for (const chunk of chunks) outgoing.write(chunk)
        chunks = [] // They count as held until the upstream has them.
        if (isWhole) {
          outgoing.end(letGo)
          return
        }
        onSlow = whenSlow
        onChunk = (chunk) => {
          if (!outgoing.destroyed && !outgoing.write(chunk)) pause()
        }
        request.once('end', () => outgoing.end())
        outgoing.on('drain', () => {
          letGo()
          read()
        })
        if (!outgoing.writableNeedDrain) read()
      },
      drop() {
        letGo()
        onChunk = () => {}
        const { socket } = request
        if (isWhole || socket.destroyed) return
        onSlow = () => socket.destroy()
        // Once the answer is sent, Node tells a request no more of its connection's end.
        socket.once('close', rate.stop)
        request.once('end', () => socket.off('close', rate.stop))
        read()
      },
    }
  }
}

/** Calls `onSlow` when less than the least rate comes while something is awaited. */
function watchRate(window: number, onSlow: () => void) {
  let timer: NodeJS.Timeout | null = null
  let bytes = 0
  function stop(): void {
    if (timer !== null) clearInterval(timer)
    timer = null
  }
  return {
    count(length: number): void {
      bytes += length
    },
    start(): void {
      bytes = 0
      timer ??= setInterval(() => {
        const isSlow = bytes < (LEAST_RATE * window) / 1000
        bytes = 0
        if (!isSlow) return
        stop() // It is told once, also where nobody is left who would end it.
        onSlow()
      }, window)
    },
    stop,
    isRunning: () => timer !== null,
  }
}
