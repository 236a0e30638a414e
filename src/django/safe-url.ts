import { strip } from './cookie.ts'
import { urlsplit } from './urlsplit.ts'

/** The URLs to which a redirect is allowed. */
export interface AllowedUrls {
  /** Hosts with their ports, as `get_host` returns them. */
  readonly allowedHosts: readonly string[]
  readonly requireHttps: boolean
}

/**
 * Whether it is safe to redirect a visitor to this URL, which came with the request: it must be a path, or on an allowed
 * host. Follows the rules of the newest Django; older versions accept some URLs that are rejected here.
 * Source: django/utils/http.py, url_has_allowed_host_and_scheme.
 */
export function urlHasAllowedHostAndScheme(url: string | undefined, allowed: AllowedUrls): boolean {
  const stripped = strip(url ?? '')
  if (stripped === '') return false
  // Browsers treat \ as / in a path, but it may be part of a user name, so both readings must be safe.
  return isSafe(stripped, allowed) && isSafe(stripped.replaceAll('\\', '/'), allowed)
}

/** In characters, as Python counts them. */
const MAX_URL_LENGTH = 2048

function isSafe(url: string, { allowedHosts, requireHttps }: AllowedUrls): boolean {
  // Browsers accept any number of slashes before a host.
  if (url.startsWith('///') || isTooLong(url)) return false
  const parts = urlsplit(url)
  if (parts === null) return false
  const { scheme, netloc } = parts
  if (netloc === '' && scheme !== '') return false
  // Browsers skip leading control characters, and may then find a host.
  if (/^\p{C}/u.test(url)) return false
  const schemes = requireHttps ? ['https'] : ['http', 'https']
  const actual = scheme === '' && netloc !== '' ? 'http' : scheme
  return (netloc === '' || allowedHosts.includes(netloc)) && (actual === '' || schemes.includes(actual))
}

function isTooLong(url: string): boolean {
  if (url.length <= MAX_URL_LENGTH) return false
  return url.length > 2 * MAX_URL_LENGTH || [...url].length > MAX_URL_LENGTH
}

/**
 * Percent-encodes all characters that a header cannot contain; nothing is encoded twice.
 * Source: django/utils/encoding.py, iri_to_uri.
 */
export function iriToUri(iri: string): string {
  return iri.toWellFormed().replace(/[^\w/#%[\]=:;$&()+,!?*@'~.-]/gu, percentEncode)
}

function percentEncode(character: string): string {
  return Buffer.from(character).reduce(
    (text, byte) => `${text}%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    '',
  )
}
