import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { createProxyServer, type ProxyServerOptions } from 'httpxy'
import { createHostCheck, DisallowedHost } from './allowed-hosts.ts'
import { statusOf } from './errors.ts'
import { forwardedHeaders } from './forwarding.ts'
import { http } from './http.ts'
import { errorFields, type Log } from './log.ts'
import { type FinishedRequest, requestIdOf } from './request-log.ts'

export interface UpgradeOptions {
  readonly proxy: ProxyServerOptions
  readonly allowedHosts: readonly string[]
  readonly trustedProxy: boolean
  readonly route: string
  readonly log: Log
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
  /** Gives what the visitor is told of, for an error of the proxy or its connection. */
  readonly failureOf: (error: unknown) => Error
}

/**
 * Passes WebSockets on. Each is one `http.request` in the log and the metrics, once it was answered: how long it then
 * stays open says nothing about how quick we are.
 */
export function createUpgrade({
  proxy: proxyOptions,
  allowedHosts,
  trustedProxy,
  route,
  log,
  onRequest = () => {},
  failureOf,
}: UpgradeOptions): { upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void; close(): void } {
  const checkHost = createHostCheck({ allowedHosts, trustedProxy })
  const open = new Set<Socket>()

  function upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const started = performance.now()
    const requestId = requestIdOf(request)
    let isAnswered = false
    function answered(status: number): void {
      isAnswered = true
      const milliseconds = performance.now() - started
      const [path] = (request.url ?? '').split('?')
      log.info('http.request', {
        requestId,
        method: 'GET',
        path,
        status,
        durationMs: Math.round(milliseconds),
      })
      onRequest({ method: 'GET', route, status, seconds: milliseconds / 1000, session: null })
    }
    function fail(error: unknown): void {
      if (isAnswered) return // The connection broke later, which httpxy tells the other side.
      const status = statusOf(error)
      if (status >= 500) log.error('http.failure', { requestId, status, ...errorFields(error) })
      if (error instanceof DisallowedHost)
        log.warn('security.disallowed_host', { requestId, host: error.host, hint: 'see ALLOWED_HOSTS' })
      answered(status)
      socket.end(
        `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      )
    }

    socket.on('error', () => {}) // Whoever leaves may do so in any way.
    try {
      if (!isWebSocket(request)) throw new UnknownUpgrade('only WebSockets are passed on')
      checkHost(request)
    } catch (error) {
      fail(error)
      return
    }
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    request.headers = {
      ...forwardedHeaders(request, { trustedProxy }),
      'x-request-id': requestId,
      connection: 'Upgrade',
      upgrade: 'websocket',
    }
    // A proxy of its own, so that what it tells is told of this request.
    const proxy = createProxyServer(proxyOptions)
    proxy.on('error', (error) => fail(failureOf(error)))
    proxy.on('proxyReqWs', (outgoing) => {
      outgoing.once('upgrade', () => answered(101))
      outgoing.once('response', ({ statusCode = 0 }) => answered(statusCode))
    })
    void proxy.ws(request, socket, {}, head)
  }

  return {
    upgrade,
    close() {
      for (const socket of open) socket.destroy()
    },
  }
}

/** For the `shouldUpgradeCallback` of an HTTP server: what offers another protocol, as `curl --http2` does, is a request. */
export function isWebSocket({ method, headers }: IncomingMessage): boolean {
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket'
}

/** Before Node 24.9 a server cannot let a request be that offers another protocol than ours. */
class UnknownUpgrade extends Error {
  override name = 'UnknownUpgrade'
  readonly code: string = 'ERR_UNKNOWN_UPGRADE'
}
