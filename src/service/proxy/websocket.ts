import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { statusOf } from '../../http/statuses.ts'
import { errorFields, type Log } from '../monitoring/log.ts'
import { createPathLabel, type PathLabel } from '../monitoring/path-label.ts'
import { type FinishedRequest, requestIdOf } from '../monitoring/request-log.ts'
import { isSpellingOf } from '../routing.ts'
import { http } from '../server/node-http.ts'
import { hasBody } from '../server/request-body.ts'
import { createHostCheck, DisallowedHost } from './allowed-hosts.ts'
import type { ConnectionSlots } from './connection-slots.ts'
import { endToEndHeaders, forwardedHeaders, toOriginForm } from './forwarded-headers.ts'
import type { TrustedHeader } from './trusted-proxy.ts'
import { UpstreamTimeout } from './upstream-connection.ts'

export interface UpgradeOptions {
  readonly connect: () => Promise<Socket>
  readonly slots: ConnectionSlots
  /** Milliseconds without any data, before the answer, after which the attempt is given up. */
  readonly timeout: number
  /** The maximum bytes of the response's head. */
  readonly responseHead: number
  readonly allowedHosts: readonly string[]
  readonly trustedProxy: readonly TrustedHeader[]
  /** Paths where no WebSocket is passed on. */
  readonly reservedPaths?: readonly string[]
  readonly pathLabel?: PathLabel
  readonly route: string
  readonly log: Log
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
  /** Sends a response that does not open a WebSocket back to the client. */
  readonly passBack: (incoming: IncomingMessage, response: ServerResponse) => void
  /** Returns the error that decides the status, for an error of the connection. */
  readonly failureOf: (error: unknown) => Error
}

/** After one side has ended: milliseconds without data until the connection is closed. */
const LINGER = 5000

/** Milliseconds without data after which TCP keep-alive probes the peer. */
const KEEP_ALIVE = 60_000

/**
 * Passes WebSockets on. Each is one `http.request` in the log and the metrics, as soon as it is answered: how long it
 * stays open afterwards is not a response time.
 */
export function createUpgrade({
  connect,
  slots,
  timeout,
  responseHead,
  allowedHosts,
  trustedProxy,
  reservedPaths = [],
  pathLabel = createPathLabel(),
  route,
  log,
  onRequest = () => {},
  monotonic = () => performance.now(),
  passBack,
  failureOf,
}: UpgradeOptions): { upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void; close(): void } {
  const checkHost = createHostCheck({ allowedHosts, trustedProxy })
  const open = new Set<Socket>()

  function upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const started = monotonic()
    const requestId = requestIdOf(request)
    function answered(status: number | null): void {
      const milliseconds = monotonic() - started
      log.info('http.request', {
        requestId,
        method: 'GET',
        path: pathLabel(request.url ?? ''),
        ...(status === null ? { aborted: true } : { status }),
        durationMs: Math.round(milliseconds),
      })
      onRequest({ method: 'GET', route, status, seconds: milliseconds / 1000, session: null })
    }
    function fail(error: unknown): void {
      if (socket.destroyed) {
        answered(null)
        return
      }
      const status = statusOf(error)
      if (status >= 500) log.error('http.failure', { requestId, status, ...errorFields(error) })
      if (error instanceof DisallowedHost)
        log.warn('security.disallowed_host', { requestId, host: error.host, hint: 'see ALLOWED_HOSTS' })
      answered(status)
      responseOn(socket, request, timeout)
        .writeHead(status, { 'Content-Length': 0, ...(status >= 502 && { 'Retry-After': 5 }) })
        .end()
    }

    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => {}) // A client may reset the connection at any time.
    if (head.length > 0) socket.unshift(head)
    const stopWatching = watch(socket)

    async function passOn(): Promise<void> {
      if (!isWebSocket(request)) throw new UnknownUpgrade('only WebSockets are passed on')
      checkHost(request)
      toOriginForm(request)
      if (isSpellingOf(reservedPaths, request)) throw new ReservedPath('no WebSocket is served at this path')
      const free = await slots.take(socket)
      try {
        if (free === null) throw new VisitorLeft()
        const upstream = await connect()
        upstream.once('close', free)
        await ask(upstream)
      } catch (error) {
        free?.()
        throw error
      }
    }

    /** Resolves once the upstream has answered. */
    function ask(connection: Socket): Promise<void> {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      request.headers = {
        ...forwardedHeaders(request, { trustedProxy, requestId }),
        connection: 'Upgrade',
        upgrade: 'websocket',
      }
      const outgoing = http.request({
        createConnection: () => connection,
        path: request.url,
        headers: request.headers,
        maxHeaderSize: responseHead,
      })
      const leave = () => outgoing.destroy(new VisitorLeft())
      if (socket.destroyed) leave()
      else socket.once('close', leave)
      outgoing.setTimeout(timeout, () => {
        outgoing.destroy(new UpstreamTimeout(`the WebSocket handshake was not answered within ${timeout} ms`))
      })
      outgoing.on('error', (error) => reject(failureOf(error)))
      outgoing.once('close', () => reject(failureOf(null)))
      outgoing.once('upgrade', (incoming, upstream, rest) => {
        resolve()
        socket.off('close', leave)
        answered(101)
        if (rest.length > 0) upstream.unshift(rest)
        stopWatching()
        socket.write(switchingProtocols(incoming), 'latin1')
        join(socket, upstream)
      })
      outgoing.once('response', (incoming) => {
        resolve()
        answered(incoming.statusCode ?? 0)
        stopWatching()
        const response = responseOn(socket, request, timeout)
        incoming.once('close', () => {
          if (!incoming.complete) response.destroy()
        })
        try {
          passBack(incoming, response)
        } catch (error) {
          log.error('upstream.unusable', errorFields(error))
          socket.destroy()
        }
      })
      outgoing.end()
      return promise
    }

    passOn().catch((error) => {
      stopWatching()
      fail(error)
    })
  }

  return {
    upgrade,
    close() {
      for (const socket of open) socket.destroy()
    },
  }
}

