import type { IncomingMessage } from 'node:http'
import type { Middleware } from 'koa'
import { isAllowedHost } from '../../django/hosts.ts'
import { askedHost, type TrustedHeader } from './trusted-proxy.ts'

/** A request for a host that is not in ALLOWED_HOSTS; status 400. Source: django/core/exceptions.py, DisallowedHost. */
export class DisallowedHost extends Error {
  override name = 'DisallowedHost'
  readonly code: string = 'ERR_DISALLOWED_HOST'
  /** The host that the client sent, shortened and made safe for a log. */
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
  readonly trustedProxy: readonly TrustedHeader[]
}

/**
 * Accepts requests for ALLOWED_HOSTS, and throws DisallowedHost for other hosts.
 * Source: django/middleware/common.py, process_request.
 */
export function createAllowedHosts(options: AllowedHostsOptions): Middleware {
  const checkHost = createHostCheck(options)
  return function allowedHosts({ req, originalUrl }, next) {
    checkHost(req, originalUrl)
    return next()
  }
}

/** The same check for a plain Node request; `target` is its original target. @throws {DisallowedHost} */
export function createHostCheck({
  allowedHosts,
  trustedProxy,
}: AllowedHostsOptions): (request: IncomingMessage, target?: string) => void {
  let latest: string | null = null // The last allowed host; usually the next one is the same.
  return function checkHost(request, target = request.url) {
    for (const host of [askedHost(request, trustedProxy), ...repeatedHost(request), ...targetHost(target)]) {
      if (host === latest) continue
      if (!isAllowedHost(host, allowedHosts)) throw new DisallowedHost(host)
      latest = host
    }
  }
}

/** Several Host headers joined, as WSGI servers do, which is not a valid host. Node would take the first. */
function repeatedHost({ rawHeaders }: IncomingMessage): string[] {
  const hosts: string[] = []
  // Not by `headersDistinct`, which makes an object of all headers.
  for (let index = 0; index < rawHeaders.length; index += 2)
    if (rawHeaders[index]?.toLowerCase() === 'host') hosts.push(rawHeaders[index + 1] ?? '')
  return hosts.length > 1 ? [hosts.join(',')] : []
}

/** The host in `GET http://host/ HTTP/1.1`. Unlike Django, which ignores it: by RFC 9112 (3.2.2) it replaces Host. */
function targetHost(target = ''): string[] {
  const [, host] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(target) ?? []
  return host === undefined ? [] : [host]
}
