import type { CookieSettings } from '../../django/cookie.ts'
import type { Project } from '../open-project.ts'
import { type Check, failed, ok, type Result, skipped } from './check.ts'
import { differs, flagDifferences, placeDifferences } from './cookie-differences.ts'
import type { ReceivedCookie } from './cookie-jar.ts'
import { ageResult, EXPIRY } from './round-trip-results.ts'
import { noSession, REACHED, throughUpstream } from './through-upstream.ts'
import type { UpstreamReading } from './upstream-reading.ts'

const NAME = 'http.E008'

/** The session cookie of both sides, and the session behind it. */
export const COOKIE_CHECKS: readonly Check[] = [
  {
    id: NAME,
    title: "SESSION_COOKIE_NAME is Django's",
    meaning:
      'Compares the name with the cookie that Django sets. With two names, each side has a session of its own, and each counts alone.',
    remedy: 'Set `SESSION_COOKIE_NAME` as in settings.py.',
    after: REACHED,
    isCheap: false,
    run: ofCookie((cookie, { name }) =>
      cookie.name === name
        ? ok(name)
        : failed(
            `Django's session cookie is ${cookie.name}, and ours is ${name}`,
            `set SESSION_COOKIE_NAME=${cookie.name}`,
          ),
    ),
  },
  {
    id: 'http.E009',
    title: "SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH are Django's",
    meaning:
      'Compares both with the cookie that Django sets. If they differ, a browser keeps two cookies of one name, and sends both: each side replaces its own, so visitors are logged in and out in turns.',
    remedy: 'Set both as in settings.py. Visitors who have two cookies already must delete them.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: ofCookie((cookie, ours) => {
      const differences = placeDifferences('SESSION_COOKIE', cookie, ours)
      if (differences.length === 0) return ok(`Path=${cookie.path}, ${cookie.domain ?? 'no Domain'}`)
      return differs(differences, `; a browser keeps two cookies ${cookie.name} then`)
    }),
  },
  {
    id: 'http.W010',
    title: "SESSION_COOKIE_SECURE, _HTTPONLY and _SAMESITE are Django's",
    meaning:
      'Compares them with the cookie that Django sets. The session is shared, but the cookie has the attributes of the side that saved last, so the stricter side does not protect it.',
    remedy: 'Set them as in settings.py.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: throughUpstream((reading, { settings }) => {
      if (reading.session === null) return noSession(reading)
      const differences = flagDifferences('SESSION_COOKIE', reading.session.cookie, settings.session.cookie)
      return differences.length === 0 ? ok('all three are equal') : differs(differences)
    }),
  },
  {
    id: 'http.W011',
    title: "SESSION_COOKIE_AGE and SESSION_EXPIRE_AT_BROWSER_CLOSE are Django's",
    meaning:
      'Compares them with the Max-Age that Django gives to a new session. The end of a session depends on the side that saved last.',
    remedy: 'Set both as in settings.py.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: throughUpstream(checkAge),
  },
  {
    id: 'http.E012',
    title: 'a session that Django makes can be read here',
    meaning:
      'Looks for the session of its visit where these settings keep sessions, and reads it. If it is not there, the two sides use different databases or engines; if it cannot be read, the key, the version or the serializer differs. Each side then counts alone.',
    remedy:
      'The message names the setting: `DATABASE_URL`, `SESSION_ENGINE`, `CACHES`, `DJANGO_SECRET_KEY`, `DJANGO_VERSION`, `SESSION_SERIALIZER` or `SESSION_STORE_CLASS`. `doctor --round-trip` shows the other direction too.',
    after: [...REACHED, NAME],
    isCheap: false,
    run: throughUpstream((reading) => {
      if (reading.session === null) return noSession(reading)
      const { problem } = reading.session
      return problem === null
        ? ok('a new session of Django was found and read')
        : { outcome: 'failed', ...problem }
    }),
  },
]

/** A check of the cookie of Django's new session, or of the one by which it deletes a session's cookie. */
function ofCookie(look: (cookie: ReceivedCookie, ours: CookieSettings) => Result): Check['run'] {
  return throughUpstream((reading, { settings }) => {
    const cookie = reading.session?.cookie ?? reading.deletion
    return cookie === null ? noSession(reading) : look(cookie, settings.session.cookie)
  })
}

function checkAge(reading: UpstreamReading, { settings }: Project): Result {
  const { session: made } = reading
  if (made === null) return noSession(reading)
  const data = made.reading.kind === 'read' ? made.reading.stored.data : null
  if (data?.has(EXPIRY) === true)
    return skipped('the site gave this session an expiry of its own (set_expiry)')
  const { cookieAge, expireAtBrowserClose } = settings.session
  const { maxAge } = made.cookie
  if (maxAge === null && !expireAtBrowserClose)
    return failed(
      "Django's cookie ends when the browser closes, and ours lasts",
      'set SESSION_EXPIRE_AT_BROWSER_CLOSE=True',
    )
  if (maxAge !== null && expireAtBrowserClose)
    return failed(
      "Django's cookie lasts, and ours ends when the browser closes",
      'set SESSION_EXPIRE_AT_BROWSER_CLOSE=False',
    )
  return ageResult(maxAge, cookieAge)
}
