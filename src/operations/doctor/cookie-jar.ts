import { quoteCookieValue, readCookie } from '../../django/cookie.ts'

/** A cookie as a response set it. */
export interface ReceivedCookie {
  readonly name: string
  readonly value: string
  readonly domain: string | null
  readonly path: string | null
  readonly secure: boolean
  readonly httpOnly: boolean
  readonly sameSite: string | null
  /** Max-Age, in seconds; null: until the browser closes. */
  readonly maxAge: number | null
  /** Whether it makes the browser delete the cookie. */
  readonly isDeletion: boolean
}

/** The cookie of a Set-Cookie header; null if the header sets none. Source: RFC 6265, 5.2. */
export function parseSetCookie(header: string): ReceivedCookie | null {
  const [pair = '', ...rest] = header.split(';')
  const equals = pair.indexOf('=')
  const name = pair.slice(0, Math.max(equals, 0)).trim()
  if (name === '') return null
  const attributes = new Map(
    rest.map((text) => {
      const [key = '', ...value] = text.split('=')
      return [key.trim().toLowerCase(), value.join('=').trim()]
    }),
  )
  const value = readCookie(pair, name) ?? ''
  const maxAge = attributes.get('max-age')
  const seconds = maxAge === undefined ? null : Number(maxAge)
  return {
    name,
    value,
    domain: attributes.get('domain') || null,
    path: attributes.get('path') || null,
    secure: attributes.has('secure'),
    httpOnly: attributes.has('httponly'),
    sameSite: attributes.get('samesite') || null,
    maxAge: seconds,
    isDeletion: value === '' || (seconds !== null && seconds <= 0),
  }
}

/** The cookies of one browser, for one host whatever the port. */
export interface CookieJar {
  store(cookies: readonly ReceivedCookie[]): void
  /** The Cookie header of a request for this path; undefined without cookies. */
  header(path: string): string | undefined
  /** The values of this name: more than one if their domains or paths differ. */
  values(name: string): readonly string[]
}

/**
 * A jar that sends secure cookies always: the doctor asks Django directly, and the visitor's browser asks the proxy in
 * front. As in browsers, cookies of one name with other domains or paths are kept beside each other.
 */
export function createCookieJar(): CookieJar {
  const kept = new Map<string, ReceivedCookie>()
  return {
    store(cookies) {
      for (const cookie of cookies) {
        const place = JSON.stringify([cookie.name, cookie.domain, cookie.path])
        if (cookie.isDeletion) kept.delete(place)
        else kept.set(place, cookie)
      }
    },
    header(path) {
      const sent = [...kept.values()]
        .filter((cookie) => path.startsWith(cookie.path ?? '/'))
        // The longest path first (RFC 6265, 5.4), of which Django takes the last.
        .sort((a, b) => (b.path ?? '/').length - (a.path ?? '/').length)
      return sent.length === 0
        ? undefined
        : sent.map(({ name, value }) => `${name}=${quoteCookieValue(value)}`).join('; ')
    },
    values: (name) => [...kept.values()].filter((one) => one.name === name).map(({ value }) => value),
  }
}
