import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'

/** The upstream does not answer, or its answer is not HTTP. */
export class UpstreamUnavailable extends Error {
  override name = 'UpstreamUnavailable'
  readonly code: string = 'ERR_UPSTREAM_UNAVAILABLE'
}

/** The upstream took too long. */
export class UpstreamTimeout extends Error {
  override name = 'UpstreamTimeout'
  readonly code: string = 'ERR_UPSTREAM_TIMEOUT'
}

export interface ConnectorOptions {
  /** `http://host:port`, `https://host:port`, or `unix:/path` of a socket; no path, no query. */
  readonly url: string
  /** PEM certificates of the authority that signed the upstream's. Default: the authorities that Node trusts. */
  readonly ca?: string | undefined
  /** Milliseconds for connecting, including TLS. */
  readonly timeout: number
}

/**
 * Returns a function that connects to the upstream. With TLS, the certificate must be valid for the name in `url`,
 * whatever host the visitor requested. @throws {UpstreamTimeout} {UpstreamUnavailable}
 */
export function createConnector({ url, ca, timeout }: ConnectorOptions): () => Promise<Socket> {
  const dial = dialerOf(url, ca)
  return function connect() {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>()
    const socket = dial(() => {
      clearTimeout(timer)
      resolve(keepReading(socket))
    })
    const timer = setTimeout(() => {
      reject(new UpstreamTimeout(`no connection was established within ${timeout} ms`))
      socket.destroy()
    }, timeout)
    socket.on('error', (error) => {
      clearTimeout(timer)
      reject(failureOf(error, socket))
    })
    return promise
  }
}

function dialerOf(url: string, ca: string | undefined): (onOpen: () => void) => Socket {
  if (url.startsWith('unix:')) {
    const path = url.slice('unix:'.length)
    return (onOpen) => connectTcp({ path }, onOpen)
  }
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  if (protocol === 'http:') return (onOpen) => connectTcp({ host, port: Number(port || 80) }, onOpen)
  const options = {
    host,
    port: Number(port || 443),
    servername: isIP(host) === 0 ? host : '', // RFC 6066, 3: not for IP addresses
    ALPNProtocols: ['http/1.1'],
    ...(ca !== undefined && { ca }),
  }
  return (onOpen) => connectTls(options, onOpen)
}

function failureOf(cause: Error, socket: Socket): Error {
  if (!(socket instanceof TLSSocket) || !socket.authorizationError)
    return new UpstreamUnavailable('no connection to the upstream could be established', { cause })
  const message = `the upstream's certificate is refused: ${cause.message}`
  return new UpstreamUnavailable(`${message}; see DJANGO_UPSTREAM and DJANGO_UPSTREAM_CA`, { cause })
}

/**
 * A server that answers before reading the whole body may close the connection. The next write then fails, and Node would
 * drop the socket together with the unread answer. After a failed write this socket sends nothing more, but continues
 * reading to the end.
 */
function keepReading(socket: Socket): Socket {
  const { _write: write, _writev: writev } = socket
  let isBroken = false
  const forgiving = (done: (error?: Error | null) => void) => (error?: Error | null) => {
    isBroken ||= error instanceof Error
    done()
  }
  socket._write = (chunk, encoding, done) =>
    isBroken ? done() : write.call(socket, chunk, encoding, forgiving(done))
  if (writev !== undefined)
    socket._writev = (chunks, done) => (isBroken ? done() : writev.call(socket, chunks, forgiving(done)))
  return socket
}
