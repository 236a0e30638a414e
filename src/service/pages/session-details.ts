import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { type CookieSettings, setCookie } from '../../django/cookie.ts'
import { splitDomainPort } from '../../django/hosts.ts'
import { MARK, type SessionData } from '../../django/json.ts'
import type { SessionCodec } from '../../django/session-data.ts'
import type { SessionEngineNeeds } from '../../django/session-engines.ts'
import { pickledValues } from '../../django/session-values.ts'
import { UnreadableSession } from '../../django/unreadable-session.ts'
import type { SessionFormat, VersionProfile } from '../../django/versions.ts'

/** The page that shows a browser its session. */
export const SESSIONS_PAGE_PATH = '/_sessions/'

/** A row of a list of facts. */
export interface Fact {
  readonly term: string
  readonly text: string
  /** A name or a value as settings.py writes it: in parts, between which a line may break. Null for other text. */
  readonly code: readonly string[] | null
}

export const fact = (term: string, text: string): Fact => ({ term, text, code: null })
export const codeFact = (term: string, text: string): Fact => ({ term, text, code: breakable(text) })

/** One key of a session. */
export interface StoredKey {
  /** Stands for the key in the form: a key may hold characters that a form would change. */
  readonly id: string
  readonly name: string
  /** The name in parts, between which a line may break. */
  readonly parts: readonly string[]
  readonly type: string
  readonly bytes: string
  /** Whether its value is never shown. */
  readonly isSecret: boolean
  /** The value, if it was asked for; else null. Then it is nowhere in the page. */
  readonly value: string | null
}

/** Keys of a session that are shown. */
const MOST_KEYS = 200

/** The first keys of a session, with the value of the one that was asked for, and the number of the others. */
export function storedKeys(
  data: SessionData,
  asked: string | null,
): { readonly keys: readonly StoredKey[]; readonly others: number } {
  const keys = [...data].slice(0, MOST_KEYS).map(([key, text]): StoredKey => {
    const id = idOf(key)
    const name = readableKey(key)
    const isSecret = isSecretKey(key)
    return {
      id,
      name,
      parts: breakable(name),
      type: typeOf(text),
      bytes: number(Buffer.byteLength(text)),
      isSecret,
      value: id === asked && !isSecret ? readableValue(text) : null,
    }
  })
  return { keys, others: data.size - keys.length }
}

/** Parts that end with a dot or an underscore. */
function breakable(text: string): string[] {
  return text.split(/(?<=[._])/)
}

function idOf(key: string): string {
  return createHash('sha256').update(key).digest('base64url').slice(0, 16)
}

/**
 * Django's error page hides the settings with such names; `_csrftoken` and `_password_reset_token` are among them.
 * Source: django/views/debug.py, SafeExceptionReporterFilter.hidden_settings.
 */
const SECRET_NAME = /API|TOKEN|KEY|SECRET|PASS|SIGNATURE/i

function isSecretKey(key: string): boolean {
  return key === '_auth_user_hash' || SECRET_NAME.test(key)
}

function readableKey(key: string): string {
  if (key.startsWith(MARK)) return `a key of the type ${typeOf(key)}`
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a key may hold any character
  return key === '' || /[\0-\x1f\x7f]/.test(key) ? JSON.stringify(key) : key
}

/** The Python type of a value, from its text. */
function typeOf(text: string): string {
  if (text.startsWith(MARK)) return /^\w+/.exec(text.slice(MARK.length))?.[0] ?? 'pickle'
  const first = text.trimStart().charAt(0)
  if (first === '{') return 'dict'
  if (first === '[') return 'list'
  if (first === '"') return 'str'
  if (first === 't' || first === 'f') return 'bool'
  if (first === 'n') return 'None'
  return /^-?\d+$/.test(text.trim()) ? 'int' : 'float'
}

/** Characters of a value that are shown. */
const LONGEST_VALUE = 10_000

function readableValue(text: string): string {
  const shown = text.startsWith(MARK) ? inspect(pickledValues.parse(text), { depth: 5 }) : text
  if (shown.length <= LONGEST_VALUE) return shown
  return `${shown.slice(0, LONGEST_VALUE)}… (${number(shown.length - LONGEST_VALUE)} more characters)`
}

/** What a signature says about a stored session. */
export interface Verified {
  readonly format: SessionFormat
  readonly keyIndex: number
}

