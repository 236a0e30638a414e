/** What the steps of the round trip make of what they saw. */
import { INTEGER, type SessionData } from '../../django/json.ts'
import type { StoredSession } from '../../session/engine.ts'
import type { Result } from './check.ts'
import { hasForm, type Visit } from './django-pages.ts'
import type { Problem } from './page-client.ts'

/** LocalLibrary's key of the number of visits. */
export const COUNT = 'num_visits'

/** Source: django/contrib/sessions/backends/base.py, set_expiry. */
export const EXPIRY = '_session_expiry'

/** LocalLibrary's number of visits; null without one. */
export function countIn(data: SessionData): bigint | null {
  const text = data.get(COUNT)
  return text !== undefined && INTEGER.test(text) ? BigInt(text) : null
}

/** Whether one visit more was counted. */
export function counted(before: SessionData, after: SessionData): boolean {
  return countIn(after) === (countIn(before) ?? 0n) + 1n
}

/** Whether pages made a cookie, but none arrived: Django sets a cookie with each form that is new to the visitor. */
export function isStripped(visits: readonly Visit[]): boolean {
  if (visits.some(({ cookies }) => cookies.length > 0)) return visits.some(countsVisits)
  return visits.some((one) => hasForm(one) || countsVisits(one))
}

/** LocalLibrary's sentence. */
function countsVisits({ page }: Visit): boolean {
  return /You have visited this page \d+ time/.test(page.body)
}

/**
 * Whether it is the login page of Django's admin, which shows messages and needs their middleware.
 * Source: django/contrib/admin/templates/admin/base.html; admin/checks.py, check_dependencies.
 */
export function showsMessages({ path, page }: Visit): boolean {
  return path === '/admin/login/' && page.status === 200 && /\bid="login-form"/.test(page.body)
}

/** Why Django shows no page; null if it shows one, or has none of these. */
export function awayProblem(visits: readonly Visit[]): Problem | null {
  const [away] = visits.map((one) => one.away).filter((one) => one !== null)
  if (away === undefined || visits.some((one) => one.away === null && one.page.status < 400)) return null
  const target = {
    host: away.to === 'host' ? `to ${away.host}` : '',
    https: 'to https://',
    itself: 'in a circle',
  }
  return {
    read: `Django redirects every page ${target[away.to]}`,
    hint:
      away.to === 'https'
        ? 'set TRUSTED_PROXY=host,proto,for if a proxy with HTTPS is in front, and SECURE_PROXY_SSL_HEADER in settings.py; or give --round-trip the https:// address'
        : 'give --round-trip the address of Django under the name that it expects',
  }
}

/** Seconds by which two ends may differ: requests and clocks take their time. */
export const TOLERANCE = 90

/** Seconds by which the stored end is later than the age of the session says; 0 if the site set an end of its own. */
export function secondsLate(
  { expireDate, data }: StoredSession,
  { maxAge, cookieAge, now }: { maxAge: number | null; cookieAge: number; now: Date },
): number {
  const given = data.get(EXPIRY) ?? '0'
  if (!INTEGER.test(given)) return 0
  const age = maxAge ?? (given === '0' ? cookieAge : Number(given))
  return Math.round((expireDate.getTime() - now.getTime()) / 1000 - age)
}

export function otherEnd(seconds: number, maxAge: number | null): Problem {
  const length =
    Math.abs(seconds) < 3600 ? `${Math.abs(seconds)} s` : `${(Math.abs(seconds) / 3600).toFixed(1)} hours`
  const zone =
    'set USE_TZ and TIME_ZONE (and DATABASE_TIME_ZONE) as in settings.py, and compare the clocks of the machines'
  return {
    read: `the session ends ${length} ${seconds < 0 ? 'earlier' : 'later'} than ${maxAge === null ? 'SESSION_COOKIE_AGE' : 'its cookie'} says, by the USE_TZ and TIME_ZONE of these settings`,
    hint: maxAge === null ? `set SESSION_COOKIE_AGE as in settings.py; if it is equal, ${zone}` : zone,
  }
}

export const OWN_EXPIRY: Result = {
  outcome: 'skipped',
  because: 'the site gave this session an expiry of its own',
}

/** Compares the Max-Age of Django's cookie with SESSION_COOKIE_AGE. */
export function ageResult(maxAge: number | null, cookieAge: number): Result {
  if (maxAge === null) return { outcome: 'ok', read: 'until the browser closes' }
  if (maxAge === cookieAge) return { outcome: 'ok', read: `${maxAge} s` }
  return {
    outcome: 'failed',
    read: `SESSION_COOKIE_AGE is ${maxAge} in Django and ${cookieAge} here`,
    hint: `set SESSION_COOKIE_AGE=${maxAge}`,
  }
}

/** Whether Django's copy of its session was in our cache; null for an engine without copies. */
export function copiesResult(isThere: boolean | null): Result {
  if (isThere === null) return { outcome: 'skipped', because: 'SESSION_ENGINE here makes no copies' }
  if (isThere) return { outcome: 'ok', read: "Django's copy was in the cache of CACHES" }
  return {
    outcome: 'failed',
    read: 'Django made no copy of its session in the cache of CACHES, as cached_db does',
    hint: 'if Django uses cached_db, set CACHES as in settings.py (LOCATION, KEY_PREFIX, VERSION); if it uses db, set SESSION_ENGINE=django.contrib.sessions.backends.db',
  }
}

/** Django took what was written here for an empty session; `read` says how this was seen. */
export function notVerified(read: string): Problem {
  return {
    read: `${read}: it could not read what was written here`,
    hint: "set DJANGO_SECRET_KEY to Django's SECRET_KEY, with which it signs; older keys belong to DJANGO_SECRET_KEY_FALLBACKS. If they are equal, see DJANGO_VERSION and SESSION_STORE_CLASS",
  }
}

/** Django saved what it had before. `two` and `three`: the visits after ours, and after Django's second. */
export function staleCopy({
  needsCache,
  two,
  three,
}: {
  needsCache: boolean
  two: bigint | null
  three: bigint | null
}): Problem {
  const counts = two === null || three === null ? '' : `: ${three} visits instead of ${two + 1n}`
  return {
    read: `Django wrote over what was written here, with an older copy of its own${counts}`,
    hint: needsCache
      ? 'set CACHES as in settings.py (LOCATION, KEY_PREFIX, VERSION): the copy is in another cache'
      : 'Django uses cached_db: set SESSION_ENGINE=django.contrib.sessions.backends.cached_db, and CACHES as in settings.py',
  }
}
