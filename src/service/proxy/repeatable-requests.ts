import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { hasBody } from '../server/request-body.ts'
import { INVALID_VALUE } from './forwarded-headers.ts'
import type { KeptConnection, KeptConnections } from './kept-connections.ts'
import { createResponseParser, type ResponseHead } from './response-parser.ts'
import { UpstreamTimeout } from './upstream-connection.ts'

export interface RepeatableRequestsOptions {
  readonly connections: KeptConnections
  /** Milliseconds without any data after which a request is given up. */
  readonly timeout: number
  /** The maximum bytes of a response's head. */
  readonly responseHead: number
  /** Sends the head of the upstream's response. @throws Error for a head that Node refuses */
  readonly sendHead: (head: ResponseHead, response: ServerResponse, requestId: string | undefined) => void
}

export interface PassedOn {
  /** With which the request is passed on. */
  readonly headers: IncomingHttpHeaders
  /** What the response gets as X-Request-Id. */
  readonly requestId: string | undefined
}

/** Methods that change nothing, so that a request may reach the upstream twice. Source: RFC 9110, 9.2.1. */
const SAFE: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Whether the request may be sent again when its connection fails. */
export function isRepeatable(request: IncomingMessage): boolean {
  return SAFE.has(request.method) && !hasBody(request)
}

/**
 * Sends repeatable requests over kept connections. The server may close a kept connection at the moment of the request: a
 * request that fails there before the first byte of an answer is sent once more, on a new connection. So does nginx
 * (proxy_next_upstream).
 *
 * Resolves once the response has been received and is sent, or its visitor has left. @throws an error of the connection
 * before the head of a response.
 */
export function createRepeatableRequests({
  connections,
  timeout,
  responseHead,
  sendHead,
}: RepeatableRequestsOptions): (
  request: IncomingMessage,
  response: ServerResponse,
  passedOn: PassedOn,
) => Promise<void> {
  return async function passOn(request, response, { headers, requestId }) {
    const head = requestHead(request, headers)
    const kept = connections.takeKept()
    if (kept !== null && (await exchange(kept, { head, request, response, requestId }))) return
    connections.makeRoom()
    const fresh = await connections.open()
    if (response.closed) fresh.socket.destroy()
    else if (!(await exchange(fresh, { head, request, response, requestId })))
      throw new Error('the upstream closed the connection without an answer')
  }

  /** Resolves to false if the request may be sent again: a connection that was used before failed without any answer. */
  function exchange(
    connection: KeptConnection,
    {
      head,
      request,
      response,
      requestId,
    }: { head: string; request: IncomingMessage; response: ServerResponse; requestId: string | undefined },
  ): Promise<boolean> {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    const { socket } = connection
    let isBegun = false
    let hasHead = false
    let isDone = false
    let isBodyDue = false
    let flush: NodeJS.Immediate | null = null

    const parser = createResponseParser({
      isHead: request.method === 'HEAD',
      headLimit: responseHead,
      onHead(found) {
        sendHead(found, response, requestId)
        hasHead = true
        isBodyDue = true
      },
      onBody(part, isLast) {
        isBodyDue = false
        if (flush !== null) clearImmediate(flush)
        if (isLast) {
          end(response, part)
          isDone = true
        } else if (!response.write(part) && !socket.isPaused()) {
          socket.pause()
          response.once('drain', () => {
            if (!isDone) socket.resume()
          })
        }
      },
    })

    /** Ends the exchange. The connection may be kept for `seconds`. */
    function finish(seconds: number): void {
      isDone = true
      if (flush !== null) clearImmediate(flush)
      response.off('close', leave)
      socket.resume()
      connection.release(seconds)
    }
    function leave(): void {
      finish(0)
      resolve(true)
    }
    function fail(error: Error): void {
      finish(0)
      if (hasHead) {
        response.destroy() // Otherwise an incomplete response would look complete.
        resolve(true)
      } else reject(error)
    }
    function succeed(): void {
      finish(parser.keepAlive())
      resolve(true)
    }

    response.once('close', leave)
    connection.listen({
      onData(chunk) {
        isBegun = true
        try {
          parser.read(chunk)
        } catch (error) {
          fail(error as Error)
          return
        }
        if (isDone) succeed()
        // The head goes with the first bytes of the body if they are there; in an event stream they may come much later.
        else if (isBodyDue) flush ??= setImmediate(() => response.flushHeaders())
      },
      onEnd() {
        if (parser.end()) succeed()
        else socket.destroy()
      },
      onTimeout() {
        fail(new UpstreamTimeout(`nothing was sent or received within ${timeout} ms`))
      },
      onClose(error) {
        if (!isBegun && connection.isUsed()) {
          finish(0)
          resolve(false)
        } else fail(error ?? new Error('the upstream closed the connection before its answer was complete'))
      },
    })
    socket.write(head, 'latin1')
    return promise
  }
}

/** Node writes the head and a text at once, but the head and a buffer as two pieces, which costs more. */
function end(response: ServerResponse, part: Buffer): void {
  if (part.length === 0) response.end()
  else if (part.length <= MOST_JOINED) response.end(part.toString('latin1'), 'latin1')
  else response.end(part)
}

/** Bytes of the longest part that is copied. */
const MOST_JOINED = 16 * 1024

/** A character that no target may have. Node's own client refuses it, too, as it refuses INVALID_VALUE. */
const INVALID_TARGET = /[^\x21-\x7e\x80-\xff]/

function requestHead({ method = '', url = '' }: IncomingMessage, headers: IncomingHttpHeaders): string {
  if (INVALID_TARGET.test(url))
    throw new TypeError('the target of the request has a character that no target may have')
  let head = `${method} ${url} HTTP/1.1\r\n`
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined) continue
    for (const one of typeof value === 'string' ? [value] : value) {
      if (INVALID_VALUE.test(one))
        throw new TypeError('a header of the request has a character that no header may have')
      head += `${name}: ${one}\r\n`
    }
  }
  return `${head}connection: keep-alive\r\n\r\n`
}
