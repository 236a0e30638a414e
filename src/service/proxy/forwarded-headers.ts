import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import {
  askedHost,
  askedScheme,
  lastOf,
  otherScheme,
  SCHEME_HEADERS,
  TRUSTED_HEADERS,
  type TrustedHeader,
} from './trusted-proxy.ts'

/** Headers of one connection, which a proxy must not forward (RFC 9110, 7.6). Node handles Transfer-Encoding itself. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
])

/**
 * Headers that stay although `Connection` names them, which RFC 9110 allows. Without them the upstream would see another
 * host, or another end of the body.
 */
const UNTOUCHABLE: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding'])

/**
 * Returns the headers with which a request is passed on.
 *
 * - `X-Forwarded-For`, `-Proto`, `-Host` and `-Port` are set. Received values are used only if the proxy in front is
 *   trusted with them: the address is appended to `-For`, and of the others the last value is used. `-Proto` is left out
 *   when the proxy sends the scheme in another header, because gunicorn rejects two headers that disagree.
 * - Host is always set: otherwise Node would send the upstream's own address.
 * - Names with an underscore are dropped, as in nginx: WSGI does not distinguish `X_Forwarded_For` and `X-Forwarded-For`.
 * - `Expect: 100-continue` is dropped, because Node has already answered it.
 */
export function forwardedHeaders(
  request: IncomingMessage,
  { trustedProxy, requestId }: { trustedProxy: readonly TrustedHeader[]; requestId?: string },
): IncomingHttpHeaders {
  const { headers, socket } = request
  const named = namedBy(headers.connection)
  const forwarded: IncomingHttpHeaders = {}
  for (const name in headers) {
    if (HOP_BY_HOP.has(name) || name === 'expect' || name.includes('_')) continue
    if (named.includes(name) && !UNTOUCHABLE.has(name)) continue
    if (isTrusted(name, trustedProxy)) forwarded[name] = headers[name]
  }
  const scheme = askedScheme(request, trustedProxy)
  const host = askedHost(request, trustedProxy)
  const port = forwarded['x-forwarded-port'] === undefined ? undefined : lastOf(request, 'x-forwarded-port')
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '')
  const before = forwarded['x-forwarded-for']
  if (forwarded['x-forwarded-proto'] !== undefined || otherScheme({ headers: forwarded }) === null)
    forwarded['x-forwarded-proto'] = scheme
  forwarded.host = askedHost(request, [])
  forwarded['x-forwarded-for'] = before && address ? `${before}, ${address}` : before || address
  forwarded['x-forwarded-host'] = host
  forwarded['x-forwarded-port'] = port || portOf(host, scheme)
  if (requestId !== undefined) forwarded['x-request-id'] = requestId
  return forwarded
}

/** Rewrites `GET http://host/path` to `GET /path` with that host. Source: RFC 9112, 3.2.2. */
export function toOriginForm(request: IncomingMessage): void {
  const [, host, rest] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/i.exec(request.url ?? '') ?? []
  if (host === undefined || rest === undefined) return
  request.url = rest.startsWith('/') ? rest : `/${rest}`
  request.headers.host = host
}

/** A character that the value of no header may have: it could end the line. Source: RFC 9110, 5.5. */
export const INVALID_VALUE: RegExp = /[^\t\x20-\x7e\x80-\xff]/

/** Returns names and values in turn, unchanged and in order, without the headers of the connection. */
export function endToEndHeaders(rawHeaders: readonly string[], connection = ''): string[] {
  const named = namedBy(connection)
  const kept: string[] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const { [index]: name = '', [index + 1]: value = '' } = rawHeaders
    const lower = name.toLowerCase()
    if (HOP_BY_HOP.has(lower) || lower === 'transfer-encoding' || named.includes(lower)) continue
    kept.push(name, value)
  }
  return kept
}

/** The headers that a Connection header names, in lower case, without those that every connection has. */
function namedBy(connection = ''): readonly string[] {
  if (USUAL.test(connection)) return NONE
  return connection.split(',').map((name) => name.trim().toLowerCase())
}

const USUAL = /^,?(?:keep-alive|close)?$/i
const NONE: readonly string[] = []

/** Whether the header does not describe the client, or the proxy in front is trusted with it. */
function isTrusted(name: string, trusted: readonly TrustedHeader[]): boolean {
  const needed = CLIENT_HEADERS.get(name)
  if (needed !== undefined) return trusted.includes(needed)
  const mayDescribeMore = name.startsWith('x-forwarded-') || name === 'forwarded'
  return !mayDescribeMore || TRUSTED_HEADERS.every((each) => trusted.includes(each))
}

/** Headers that describe the client's request, and the trust that each needs. */
const CLIENT_HEADERS: ReadonlyMap<string, TrustedHeader> = new Map<string, TrustedHeader>([
  ['x-forwarded-host', 'host'],
  ['x-forwarded-port', 'host'],
  ['x-forwarded-proto', 'proto'],
  ...[...SCHEME_HEADERS.keys()].map((name) => [name, 'proto'] as const),
  ['x-forwarded-for', 'for'],
  ['x-real-ip', 'for'],
])

function portOf(host: string, scheme: string): string {
  return /:(\d+)$/.exec(host)?.[1] ?? (scheme === 'https' ? '443' : '80')
}
