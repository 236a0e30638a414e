import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Middleware } from 'koa'
import { errorFields, type Log } from '../monitoring/log.ts'
import type { PathLabel } from '../monitoring/path-label.ts'
import type { FinishedRequest } from '../monitoring/request-log.ts'
import { http } from '../server/node-http.ts'
import { createRequestBodies, type RequestBody, RequestTooSlow } from '../server/request-body.ts'
import { liftBodyTime } from '../server/time-limit.ts'
import { createConnectionSlots } from './connection-slots.ts'
import { endToEndHeaders, forwardedHeaders } from './forwarded-headers.ts'
import { createKeptConnections } from './kept-connections.ts'
import { createRepeatableRequests, isRepeatable, type PassedOn } from './repeatable-requests.ts'
import type { ResponseHead } from './response-parser.ts'
import type { TrustedHeader } from './trusted-proxy.ts'
import { createConnector, UpstreamTimeout, UpstreamUnavailable } from './upstream-connection.ts'
import { createUpgrade } from './websocket.ts'

export interface UpstreamOptions {
  /** `http://host:port`, `https://host:port`, or `unix:/path` of a socket; no path, no query. */
  readonly url: string
  /** PEM certificates of the authority that signed the upstream's. Default: the authorities that Node trusts. */
  readonly ca?: string | undefined
  /** Milliseconds without any data after which a request is given up. */
  readonly timeout: number
  /** Milliseconds for connecting. */
  readonly connectTimeout?: number
  /** The maximum number of open connections for requests; further requests wait. */
  readonly connections?: number
  /** The maximum milliseconds for which a connection waits for its next request; 0: each request gets a connection. */
  readonly keepAlive?: number
  /** The maximum number of requests that wait for a connection; further ones are refused. */
  readonly waiting?: number
  /** The maximum number of open WebSockets; further ones are refused. */
  readonly webSockets?: number
  /** Bytes of a request's body that are read before a connection is taken. */
  readonly buffer?: number
  /** ALLOWED_HOSTS, for WebSockets; for requests, Koa's middleware checks it. */
  readonly allowedHosts: readonly string[]
  /** The X-Forwarded-… headers that are trusted and passed on. */
  readonly trustedProxy: readonly TrustedHeader[]
  /** Paths of this service whatever the method; no WebSocket is passed on there. */
  readonly reservedPaths?: readonly string[]
  /** How the log shows a WebSocket's path. */
  readonly pathLabel?: PathLabel
  readonly log: Log
  /** Called for each requested WebSocket, for metrics. */
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
}

/** The upstream, Django, which answers the paths and methods that this service does not serve. */
export interface Upstream {
  /** Passes each request on. The response is Django's; the only header that this service adds is the request id. */
  readonly middleware: Middleware
  /** Listener for an HTTP server's `upgrade` event: passes a WebSocket on. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void
  /** Closes the open WebSockets and the kept connections. Running requests may finish. */
  close(): void
}

/** The route name of passed-on requests in logs and metrics. */
const ROUTE = 'upstream'

/** The maximum bytes of a response's head; Node's default is 16 KiB. */
const RESPONSE_HEAD = 64 * 1024

