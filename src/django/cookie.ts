import { InvalidSessionExpiry } from './expiry.ts'
import type { VersionProfile } from './versions.ts'

/** The SESSION_COOKIE_… or CSRF_COOKIE_… settings. */
export interface CookieSettings {
  readonly name: string
  readonly domain: string | null
  readonly path: string
  readonly secure: boolean
  readonly httpOnly: boolean
  readonly sameSite: 'Lax' | 'Strict' | 'None' | null
}

/** The default SESSION_COOKIE_… settings. Source, here and for the three below: django/conf/global_settings.py. */
export const SESSION_COOKIE: CookieSettings = {
  name: 'sessionid',
  domain: null,
  path: '/',
  secure: false,
  httpOnly: true,
  sameSite: 'Lax',
}

/** SESSION_COOKIE_AGE: two weeks, in seconds. */
export const SESSION_COOKIE_AGE = 1_209_600

/** The default CSRF_COOKIE_… settings. */
export const CSRF_COOKIE: CookieSettings = {
  name: 'csrftoken',
  domain: null,
  path: '/',
  secure: false,
  httpOnly: false,
  sameSite: 'Lax',
}

/** CSRF_COOKIE_AGE: 52 weeks, in seconds. */
export const CSRF_COOKIE_AGE = 31_449_600

/** The cookie is SameSite=None, which Django supports since 3.1. */
export class UnsupportedSameSite extends Error {
  override name = 'UnsupportedSameSite'
  readonly code: string = 'ERR_COOKIE_SAMESITE'
}

/**
 * Returns the value of a cookie, as Django reads it; undefined if the header does not contain it. `header` is as Node
 * returns it, one character per byte. Of several cookies with one name the last wins. Quoted values are unquoted as in
 * Python.
 * Source: django/http/cookie.py, parse_cookie; django/core/handlers/wsgi.py, get_str_from_wsgi.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined
  let value: string | undefined
  for (const chunk of Buffer.from(header, 'latin1').toString('utf8').split(';')) {
    // A chunk without '=' is the value of a cookie with an empty name.
    const equals = chunk.indexOf('=')
    if (strip(chunk.slice(0, Math.max(equals, 0))) === name) value = unquote(strip(chunk.slice(equals + 1)))
  }
  return value
}

/**
 * Returns the value of a Set-Cookie header; its attributes are in the order of Python's Morsel.
 * `maxAge` is in seconds; null: until the browser closes.
 * Source: django/http/response.py, set_cookie; Python's http/cookies.py, Morsel.OutputString.
 * @throws {InvalidSessionExpiry} if the cookie would expire outside the years 1 to 9999.
 * @throws {UnsupportedSameSite}
 */
export function setCookie(
  settings: CookieSettings,
  value: string,
  { maxAge, now, profile }: { maxAge: number | null; now: Date; profile: VersionProfile },
): string {
  return cookieText(settings, value, profile, {
    expires: maxAge === null ? null : httpDate(now.getTime() + maxAge * 1000),
    maxAge: maxAge !== null && profile.truncatesMaxAge ? Math.trunc(maxAge) : maxAge,
    httpOnly: settings.httpOnly,
    secure: settings.secure,
  })
}

/**
 * Returns the value of the Set-Cookie header that makes the browser delete the cookie.
 * Source: django/http/response.py, delete_cookie.
 */
export function deleteCookie(settings: CookieSettings, profile: VersionProfile): string {
  const { name, sameSite } = settings
  return cookieText(settings, '', profile, {
    expires: httpDate(0),
    maxAge: 0,
    httpOnly: false,
    // Browsers ignore the deletion of such cookies if it is not marked Secure.
    secure: name.startsWith('__Secure-') || name.startsWith('__Host-') || sameSite === 'None',
  })
}

/**
 * Returns the Vary header with Cookie added. `existing` is the present header, '' if there is none.
 * Unlike Django before 6.1, empty names in `existing` are dropped.
 * Source: django/utils/cache.py, patch_vary_headers.
 */
export function varyOnCookie(existing: string, { knowsVaryStar }: VersionProfile): string {
  const names = existing
    .split(',')
    .map(strip)
    .filter((name) => name !== '')
  if (knowsVaryStar && names.includes('*')) return '*'
  if (!names.some((name) => name.toLowerCase() === 'cookie')) names.push('Cookie')
  return names.join(', ')
}

interface Attributes {
  readonly expires: string | null
  readonly maxAge: number | null
  readonly httpOnly: boolean
  readonly secure: boolean
}

function cookieText(
  { name, domain, path, sameSite }: CookieSettings,
  value: string,
  { allowsSameSiteNone }: VersionProfile,
  { expires, maxAge, httpOnly, secure }: Attributes,
): string {
  if (sameSite === 'None' && !allowsSameSiteNone) {
    throw new UnsupportedSameSite(
      `the cookie ${name} is SameSite=None, which this version of Django (before 3.1) does not support; set its SameSite as in settings.py`,
    )
  }
  // Morsel sorts attributes by its own names (domain, expires, httponly, max-age, …) and omits empty ones.
  return [
    `${name}=${quoteCookieValue(value)}`,
    domain ? `Domain=${domain}` : '',
    expires === null ? '' : `expires=${expires}`,
    httpOnly ? 'HttpOnly' : '',
    maxAge === null ? '' : `Max-Age=${maxAge}`,
    path === '' ? '' : `Path=${path}`,
    sameSite === null ? '' : `SameSite=${sameSite}`,
    secure ? 'Secure' : '',
  ]
    .filter((attribute) => attribute !== '')
    .join('; ')
}

/** `Mon, 07 Dec 2026 08:00:00 GMT`. Source: django/utils/http.py, http_date. */
function httpDate(time: number): string {
  const date = new Date(Math.floor(time / 1000) * 1000)
  const year = date.getUTCFullYear()
  if (year >= 1 && year <= 9999) return date.toUTCString()
  throw new InvalidSessionExpiry('the cookie would expire outside the years 1 to 9999, the range of Python')
}

/** Python's `str.strip()`. JavaScript's `trim` differs: it strips a BOM, but not U+001C to U+001F and U+0085. */
export function strip(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && WHITESPACE.includes(text.charAt(start))) start++
  while (end > start && WHITESPACE.includes(text.charAt(end - 1))) end--
  return text.slice(start, end)
}

const WHITESPACE =
  '\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'

/** Source: Python's http/cookies.py, _unquote. */
function unquote(value: string): string {
  if (value.length < 2 || !value.startsWith('"') || !value.endsWith('"')) return value
  return value
    .slice(1, -1)
    .replace(/\\(?:([0-3][0-7][0-7])|([^\n]))/g, (_, octal: string | undefined, character: string) =>
      octal === undefined ? character : String.fromCharCode(Number.parseInt(octal, 8)),
    )
}

/**
 * Returns a value as written in a Set-Cookie header. Quotes are needed, because a session key that MySQL finds by its
 * collation may contain any character.
 * Source: Python's http/cookies.py, _quote.
 */
export function quoteCookieValue(value: string): string {
  if (/^[\w!#$%&'*+\-.^`|~:]+$/.test(value)) return value
  return `"${value.replace(/[^\w!#$%&'*+\-.^`|~: ()/<=>?@[\]{}\u0100-\uffff]/g, escaped)}"`
}

function escaped(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`
  return `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`
}
