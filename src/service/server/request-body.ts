import type { ClientRequest, IncomingMessage } from 'node:http'

/** The client sends its body below the minimum rate. Status 408. */
export class RequestTooSlow extends Error {
  override name = 'RequestTooSlow'
  readonly code: string = 'ERR_REQUEST_TOO_SLOW'
}

/** Minimum bytes per second while a body is awaited. Apache's mod_reqtimeout requires 500. */
const MINIMUM_RATE = 1024

/** Milliseconds over which the rate is measured, so that a short stall of a mobile network is tolerated. */
const RATE_WINDOW = 20_000

/** The shortest window, in milliseconds, over which a rate is meaningful. */
const MINIMUM_WINDOW = 1000

/** Bytes that are buffered for all requests together; beyond that, bodies are streamed. */
const TOTAL = 64 * 1024 ** 2

export interface RequestBodiesOptions {
  /** Bytes of one body that are read before it is sent on; 0 for none. */
  readonly buffer: number
  /** Milliseconds without any data after which a request is given up. */
  readonly timeout: number
}

/** The body of one request, from its client to the upstream. */
export interface RequestBody {
  /** Buffers the body, up to the limits. @throws {RequestTooSlow} */
  readAhead(): Promise<void>
  /** The length of the body if all of it is buffered, else null. */
  wholeLength(): number | null
  /** Whether data from the client is awaited now. */
  isAwaited(): boolean
  /** Sends the buffered part and then the rest, at the pace of the slower side. `onSlow` is called for a slow client. */
  sendTo(outgoing: ClientRequest, onSlow: (error: RequestTooSlow) => void): void
  /** Discards the buffered part and the rest of the body. */
  drop(): void
}

/** Whether a body follows the head of this request. Source: RFC 9112, 6.3. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

/**
 * Reads a body, or the beginning of a large one, before the upstream is contacted, as nginx does
 * (proxy_request_buffering). So a slow client occupies a socket here and not one of Django's workers.
 */
export function createRequestBodies({
  buffer,
  timeout,
}: RequestBodiesOptions): (request: IncomingMessage) => RequestBody {
  const total = Math.max(TOTAL, buffer)
  const window = Math.min(RATE_WINDOW, Math.max(timeout, MINIMUM_WINDOW))
  let heldByAll = 0

  return function requestBody(request) {
    const hasNone = !hasBody(request)
    let chunks: Buffer[] = []
    let held = 0
    let isWhole = hasNone
    let onChunk: (chunk: Buffer) => void = hold
    let onSlow: (error: RequestTooSlow) => void = () => {}
    const rate = watchRate(window, () =>
      onSlow(new RequestTooSlow(`the client sent its body at less than ${MINIMUM_RATE} bytes per second`)),
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
        chunks = [] // They count as buffered until the upstream has them.
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
        // After the response, Node no longer reports the end of the connection to the request.
        socket.once('close', rate.stop)
        request.once('end', () => socket.off('close', rate.stop))
        read()
      },
    }
  }
}

/** Calls `onSlow` when data arrives below the minimum rate while it is awaited. */
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
        const isSlow = bytes < (MINIMUM_RATE * window) / 1000
        bytes = 0
        if (!isSlow) return
        stop() // Only one report, even if the receiver does not stop the watch.
        onSlow()
      }, window)
    },
    stop,
    isRunning: () => timer !== null,
  }
}
