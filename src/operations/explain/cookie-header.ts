import { readCookie, strip } from '../../django/cookie.ts'
import type { CauseId, Fact, Finding } from './causes.ts'

/** What a Cookie header says about the session cookie. */
export interface CookieReading {
  /** The value, as both sides read it; null without one. */
  readonly sessionKey: string | null
  readonly findings: readonly Finding[]
  readonly facts: readonly Fact[]
  /** Cookies of other names that may hold a session key, by name; at most `MOST_CANDIDATES`. */
  readonly candidates: ReadonlyMap<string, string>
}

const MOST_CANDIDATES = 20

/**
 * Reads the session cookie of a header as Django does (django/http/cookie.py, parse_cookie).
 * `text` is what a person pasted: decoded from UTF-8.
 */
export function readCookieHeader(
  text: string,
  { cookieName, csrfName }: { cookieName: string; csrfName: string },
): CookieReading {
  // readCookie takes a header as Node has it: one character for each byte.
  const header = Buffer.from(text, 'utf8').toString('latin1')
  const sessionKey = readCookie(header, cookieName) ?? null
  const cookies = text.split(';').map((chunk) => {
    const equals = chunk.indexOf('=')
    return { name: strip(chunk.slice(0, Math.max(equals, 0))), raw: strip(chunk.slice(equals + 1)) }
  })
  const own = cookies.filter(({ name }) => name === cookieName).map(({ raw }) => raw)
  const candidates = new Map(
    cookies
      .filter(({ name, raw }) => name !== cookieName && name !== csrfName && LIKE_A_SESSION.test(raw))
      .slice(-MOST_CANDIDATES)
      .map(({ name, raw }) => [name, raw]),
  )
  const facts: Fact[] = [['cookies', `${cookies.filter(({ name }) => name !== '').length} in the header`]]
  const found = (cause: CauseId, isEmpty = false): Finding => ({
    cause,
    ...(isEmpty && { django: 'empty', here: 'empty' }),
  })
  const findings: Finding[] = []
  if (sessionKey === null && candidates.size === 0) findings.push(found('cookie-missing', true))
  if (new Set(own).size > 1) findings.push(found('cookie-twice'))
  if (sessionKey === '') findings.push(found('cookie-empty', true))
  if (/%[0-9a-f]{2}/i.test(own.at(-1) ?? '')) findings.push(found('cookie-encoded'))
  if (/^".+"$/.test(own.at(-1) ?? '')) findings.push(found('cookie-quoted'))
  return { sessionKey, findings, facts, candidates }
}

/** A session key of Django, or a signed text. */
const LIKE_A_SESSION = /^(?:[a-z0-9]{32}|\.?[\w-]+:[\w-]+:[\w-]{27,43})$/
