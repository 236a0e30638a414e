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

/** What a request or a response may say on its way through us. Source: RFC 9110, 7.6. */

/** They speak of one connection and not of the message. Transfer-Encoding is Node's business on either side. */
const HOP_BY_HOP: readonly string[] = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
]

/**
 * What `Connection` cannot take from a request, although RFC 9110 lets it name any field: without these the server
 * behind us would see another host, or another end of the body.
 */
const UNTOUCHABLE: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding'])

/**
 * The headers of a request as they are passed on.
 *
 * - Who asked and how goes into `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`. What came under these names stays
 *   only where the proxy in front is trusted with it; `-For` is then continued, and of the others the last value counts.
 *   `-Proto` is left out where the proxy says the scheme by another header: gunicorn refuses two that disagree.
 * - Host is never missing: Node would put the upstream's own address there.
 * - Names with an underscore are dropped, as nginx does: to WSGI `X_Forwarded_For` and `X-Forwarded-For` are one.
 * - `Expect: 100-continue` has been answered by Node.
 */
export function forwardedHeaders(
  request: IncomingMessage,
  { trustedProxy }: { trustedProxy: readonly TrustedHeader[] },
): IncomingHttpHeaders {
  const { headers, socket } = request
  const dropped = new Set([...HOP_BY_HOP, ...namedBy(headers.connection), 'expect'])
  for (const name of UNTOUCHABLE) dropped.delete(name)
  const kept: IncomingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    if (dropped.has(name) || name.includes('_') || !mayBeSaid(name, trustedProxy)) continue
    kept[name] = value
  }
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '')
  const scheme = askedScheme(request, trustedProxy)
  const host = askedHost(request, trustedProxy)
  const port = kept['x-forwarded-port'] === undefined ? undefined : lastOf(request, 'x-forwarded-port')
  const saysScheme = kept['x-forwarded-proto'] === undefined && otherScheme({ headers: kept }) !== null
  return {
    ...kept,
    host: askedHost(request, []),
    'x-forwarded-for': [kept['x-forwarded-for'], address].filter(Boolean).join(', '),
    ...(!saysScheme && { 'x-forwarded-proto': scheme }),
    'x-forwarded-host': host,
    'x-forwarded-port': port || portOf(host, scheme),
  }
}

/** `GET http://host/path` becomes `GET /path` with that host. Source: RFC 9112, 3.2.2. */
export function toOriginForm(request: IncomingMessage): void {
  const [, host, rest] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)(.*)$/i.exec(request.url ?? '') ?? []
  if (host === undefined || rest === undefined) return
  request.url = rest.startsWith('/') ? rest : `/${rest}`
  request.headers.host = host
}

/** A response's raw headers, in pairs and as they came, without those of the connection. */
export function* returnedHeaders({ headers, rawHeaders }: IncomingMessage): Generator<[string, string]> {
  const dropped = new Set([...HOP_BY_HOP, ...namedBy(headers.connection), 'transfer-encoding'])
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2)
    if (!dropped.has(name.toLowerCase())) yield [name, value]
  }
}

function namedBy(connection = ''): string[] {
  return connection.split(',').map((name) => name.trim().toLowerCase())
}

/** Whether this header says nothing of who asked and how, or the proxy in front is trusted with what it says. */
function mayBeSaid(name: string, trusted: readonly TrustedHeader[]): boolean {
  const needed = SAYS.get(name)
  if (needed !== undefined) return trusted.includes(needed)
  const saysMore = name.startsWith('x-forwarded-') || name === 'forwarded'
  return !saysMore || TRUSTED_HEADERS.every((each) => trusted.includes(each))
}

/** Which headers say what. */
const SAYS: ReadonlyMap<string, TrustedHeader> = new Map<string, TrustedHeader>([
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
