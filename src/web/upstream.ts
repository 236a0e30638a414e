import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { createProxyServer, type ProxyServerOptions } from 'httpxy'
import type { Middleware } from 'koa'
import { forwardedHeaders, returnedHeaders } from './forwarding.ts'
import { errorFields, type Log } from './log.ts'
import type { FinishedRequest } from './request-log.ts'
import { createUpgrade } from './upstream-upgrade.ts'

export interface UpstreamOptions {
  /** `http://host:port`, `https://host:port`, or `unix:/path` of a socket; no path, no query. */
  readonly url: string
  /** Milliseconds in which nothing is sent or received, after which a request is given up. */
  readonly timeout: number
  /** Milliseconds for a connection to be made. */
  readonly connectTimeout?: number
  /** ALLOWED_HOSTS; Koa's middleware checks those of plain requests. */
  readonly allowedHosts: readonly string[]
  /** Whether what came as `X-Forwarded-…` is passed on. */
  readonly trustedProxy: boolean
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

/** Nobody answers, or what answers is not HTTP. */
export class UpstreamUnavailable extends Error {
  override name = 'UpstreamUnavailable'
  readonly code: string = 'ERR_UPSTREAM_UNAVAILABLE'
}

/** The server behind us took too long. */
export class UpstreamTimeout extends Error {
  override name = 'UpstreamTimeout'
  readonly code: string = 'ERR_UPSTREAM_TIMEOUT'
}

/** The name under which logs and metrics know what is passed on. */
const ROUTE = 'upstream'

/**
 * Passes requests on to the server behind us, both ways as they come: bodies are never held, whoever is slower sets the
 * pace, and who leaves takes the other side along. Each request has a connection of its own: one that is kept may be
 * closed by the server at the moment we use it, and a POST cannot be tried again.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { url, timeout, connectTimeout = Math.min(timeout, 5000), trustedProxy, log } = options
  const proxyOptions: ProxyServerOptions = {
    target: url.startsWith('unix:') ? { socketPath: url.slice('unix:'.length) } : url,
    agent: false,
    selfHandleResponse: true,
    upgradeTimeout: timeout,
  }
  const proxy = createProxyServer(proxyOptions)
  proxy.on('proxyReq', (outgoing) => limitTime(outgoing, { timeout, connectTimeout }))
  proxy.on('proxyRes', (incoming, _, response) => {
    try {
      passBack(incoming, response)
    } catch (error) {
      // A status or a header that Node refuses to send.
      log.error('upstream.unusable', errorFields(error))
      incoming.destroy(failureOf(error))
    }
  })

  return {
    async middleware(ctx) {
      const { req, res, state } = ctx
      state.route = ROUTE
      toOriginForm(req)
      req.headers = { ...forwardedHeaders(req, { trustedProxy }), 'x-request-id': state.requestId }
      ctx.respond = false
      try {
        await proxy.web(req, res)
      } catch (error) {
        ctx.respond = true
        throw failureOf(error)
      }
    },
    ...createUpgrade({ ...options, proxy: proxyOptions, route: ROUTE, failureOf }),
  }
}

/** One timer for the connection, and one for every silence after it. */
function limitTime(
  outgoing: ClientRequest,
  { timeout, connectTimeout }: { timeout: number; connectTimeout: number },
): void {
  const giveUp = (what: string, milliseconds: number) =>
    outgoing.destroy(new UpstreamTimeout(`${what} within ${milliseconds} ms`))
  outgoing.setTimeout(timeout, () => giveUp('nothing was sent or received', timeout))
  const { socket } = outgoing
  if (socket?.connecting !== true) return
  const timer = setTimeout(() => giveUp('no connection was made', connectTimeout), connectTimeout)
  socket.once('connect', () => clearTimeout(timer)).once('close', () => clearTimeout(timer))
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
  incoming.pipe(response)
}

/** `connection` is there when the service shuts down. */
const KEPT: ReadonlySet<string> = new Set(['x-request-id', 'connection'])

/** `GET http://host/path` becomes `GET /path` with that host. Source: RFC 9112, 3.2.2. */
function toOriginForm(request: IncomingMessage): void {
  const [, host, rest] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/i.exec(request.url ?? '') ?? []
  if (host === undefined || rest === undefined) return
  request.url = rest.startsWith('/') ? rest : `/${rest}`
  request.headers.host = host
}

function failureOf(error: unknown): Error {
  if (error instanceof UpstreamTimeout) return error
  const isLate = error instanceof Error && 'code' in error && error.code === 'ERR_UPSTREAM_UPGRADE_TIMEOUT'
  if (isLate) return new UpstreamTimeout('no WebSocket was made in time', { cause: error })
  return new UpstreamUnavailable('the server behind us did not answer', { cause: error })
}
