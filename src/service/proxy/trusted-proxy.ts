import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type Koa from 'koa'

/**
 * What a proxy in front is trusted with: `host` by `X-Forwarded-Host` (Django's USE_X_FORWARDED_HOST), `proto` by
 * `X-Forwarded-Proto` (SECURE_PROXY_SSL_HEADER), `for` (the address) by `X-Forwarded-For`.
 */
export type TrustedHeader = (typeof TRUSTED_HEADERS)[number]

export const TRUSTED_HEADERS = ['host', 'proto', 'for'] as const

/**
 * The requested host, with its port. Of several X-Forwarded-Host values the last is used: the nearest proxy wrote it, and
 * a visitor may have written the others. Unlike Django, which answers 400 for a list.
 * Source: django/http/request.py, _get_raw_host.
 */
export function askedHost(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  const forwarded = trusted.includes('host') ? lastOf(request, 'x-forwarded-host') : undefined
  return forwarded ?? request.headers.host ?? serverName(request, trusted)
}

/** The requested scheme: `https`, `http`, or what the proxy sends. */
export function askedScheme(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  if ('encrypted' in request.socket) return 'https'
  if (!trusted.includes('proto')) return 'http'
  const proto = lastOf(request, 'x-forwarded-proto')?.toLowerCase()
  return proto || otherScheme(request) || 'http'
}

/**
 * The visitor's address: the last value of X-Forwarded-For, without the port that some proxies append. If that is not an
 * IP address, the address of the connection.
 */
function askedAddress(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  const forwarded = trusted.includes('for') ? (lastOf(request, 'x-forwarded-for') ?? '') : ''
  const [, inBrackets, beforePort] = /^(?:\[([^\]]*)\](?::\d+)?|([^:]*):\d+)$/.exec(forwarded) ?? []
  const address = inBrackets ?? beforePort ?? forwarded
  return isIP(address) === 0 ? (request.socket.remoteAddress ?? '') : address
}

/** The scheme from headers that some proxies send instead of X-Forwarded-Proto; null without such a header. */
export function otherScheme({ headers }: Pick<IncomingMessage, 'headers'>): 'https' | 'http' | null {
  for (const [name, secure] of SCHEME_HEADERS) {
    const value = lastItem(headers[name])
    if (value !== undefined) return secure.test(value) ? 'https' : 'http'
  }
  const [, scheme] = /(?:^|;)\s*proto="?([\w+.-]+)/i.exec(lastItem(headers.forwarded) ?? '') ?? []
  if (scheme === undefined) return null
  return scheme.toLowerCase() === 'https' ? 'https' : 'http'
}

/** Header names, with the values that mean HTTPS. */
export const SCHEME_HEADERS: ReadonlyMap<string, RegExp> = new Map([
  ['x-forwarded-protocol', /^(?:https|ssl)$/i],
  ['x-forwarded-scheme', /^https$/i],
  ['x-url-scheme', /^https$/i],
  ['x-scheme', /^https$/i],
  ['x-forwarded-ssl', /^on$/i],
  ['front-end-https', /^on$/i],
])

/** Makes `ctx.host`, `ctx.protocol`, `ctx.secure` and `ctx.ip` use these functions; Koa's own use the first value of a list. */
export function followProxy(app: Koa, trusted: readonly TrustedHeader[]): void {
  const define = (name: string, get: (this: Koa.Request) => unknown) =>
    Object.defineProperty(app.request, name, { get, configurable: true })
  define('host', function host() {
    return askedHost(this.req, trusted)
  })
  define('protocol', function protocol() {
    return askedScheme(this.req, trusted)
  })
  define('ips', function ips() {
    return [askedAddress(this.req, trusted)]
  })
}

/** The last item of a header that may occur several times; undefined without it. */
export function lastOf({ headersDistinct }: IncomingMessage, name: string): string | undefined {
  return lastItem(headersDistinct[name]?.at(-1))
}

function lastItem(value: string | string[] | undefined): string | undefined {
  return value === undefined ? undefined : String(value).split(',').at(-1)?.trim()
}

/** SERVER_NAME and SERVER_PORT, for HTTP/1.0 without Host: the local address of the connection, as in gunicorn. */
function serverName(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  const { localAddress = '', localPort } = request.socket
  const address = localAddress.replace(/^::ffff:(?=\d+\.)/, '')
  const name = address.includes(':') ? `[${address}]` : address
  const usual = askedScheme(request, trusted) === 'https' ? 443 : 80
  return localPort === undefined || localPort === usual ? name : `${name}:${localPort}`
}
