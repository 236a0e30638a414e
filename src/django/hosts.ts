/** Validation of Host headers. Source: django/http/request.py and django/utils/http.py. */

/** The hosts that Django allows if DEBUG is True and ALLOWED_HOSTS is empty (2.2: without subdomains of localhost). */
export const LOCAL_HOSTS: readonly string[] = ['.localhost', '127.0.0.1', '[::1]']

/** Whether ALLOWED_HOSTS contains the host of this Host header; the port is ignored. Source: HttpRequest.get_host. */
export function isAllowedHost(host: string, allowedHosts: readonly string[]): boolean {
  const [domain] = splitDomainPort(host)
  return domain !== '' && validateHost(domain, allowedHosts)
}

/** Splits a Host header into domain (lower case, without a trailing dot) and port; both are '' if it is malformed. */
export function splitDomainPort(host: string): readonly [domain: string, port: string] {
  const [, domain, port = ''] = HOST.exec(host.toLowerCase()) ?? []
  return domain === undefined ? ['', ''] : [domain.replace(/\.$/, ''), port]
}

/** Source: host_validation_re. */
const HOST = /^([a-z0-9.-]+|\[[a-f0-9]*:[a-f0-9.:]+\])(?::([0-9]+))?$/

/**
 * Whether one of the patterns is `*` or matches the domain (see isSameDomain).
 * @param domain in lower case, as splitDomainPort returns it
 */
function validateHost(domain: string, allowedHosts: readonly string[]): boolean {
  return allowedHosts.some((pattern) => pattern === '*' || isSameDomain(domain, pattern.toLowerCase()))
}

/**
 * Whether a pattern in lower case is this domain, or begins with a dot and matches this domain or one of its parents.
 * Source: is_same_domain.
 */
export function isSameDomain(domain: string, pattern: string): boolean {
  if (pattern === '') return false
  return domain === pattern || (pattern.startsWith('.') && `.${domain}`.endsWith(pattern))
}
