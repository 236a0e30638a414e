import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

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
 *   only behind a trusted proxy; `-For` is then continued. `Forwarded` and `X-Real-IP` likewise.
 * - Names with an underscore are dropped, as nginx does: to WSGI `X_Forwarded_For` and `X-Forwarded-For` are one.
 * - `Expect: 100-continue` has been answered by Node.
 */
export function forwardedHeaders(
  request: IncomingMessage,
  { trustedProxy }: { trustedProxy: boolean },
): IncomingHttpHeaders {
  const { headers, socket } = request
  const dropped = new Set([...HOP_BY_HOP, ...namedBy(headers.connection), 'expect'])
  for (const name of UNTOUCHABLE) dropped.delete(name)
  const kept: IncomingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    if (dropped.has(name) || name.includes('_') || (!trustedProxy && saysWhoAsked(name))) continue
    kept[name] = value
  }
  const {
    'x-forwarded-for': passedOn,
    'x-forwarded-proto': proto = 'encrypted' in socket ? 'https' : 'http',
  } = kept
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '')
  const host = kept['x-forwarded-host'] ?? headers.host ?? ''
  return {
    ...kept,
    'x-forwarded-for': [passedOn, address].filter(Boolean).join(', '),
    'x-forwarded-proto': proto,
    'x-forwarded-host': host,
    'x-forwarded-port': kept['x-forwarded-port'] ?? portOf(String(host), String(proto)),
  }
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

function saysWhoAsked(name: string): boolean {
  return name.startsWith('x-forwarded-') || name === 'forwarded' || name === 'x-real-ip'
}

function portOf(host: string, proto: string): string {
  return /:(\d+)$/.exec(host)?.[1] ?? (proto === 'https' ? '443' : '80')
}
