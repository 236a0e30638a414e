import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { SessionClient } from '../session/engine.ts'

/**
 * The client that sent this request, looked up only when an engine asks. `ip` returns the address as the framework has
 * it. A text that is not an address (a proxy may send anything) counts as unknown.
 */
export function clientOf(request: IncomingMessage, ip: () => string | undefined): SessionClient {
  return new RequestClient(request, ip)
}

class RequestClient implements SessionClient {
  readonly #request: IncomingMessage
  readonly #ip: () => string | undefined

  constructor(request: IncomingMessage, ip: () => string | undefined) {
    this.#request = request
    this.#ip = ip
  }

  get userAgent(): string {
    return this.#request.headers['user-agent'] ?? ''
  }

  get ip(): string | null {
    return addressOf(this.#ip() ?? '')
  }
}

/** An IPv4 visitor of a socket that listens on IPv6 too has the address that Django's server would see. */
function addressOf(text: string): string | null {
  const address = text.replace(/^::ffff:(?=[\d.]+$)/i, '').replace(/%.*$/, '')
  return isIP(address) === 0 ? null : address
}
