import { createHash } from 'node:crypto'

/**
 * What a pasted line is.
 * - `cookies`: a Cookie header, with or without its name.
 * - `key`: the value of a session cookie.
 * - `session-data`: the text of a `session_data` column or of a session file.
 */
export type PastedKind = 'cookies' | 'key' | 'session-data'

/** A pasted line, without blanks around it and without the name of its header. */
export interface Pasted {
  readonly kind: PastedKind
  readonly text: string
}

/** Longer texts are no session keys; the shortest `session_data` of the format before 3.1 has 60 characters. */
const LONGEST_KEY = 59

/** Says what a line is. `keptInCookie`: the engine is signed_cookies, so a signed text is a cookie's value. */
export function classify(
  line: string,
  { cookieName, keptInCookie }: { cookieName: string; keptInCookie: boolean },
): Pasted {
  const header = /^(?:set-)?cookie:/i.exec(line.trim())
  const text = line.trim().slice(header?.[0].length ?? 0)
  if (header !== null || text.startsWith(`${cookieName}=`) || isCookieList(text))
    return { kind: 'cookies', text: text.trim() }
  if (keptInCookie || isKey(text)) return { kind: 'key', text }
  return { kind: 'session-data', text }
}

/** `name=value`, but neither JSON nor padded base64. */
function isCookieList(text: string): boolean {
  return /^[\w!#$%&'*+\-.^`|~]+=/.test(text) && !isPaddedBase64(text)
}

function isPaddedBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={1,2}$/.test(text)
}

function isKey(text: string): boolean {
  return text.length <= LONGEST_KEY && !/^[{[]/.test(text) && !/:.*:/.test(text)
}

/**
 * The first 12 hexadecimal digits of the SHA-256 of a session key. Two lines about one session can be compared by it, and it
 * does not show the key.
 */
export function keyHash(sessionKey: string): string {
  return createHash('sha256').update(sessionKey).digest('hex').slice(0, 12)
}
