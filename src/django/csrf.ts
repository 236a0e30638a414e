/** Django's protection against cross-site request forgery. Source: django/middleware/csrf.py. */
import { randomInt } from 'node:crypto'
import { isSameDomain } from './hosts.ts'
import { constantTimeCompare } from './signing.ts'
import { urlsplit } from './urlsplit.ts'
import type { CsrfRules } from './versions.ts'

/** The session key of the secret, with CSRF_USE_SESSIONS. */
export const CSRF_SESSION_KEY = '_csrftoken'

/** The name of the form field with the token. */
export const CSRF_FIELD = 'csrfmiddlewaretoken'

/** The default of CSRF_HEADER_NAME. Source: django/conf/global_settings.py. */
export const CSRF_HEADER_NAME = 'HTTP_X_CSRFTOKEN'

const SECRET_LENGTH = 32
const TOKEN_LENGTH = 2 * SECRET_LENGTH
const CHARACTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** Methods that change nothing and therefore need no token. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

const NO_REFERER = 'Referer checking failed - no Referer.'
const MALFORMED_REFERER = 'Referer checking failed - Referer is malformed.'
const INSECURE_REFERER = 'Referer checking failed - Referer is insecure while host is secure.'
const NO_COOKIE = 'CSRF cookie not set.'
const TOKEN_MISSING = 'CSRF token missing.'
const BAD_TOKEN = 'CSRF token missing or incorrect.'

/** Returns 32 random letters and digits. Source: _get_new_csrf_string. */
export function newCsrfSecret(): string {
  let secret = ''
  while (secret.length < SECRET_LENGTH) secret += CHARACTERS.charAt(randomInt(CHARACTERS.length))
  return secret
}

/**
 * Returns the token of a form: a random mask, then the secret encrypted with it. The text differs each time, so that
 * compression of the page does not reveal the secret (BREACH). Source: _mask_cipher_secret.
 */
export function maskCsrfSecret(secret: string, mask: string = newCsrfSecret()): string {
  return mask + shift(secret, mask, 1)
}

/** Returns the secret in a token of 64 letters and digits. Source: _unmask_cipher_token. */
export function unmaskCsrfToken(token: string): string {
  return shift(token.slice(SECRET_LENGTH), token.slice(0, SECRET_LENGTH), -1)
}

/** Moves each character through the alphabet by the index of the mask's character, forwards (1) or backwards (-1). */
function shift(text: string, mask: string, direction: 1 | -1): string {
  const size = CHARACTERS.length
  return Array.from(text, (character, at) => {
    const moved = CHARACTERS.indexOf(character) + direction * CHARACTERS.indexOf(mask.charAt(at))
    return CHARACTERS.charAt((moved + size) % size)
  }).join('')
}

/** A secret, and its form in the cookie or the session. */
export interface CsrfSecret {
  readonly secret: string
  readonly stored: string
}

/** Creates a random secret. Source: _add_new_csrf_cookie; before 4.0 _get_new_csrf_token. */
export function createCsrfSecret({ storesMasked }: CsrfRules): CsrfSecret {
  const secret = newCsrfSecret()
  return { secret, stored: storesMasked ? maskCsrfSecret(secret) : secret }
}

/** The content of a cookie: a secret; a malformed text, with what is wrong about it; or null if there is no cookie. */
export type ReceivedSecret = CsrfSecret | { readonly malformed: string } | null

/** Reads the cookie. Before 4.0 a malformed secret is replaced by a random one. Source: _get_secret; before 4.1 _get_token. */
export function readCsrfCookie(cookie: string | undefined, rules: CsrfRules): ReceivedSecret {
  if (cookie === undefined) return null
  const malformed = problemOf(cookie)
  if (malformed === null) return readStored(cookie, rules)
  return rules.namesMalformed ? { malformed } : createCsrfSecret(rules)
}

/**
 * Returns the secret in the session; null if there is none; a random one if the value is malformed.
 * Unlike Django, which unmasks any value: with a malformed one (before 4.1 also an unmasked one) every form fails from then
 * on, or the page with a 500. Here the next form replaces it.
 */
export function readCsrfSession(stored: unknown, rules: CsrfRules): CsrfSecret | null {
  if (stored === undefined || stored === null) return null
  if (typeof stored !== 'string' || problemOf(stored) !== null) return createCsrfSecret(rules)
  if (rules.storesMasked && stored.length === SECRET_LENGTH) return createCsrfSecret(rules)
  return readStored(stored, rules)
}

function readStored(stored: string, { storesMasked }: CsrfRules): CsrfSecret {
  const isMasked = stored.length === TOKEN_LENGTH
  const secret = isMasked ? unmaskCsrfToken(stored) : stored
  if (!storesMasked) return { secret, stored: secret }
  return { secret, stored: isMasked ? stored : maskCsrfSecret(secret) }
}

/** Source: _check_token_format. */
function problemOf(token: string): string | null {
  if (lengthOf(token) !== TOKEN_LENGTH && lengthOf(token) !== SECRET_LENGTH) return 'has incorrect length'
  return /[^a-zA-Z0-9]/.test(token) ? 'has invalid characters' : null
}

/** The length in code points, as Python counts. */
function lengthOf(text: string): number {
  return text.length > 2 * TOKEN_LENGTH ? text.length : Array.from(text).length
}

