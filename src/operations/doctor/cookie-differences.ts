import type { CookieSettings } from '../../django/cookie.ts'
import { failed, type Result } from './check.ts'
import type { ReceivedCookie } from './cookie-jar.ts'

/** One setting that differs. */
interface Difference {
  readonly setting: string
  readonly theirs: string
  readonly ours: string
}

type Prefix = 'SESSION_COOKIE' | 'CSRF_COOKIE'

export function placeDifferences(prefix: Prefix, cookie: ReceivedCookie, ours: CookieSettings): Difference[] {
  const bare = (domain: string | null) => (domain ?? '').replace(/^\./, '').toLowerCase()
  return [
    ...difference(`${prefix}_DOMAIN`, bare(cookie.domain), bare(ours.domain)),
    ...difference(`${prefix}_PATH`, cookie.path ?? '/', ours.path),
  ]
}

export function flagDifferences(prefix: Prefix, cookie: ReceivedCookie, ours: CookieSettings): Difference[] {
  return [
    ...difference(`${prefix}_SECURE`, python(cookie.secure), python(ours.secure)),
    ...difference(`${prefix}_HTTPONLY`, python(cookie.httpOnly), python(ours.httpOnly)),
    ...difference(`${prefix}_SAMESITE`, cookie.sameSite ?? 'False', ours.sameSite ?? 'False'),
  ]
}

export function difference(setting: string, theirs: string, ours: string): Difference[] {
  return theirs === ours ? [] : [{ setting, theirs, ours }]
}

function python(value: boolean): string {
  return value ? 'True' : 'False'
}

export function differs(differences: readonly Difference[], consequence = ''): Result {
  const read = differences.map(
    ({ setting, theirs, ours }) => `${setting} is ${shown(theirs)} in Django and ${shown(ours)} here`,
  )
  const hints = differences.map(({ setting, theirs }) =>
    theirs === '' ? `leave ${setting} empty` : `set ${setting}=${theirs}`,
  )
  return failed(`${read.join(', ')}${consequence}`, hints.join(', '))
}

function shown(value: string): string {
  return value === '' ? 'empty' : value
}
