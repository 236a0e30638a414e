import { setTimeout as delay } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { canonicalize } from '../../../src/django/json.ts'
import { UnreadableSession } from '../../../src/django/session-data.ts'
import { createSessions, type Sessions, type SessionsOptions } from '../../../src/session/handle.ts'
import type { Session } from '../../../src/session/session.ts'
import { type EngineTraits, type EngineUnderTest, rules } from './engine-under-test.ts'

/** One row of the suite: a test of every engine whose medium has the trait that it needs. */
export interface Check {
  readonly behaviour: string
  readonly needs?: keyof EngineTraits
  check(t: ExecutionContext, bed: TestBed): Promise<void>
}

export interface TestBed extends EngineUnderTest {
  readonly traits: EngineTraits
  /** One process's sessions; two of them meet only in the engine. */
  process(options?: Partial<SessionsOptions>): Sessions
  /** A request that has loaded its session. */
  request(sessionKey?: string, options?: Partial<SessionsOptions>): Promise<Session>
  /** Stores a session with this data, `{ key: JSON text }`. Returns its key. */
  make(data?: Record<string, string> | [string, string][], expireDate?: Date): Promise<string>
  /** What is stored, as `[key, JSON text]` in order; null when there is no live session. */
  stored(sessionKey: string | null): Promise<[string, string][] | null>
  /** Lets time pass: on the clock of the tests or, where the medium has its own clock, in reality. */
  elapse(seconds: number): Promise<void>
  /** Asserts that so many sessions are kept. Where the key is the data, none is kept. */
  holds(t: ExecutionContext, sessions: number): Promise<void>
  /** Asserts an expiry date, as exactly as the medium keeps it. */
  expires(t: ExecutionContext, actual: Date | undefined, expected: Date, message?: string): void
  /** Asserts that no session is under this key, live or expired. Where the key is the data, the key still holds it. */
  gone(t: ExecutionContext, sessionKey: string): Promise<void>
  /** Asserts that the medium does not know this key. Where the key is the data, it does not verify. */
  isUnknown(t: ExecutionContext, sessionKey: string): Promise<void>
  /** Asserts that a session still has its old key. Where the key is the data, it has another one. */
  sameKey(t: ExecutionContext, session: Session, sessionKey: string): void
}

export function testBed(subject: EngineUnderTest, traits: EngineTraits): TestBed {
  const { engine, clock } = subject
  let made = 0
  const process = (options: Partial<SessionsOptions> = {}) =>
    createSessions({ engine, rules, now: () => clock.now, conflictTimeout: 60_000, ...options })
  return {
    ...subject,
    traits,
    process,
    request: (sessionKey, options) => process(options).open(sessionKey).load(),
    async make(data = {}, expireDate) {
      made += 1
      const sessionKey = `session${made}`.padEnd(32, 'x')
      const entries = Array.isArray(data) ? data : Object.entries(data)
      const { now } = clock
      // Where only the time of saving is known, it was saved at such a time.
      if (expireDate !== undefined && !traits.keepsExpireDate && traits.followsClock) {
        clock.now = new Date(expireDate.getTime() - rules.cookieAge * 1000)
      }
      const session = { data: new Map(entries), expireDate: expireDate ?? later(clock, 3600) }
      const created = await engine.create(sessionKey, session)
      clock.now = now
      return created.sessionKey
    },
    async stored(sessionKey) {
      const found = sessionKey === null ? null : await engine.load(sessionKey)
      return found === null ? null : [...found.data]
    },
    async elapse(seconds) {
      clock.now = later(clock, seconds)
      if (!traits.followsClock) await delay(seconds * 1000)
    },
    async holds(t, sessions) {
      t.is(await subject.count(), traits.keepsData ? sessions : 0)
    },
    async gone(t, sessionKey) {
      t.false(await engine.exists(sessionKey))
      if (traits.keepsData) t.is(await engine.load(sessionKey), null)
      else t.not(await engine.load(sessionKey), null)
    },
    async isUnknown(t, sessionKey) {
      if (traits.keepsData) t.is(await engine.load(sessionKey), null, JSON.stringify(sessionKey))
      else await t.throwsAsync(engine.load(sessionKey), { instanceOf: UnreadableSession })
    },
    expires(t, actual, expected, message) {
      if (traits.keepsMilliseconds) t.deepEqual(actual, expected, message)
      else t.true(Math.abs(Number(actual) - expected.getTime()) < 1000, `${message} ${actual?.toISOString()}`)
    },
    sameKey(t, session, sessionKey) {
      if (traits.keepsData) t.is(session.sessionKey, sessionKey)
      else t.not(session.sessionKey, sessionKey)
    },
  }
}

/** Waits for a turn of the event loop, which another request needs. */
export async function nextTurn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))
}

export function later({ now }: { now: Date }, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1000)
}

/** A key and its JSON text, as they come back from the medium. */
export function asKept({ keepsText }: EngineTraits): (item: [string, string]) => [string, string] {
  return ([key, text]) => [key, keepsText ? text : canonicalize(text)]
}