/**
 * For the `shouldUpgradeCallback` of an HTTP server. An offer of another protocol, as by `curl --http2`, is treated as a
 * plain request; so is one with a body or over HTTP/1.0, which RFC 6455 (4.1) does not allow.
 */
export function isWebSocket(request: IncomingMessage): boolean {
  const { method, headers, httpVersion } = request
  if (method !== 'GET' || headers.upgrade?.toLowerCase() !== 'websocket') return false
  return httpVersion === '1.1' && !hasBody(request)
}

/**
 * Reads ahead, up to the socket's buffer size, so that a client's disconnect is noticed. The data stays in the buffer.
 * Returns the function that stops this.
 */
function watch(socket: Socket): () => void {
  const readAhead = () => {
    if (socket.readableLength === 0) socket.read() // Otherwise the end of the stream is not reported.
  }
  socket.on('readable', readAhead)
  return () => void socket.off('readable', readAhead)
}

/** A response on a connection that the HTTP server has handed over. It is the last one; later requests are ignored. */
function responseOn(socket: Socket, request: IncomingMessage, timeout: number): ServerResponse {
  const response = new http.ServerResponse(request)
  response.shouldKeepAlive = false
  socket.setTimeout(timeout, () => socket.destroy())
  socket.on('drain', () => response.emit('drain'))
  socket.resume()
  response.assignSocket(socket)
  response.once('finish', () => {
    socket.end()
    // Data from the client is read until then: closing with unread data would reset the connection and lose the answer.
    const timer = setTimeout(() => socket.destroy(), LINGER)
    socket.once('close', () => clearTimeout(timer))
  })
  return response
}

function switchingProtocols(incoming: IncomingMessage): string {
  const kept = endToEndHeaders(incoming.rawHeaders, incoming.headers.connection)
  let headers = ''
  for (let index = 0; index < kept.length; index += 2) headers += `${kept[index]}: ${kept[index + 1]}\r\n`
  const upgrade = incoming.headers.upgrade ?? 'websocket'
  return `HTTP/1.1 101 ${incoming.statusMessage}\r\nUpgrade: ${upgrade}\r\nConnection: Upgrade\r\n${headers}\r\n`
}

/** Pipes both ways at the pace of the slower side. When one side ends, the rest is sent to the other, which then ends. */
function join(client: Socket, upstream: Socket): void {
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    from.setTimeout(0)
    from.setNoDelay(true)
    from.setKeepAlive(true, KEEP_ALIVE)
    const end = () => {
      to.end()
      for (const socket of [from, to]) socket.setTimeout(LINGER, () => socket.destroy())
    }
    from.on('error', () => {}).once('close', () => to.destroySoon())
    if (from.readableEnded) end()
    else from.once('end', end).pipe(to, { end: false })
  }
}

/** The visitor closed the connection before it was answered. */
class VisitorLeft extends Error {
  override name = 'VisitorLeft'
}

/** An upgrade to another protocol. Before Node 24.9, a server cannot treat it as a plain request. */
class UnknownUpgrade extends Error {
  override name = 'UnknownUpgrade'
  readonly code: string = 'ERR_UNKNOWN_UPGRADE'
}

/** A WebSocket at a path that this service serves whatever the method, such as the login page. */
class ReservedPath extends Error {
  override name = 'ReservedPath'
  readonly code: string = 'ERR_RESERVED_PATH'
}