/** The parts of a request that the check needs, with the meaning of Django's HttpRequest. */
export interface CsrfRequest {
  readonly method: string
  /** `is_secure()`. */
  readonly isSecure: boolean
  /** `get_host()`: the requested host with its port; null if ALLOWED_HOSTS does not contain it. */
  readonly host: string | null
  /** `get_port()`. */
  readonly port: string
  readonly origin: string | undefined
  readonly referer: string | undefined
}

/** Settings of the check of Origin and Referer. */
export interface CsrfOriginsOptions {
  readonly rules: CsrfRules
  /** CSRF_TRUSTED_ORIGINS. */
  readonly trustedOrigins?: readonly string[]
  /** CSRF_COOKIE_DOMAIN, or SESSION_COOKIE_DOMAIN with CSRF_USE_SESSIONS. */
  readonly cookieDomain?: string | null
}

/** Whether a method needs no token: GET, HEAD, OPTIONS and TRACE. */
export function isSafeMethod(method: string): boolean {
  return SAFE_METHODS.has(method)
}

/**
 * Creates a function that checks Origin and Referer of a request. It returns Django's reason for the rejection, or null.
 * Unlike Django, the reason names only the origin of a foreign Referer, because its path may contain a secret.
 * Source: _origin_verified and _check_referer.
 */
export function createOriginCheck({
  rules,
  trustedOrigins = [],
  cookieDomain = null,
}: CsrfOriginsOptions): (request: CsrfRequest) => string | null {
  const exact = new Set(trustedOrigins.filter((origin) => !origin.includes('*')))
  const wildcards = trustedOrigins.filter((origin) => origin.includes('*')).map(split)
  const hosts = rules.checksOrigin
    ? trustedOrigins.map((origin) => withoutStars(split(origin).netloc))
    : trustedOrigins

  function isOriginTrusted(origin: string, { isSecure, host }: CsrfRequest): boolean {
    if (host !== null && origin === `${isSecure ? 'https' : 'http'}://${host}`) return true
    if (exact.has(origin)) return true
    const parts = urlsplit(origin)
    if (parts === null) return false
    return wildcards.some(
      ({ scheme, netloc }) => scheme === parts.scheme && matches(parts.netloc, withoutStars(netloc)),
    )
  }

  function checkReferer({ referer, host, port }: CsrfRequest): string | null {
    if (referer === undefined) return NO_REFERER
    // Unlike Django before 4.0, which answers 500 if Python cannot parse the URL.
    const parts = urlsplit(referer)
    if (parts === null || parts.scheme === '' || parts.netloc === '') return MALFORMED_REFERER
    if (parts.scheme !== 'https') return INSECURE_REFERER
    const isDefaultPort = port === '443' || port === '80'
    const own = cookieDomain === null ? host : isDefaultPort ? cookieDomain : `${cookieDomain}:${port}`
    if (hosts.some((pattern) => matches(parts.netloc, pattern))) return null
    if (own !== null && matches(parts.netloc, own)) return null
    return `Referer checking failed - https://${withoutUser(parts.netloc)} does not match any trusted origins.`
  }

  return function checkOrigin(request) {
    const { origin, isSecure } = request
    if (rules.checksOrigin && origin !== undefined) {
      if (isOriginTrusted(origin, request)) return null
      return `Origin checking failed - ${origin} does not match any trusted origins.`
    }
    return isSecure ? checkReferer(request) : null
  }
}

function split(origin: string): { scheme: string; netloc: string } {
  return urlsplit(origin) ?? { scheme: '', netloc: '' }
}

function withoutStars(netloc: string): string {
  return netloc.replace(/^\*+/, '')
}

function withoutUser(netloc: string): string {
  return netloc.slice(netloc.lastIndexOf('@') + 1)
}

function matches(netloc: string, pattern: string): boolean {
  return isSameDomain(netloc, pattern.toLowerCase())
}

/** The secret and the token of one request. */
export interface CsrfTokens {
  readonly received: ReceivedSecret
  /** The form field; undefined if the request has none. */
  readonly field: string | undefined
  /** The header; undefined if the request has none. */
  readonly header: string | undefined
  /** CSRF_HEADER_NAME, e.g. HTTP_X_CSRFTOKEN. */
  readonly headerName: string
}

/** Checks the token against the secret. Returns Django's reason for the rejection, or null. Source: _check_token. */
export function checkCsrfToken(
  { received, field, header, headerName }: CsrfTokens,
  { namesMalformed }: CsrfRules,
): string | null {
  if (received === null) return NO_COOKIE
  if ('malformed' in received) return `CSRF cookie ${received.malformed}.`
  const isField = field !== undefined && field !== ''
  const token = isField ? field : header
  if (token === undefined) return namesMalformed ? TOKEN_MISSING : BAD_TOKEN
  const problem = problemOf(token) ?? (isTokenOf(received, token) ? null : 'incorrect')
  if (problem === null) return null
  const source = isField ? 'POST' : `the '${titleOf(headerName)}' HTTP header`
  return namesMalformed ? `CSRF token from ${source} ${problem}.` : BAD_TOKEN
}

/** Source: _does_token_match. */
function isTokenOf({ secret }: CsrfSecret, token: string): boolean {
  return constantTimeCompare(token.length === TOKEN_LENGTH ? unmaskCsrfToken(token) : token, secret)
}

/** Converts HTTP_X_CSRFTOKEN to `X-Csrftoken`. Source: HttpHeaders.parse_header_name. */
function titleOf(headerName: string): string {
  return headerName
    .replace(/^HTTP_/, '')
    .replaceAll('_', '-')
    .toLowerCase()
    .replace(/[a-z]+/g, (word) => word.charAt(0).toUpperCase() + word.slice(1))
}
