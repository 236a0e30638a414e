import type { IncomingMessage } from 'node:http'
import type { Middleware } from 'koa'
import { isAllowedHost } from '../django/hosts.ts'

/** A request for a host that is not in ALLOWED_HOSTS; status 400. Source: django/core/exceptions.py, DisallowedHost. */
export class DisallowedHost extends Error {
  override name = 'DisallowedHost'
  readonly code: string = 'ERR_DISALLOWED_HOST'
  /** What the client sent, fit for a log. */
  readonly host: string

  constructor(host: string) {
    super('the request is for a host that is not in ALLOWED_HOSTS')
    this.host = host.slice(0, LOGGED_LENGTH).replace(/[^\x21-\x7e]/g, '?')
  }
}

const LOGGED_LENGTH = 100

export interface AllowedHostsOptions {
  readonly allowedHosts: readonly string[]
  /** Whether X-Forwarded-Host counts in place of Host: USE_X_FORWARDED_HOST. */
  readonly trustedProxy: boolean
}

/**
 * Lets pass the requests for our own hosts; throws DisallowedHost for others.
 * Source: django/middleware/common.py, process_request.
 */
export function createAllowedHosts(options: AllowedHostsOptions): Middleware {
  const checkHost = createHostCheck(options)
  return function allowedHosts({ req }, next) {
    checkHost(req)
    return next()
  }
}

/** The same for any request of an HTTP server. @throws {DisallowedHost} */
export function createHostCheck({
  allowedHosts,
  trustedProxy,
}: AllowedHostsOptions): (request: IncomingMessage) => void {
  let latest: string | null = null // found allowed last: mostly it is the same one
  return function checkHost(request) {
    for (const host of [rawHost(request, trustedProxy), ...targetHost(request)]) {
      if (host === latest) continue
      if (!isAllowedHost(host, allowedHosts)) throw new DisallowedHost(host)
      latest = host
    }
  }
}

/** Headers sent twice are joined, as WSGI servers do it; such a host is none. Source: HttpRequest._get_raw_host. */
function rawHost({ headersDistinct, socket }: IncomingMessage, trustedProxy: boolean): string {
  const forwarded = trustedProxy ? headersDistinct['x-forwarded-host'] : undefined
  return (forwarded ?? headersDistinct.host)?.join(',') ?? serverName(socket.localAddress)
}

/** SERVER_NAME, for HTTP/1.0 without a Host: the address that was connected to, as Gunicorn has it. */
function serverName(address = ''): string {
  return address.includes(':') ? `[${address}]` : address
}

/** The host in `GET http://host/ HTTP/1.1`: unlike Django, which never looks at it, since RFC 9112 (3.2.2) obeys it. */
function targetHost({ url = '' }: IncomingMessage): string[] {
  const [, host] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url) ?? []
  return host === undefined ? [] : [host]
}
