import { quoted } from '../../checks/quoted.ts'
import type { CookieSettings } from '../../django/cookie.ts'
import type { VersionProfile } from '../../django/versions.ts'
import type { SettingName } from './definitions.ts'
import type { Environment } from './environment.ts'

export interface CookieContext {
  readonly defaults: CookieSettings
  /** Null when DJANGO_VERSION is not set. */
  readonly profile: VersionProfile | null
  readonly problems: string[]
}

/** Reads the settings of one cookie: `SESSION_COOKIE` (or `CSRF_COOKIE`) followed by _NAME, _DOMAIN and so on. */
export function readCookieSettings(
  environment: Environment,
  prefix: 'SESSION_COOKIE' | 'CSRF_COOKIE',
  { defaults, profile, problems }: CookieContext,
): CookieSettings {
  const cookie = {
    name: environment.text(`${prefix}_NAME`) ?? defaults.name,
    domain: environment.text(`${prefix}_DOMAIN`),
    path: environment.text(`${prefix}_PATH`) ?? defaults.path,
    secure: environment.boolean(`${prefix}_SECURE`, defaults.secure),
    httpOnly: environment.boolean(`${prefix}_HTTPONLY`, defaults.httpOnly),
    sameSite: readSameSite(environment, `${prefix}_SAMESITE`, defaults.sameSite),
  }
  problems.push(...cookieProblems(prefix, cookie, profile))
  return cookie
}

// Django's setting is the text 'None', or False for no attribute at all.
function readSameSite(
  environment: Environment,
  name: SettingName,
  byDefault: CookieSettings['sameSite'],
): CookieSettings['sameSite'] {
  const choices = ['Lax', 'Strict', 'None', 'False', 'false'] as const
  const sameSite = environment.oneOf(name, choices, byDefault ?? 'False')
  return sameSite === 'False' || sameSite === 'false' ? null : sameSite
}

/** Cookies that Python does not write, or that browsers do not accept (RFC 6265bis, 4.1.3 and 5.7). */
function* cookieProblems(
  prefix: string,
  { name, domain, path, secure, sameSite }: CookieSettings,
  profile: VersionProfile | null,
): Generator<string> {
  if (!COOKIE_NAME.test(name) || COOKIE_ATTRIBUTES.has(name.toLowerCase())) {
    yield `${prefix}_NAME ${quoted(name)} is not a name for a cookie; use letters, digits, - and _`
  }
  if (domain !== null && !/^[\w.-]+$/.test(domain)) {
    yield `${prefix}_DOMAIN ${quoted(domain)} is not a domain; write only the name of a host, e.g. .example.com`
  }
  if (!/^\/[\x21-\x3a\x3c-\x7e]*$/.test(path)) {
    yield `${prefix}_PATH ${quoted(path)} is not a path; begin it with /, without blanks and ;`
  }
  if (sameSite === 'None' && !secure) {
    yield `${prefix}_SAMESITE is None, which browsers accept only for secure cookies; set ${prefix}_SECURE=True`
  }
  if (sameSite === 'None' && profile?.allowsSameSiteNone === false) {
    yield `${prefix}_SAMESITE is None, which Django ${profile.version} cannot send; set it as in settings.py`
  }
  if (/^__(Secure|Host)-/i.test(name) && !secure) {
    yield `${prefix}_NAME ${name} needs a secure cookie; set ${prefix}_SECURE=True`
  }
  if (/^__Host-/i.test(name) && (domain !== null || path !== '/')) {
    yield `${prefix}_NAME ${name} allows neither ${prefix}_DOMAIN nor a ${prefix}_PATH other than /; remove them`
  }
}

/** Source: Python's http/cookies.py, _LegalChars and Morsel._reserved. */
const COOKIE_NAME = /^[\w!#$%&'*+.^`|~:-]+$/
const COOKIE_ATTRIBUTES: ReadonlySet<string> = new Set(
  'expires path comment domain max-age secure httponly version samesite partitioned'.split(' '),
)
