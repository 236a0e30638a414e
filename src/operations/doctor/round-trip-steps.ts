import { randomBytes } from 'node:crypto'
import { quoteCookieValue } from '../../django/cookie.ts'
import { isAllowedHost } from '../../django/hosts.ts'
import type { SessionData } from '../../django/json.ts'
import {
  createMessagesCookie,
  MESSAGE_LEVELS,
  MESSAGES_COOKIE,
  MESSAGES_SESSION_KEY,
  type Message,
  writeSessionMessages,
} from '../../django/messages.ts'
import { SESSION_ENGINES } from '../../django/session-engines.ts'
import { hasCatalog } from '../../service/preflight.ts'
import type { StoredSession } from '../../session/engine.ts'
import type { Session } from '../../session/session.ts'
import type { OpenedSessions } from '../../site/django-sessions.ts'
import type { Project } from '../open-project.ts'
import { type CheckId, type Evidence, perRun, type Result } from './check.ts'
import { type CookieJar, createCookieJar, parseSetCookie, type ReceivedCookie } from './cookie-jar.ts'
import {
  hostsOf,
  isKey,
  looksLikeDjango,
  pagesOf,
  schemeOf,
  sessionCookieIn,
  type Visit,
  visit,
} from './django-pages.ts'
import { hasCopy, openOurSessions, ourPlace, problemOf, readSession, removeSessions } from './our-sessions.ts'
import { createPageClient, isNoAnswer, noAnswer, type PageClient, type Problem } from './page-client.ts'
import {
  ageResult,
  awayProblem,
  COUNT,
  copiesResult,
  counted,
  countIn,
  EXPIRY,
  isStripped,
  notVerified,
  OWN_EXPIRY,
  otherEnd,
  secondsLate,
  showsMessages,
  staleCopy,
  TOLERANCE,
} from './round-trip-results.ts'
import { askHealth, deletionOf, isOurHealth, LONGEST_ANSWER, usesSession } from './upstream-reading.ts'

type Step =
  | 'answers'
  | 'cookie'
  | 'name'
  | 'place'
  | 'reading'
  | 'end'
  | 'age'
  | 'here'
  | 'keptHere'
  | 'savedHere'
  | 'keptThere'
  | 'seenThere'
  | 'copies'

/** The steps of the round trip, in their order. */
export const STEP: Readonly<Record<Step, CheckId>> = {
  answers: 'roundtrip.E001',
  cookie: 'roundtrip.E002',
  name: 'roundtrip.E003',
  place: 'roundtrip.E004',
  reading: 'roundtrip.E005',
  end: 'roundtrip.E006',
  age: 'roundtrip.W007',
  here: 'roundtrip.E008',
  keptHere: 'roundtrip.E009',
  savedHere: 'roundtrip.E010',
  keptThere: 'roundtrip.E011',
  seenThere: 'roundtrip.E012',
  copies: 'roundtrip.W013',
}

/** The results of the steps; those after a failure are missing. */
export type StepResults = ReadonlyMap<CheckId, Result>

/** The key that the doctor sets in a session of its own; the session is removed at the end. */
const MARK = '_koa_django_sessions_doctor'

/** Goes the round trip, once for each run; null without `--round-trip`. */
export const takeRoundTrip: (evidence: Evidence) => Promise<StepResults | null> = perRun(
  async ({ project, roundTrip, signal }) => {
    if (roundTrip === null) return null
    const sessions = openOurSessions(project)
    const trip = createTrip(project, roundTrip, { sessions, signal })
    try {
      await trip.go()
    } catch (error) {
      if (!(error instanceof StepFailed)) throw error
    } finally {
      // Also after Ctrl-C: nothing of the doctor's stays.
      await removeSessions(project, sessions.engine, trip.made)
      await sessions.close()
    }
    return trip.results
  },
)

/** Ends the trip. Its reason is in the results. */
class StepFailed extends Error {
  override name = 'StepFailed'
}

