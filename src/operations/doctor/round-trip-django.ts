import type { StoredSession } from '../../session/engine.ts'
import type { ReceivedCookie } from './cookie-jar.ts'
import { hostsOf, looksLikeDjango, pagesOf, sessionCookieIn, type Visit } from './django-pages.ts'
import { ourPlace, problemOf, readSession } from './our-sessions.ts'
import type { Problem } from './page-client.ts'
import {
  ageResult,
  awayProblem,
  EXPIRY,
  isStripped,
  OWN_EXPIRY,
  otherEnd,
  secondsLate,
  TOLERANCE,
} from './round-trip-results.ts'
import { STEP, type Trip } from './round-trip-state.ts'
import { askHealth, isOurHealth } from './upstream-reading.ts'

/** Visits pages as a new visitor until Django makes a session. */
export async function beginAtDjango(
  trip: Trip,
): Promise<{ visits: Visit[]; cookie: ReceivedCookie | null; path: string }> {
  const { theirs, django } = trip
  const { settings } = trip.project
  const visits: Visit[] = []
  const paths = pagesOf(settings, pathIn(django))
  try {
    await chooseHost(trip)
    for (const path of paths) {
      const one = await trip.visitDjango(path)
      visits.push(one)
      const cookie = sessionCookieIn(one.cookies, settings)
      if (cookie === null) continue
      trip.ok(STEP.answers, `Django answers at ${theirs.url}`)
      trip.ok(STEP.cookie, `the page ${path} sets one`)
      return { visits, cookie, path }
    }
  } catch (error) {
    trip.noAnswerAt(STEP.answers, { url: theirs.url, setting: '--round-trip' })(error)
  }
  const problem = answersProblem(trip, visits)
  if (problem !== null) trip.fail(STEP.answers, problem)
  trip.ok(STEP.answers, `Django answers at ${theirs.url}`)
  if (isStripped(visits)) {
    trip.fail(STEP.cookie, {
      read: 'Django made a form or counted a visit, but no answer has a Set-Cookie header',
      hint: `something between Django and ${theirs.url} removes Set-Cookie (a proxy or a cache: proxy_hide_header, proxy_ignore_headers, a CDN); let it pass`,
    })
  }
  trip.skip(
    STEP.cookie,
    `none of the pages ${paths.join(', ')} makes a session for a new visitor; a session made here is sent to Django instead. A path in the URL names another page`,
  )
  return { visits, cookie: null, path: '' }
}

/** Django's ALLOWED_HOSTS may lack the host of the URL. */
async function chooseHost(trip: Trip): Promise<void> {
  const { theirs } = trip
  const { settings } = trip.project
  const health = await askHealth(theirs, trip.theirHost)
  if (isOurHealth(health)) {
    trip.fail(STEP.answers, {
      read: `what answers at ${theirs.url} is this service, not Django`,
      hint: 'give --round-trip the address at which Django itself listens',
    })
  }
  if (health.status !== 400) return
  for (const host of hostsOf(settings)) {
    if ((await askHealth(theirs, host)).status === 400) continue
    trip.theirHost = host
    return
  }
  trip.fail(STEP.answers, {
    read: `Django answers 400 for the hosts ${[trip.theirHost, ...hostsOf(settings)].join(', ')}`,
    hint: 'set ALLOWED_HOSTS here as in settings.py',
  })
}

function answersProblem(trip: Trip, visits: readonly Visit[]): Problem | null {
  const { theirs } = trip
  const [first] = visits.map(({ page }) => page.status)
  if (visits.every(({ page }) => page.status >= 500))
    return { read: `${theirs.url} answers ${first} on every page`, hint: 'see the log of Django' }
  const away = awayProblem(visits)
  if (away !== null) return away
  if (looksLikeDjango(visits)) return null
  return {
    read: `nothing in the answers of ${theirs.url} looks like Django`,
    hint: 'give --round-trip the address at which Django listens',
  }
}

/** Django's new session, as it is read here. */
export async function readTheirs(trip: Trip, cookie: ReceivedCookie): Promise<StoredSession> {
  const { project, name } = trip
  if (cookie.name !== name) {
    trip.fail(STEP.name, {
      read: `Django's session cookie is ${cookie.name}, and ours is ${name}`,
      hint: `set SESSION_COOKIE_NAME=${cookie.name}`,
    })
  }
  trip.ok(STEP.name, name)
  const reading = await readSession(project, trip.sessions.engine, cookie)
  const problem = await problemOf(reading, project)
  const isThere = reading.kind === 'unreadable' || reading.kind === 'ended' || reading.kind === 'read'
  if (problem !== null && !isThere) trip.fail(STEP.place, problem)
  trip.ok(STEP.place, `Django's new session is in ${ourPlace(project)}`)
  if (problem !== null || reading.kind !== 'read')
    return trip.fail(reading.kind === 'ended' ? STEP.end : STEP.reading, problem ?? { read: '', hint: '' })
  trip.ok(STEP.reading, 'its signature verifies, and its content was read')
  checkEnd(trip, reading.stored, cookie)
  return reading.stored
}

/** The end of the session, which both sides must read alike. The cookie's Max-Age says how long Django wants it to last. */
function checkEnd(trip: Trip, stored: StoredSession, { maxAge }: ReceivedCookie): void {
  const { results, keptIn, project } = trip
  const { cookieAge } = project.settings.session
  const hasEnd = keptIn === 'table' || keptIn === 'cache'
  const seconds = hasEnd ? secondsLate(stored, { maxAge, cookieAge, now: project.now() }) : 0
  if (Math.abs(seconds) > TOLERANCE) trip.fail(STEP.end, otherEnd(seconds, maxAge))
  trip.ok(STEP.end, hasEnd ? 'both sides read its end alike' : 'the end is not stored with it')
  const isOwn = stored.data.has(EXPIRY)
  results.set(STEP.age, isOwn ? OWN_EXPIRY : ageResult(maxAge, cookieAge))
}

export async function backAtDjango(trip: Trip, path: string, cookie: ReceivedCookie): Promise<Visit> {
  const { name, keepsCookie, theirs } = trip
  const again = await trip
    .visitDjango(path)
    .catch(trip.noAnswerAt(STEP.keptThere, { url: theirs.url, setting: '--round-trip' }))
  if (again.page.status >= 500) {
    trip.fail(STEP.keptThere, {
      read: `Django answers ${again.page.status} for the session that was written here`,
      hint: 'set DJANGO_VERSION to what `python -m django --version` prints there: an older Django cannot read the newer format; see its log',
    })
  }
  const sent = again.cookies.filter((one) => one.name === name)
  const other = sent.find((one) => one.isDeletion || (keepsCookie && one.value !== cookie.value))
  if (other !== undefined) {
    trip.fail(STEP.keptThere, {
      read: `Django ${other.isDeletion ? 'deleted the cookie' : 'began a new session'}: it did not find the session any more`,
      hint: 'it may have ended for Django: set USE_TZ, TIME_ZONE and SESSION_COOKIE_AGE as in settings.py; compare the clocks',
    })
  }
  trip.ok(STEP.keptThere, keepsCookie ? 'the cookie has the same value' : 'one cookie, signed anew')
  return again
}

/** The page that the URL names; null for the whole site. */
function pathIn({ protocol, pathname, search }: URL): string | null {
  return protocol === 'unix:' || pathname === '/' ? null : `${pathname}${search}`
}
