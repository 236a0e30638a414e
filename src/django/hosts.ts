/** Which Host headers a site answers to. Source: django/http/request.py and django/utils/http.py. */

/** What Django allows where DEBUG is True and ALLOWED_HOSTS is empty (2.2 knew no subdomains of localhost). */
export const LOCAL_HOSTS: readonly string[] = ['.localhost', '127.0.0.1', '[::1]']

/** Whether ALLOWED_HOSTS has the host of this Host header, whatever its port. Source: HttpRequest.get_host. */
export function isAllowedHost(host: string, allowedHosts: readonly string[]): boolean {
  const [domain] = splitDomainPort(host)
  return domain !== '' && validateHost(domain, allowedHosts)
}

/** A Host header's domain in lower case, without a dot at its end, and its port; both empty when it is malformed. */
export function splitDomainPort(host: string): readonly [domain: string, port: string] {
  const [, domain, port = ''] = HOST.exec(host.toLowerCase()) ?? []
  return domain === undefined ? ['', ''] : [domain.replace(/\.$/, ''), port]
}

/** Source: host_validation_re. */
const HOST = /^([a-z0-9.-]+|\[[a-f0-9]*:[a-f0-9.:]+\])(?::([0-9]+))?$/

/**
 * Whether a pattern is `*`, or this domain, or begins with a dot and is this domain's or that of one above it.
 * @param domain in lower case, as splitDomainPort gives it
 */
function validateHost(domain: string, allowedHosts: readonly string[]): boolean {
  return allowedHosts.some((pattern) => pattern === '*' || isSameDomain(domain, pattern.toLowerCase()))
}

/**
 * Whether a pattern in lower case is this domain, or begins with a dot and is that of one above it or its own.
 * Source: is_same_domain.
 */
export function isSameDomain(domain: string, pattern: string): boolean {
  if (pattern === '') return false
  return domain === pattern || (pattern.startsWith('.') && `.${domain}`.endsWith(pattern))
}