interface Trip {
  readonly results: StepResults
  /** The sessions that were made: their cookies' values and names. */
  readonly made: ReadonlyMap<string, string>
  /** @throws {StepFailed} at the first failure. */
  go(): Promise<void>
}

function createTrip(
  project: Project,
  { django, here }: NonNullable<Evidence['roundTrip']>,
  { sessions, signal }: { sessions: OpenedSessions; signal: AbortSignal | null },
): Trip {
  const { settings, profile, now } = project
  const { engine } = sessions
  const results = new Map<CheckId, Result>()
  const made = new Map<string, string>()
  const jar = createCookieJar()
  // A digit first: Django's admin capitalizes messages.
  const nonce = `0${randomBytes(8).toString('hex')}`
  const scheme = schemeOf(settings)
  const { name } = settings.session.cookie
  const { keptIn, needsCache = false } = SESSION_ENGINES.get(settings.session.engine) ?? {}
  const keepsCookie = keptIn !== 'cookie'
  const theirs = clientOf(django, settings)
  const ours = clientOf(here, settings)
  let theirHost = django.host || (hostsOf(settings)[0] ?? '')

  const ok = (id: CheckId, read: string) => void results.set(id, { outcome: 'ok', read })
  const skip = (id: CheckId, because: string) => void results.set(id, { outcome: 'skipped', because })
  function fail(id: CheckId, { read, hint }: Problem): never {
    results.set(id, { outcome: 'failed', read, hint })
    throw new StepFailed()
  }

  function noAnswerAt(id: CheckId, server: { url: string; setting: string }): (error: unknown) => never {
    return (error) => {
      if (!isNoAnswer(error)) throw error
      return fail(id, noAnswer(error, server))
    }
  }

  /** Between two steps Ctrl-C ends the trip; a request that runs is answered first, so that its session is known. */
  async function visitDjango(path: string, browser: CookieJar = jar): Promise<Visit> {
    signal?.throwIfAborted()
    const one = await visit(theirs, path, { host: theirHost, scheme, jar: browser })
    remember(one.cookies)
    return one
  }

  function remember(cookies: readonly ReceivedCookie[]): void {
    for (const cookie of cookies) if (isKey(cookie.value)) made.set(cookie.value, cookie.name)
  }

  async function go(): Promise<void> {
    const { visits, cookie, path } = await beginAtDjango()
    if (cookie === null) await goFromHere(visits)
    else await goFromDjango(cookie, path)
  }

  /** Visits pages as a new visitor until Django makes a session. */
  async function beginAtDjango(): Promise<{ visits: Visit[]; cookie: ReceivedCookie | null; path: string }> {
    const visits: Visit[] = []
    const paths = pagesOf(settings, pathIn(django))
    try {
      await chooseHost()
      for (const path of paths) {
        const one = await visitDjango(path)
        visits.push(one)
        const cookie = sessionCookieIn(one.cookies, settings)
        if (cookie === null) continue
        ok(STEP.answers, `Django answers at ${theirs.url}`)
        ok(STEP.cookie, `the page ${path} sets one`)
        return { visits, cookie, path }
      }
    } catch (error) {
      noAnswerAt(STEP.answers, { url: theirs.url, setting: '--round-trip' })(error)
    }
    const problem = answersProblem(visits)
    if (problem !== null) fail(STEP.answers, problem)
    ok(STEP.answers, `Django answers at ${theirs.url}`)
    if (isStripped(visits)) {
      fail(STEP.cookie, {
        read: 'Django made a form or counted a visit, but no answer has a Set-Cookie header',
        hint: `something between Django and ${theirs.url} removes Set-Cookie (a proxy or a cache: proxy_hide_header, proxy_ignore_headers, a CDN); let it pass`,
      })
    }
    skip(
      STEP.cookie,
      `none of the pages ${paths.join(', ')} makes a session for a new visitor; a session made here is sent to Django instead. A path in the URL names another page`,
    )
    return { visits, cookie: null, path: '' }
  }

  /** Django's ALLOWED_HOSTS may lack the host of the URL. */
  async function chooseHost(): Promise<void> {
    const health = await askHealth(theirs, theirHost)
    if (isOurHealth(health)) {
      fail(STEP.answers, {
        read: `what answers at ${theirs.url} is this service, not Django`,
        hint: 'give --round-trip the address at which Django itself listens',
      })
    }
    if (health.status !== 400) return
    for (const host of hostsOf(settings)) {
      if ((await askHealth(theirs, host)).status === 400) continue
      theirHost = host
      return
    }
    fail(STEP.answers, {
      read: `Django answers 400 for the hosts ${[theirHost, ...hostsOf(settings)].join(', ')}`,
      hint: 'set ALLOWED_HOSTS here as in settings.py',
    })
  }

  function answersProblem(visits: readonly Visit[]): Problem | null {
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

  async function goFromDjango(cookie: ReceivedCookie, path: string): Promise<void> {
    const first = await readTheirs(cookie)
    const copied = await hasCopy(project, cookie.value)
    const visitedHere = await visitHere(first.data)
    const second = await checkHere(visitedHere, { cookie, before: first })
    const again = await backAtDjango(path, cookie)
    await checkThere(again, { cookie, first: first.data, second: second.data, visitedHere })
    results.set(STEP.copies, copiesResult(copied))
  }

  /** Django's new session, as it is read here. */
  async function readTheirs(cookie: ReceivedCookie): Promise<StoredSession> {
    if (cookie.name !== name) {
      fail(STEP.name, {
        read: `Django's session cookie is ${cookie.name}, and ours is ${name}`,
        hint: `set SESSION_COOKIE_NAME=${cookie.name}`,
      })
    }
    ok(STEP.name, name)
    const reading = await readSession(project, engine, cookie)
    const problem = await problemOf(reading, project)
    const isThere = reading.kind === 'unreadable' || reading.kind === 'ended' || reading.kind === 'read'
    if (problem !== null && !isThere) fail(STEP.place, problem)
    ok(STEP.place, `Django's new session is in ${ourPlace(project)}`)
    if (problem !== null || reading.kind !== 'read')
      return fail(reading.kind === 'ended' ? STEP.end : STEP.reading, problem ?? { read: '', hint: '' })
    ok(STEP.reading, 'its signature verifies, and its content was read')
    checkEnd(reading.stored, cookie)
    return reading.stored
  }

  /** The end of the session, which both sides must read alike. The cookie's Max-Age says how long Django wants it to last. */
  function checkEnd(stored: StoredSession, { maxAge }: ReceivedCookie): void {
    const { cookieAge } = settings.session
    const hasEnd = keptIn === 'table' || keptIn === 'cache'
    const seconds = hasEnd ? secondsLate(stored, { maxAge, cookieAge, now: now() }) : 0
    if (Math.abs(seconds) > TOLERANCE) fail(STEP.end, otherEnd(seconds, maxAge))
    ok(STEP.end, hasEnd ? 'both sides read its end alike' : 'the end is not stored with it')
    const isOwn = stored.data.has(EXPIRY)
    results.set(STEP.age, isOwn ? OWN_EXPIRY : ageResult(maxAge, cookieAge))
  }

  /** A visit on our side: at the running service, or without one in this process. */
  async function visitHere(data: SessionData | null): Promise<VisitHere> {
    signal?.throwIfAborted()
    const reason = await whyInProcess()
    if (reason !== null) {
      ok(STEP.here, `${reason}, so the visit was made in this process, through the library`)
      return visitInProcess(data)
    }
    const host = isAllowedHost(here.host, settings.allowedHosts)
      ? here.host
      : (hostsOf(settings)[0] ?? here.host)
    const one = await visit(ours, '/catalog/', { host, scheme, jar }).catch(
      noAnswerAt(STEP.here, { url: ours.url, setting: '--here' }),
    )
    remember(one.cookies)
    if (one.page.status !== 200) {
      fail(STEP.here, {
        read: `the service answers ${one.page.status} at ${ours.url}/catalog/`,
        hint: 'see its log: the line http.failure or security.… of this request has the reason',
      })
    }
    ok(STEP.here, `the service answers at ${ours.url}/catalog/`)
    return { cookies: one.cookies, isRunning: true }
  }

  /** Why our half is done in this process; null if the service runs and has a page that uses the session. */
  async function whyInProcess(): Promise<string | null> {
    try {
      const [host = ''] = hostsOf(settings)
      if (!isOurHealth(await askHealth(ours, host))) {
        fail(STEP.here, {
          read: `what answers at ${ours.url} is not this service`,
          hint: 'give --here the address of this service, or set HOST and PORT',
        })
      }
    } catch (error) {
      if (!isNoAnswer(error)) throw error
      return `no service answers at ${ours.url}`
    }
    const hasHome = await hasCatalog(project.db).catch(() => false)
    return hasHome ? null : 'the service has no page that writes the session of every visitor'
  }

  async function visitInProcess(data: SessionData | null): Promise<VisitHere> {
    const request = sessions.requests.open(jar.header(settings.session.cookie.path))
    const session: Session = await request.session.load()
    session.set(MARK, nonce)
    if (data !== null && countIn(data) !== null) session.compute(COUNT, (stored) => Number(stored) + 1)
    else {
      session.set(MESSAGES_SESSION_KEY, writeSessionMessages([messageOf(nonce)], profile.messages))
      jar.store(unfinishedMessages())
    }
    const { setCookie } = await request.respond(200)
    const cookies = [setCookie === null ? null : parseSetCookie(setCookie)].filter((one) => one !== null)
    jar.store(cookies)
    remember(cookies)
    return { cookies, isRunning: false }
  }

  /**
   * The cookie that says that further messages are in the session: without it, Django's default storage does not look there.
   * Source: django/contrib/messages/storage/fallback.py, _get.
   */
  function unfinishedMessages(): ReceivedCookie[] {
    const { write } = createMessagesCookie({ secretKeys: project.secretKeys, profile, now })
    const { value } = write([messageOf(randomBytes(4096).toString('base64url'))], { drops: 'newest' })
    const cookie = value === null ? null : parseSetCookie(`${MESSAGES_COOKIE}=${quoteCookieValue(value)}`)
    return cookie === null ? [] : [cookie]
  }

  /** What the visit here made of Django's session. */
  async function checkHere(
    { cookies, isRunning }: VisitHere,
    { cookie, before }: { cookie: ReceivedCookie; before: StoredSession },
  ): Promise<StoredSession> {
    const restart = isRunning ? '; it runs with other settings than these: restart it' : ''
    const sent = cookies.filter((one) => one.name === name)
    const [given] = sent
    if (jar.values(name).length > 1) {
      fail(STEP.keptHere, {
        read: `the browser has two cookies ${name} now, since their Domain or Path differ`,
        hint: 'set SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH as in settings.py',
      })
    }
    const other = sent.find((one) => one.isDeletion || (keepsCookie && one.value !== cookie.value))
    if (other !== undefined) {
      fail(STEP.keptHere, {
        read: `the service ${other.isDeletion ? 'deleted the cookie' : 'began a new session'}: it did not find or could not read Django's${restart}`,
        hint: 'see the field session of http.request in its log, and compare its DATABASE_URL, DJANGO_SECRET_KEY and SESSION_… with these settings',
      })
    }
    const second = await load(given?.value ?? cookie.value)
    const hasSaved =
      second !== null && (isRunning ? counted(before.data, second.data) : isMarked(second.data))
    if (given === undefined && hasSaved) {
      fail(STEP.keptHere, {
        read: 'the service saved the session, but its answer has no Set-Cookie header',
        hint: `something between ${ours.url} and the service removes Set-Cookie (a proxy or a cache); let it pass`,
      })
    }
    ok(STEP.keptHere, keepsCookie ? 'the cookie has the same value' : 'one cookie, signed anew')
    if (second === null || !hasSaved) {
      return fail(STEP.savedHere, {
        read: "the service did not save Django's session",
        hint: `see its log${restart}`,
      })
    }
    ok(
      STEP.savedHere,
      isRunning ? 'the service counted one visit more' : 'what was written here was read again',
    )
    return second
  }

  async function backAtDjango(path: string, cookie: ReceivedCookie): Promise<Visit> {
    const again = await visitDjango(path).catch(
      noAnswerAt(STEP.keptThere, { url: theirs.url, setting: '--round-trip' }),
    )
    if (again.page.status >= 500) {
      fail(STEP.keptThere, {
        read: `Django answers ${again.page.status} for the session that was written here`,
        hint: 'set DJANGO_VERSION to what `python -m django --version` prints there: an older Django cannot read the newer format; see its log',
      })
    }
    const sent = again.cookies.filter((one) => one.name === name)
    const other = sent.find((one) => one.isDeletion || (keepsCookie && one.value !== cookie.value))
    if (other !== undefined) {
      fail(STEP.keptThere, {
        read: `Django ${other.isDeletion ? 'deleted the cookie' : 'began a new session'}: it did not find the session any more`,
        hint: 'it may have ended for Django: set USE_TZ, TIME_ZONE and SESSION_COOKIE_AGE as in settings.py; compare the clocks',
      })
    }
    ok(STEP.keptThere, keepsCookie ? 'the cookie has the same value' : 'one cookie, signed anew')
    return again
  }

  /** Whether Django saw what was written here. */
  async function checkThere(
    again: Visit,
    {
      cookie,
      first,
      second,
      visitedHere,
    }: { cookie: ReceivedCookie; first: SessionData; second: SessionData; visitedHere: VisitHere },
  ): Promise<void> {
    const sent = again.cookies.find((one) => one.name === name)
    const third = await load(sent?.value ?? (keepsCookie ? cookie.value : (jar.values(name)[0] ?? '')))
    if (third === null)
      return fail(STEP.seenThere, {
        read: 'after the visit at Django, the session cannot be read here any more',
        hint: 'Django signs with another key than these: set DJANGO_SECRET_KEY to its SECRET_KEY',
      })
    const [one, two, three] = [countIn(first), countIn(second), countIn(third.data)]
    const isLost = !visitedHere.isRunning && !isMarked(third.data)
    if (one !== null && two !== null && three !== null) {
      if (three === two + 1n && !isLost)
        return ok(STEP.seenThere, `${one}, ${two} and ${three} visits: one count`)
      if (three === two && sent === undefined)
        return fail(STEP.seenThere, {
          read: `Django did not count its second visit`,
          hint: 'a cache in front of Django answers for it: do not cache pages with Vary: Cookie',
        })
      return fail(
        STEP.seenThere,
        three === 1n && one > 0n
          ? notVerified('Django counts from 1 again')
          : staleCopy({ needsCache, two, three }),
      )
    }
    if (isLost || (visitedHere.isRunning && three !== two))
      return fail(STEP.seenThere, staleCopy({ needsCache, two: null, three: null }))
    if (again.page.body.includes(nonce))
      return ok(STEP.seenThere, 'Django showed a message that was written here')
    // A session that Django cannot read is empty when it saves it.
    if (sent !== undefined)
      return ok(STEP.seenThere, 'Django saved the session again, with what was written here')
    skip(
      STEP.seenThere,
      'the page neither counts visits nor shows messages, so that what Django made of the change cannot be seen; a path in the URL of --round-trip names another page',
    )
  }

  /** For a site without a page that makes a session: a session made here is sent to Django. */
  async function goFromHere(visits: readonly Visit[]): Promise<void> {
    for (const id of [STEP.place, STEP.reading, STEP.end, STEP.age]) skip(id, 'Django made no session')
    const deletion = await deletionOf(theirs, { visits, project, host: theirHost, scheme })
    if (deletion === null) skip(STEP.name, 'no page shows how Django names its session cookie')
    else ok(STEP.name, `Django deletes an unknown cookie ${name}`)
    ok(STEP.here, 'Django made no session, so one was made in this process, through the library')
    const { cookies } = await visitInProcess(null)
    const [cookie] = cookies
    const stored = cookie === undefined ? null : await load(cookie.value)
    if (cookie === undefined || stored === null)
      return fail(STEP.savedHere, {
        read: 'a session that was saved here cannot be read',
        hint: 'see `doctor --tag database`',
      })
    skip(STEP.keptHere, 'Django made no session')
    ok(STEP.savedHere, 'what was written here was read again')
    await showToDjango(visits, { cookie, deletion })
    skip(STEP.copies, 'Django made no session')
  }

  async function showToDjango(
    visits: readonly Visit[],
    { cookie, deletion }: { cookie: ReceivedCookie; deletion: ReceivedCookie | null },
  ): Promise<void> {
    for (const { path } of visits.filter(({ page }) => usesSession(page))) {
      const again = await backAtDjango(path, cookie)
      const now = await load(jar.values(name)[0] ?? cookie.value)
      if (again.page.body.includes(nonce)) {
        if (now !== null && isMarked(now.data))
          return ok(
            STEP.seenThere,
            `the page ${path} showed a message that was written here, and Django's save was read`,
          )
        return fail(STEP.seenThere, {
          read: 'Django showed a message that was written here, but what it saved then cannot be read here',
          hint: "set DJANGO_SECRET_KEY to Django's SECRET_KEY, and DJANGO_VERSION to its version",
        })
      }
      if (now === null || !isMarked(now.data))
        return fail(STEP.seenThere, notVerified('Django wrote over the session'))
      if (showsMessages(again) && settings.messages.storage !== 'cookie') {
        const problem = notVerified(`the page ${path} of Django does not show a message in the session`)
        return fail(STEP.seenThere, { ...problem, hint: `${problem.hint}, and MESSAGE_STORAGE` })
      }
    }
    if (!results.has(STEP.keptThere)) skip(STEP.keptThere, 'no page that was visited uses the session')
    else if (deletion === null) skip(STEP.keptThere, 'no page deletes a cookie that is unknown')
    skip(
      STEP.seenThere,
      'no page that was visited counts visits or shows messages, so that what Django makes of the session cannot be seen; a path in the URL of --round-trip names another page',
    )
  }

  async function load(value: string): Promise<StoredSession | null> {
    try {
      return await engine.load(value)
    } catch {
      return null
    }
  }

  const isMarked = (data: SessionData) => data.get(MARK) === JSON.stringify(nonce)

  return { results, made, go }
}

function messageOf(text: string): Message {
  return { level: MESSAGE_LEVELS.info, text, extraTags: null, isSafe: false }
}

interface VisitHere {
  readonly cookies: readonly ReceivedCookie[]
  /** Whether the running service was visited; else the library did its work in this process. */
  readonly isRunning: boolean
}

function clientOf(url: URL, { upstream }: Project['settings']): PageClient {
  const address = url.protocol === 'unix:' ? `unix:${url.pathname}` : url.origin
  const ca = url.protocol === 'https:' ? (upstream?.ca ?? null) : null
  return createPageClient({ url: address, ca, timeout: LONGEST_ANSWER * 1000 })
}

/** The page that the URL names; null for the whole site. */
function pathIn({ protocol, pathname, search }: URL): string | null {
  return protocol === 'unix:' || pathname === '/' ? null : `${pathname}${search}`
}
