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
import { hasCatalog } from '../../service/preflight.ts'
import type { StoredSession } from '../../session/engine.ts'
import type { Session } from '../../session/session.ts'
import { parseSetCookie, type ReceivedCookie } from './cookie-jar.ts'
import { hostsOf, visit } from './django-pages.ts'
import { isNoAnswer } from './page-client.ts'
import { COUNT, counted, countIn } from './round-trip-results.ts'
import { MARK, STEP, type Trip } from './round-trip-state.ts'
import { askHealth, isOurHealth } from './upstream-reading.ts'

/** What a visit on our side sent back. */
export interface VisitHere {
  readonly cookies: readonly ReceivedCookie[]
  /** Whether the running service was visited; else the library did its work in this process. */
  readonly isRunning: boolean
}

/** A visit on our side: at the running service, or without one in this process. */
export async function visitHere(trip: Trip, data: SessionData | null): Promise<VisitHere> {
  const { jar, scheme, ours, here } = trip
  const { settings } = trip.project
  trip.signal?.throwIfAborted()
  const reason = await whyInProcess(trip)
  if (reason !== null) {
    trip.ok(STEP.here, `${reason}, so the visit was made in this process, through the library`)
    return visitInProcess(trip, data)
  }
  const host = isAllowedHost(here.host, settings.allowedHosts)
    ? here.host
    : (hostsOf(settings)[0] ?? here.host)
  const one = await visit(ours, '/catalog/', { host, scheme, jar }).catch(
    trip.noAnswerAt(STEP.here, { url: ours.url, setting: '--here' }),
  )
  trip.remember(one.cookies)
  if (one.page.status !== 200) {
    trip.fail(STEP.here, {
      read: `the service answers ${one.page.status} at ${ours.url}/catalog/`,
      hint: 'see its log: the line http.failure or security.… of this request has the reason',
    })
  }
  trip.ok(STEP.here, `the service answers at ${ours.url}/catalog/`)
  return { cookies: one.cookies, isRunning: true }
}

/** Why our half is done in this process; null if the service runs and has a page that uses the session. */
async function whyInProcess(trip: Trip): Promise<string | null> {
  const { project, ours } = trip
  try {
    const [host = ''] = hostsOf(project.settings)
    if (!isOurHealth(await askHealth(ours, host))) {
      trip.fail(STEP.here, {
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

export async function visitInProcess(trip: Trip, data: SessionData | null): Promise<VisitHere> {
  const { sessions, jar, nonce } = trip
  const { settings, profile } = trip.project
  const request = sessions.requests.open(jar.header(settings.session.cookie.path))
  const session: Session = await request.session.load()
  session.set(MARK, nonce)
  if (data !== null && countIn(data) !== null) session.compute(COUNT, (stored) => Number(stored) + 1)
  else {
    session.set(MESSAGES_SESSION_KEY, writeSessionMessages([messageOf(nonce)], profile.messages))
    jar.store(unfinishedMessages(trip))
  }
  const { setCookie } = await request.respond(200)
  const cookies = [setCookie === null ? null : parseSetCookie(setCookie)].filter((one) => one !== null)
  jar.store(cookies)
  trip.remember(cookies)
  return { cookies, isRunning: false }
}

/**
 * The cookie that says that further messages are in the session: without it, Django's default storage does not look there.
 * Source: django/contrib/messages/storage/fallback.py, _get.
 */
function unfinishedMessages(trip: Trip): ReceivedCookie[] {
  const { secretKeys, profile, now } = trip.project
  const { write } = createMessagesCookie({ secretKeys, profile, now })
  const { value } = write([messageOf(randomBytes(4096).toString('base64url'))], { drops: 'newest' })
  const cookie = value === null ? null : parseSetCookie(`${MESSAGES_COOKIE}=${quoteCookieValue(value)}`)
  return cookie === null ? [] : [cookie]
}

/** What the visit here made of Django's session. */
export async function checkHere(
  trip: Trip,
  { cookies, isRunning }: VisitHere,
  { cookie, before }: { cookie: ReceivedCookie; before: StoredSession },
): Promise<StoredSession> {
  const { jar, name, keepsCookie, ours } = trip
  const restart = isRunning ? '; it runs with other settings than these: restart it' : ''
  const sent = cookies.filter((one) => one.name === name)
  const [given] = sent
  if (jar.values(name).length > 1) {
    trip.fail(STEP.keptHere, {
      read: `the browser has two cookies ${name} now, since their Domain or Path differ`,
      hint: 'set SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH as in settings.py',
    })
  }
  const other = sent.find((one) => one.isDeletion || (keepsCookie && one.value !== cookie.value))
  if (other !== undefined) {
    trip.fail(STEP.keptHere, {
      read: `the service ${other.isDeletion ? 'deleted the cookie' : 'began a new session'}: it did not find or could not read Django's${restart}`,
      hint: 'see the field session of http.request in its log, and compare its DATABASE_URL, DJANGO_SECRET_KEY and SESSION_… with these settings',
    })
  }
  const second = await trip.load(given?.value ?? cookie.value)
  const hasSaved =
    second !== null && (isRunning ? counted(before.data, second.data) : trip.isMarked(second.data))
  if (given === undefined && hasSaved) {
    trip.fail(STEP.keptHere, {
      read: 'the service saved the session, but its answer has no Set-Cookie header',
      hint: `something between ${ours.url} and the service removes Set-Cookie (a proxy or a cache); let it pass`,
    })
  }
  trip.ok(STEP.keptHere, keepsCookie ? 'the cookie has the same value' : 'one cookie, signed anew')
  if (second === null || !hasSaved) {
    return trip.fail(STEP.savedHere, {
      read: "the service did not save Django's session",
      hint: `see its log${restart}`,
    })
  }
  trip.ok(
    STEP.savedHere,
    isRunning ? 'the service counted one visit more' : 'what was written here was read again',
  )
  return second
}

function messageOf(text: string): Message {
  return { level: MESSAGE_LEVELS.info, text, extraTags: null, isSafe: false }
}