/**
 * Passes requests on to the upstream. Up to `buffer` bytes of a body are read first. The rest of the body, and every
 * response, is streamed at the pace of the slower side; closing either side closes the other. Only requests that may be
 * repeated go over kept connections: the server may close one at the moment of the next request, and a POST cannot be sent
 * again. Each other request has its own connection.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { timeout, connectTimeout = Math.min(timeout, 5000), trustedProxy, log } = options
  const { connections: limit = 100, waiting = 1000, webSockets = 1000, buffer = 1024 ** 2 } = options
  const { keepAlive = 1000 } = options
  const connect = createConnector({ url: options.url, ca: options.ca, timeout: connectTimeout })
  const bodies = createRequestBodies({ buffer, timeout })
  const slots = createConnectionSlots({ limit, waiting, timeout, kind: 'request', log })
  const connections = createKeptConnections({
    connect,
    keepAlive,
    timeout,
    room: () => limit - slots.inUse(),
  })
  const repeatable = createRepeatableRequests({
    connections,
    timeout,
    responseHead: RESPONSE_HEAD,
    sendHead(head, response, requestId) {
      try {
        sendHead(head, response, requestId)
      } catch (error) {
        log.error('upstream.unusable', errorFields(error)) // The status or a header is invalid for Node.
        throw error
      }
    },
  })
  const upgrade = createUpgrade({
    ...options,
    connect,
    slots: createConnectionSlots({ limit: webSockets, waiting: 0, timeout: 0, kind: 'websocket', log }),
    responseHead: RESPONSE_HEAD,
    route: ROUTE,
    passBack,
    failureOf,
  })

  async function repeat(request: IncomingMessage, response: ServerResponse, passedOn: PassedOn) {
    const free = await slots.take(response)
    try {
      if (free !== null) await repeatable(request, response, passedOn)
    } catch (error) {
      throw failureOf(error)
    } finally {
      free?.()
    }
  }

  async function passOn(
    request: IncomingMessage,
    response: ServerResponse,
    { body, requestId }: Pick<Exchange, 'body' | 'requestId'>,
  ): Promise<void> {
    await body.readAhead()
    const free = await slots.take(response)
    try {
      if (free === null) return
      connections.makeRoom()
      const socket = await connect()
      if (response.closed) socket.destroy()
      else await exchange({ request, response, body, requestId, socket })
    } finally {
      free?.()
    }
  }

  /** Resolves once the connection is closed; rejects when it fails before an answer has come. */
  function exchange({ request, response, body, requestId, socket }: Exchange): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const outgoing = http.request({
      createConnection: () => socket,
      method: request.method,
      path: request.url,
      headers: headersFor(request, body),
      maxHeaderSize: RESPONSE_HEAD,
    })
    outgoing.setTimeout(timeout, () => {
      const late = new UpstreamTimeout(`nothing was sent or received within ${timeout} ms`)
      outgoing.destroy(body.isAwaited() ? new RequestTooSlow('the client stopped sending its body') : late)
    })
    response.once('close', () => outgoing.destroy())
    let isAnswered = false
    outgoing.on('error', (error) => {
      if (!isAnswered) reject(failureOf(error)) // After that, a failure ends the response.
    })
    // If the upstream switches protocols without being asked, Node closes without an error.
    outgoing.once('close', () => (isAnswered ? resolve() : reject(failureOf(null))))
    outgoing.once('response', (incoming) => {
      isAnswered = true
      incoming.once('close', () => {
        if (!incoming.complete) response.destroy()
        outgoing.destroy() // The rest of the request's body is not needed any more.
      })
      try {
        passBack(incoming, response, requestId)
      } catch (error) {
        // The status or a header is invalid for Node.
        log.error('upstream.unusable', errorFields(error))
        reject(failureOf(error))
        outgoing.destroy()
      }
    })
    body.sendTo(outgoing, (error) => outgoing.destroy(error))
    return promise
  }

  return {
    async middleware(ctx) {
      const { req, res, state } = ctx
      state.route = ROUTE
      const { requestId } = state
      const headers = forwardedHeaders(req, { trustedProxy, requestId })
      ctx.respond = false
      const body = keepAlive > 0 && isRepeatable(req) ? null : bodies(req)
      try {
        if (body === null) {
          await repeat(req, res, { headers, requestId })
        } else {
          liftBodyTime(req)
          req.headers = headers
          await passOn(req, res, { body, requestId })
        }
      } catch (error) {
        if (res.destroyed) return
        ctx.respond = true
        if (error instanceof RequestTooSlow) ctx.set('Connection', 'close')
        throw error
      } finally {
        body?.drop()
      }
    },
    upgrade: upgrade.upgrade,
    close() {
      upgrade.close()
      connections.close()
    },
  }
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: RequestBody
  /** What the response gets as X-Request-Id. */
  readonly requestId: string | undefined
  readonly socket: Socket
}

/** A completely buffered body is sent with its length, as in nginx: Django's own server cannot read chunked bodies. */
function headersFor({ headers }: IncomingMessage, body: RequestBody): OutgoingHttpHeaders {
  const length = body.wholeLength()
  const { 'transfer-encoding': encoding, ...others } = headers
  if (length === null || encoding?.toLowerCase() !== 'chunked') return headers
  return { ...others, 'content-length': String(length) }
}

/** Sends the upstream's response. */
function passBack(incoming: IncomingMessage, response: ServerResponse, requestId?: string): void {
  const { statusCode = 0, statusMessage = '', rawHeaders, headers } = incoming
  sendHead(
    { status: statusCode, reason: statusMessage, headers: endToEndHeaders(rawHeaders, headers.connection) },
    response,
    requestId,
  )
  // The head goes with the first bytes of the body if they are there; in an event stream they may come much later.
  const flush = setImmediate(() => response.flushHeaders())
  incoming.once('data', () => clearImmediate(flush)).once('close', () => clearImmediate(flush))
  incoming.pipe(response)
}

/**
 * Sends the head of the upstream's response, with X-Request-Id unless it has one. If no header was set before, Node writes
 * the list as it is; otherwise it would set each header, which costs more. During a shutdown, `Connection` is set.
 */
function sendHead(
  { status, reason, headers }: ResponseHead,
  response: ServerResponse,
  requestId: string | undefined,
): void {
  const hasId = headers.some((text, at) => at % 2 === 0 && REQUEST_ID.test(text))
  const own = requestId === undefined || hasId ? [] : ['X-Request-Id', requestId]
  response.writeHead(status, reason, [...own, ...headers])
}

const REQUEST_ID = /^x-request-id$/i

function failureOf(error: unknown): Error {
  if (error instanceof UpstreamTimeout || error instanceof UpstreamUnavailable) return error
  if (error instanceof RequestTooSlow) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return new UpstreamUnavailable(reasonFor(code), { cause: error })
}

function reasonFor(code: string): string {
  if (code === 'HPE_HEADER_OVERFLOW')
    return `the head of the upstream's response is larger than ${RESPONSE_HEAD} bytes`
  if (code.startsWith('HPE_')) return 'what the upstream answered is not HTTP'
  return 'the upstream did not answer'
}
