import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type Koa from 'koa'

/**
 * What a proxy in front may say of a request: the host by `X-Forwarded-Host` (Django's USE_X_FORWARDED_HOST), the scheme
 * by `X-Forwarded-Proto` (SECURE_PROXY_SSL_HEADER), the address by `X-Forwarded-For`.
 */
export type TrustedHeader = (typeof TRUSTED_HEADERS)[number]

export const TRUSTED_HEADERS = ['host', 'proto', 'for'] as const

/**
 * The host that was asked for, with its port. Of several X-Forwarded-Host the last: the proxy before us wrote it, and a
 * visitor may have written those before. Unlike Django, which answers 400 to a list.
 * Source: django/http/request.py, _get_raw_host.
 */
export function askedHost(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  const forwarded = trusted.includes('host') ? lastOf(request, 'x-forwarded-host') : undefined
  return forwarded ?? request.headers.host ?? serverName(request, trusted)
}

/** The scheme that was asked by: `https`, `http` or what the proxy says. */
export function askedScheme(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  if ('encrypted' in request.socket) return 'https'
  if (!trusted.includes('proto')) return 'http'
  const proto = lastOf(request, 'x-forwarded-proto')?.toLowerCase()
  return proto || otherScheme(request) || 'http'
}

/**
 * The address of the visitor: the last of X-Forwarded-For, without the port that some proxies append; that of the
 * connection where it is none.
 */
export function askedAddress(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  const forwarded = trusted.includes('for') ? (lastOf(request, 'x-forwarded-for') ?? '') : ''
  const [, inBrackets, beforePort] = /^(?:\[([^\]]*)\](?::\d+)?|([^:]*):\d+)$/.exec(forwarded) ?? []
  const address = inBrackets ?? beforePort ?? forwarded
  return isIP(address) === 0 ? (request.socket.remoteAddress ?? '') : address
}

/** The scheme by the headers that some proxies send in place of X-Forwarded-Proto; null where there are none. */
export function otherScheme({ headers }: Pick<IncomingMessage, 'headers'>): 'https' | 'http' | null {
  for (const [name, secure] of SCHEME_HEADERS) {
    const value = lastItem(headers[name])
    if (value !== undefined) return secure.test(value) ? 'https' : 'http'
  }
  const [, scheme] = /(?:^|;)\s*proto="?([\w+.-]+)/i.exec(lastItem(headers.forwarded) ?? '') ?? []
  if (scheme === undefined) return null
  return scheme.toLowerCase() === 'https' ? 'https' : 'http'
}

/** By name, with the values that say HTTPS. */
export const SCHEME_HEADERS: ReadonlyMap<string, RegExp> = new Map([
  ['x-forwarded-protocol', /^(?:https|ssl)$/i],
  ['x-forwarded-scheme', /^https$/i],
  ['x-url-scheme', /^https$/i],
  ['x-scheme', /^https$/i],
  ['x-forwarded-ssl', /^on$/i],
  ['front-end-https', /^on$/i],
])

/** `ctx.host`, `ctx.protocol`, `ctx.secure` and `ctx.ip` as the functions above have them; Koa's take the first of a list. */
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

/** The last item of this header, which may have come several times; undefined where it did not come. */
export function lastOf({ headersDistinct }: IncomingMessage, name: string): string | undefined {
  return lastItem(headersDistinct[name]?.at(-1))
}

function lastItem(value: string | string[] | undefined): string | undefined {
  return value === undefined ? undefined : String(value).split(',').at(-1)?.trim()
}

/** SERVER_NAME and SERVER_PORT, for HTTP/1.0 without a Host: the address that was connected to, as gunicorn has it. */
function serverName(request: IncomingMessage, trusted: readonly TrustedHeader[]): string {
  const { localAddress = '', localPort } = request.socket
  const address = localAddress.replace(/^::ffff:(?=\d+\.)/, '')
  const name = address.includes(':') ? `[${address}]` : address
  const usual = askedScheme(request, trusted) === 'https' ? 443 : 80
  return localPort === undefined || localPort === usual ? name : `${name}:${localPort}`
}
