import { strip } from './cookie.ts'
import { urlsplit } from './urlsplit.ts'

export interface AllowedUrls {
  /** Hosts with their ports, as `get_host` gives them. */
  readonly allowedHosts: readonly string[]
  readonly requireHttps: boolean
}

/**
 * Whether it is safe to send a visitor to this URL, which they brought along: it is a path, or on an allowed host.
 * The rules of the newest Django: where an older one differs, it lets pass what this refuses.
 * Source: django/utils/http.py, url_has_allowed_host_and_scheme.
 */
export function urlHasAllowedHostAndScheme(url: string | undefined, allowed: AllowedUrls): boolean {
  const stripped = strip(url ?? '')
  if (stripped === '') return false
  // Browsers take \ for / in a path, but it may be part of a user's name, so both readings count.
  return isSafe(stripped, allowed) && isSafe(stripped.replaceAll('\\', '/'), allowed)
}

/** In characters, as Python counts them. */
const MAX_URL_LENGTH = 2048

function isSafe(url: string, { allowedHosts, requireHttps }: AllowedUrls): boolean {
  // To browsers any number of slashes begins a host.
  if (url.startsWith('///') || isTooLong(url)) return false
  const parts = urlsplit(url)
  if (parts === null) return false
  const { scheme, netloc } = parts
  if (netloc === '' && scheme !== '') return false
  // Browsers skip control characters, and may then see a host.
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
 * A URL with everything escaped that a header cannot hold, and nothing escaped twice.
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
