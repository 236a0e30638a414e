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
import { forwardedHeaders, returnedHeaders } from './forwarded-headers.ts'
import type { TrustedHeader } from './trusted-proxy.ts'
import { createConnector, UpstreamTimeout, UpstreamUnavailable } from './upstream-connection.ts'
import { createUpgrade } from './websocket.ts'

export interface UpstreamOptions {
  /** `http://host:port`, `https://host:port`, or `unix:/path` of a socket; no path, no query. */
  readonly url: string
  /** The certificates of the authority that signed the upstream's, in PEM; unless given, those that Node trusts. */
  readonly ca?: string | undefined
  /** Milliseconds in which nothing is sent or received, after which a request is given up. */
  readonly timeout: number
  /** Milliseconds for a connection to be made. */
  readonly connectTimeout?: number
  /** Connections for requests that are open at once; further requests wait. */
  readonly connections?: number
  /** Requests that may wait for a connection; further ones are refused. */
  readonly waiting?: number
  /** WebSockets that are open at once; further ones are refused. */
  readonly webSockets?: number
  /** Bytes of a request's body that are read before a connection is taken. */
  readonly buffer?: number
  /** ALLOWED_HOSTS; Koa's middleware checks those of plain requests. */
  readonly allowedHosts: readonly string[]
  /** What of `X-Forwarded-…` is believed and passed on. */
  readonly trustedProxy: readonly TrustedHeader[]
  /** Paths at which no WebSocket is passed on, since they are ours whatever the method. */
  readonly reservedPaths?: readonly string[]
  /** What the log shows of a WebSocket's path. */
  readonly pathLabel?: PathLabel
  readonly log: Log
  /** Called for each WebSocket that was asked for, for metrics. */
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
}

/** The server behind us, Django, to which we pass on what is not served here. */
export interface Upstream {
  /** Passes every request on; what comes back is Django's alone, without a header of ours but the request's id. */
  readonly middleware: Middleware
  /** For an HTTP server's event `upgrade`: passes a WebSocket on. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void
  /** Ends the WebSockets that are open. */
  close(): void
}

/** The name under which logs and metrics know what is passed on. */
const ROUTE = 'upstream'

/** Bytes of a response's head; Node's own limit is 16 KiB. */
const RESPONSE_HEAD = 64 * 1024

/**
 * Passes requests on to the server behind us. A body is read first, up to `buffer` bytes; the rest of it, and every
 * response, streams: whoever is slower sets the pace, and who leaves takes the other side along. Each request has a
 * connection of its own: one that is kept may be closed by the server at the moment we use it, and a POST cannot be
 * tried again.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { timeout, connectTimeout = Math.min(timeout, 5000), trustedProxy, log } = options
  const { connections: limit = 100, waiting = 1000, webSockets = 1000, buffer = 1024 ** 2 } = options
  const connect = createConnector({ url: options.url, ca: options.ca, timeout: connectTimeout })
  const bodies = createRequestBodies({ buffer, timeout })
  const slots = createConnectionSlots({ limit, waiting, timeout, kind: 'request', log })

  async function passOn(
    request: IncomingMessage,
    response: ServerResponse,
    body: RequestBody,
  ): Promise<void> {
    await body.readAhead()
    const free = await slots.take(response)
    try {
      if (free === null) return
      const socket = await connect()
      if (response.closed) socket.destroy()
      else await exchange({ request, response, body, socket })
    } finally {
      free?.()
    }
  }

  /** Resolves once the connection is closed; rejects when it fails before an answer has come. */
  function exchange({ request, response, body, socket }: Exchange): Promise<void> {
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
      outgoing.destroy(body.isAwaited() ? new RequestTooSlow('the body stopped coming') : late)
    })
    response.once('close', () => outgoing.destroy())
    let isAnswered = false
    outgoing.on('error', (error) => {
      if (!isAnswered) reject(failureOf(error)) // Of a later failure the response tells.
    })
    // Node closes without an error where the upstream changes the protocol unasked.
    outgoing.once('close', () => (isAnswered ? resolve() : reject(failureOf(null))))
    outgoing.once('response', (incoming) => {
      isAnswered = true
      incoming.once('close', () => {
        if (!incoming.complete) response.destroy()
        outgoing.destroy() // It may not have sent its whole body, and need not.
      })
      try {
        passBack(incoming, response)
      } catch (error) {
        // A status or a header that Node refuses to send.
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
      req.headers = { ...forwardedHeaders(req, { trustedProxy }), 'x-request-id': state.requestId }
      liftBodyTime(req)
      ctx.respond = false
      const body = bodies(req)
      try {
        await passOn(req, res, body)
      } catch (error) {
        if (res.destroyed) return
        ctx.respond = true
        if (error instanceof RequestTooSlow) ctx.set('Connection', 'close')
        throw error
      } finally {
        body.drop()
      }
    },
    ...createUpgrade({
      ...options,
      connect,
      slots: createConnectionSlots({ limit: webSockets, waiting: 0, timeout: 0, kind: 'websocket', log }),
      responseHead: RESPONSE_HEAD,
      route: ROUTE,
      passBack,
      failureOf,
    }),
  }
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly body: RequestBody
  readonly socket: Socket
}

/** A body that we hold is sent with its length, as nginx does: Django's own server reads no chunks. */
function headersFor({ headers }: IncomingMessage, body: RequestBody): OutgoingHttpHeaders {
  const length = body.wholeLength()
  const { 'transfer-encoding': encoding, ...others } = headers
  if (length === null || encoding?.toLowerCase() !== 'chunked') return headers
  return { ...others, 'content-length': String(length) }
}

/** Headers of ours, such as those that keep our pages safe, are not for Django's. */
function passBack(incoming: IncomingMessage, response: ServerResponse): void {
  for (const name of response.getHeaderNames()) if (!KEPT.has(name)) response.removeHeader(name)
  const ours = new Set(response.getHeaderNames())
  for (const [name, value] of returnedHeaders(incoming)) {
    if (ours.delete(name.toLowerCase())) response.removeHeader(name)
    response.appendHeader(name, value)
  }
  response.writeHead(incoming.statusCode ?? 0, incoming.statusMessage)
  // With the body's first bytes where they are there already; of an event stream they may come much later.
  const flush = setImmediate(() => response.flushHeaders())
  incoming.once('data', () => clearImmediate(flush)).once('close', () => clearImmediate(flush))
  incoming.pipe(response)
}

/** `connection` is there when the service shuts down. */
const KEPT: ReadonlySet<string> = new Set(['x-request-id', 'connection'])

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
