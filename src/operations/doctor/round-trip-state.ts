import { randomBytes } from 'node:crypto'
import type { SessionData } from '../../django/json.ts'
import { SESSION_ENGINES, type SessionEngineNeeds } from '../../django/session-engines.ts'
import type { StoredSession } from '../../session/engine.ts'
import type { OpenedSessions } from '../../site/django-sessions.ts'
import type { Project } from '../open-project.ts'
import { type CheckId, type Evidence, failed, ok, type Result, skipped } from './check.ts'
import { type CookieJar, createCookieJar, type ReceivedCookie } from './cookie-jar.ts'
import { hostsOf, isKey, schemeOf, type Visit, visit } from './django-pages.ts'
import { createPageClient, isNoAnswer, noAnswer, type PageClient, type Problem } from './page-client.ts'
import { LONGEST_ANSWER } from './upstream-reading.ts'

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
export const MARK = '_koa_django_sessions_doctor'

/** Ends the trip. Its reason is in the results. */
export class StepFailed extends Error {
  override name = 'StepFailed'
}

/** One round trip: both sites, the visitor's cookies, and what the steps have found so far. */
export interface Trip {
  readonly project: Project
  readonly sessions: OpenedSessions
  readonly django: URL
  readonly here: URL
  readonly signal: AbortSignal | null
  readonly theirs: PageClient
  readonly ours: PageClient
  /** The host under which Django answers. */
  theirHost: string
  readonly scheme: 'http' | 'https'
  readonly jar: CookieJar
  /** What is written here, for Django to see. */
  readonly nonce: string
  /** SESSION_COOKIE_NAME. */
  readonly name: string
  readonly keptIn: SessionEngineNeeds['keptIn'] | undefined
  readonly needsCache: boolean
  /** Whether a save keeps the value of the cookie. */
  readonly keepsCookie: boolean
  readonly results: Map<CheckId, Result>
  /** The sessions that were made: their cookies' values and names. */
  readonly made: ReadonlyMap<string, string>
  ok(id: CheckId, read: string): void
  skip(id: CheckId, because: string): void
  /** @throws {StepFailed} always. */
  fail(id: CheckId, problem: Problem): never
  /** Fails the step if the error says that the server does not answer; throws any other. */
  noAnswerAt(id: CheckId, server: { url: string; setting: string }): (error: unknown) => never
  visitDjango(path: string): Promise<Visit>
  /** Remembers the sessions that were made, by their cookies. */
  remember(cookies: readonly ReceivedCookie[]): void
  /** The session of this cookie value, as it is stored now; null if there is none, or it cannot be read. */
  load(value: string): Promise<StoredSession | null>
  /** Whether the mark of this trip is in the session. */
  isMarked(data: SessionData): boolean
}

export function beginTrip(
  project: Project,
  { django, here }: NonNullable<Evidence['roundTrip']>,
  { sessions, signal }: { sessions: OpenedSessions; signal: AbortSignal | null },
): Trip {
  const { settings } = project
  const results = new Map<CheckId, Result>()
  const made = new Map<string, string>()
  // A digit first: Django's admin capitalizes messages.
  const nonce = `0${randomBytes(8).toString('hex')}`
  const { keptIn, needsCache = false } = SESSION_ENGINES.get(settings.session.engine) ?? {}
  const trip: Trip = {
    project,
    sessions,
    django,
    here,
    signal,
    theirs: clientOf(django, settings),
    ours: clientOf(here, settings),
    theirHost: django.host || (hostsOf(settings)[0] ?? ''),
    scheme: schemeOf(settings),
    jar: createCookieJar(),
    nonce,
    name: settings.session.cookie.name,
    keptIn,
    needsCache,
    keepsCookie: keptIn !== 'cookie',
    results,
    made,

    ok: (id, read) => void results.set(id, ok(read)),

    skip: (id, because) => void results.set(id, skipped(because)),

    fail(id, { read, hint }) {
      results.set(id, failed(read, hint))
      throw new StepFailed()
    },

    noAnswerAt(id, server) {
      return (error) => {
        if (!isNoAnswer(error)) throw error
        return trip.fail(id, noAnswer(error, server))
      }
    },

    /** Between two steps Ctrl-C ends the trip; a request that runs is answered first, so that its session is known. */
    async visitDjango(path) {
      signal?.throwIfAborted()
      const { theirs, theirHost: host, scheme, jar } = trip
      const one = await visit(theirs, path, { host, scheme, jar })
      trip.remember(one.cookies)
      return one
    },

    remember(cookies) {
      for (const cookie of cookies) if (isKey(cookie.value)) made.set(cookie.value, cookie.name)
    },

    async load(value) {
      try {
        return await sessions.engine.load(value)
      } catch {
        return null
      }
    },

    isMarked: (data) => data.get(MARK) === JSON.stringify(nonce),
  }
  return trip
}

function clientOf(url: URL, { upstream }: Project['settings']): PageClient {
  const address = url.protocol === 'unix:' ? `unix:${url.pathname}` : url.origin
  const ca = url.protocol === 'https:' ? (upstream?.ca ?? null) : null
  return createPageClient({ url: address, ca, timeout: LONGEST_ANSWER * 1000 })
}