/** Null where the engine does not sign: a cache. */
export function verify(codec: SessionCodec | null, stored: string): Verified | null {
  try {
    return codec?.decode(stored) ?? null
  } catch (error) {
    if (error instanceof UnreadableSession) return null // An empty file of a session that is being created.
    throw error
  }
}

export const FORMATS: Readonly<Record<SessionFormat, string>> = {
  signed: 'signed (Django 3.1 and later)',
  legacy: 'legacy (Django before 3.1)',
}

/** `SECRET_KEY`, or the name of a fallback. */
export function keyName(keyIndex: number): string {
  return keyIndex === 0 ? 'SECRET_KEY' : `SECRET_KEY_FALLBACKS[${keyIndex - 1}]`
}

/** Where an engine keeps sessions. */
export function placeOf(keptIn: SessionEngineNeeds['keptIn'], table: string | null): string {
  const places = {
    table: `the table ${table}`,
    cache: 'a cache',
    folder: 'files',
    cookie: 'the cookie itself; the server keeps nothing',
  }
  return places[keptIn]
}

/** The attributes of the session cookie as a response would set them, and what a browser would do with them. */
export function cookieDetails(
  cookie: CookieSettings,
  {
    maxAge,
    ...options
  }: {
    /** Seconds; null until the browser closes. */
    maxAge: number | null
    now: Date
    profile: VersionProfile
    request: { host: string; isSecure: boolean; cookieHeader: string }
  },
): { header: string; facts: Fact[]; problems: string[] } {
  const { name, path, domain, secure, httpOnly, sameSite } = cookie
  const yesOrNo = (flag: boolean) => (flag ? 'yes' : 'no')
  return {
    header: setCookie(cookie, 'HIDDEN', { maxAge, ...options }),
    facts: [
      codeFact('Name', name),
      codeFact('Path', path),
      domain ? codeFact('Domain', domain) : fact('Domain', 'not set: this host only'),
      fact('Secure', yesOrNo(secure)),
      fact('HttpOnly', yesOrNo(httpOnly)),
      sameSite === null ? fact('SameSite', 'not set') : codeFact('SameSite', sameSite),
      maxAge === null
        ? fact('Max-Age', 'not set: until the browser closes')
        : fact('Max-Age', `${number(Math.trunc(maxAge))} seconds (${duration(maxAge)})`),
    ],
    problems: cookieProblems(cookie, options.request),
  }
}

function cookieProblems(
  { name, domain, secure, path }: CookieSettings,
  { host, isSecure, cookieHeader }: { host: string; isSecure: boolean; cookieHeader: string },
): string[] {
  const problems: string[] = []
  const [hostName] = splitDomainPort(host)
  const ofDomain = domain?.replace(/^\./, '').toLowerCase() ?? ''
  const sent = cookieHeader.split(';').filter((part) => part.slice(0, part.indexOf('=')).trim() === name)
  if (sent.length > 1)
    problems.push(
      `Your browser sent ${sent.length} cookies of this name, set with different paths or domains. The last one counts. Delete them in the browser, and use one path and one domain on both sides.`,
    )
  if (secure && !isSecure)
    problems.push(
      'The cookie is Secure, but this page came over HTTP: most browsers will not keep the cookie. Use HTTPS, or set SESSION_COOKIE_SECURE=False for development. Behind a proxy with HTTPS, set TRUSTED_PROXY.',
    )
  if (ofDomain !== '' && hostName !== ofDomain && !hostName.endsWith(`.${ofDomain}`))
    problems.push(
      `The domain does not fit the host ${hostName}: a browser will not keep the cookie. Correct SESSION_COOKIE_DOMAIN.`,
    )
  if (!SESSIONS_PAGE_PATH.startsWith(path))
    problems.push(
      `The path ${path} does not contain this page, so your browser does not send the cookie here. The page shows no session.`,
    )
  return problems
}

/** An instant in the site's time zone: `Mon 7 Dec 2026, 17:05:09`. */
export function dateIn(timeZone: string): (instant: Date) => string {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  })
  return (instant) => format.format(instant)
}

const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

/** `13 days, 4 hours`: the two largest units. */
export function duration(seconds: number): string {
  let rest = Math.max(0, Math.floor(seconds))
  const parts: string[] = []
  for (const [unit, length] of UNITS) {
    const count = Math.floor(rest / length)
    rest -= count * length
    if (count > 0) parts.push(counted(count, unit))
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.length === 0 ? '0 seconds' : parts.join(', ')
}

/** `1 row`, `1,234 rows`. */
export function counted(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? '' : 's'}`
}

export function number(value: number): string {
  return value.toLocaleString('en')
}
