import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { ExpiryRules } from '../../src/django/expiry.ts'
import { canonicalize, stringifyValue } from '../../src/django/json.ts'
import { UnreadableSession } from '../../src/django/session-data.ts'
import { isValidSessionKey } from '../../src/django/session-key.ts'
import {
  ConflictError,
  CreateError,
  type NewSession,
  type SessionEngine,
  UpdateError,
} from '../../src/session/engine.ts'
import { createSessions, type Sessions, type SessionsOptions } from '../../src/session/handle.ts'
import type { Session } from '../../src/session/session.ts'

/** An engine to try, on a clock that the tests set. */
export interface EngineUnderTest {
  readonly engine: SessionEngine
  readonly clock: { now: Date }
  /** Removes every session. */
  empty(): Promise<void>
  /** How many sessions are kept, expired ones too. */
  count(): Promise<number>
}

/**
 * What a medium can do. Every engine runs the same suite; a check is left out only where it needs a trait that the
 * medium lacks, and then the suite asserts what the engine does instead.
 */
export interface EngineTraits {
  /**
   * The key is a name for data that is kept elsewhere. Off: the key is the data (signed_cookies), so that each save
   * gives another key, no key is ever taken or deleted, and each key holds what it held.
   */
  readonly keepsData: boolean
  /** An update stores only over what its revision saw. Off: the later of two writers wins, whole. */
  readonly compares: boolean
  /** An expired session keeps its key until it is cleared. Off: it is gone by itself, and nothing is left to clear. */
  readonly keepsExpired: boolean
  /** Time is the clock that the tests set. Off: the medium has its own, and the tests wait. */
  readonly followsClock: boolean
  /**
   * Whatever expiry date a session was stored with is kept. Off: the medium knows at most when it was saved, and the date
   * follows, to the second, from that and the data (SESSION_COOKIE_AGE, `_session_expiry`).
   */
  readonly keepsExpireDate: boolean
  /** That date is kept to the millisecond. Off: to the second. */
  readonly keepsMilliseconds: boolean
  /** JSON text is kept to the letter. Off: the values are, and come back as Python prints them (pickles). */
  readonly keepsText: boolean
  /** A session whose `_session_expiry` is over is gone. Off: SESSION_COOKIE_AGE alone ends it, and the cookie's age. */
  readonly obeysExpiry: boolean
}

const EVERY_TRAIT: EngineTraits = {
  keepsData: true,
  compares: true,
  keepsExpired: true,
  followsClock: true,
  keepsExpireDate: true,
  keepsMilliseconds: true,
  keepsText: true,
  obeysExpiry: true,
}

export const rules: ExpiryRules = {
  cookieAge: 1_209_600,
  expireAtBrowserClose: false,
  useTz: true,
  timeZone: 'UTC',
  storesIsoExpiry: true,
}

/**
 * What every engine owes to whoever uses it: the counterpart of Django's SessionTestsMixin (tests/sessions_tests).
 * `lacks` names the traits that the medium does not have.
 */
export function conformance(
  title: string,
  openEngine: () => Promise<EngineUnderTest>,
  { lacks = [] }: { lacks?: readonly (keyof EngineTraits)[] } = {},
): void {
  const traits: EngineTraits = {
    ...EVERY_TRAIT,
    ...(lacks.includes('keepsExpireDate') && { keepsMilliseconds: false }),
    ...Object.fromEntries(lacks.map((trait) => [trait, false])),
  }
  const leftOut: string[] = []
  let opened: Promise<EngineUnderTest> | undefined
  const check: Check = (behaviour, body, { needs } = {}) => {
    if (needs !== undefined && !traits[needs]) {
      leftOut.push(`${behaviour} (${needs})`)
      return
    }
    test.serial(`${title}: ${behaviour}`, async (t) => {
      opened ??= openEngine()
      const subject = await opened
      subject.clock.now = new Date('2026-11-23T08:25:12.345Z')
      await subject.empty()
      await body(t, testBed(subject, traits))
    })
  }
  engineContract(check)
  dictionary(check)
  lifeCycle(check)
  expiry(check)
  merging(check)
  queueing(check)
  if (!traits.keepsData) whereTheKeyIsTheData(check)
  if (!traits.compares) whereTheLaterWins(check)
  if (!traits.keepsExpired && traits.keepsData) whereTheExpiredAreGone(check)
  if (!traits.obeysExpiry) whereOnlyTheCookieAgeEnds(check)
  if (leftOut.length > 0) {
    test(`${title}: what its medium cannot do is known, and asked otherwise`, (t) => {
      for (const behaviour of leftOut) t.log(`not asked: ${behaviour}`)
      t.true(lacks.length > 0)
    })
  }
}

type Check = (
  behaviour: string,
  body: (t: ExecutionContext, bed: TestBed) => Promise<void>,
  options?: { needs?: keyof EngineTraits },
) => void

interface TestBed extends EngineUnderTest {
  readonly traits: EngineTraits
  /** One process's sessions; two of them meet only in the engine. */
  process(options?: Partial<SessionsOptions>): Sessions
  /** A request that has loaded its session. */
  request(sessionKey?: string, options?: Partial<SessionsOptions>): Promise<Session>
  /** A stored session with this data, `{ key: JSON text }`; gives its key. */
  make(data?: Record<string, string> | [string, string][], expireDate?: Date): Promise<string>
  /** What is stored, as `[key, JSON text]` in order; null when there is no live session. */
  stored(sessionKey: string | null): Promise<[string, string][] | null>
  /** Lets time pass: on the clock of the tests or, where the medium has its own, in truth. */
  elapse(seconds: number): Promise<void>
  /** Holds when that many sessions are kept; where the key is the data, none ever is. */
  holds(t: ExecutionContext, sessions: number): Promise<void>
  /** Holds when an expiry date is this one, as exactly as the medium keeps it. */
  expires(t: ExecutionContext, actual: Date | undefined, expected: Date, message?: string): void
  /** Holds when no session is under this key, live or expired; where the key is the data, it still holds that. */
  gone(t: ExecutionContext, sessionKey: string): Promise<void>
  /** Holds when the medium knows no such key; where the key is the data, such a one does not verify. */
  isUnknown(t: ExecutionContext, sessionKey: string): Promise<void>
  /** Holds when a session under its own old key is still found under it, unless the key is the data. */
  sameKey(t: ExecutionContext, session: Session, sessionKey: string): void
}

function testBed(subject: EngineUnderTest, traits: EngineTraits): TestBed {
  const { engine, clock } = subject
  let made = 0
  const process = (options: Partial<SessionsOptions> = {}) =>
    createSessions({ engine, rules, now: () => clock.now, ...options })
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

/** When the event loop has turned: what another request does takes that. */
async function nextTurn(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)))
}

function later({ now }: { now: Date }, seconds: number): Date {
  return new Date(now.getTime() + seconds * 1000)
}

/** A key and its JSON text, as they come back from the medium. */
function asKept({ keepsText }: EngineTraits): (item: [string, string]) => [string, string] {
  return ([key, text]) => [key, keepsText ? text : canonicalize(text)]
}

const KEY = 'abcdefgh0123456789abcdefgh012345'

function engineContract(check: Check): void {
  check('what is created is loaded, with its expiry date', async (t, bed) => {
    const { engine, clock, traits } = bed
    const session = { data: new Map([['a', '1']]), expireDate: later(clock, 60) }
    const created = await engine.create(KEY, session)
    if (traits.keepsData) t.is(created.sessionKey, KEY)
    else t.not(created.sessionKey, KEY)
    const loaded = await engine.load(created.sessionKey)
    t.like(loaded, { data: session.data, revision: created.revision })
    bed.expires(t, loaded?.expireDate, later(clock, traits.keepsExpireDate ? 60 : rules.cookieAge))
    t.is(await engine.exists(created.sessionKey), traits.keepsData)
  })

  check('an unknown key loads nothing and leaves nothing behind', async (t, { engine, isUnknown, holds }) => {
    await isUnknown(t, 'someunknownkey')
    t.false(await engine.exists('someunknownkey'))
    await holds(t, 0)
  })

  check(
    'creating under a taken key fails and leaves the session there as it was',
    async (t, bed) => {
      const { engine, clock } = bed
      const session: NewSession = { data: new Map([['mine', 'true']]), expireDate: later(clock, 60) }
      const live = await bed.make({ theirs: 'true' })
      await t.throwsAsync(engine.create(live, session), {
        instanceOf: CreateError,
        code: 'ERR_SESSION_CREATE',
      })
      t.deepEqual(await bed.stored(live), [['theirs', 'true']])
    },
    { needs: 'keepsData' },
  )

  check(
    'an expired session still takes its key',
    async (t, { engine, clock, make }) => {
      const expired = await make({}, later(clock, -60))
      const session = { data: new Map(), expireDate: later(clock, 60) }
      await t.throwsAsync(engine.create(expired, session), { instanceOf: CreateError })
      t.true(await engine.exists(expired))
    },
    { needs: 'keepsExpired' },
  )

  check('an update replaces data and expiry date', async (t, bed) => {
    const { engine, clock, traits } = bed
    const key = await bed.make({ a: '1', b: '2' })
    const before = await engine.load(key)
    const session = { data: new Map([['a', '3']]), expireDate: later(clock, 7200) }
    const updated = await engine.update(key, session, before?.revision ?? '')
    t.not(updated.revision, before?.revision)
    if (traits.keepsData) t.is(updated.sessionKey, key)
    else t.not(updated.sessionKey, key)
    const loaded = await engine.load(updated.sessionKey)
    t.like(loaded, { data: session.data, revision: updated.revision })
    bed.expires(t, loaded?.expireDate, later(clock, traits.keepsExpireDate ? 7200 : rules.cookieAge))
  })

  check('an update that changes nothing succeeds', async (t, { engine, make }) => {
    const key = await make({ a: '1' })
    const before = await engine.load(key)
    if (before === null) return t.fail()
    const { revision } = await engine.update(key, before, before.revision)
    await t.notThrowsAsync(engine.update(key, before, revision))
  })

  check(
    'an update of a deleted session fails and does not bring it back',
    async (t, bed) => {
      const { engine, make } = bed
      const key = await make({ a: '1' })
      const before = await engine.load(key)
      if (before === null) return t.fail()
      await engine.delete(key)
      const update = engine.update(key, before, before.revision)
      await t.throwsAsync(update, { instanceOf: UpdateError, code: 'ERR_SESSION_UPDATE' })
      await bed.holds(t, 0)
    },
    { needs: 'keepsData' },
  )

  check(
    'an update of a session that somebody else has written fails, and theirs stays',
    async (t, bed) => {
      const { engine, make } = bed
      const key = await make({ a: '1' })
      const seen = await engine.load(key)
      if (seen === null) return t.fail()
      await engine.update(key, { ...seen, data: new Map([['theirs', '1']]) }, seen.revision)
      const mine = engine.update(key, { ...seen, data: new Map([['mine', '1']]) }, seen.revision)
      await t.throwsAsync(mine, { instanceOf: ConflictError, code: 'ERR_SESSION_CONFLICT' })
      t.deepEqual(await bed.stored(key), [['theirs', '1']])
    },
    { needs: 'compares' },
  )

  check('deleting removes one session; deleting it again is fine', async (t, bed) => {
    const { engine, make, traits } = bed
    const [key, other] = [await make({ a: '1' }), await make({ b: '1' })]
    await engine.delete(key)
    await engine.delete(key)
    await bed.gone(t, key)
    t.is(await engine.exists(other), traits.keepsData)
    t.deepEqual(await bed.stored(other), [['b', '1']])
    await bed.holds(t, 1)
  })

  check(
    'a deletion that names a revision removes only what that revision saw',
    async (t, bed) => {
      const { engine, make } = bed
      const key = await make({ a: '1' })
      const seen = await engine.load(key)
      if (seen === null) return t.fail()
      const current = await engine.update(key, { ...seen, data: new Map([['b', '2']]) }, seen.revision)
      await t.throwsAsync(engine.delete(key, seen.revision), { instanceOf: ConflictError })
      t.deepEqual(await bed.stored(key), [['b', '2']])
      await engine.delete(key, current.revision)
      await t.throwsAsync(engine.delete(key, current.revision), { instanceOf: UpdateError })
    },
    { needs: 'compares' },
  )

  check('a session lives until its expiry date, and not longer', async (t, bed) => {
    const { engine, clock, traits } = bed
    const key = await bed.make({}, later(clock, traits.followsClock ? 60 : 1))
    t.not(await engine.load(key), null)
    if (traits.followsClock) {
      await bed.elapse(59)
      t.not(await engine.load(key), null, 'a second before it is live')
    }
    await bed.elapse(2)
    t.is(await engine.load(key), null, 'a second after it is not')
  })

  check(
    'a session expires at its expiry date, and is cleared only after it',
    async (t, bed) => {
      const { engine, clock, make } = bed
      const key = await make({}, clock.now)
      t.is(await engine.load(key), null, 'expire_date == now is expired')
      t.is(await engine.clearExpired(), 0, 'but not yet cleared')
      t.true(await engine.exists(key))
      clock.now = new Date(clock.now.getTime() - 1)
      t.not(await engine.load(key), null, 'one millisecond before it is live')
      clock.now = new Date(clock.now.getTime() + 2)
      t.is(await engine.clearExpired(), 1, 'one millisecond after it is cleared')
      t.false(await engine.exists(key))
    },
    { needs: 'keepsMilliseconds' },
  )

  check(
    'clearing removes the expired sessions, live ones stay',
    async (t, bed) => {
      const { engine, clock, make } = bed
      const live = await make({ a: '1' }, later(clock, 2))
      await make({}, later(clock, -2))
      await make({}, later(clock, -86_400))
      t.is(await engine.clearExpired(), 2)
      t.is(await engine.clearExpired(), 0)
      await bed.holds(t, 1)
      t.deepEqual(await bed.stored(live), [['a', '1']])
    },
    { needs: 'keepsExpired' },
  )

  check('a key in other letters is another key', async (t, { engine, clock, isUnknown, holds }) => {
    const session = { data: new Map([['a', '1']]), expireDate: later(clock, 60) }
    const { sessionKey } = await engine.create(KEY, session)
    const others = [sessionKey.toUpperCase(), `${sessionKey} `, `á${sessionKey.slice(1)}`]
    for (const other of [...others, ` ${sessionKey}`, `${sessionKey}x`]) await isUnknown(t, other)
    await holds(t, 1)
  })

  check('a key that no session can have is unknown', async (t, { isUnknown }) => {
    const keys = [
      '\0bcdefgh12345678',
      'a'.repeat(300),
      "' OR 1=1 -- ",
      '../../../../etc/passwd',
      'a/b/c/d/e',
      'a\\b\\c\\d\\e',
      'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'.repeat(20),
      '한글한글한글한글',
      '😀'.repeat(8),
      '\ud800'.repeat(8),
    ]
    for (const key of keys) await isUnknown(t, key)
  })

  check('values come back to the letter', async (t, { stored, make, traits }) => {
    const data: [string, string][] = [
      ['10', '1.0'],
      ['2', '1e22'],
      ['__proto__', '{"__proto__":1}'],
      ['constructor', '18446744073709551617'],
      ['', '[NaN,Infinity,-Infinity,-0.0,1e-07]'],
      ['홍길동', '"\\ud64d\\uae38\\ub3d9 \\ud83d\\ude00 \\ud83d"'],
      ['quote \' " \\ % ? :b', 'null'],
    ]
    t.deepEqual(await stored(await make(data)), data.map(asKept(traits)))
  })

  check(
    'a session of 100 kB is kept, compared and deleted like any other',
    async (t, bed) => {
      const { engine, make } = bed
      const noise = (seed: number) =>
        `"${Array.from({ length: 100_000 }, (_, at) => ((at * at * seed) % 36).toString(36)).join('')}"`
      const incompressible = Array.from({ length: 12_000 }, (_, at) => `${Math.sin(at)}`).join(',')
      const key = await make({ noise: noise(7), list: `[${incompressible}]` })
      const seen = await engine.load(key)
      if (seen === null) return t.fail()
      const isDigest = seen.revision.length <= 64
      t.true(isDigest || seen.revision.length > 50_000, `${seen.revision.length} characters are stored`)
      const updated = await engine.update(
        key,
        { ...seen, data: new Map([...seen.data, ['a', '1']]) },
        seen.revision,
      )
      await t.throwsAsync(engine.update(key, seen, seen.revision), { instanceOf: ConflictError })
      await t.throwsAsync(engine.delete(key, seen.revision), { instanceOf: ConflictError })
      t.is((await engine.load(key))?.data.size, 3)
      await engine.delete(key, updated.revision)
      t.false(await engine.exists(key))
    },
    { needs: 'compares' },
  )
}

function dictionary(check: Check): void {
  check('a new session is neither modified nor accessed, and has no key', async (t, bed) => {
    const handle = bed.process().open(undefined)
    t.like(handle, {
      modified: false,
      accessed: false,
      sessionKey: null,
      isEmpty: true,
      loaded: null,
      outcome: 'none',
    })
    await bed.holds(t, 0)
  })

  check('whatever reads a session marks it accessed, and not modified', async (t, bed) => {
    const reads: Record<string, [(session: Session) => unknown, empty: unknown, filled: unknown]> = {
      get: [(session) => session.get('x'), undefined, 1],
      has: [(session) => session.has('x'), false, true],
      keys: [(session) => session.keys(), [], ['x']],
      values: [(session) => session.values(), [], [1]],
      items: [(session) => session.items(), [], [['x', 1]]],
      iteration: [(session) => [...session], [], [['x', 1]]],
      size: [(session) => session.size, 0, 1],
      pop: [(session) => session.pop('absent', 2), 2, 2],
      getExpiryAge: [(session) => session.getExpiryAge(), rules.cookieAge, rules.cookieAge],
      testCookieWorked: [(session) => session.testCookieWorked(), false, false],
    }
    const key = await bed.make({ x: '1' })
    for (const [name, [read, ...expected]] of Object.entries(reads)) {
      for (const [at, session] of [await bed.request(), await bed.request(key)].entries()) {
        session.accessed = false
        t.deepEqual(read(session), expected[at], name)
        t.like(session, { accessed: true, modified: false }, name)
      }
    }
  })

  check('an absent key gives undefined, or the default', async (t, { request }) => {
    const session = await request()
    t.is(session.get('cat'), undefined)
    t.is(session.get('cat', 'dog'), 'dog')
    t.throws(() => session.require('cat'), { name: 'KeyError', code: 'ERR_SESSION_KEY' })
    t.throws(() => session.delete('cat'), { name: 'KeyError' })
    t.false(session.modified)
  })

  check('null is a value, not an absence', async (t, { request, make }) => {
    const session = await request(await make({ a: 'null' }))
    t.is(session.get('a', 'default'), null)
    t.is(session.require('a'), null)
    t.is(session.setDefault('a', 1), null)
    t.is(session.pop('a', 'default'), null)
  })

  check('what is set can be popped, once', async (t, { request }) => {
    const session = await request()
    session.set('cat', 'dog')
    t.true(session.modified)
    t.is(session.pop('cat'), 'dog')
    t.throws(() => session.pop('cat'), { name: 'KeyError' })
    t.is(session.pop('cat', 'default'), 'default')
  })

  check('popping an absent key with a default modifies nothing', async (t, { request }) => {
    const session = await request()
    t.is(session.pop('some key', 'does not exist'), 'does not exist')
    t.is(session.pop('some key', undefined), undefined)
    t.like(session, { accessed: true, modified: false })
  })

  check('setDefault sets an absent key only', async (t, { request, stored }) => {
    const session = await request()
    t.is(session.setDefault('foo', 'bar'), 'bar')
    t.is(session.setDefault('foo', 'baz'), 'bar')
    t.true(session.modified)
    await session.save()
    t.deepEqual(await stored(session.sessionKey), [['foo', '"bar"']])
  })

  check('update sets each key of an object', async (t, bed) => {
    const { stored } = bed
    const key = await bed.make({ a: '1' })
    const session = await bed.request(key)
    session.update({ b: 2, c: undefined })
    t.true(session.modified)
    t.is(session.get('b'), 2)
    await session.save()
    bed.sameKey(t, session, key)
    t.deepEqual(await stored(session.sessionKey), [
      ['a', '1'],
      ['b', '2'],
    ])
  })

  check('an update with nothing in it still marks the session modified', async (t, { request }) => {
    const session = await request()
    session.update({})
    t.true(session.modified)
  })

  check(
    'keys, values and items are in the order of insertion, numeric keys too',
    async (t, { request, make }) => {
      const session = await request(
        await make([
          ['10', '1'],
          ['x', '"y"'],
          ['2', '3'],
        ]),
      )
      session.set('1', 4)
      session.set('x', 5)
      t.deepEqual(session.keys(), ['10', 'x', '2', '1'])
      t.deepEqual(session.values(), [1, 5, 3, 4])
      t.deepEqual(session.items(), [
        ['10', 1],
        ['x', 5],
        ['2', 3],
        ['1', 4],
      ])
      t.deepEqual([...session], session.items())
      t.is(session.size, 4)
      t.true(session.has('2'))
      t.false(session.has('3'))
    },
  )

  check('clear empties the session and keeps its key', async (t, { request, make, stored }) => {
    const key = await make({ a: '1' })
    const session = await request(key)
    session.clear()
    t.deepEqual(session.items(), [])
    t.like(session, { modified: true, isEmpty: false, sessionKey: key })
    await session.save()
    t.deepEqual(await stored(session.sessionKey), [])
  })

  check('a value that JSON cannot hold is refused when it is set', async (t, { request }) => {
    const session = await request()
    for (const value of [new Date(), new Map(), undefined, Symbol('s')]) {
      t.throws(() => session.set('a', value), { code: 'ERR_NOT_SERIALIZABLE' })
    }
    t.false(session.has('a'))
  })

  check('a stored object is handed out as the same object each time', async (t, { request, make }) => {
    const session = await request(await make({ cart: '{"items":[]}' }))
    t.is(session.get('cart'), session.get('cart'))
    const cart = session.get('cart')
    session.set('other', 1)
    await session.save()
    t.is(session.get('cart'), cart)
    const own = { items: [1] }
    session.set('own', own)
    t.is(session.get('own'), own)
  })

  check('a change inside an object is told, but is none until modified is set', async (t, bed) => {
    const key = await bed.make({ cart: '{"items":[]}', rate: '[1.0]', seen: '[2.0]' })
    const session = await bed.request(key)
    session.get('rate')
    ;(session.get('cart') as { items: number[] }).items.push(1)
    t.false(session.modified)
    t.deepEqual(session.nestedChanges(), ['cart'])
    session.modified = true
    await session.save()
    t.deepEqual(await bed.stored(session.sessionKey), [
      ['cart', '{"items":[1]}'],
      ['rate', '[1.0]'],
      ['seen', '[2.0]'],
    ])
    t.deepEqual(session.nestedChanges(), [])
  })

  check('an explicit save stores changes inside objects, and marks only a new key', async (t, bed) => {
    const key = await bed.make({ cart: '[]' })
    const session = await bed.request(key)
    ;(session.get('cart') as number[]).push(1)
    await session.save()
    t.is(session.modified, !bed.traits.keepsData, 'as Django, whose save() changes no flag on other engines')
    t.deepEqual(await bed.stored(session.sessionKey), [['cart', '[1]']])
  })

  check('an object that was set may change until the session is saved', async (t, { request, stored }) => {
    const session = await request()
    const cart = { items: [1] }
    session.set('cart', cart)
    cart.items.push(2)
    await session.save()
    t.deepEqual(await stored(session.sessionKey), [['cart', '{"items":[1,2]}']])
    cart.items.push(3)
    session.modified = true
    await session.save()
    t.deepEqual(await stored(session.sessionKey), [['cart', '{"items":[1,2,3]}']])
  })

  check('a change inside an object that JSON cannot hold fails the save and no one else', async (t, bed) => {
    const key = await bed.make({ cart: '{}' })
    const session = await bed.request(key)
    const cart = session.get('cart') as { when?: Date }
    cart.when = new Date()
    session.set('a', 1)
    t.deepEqual(session.nestedChanges(), ['cart'])
    await t.throwsAsync(session.save(), { code: 'ERR_NOT_SERIALIZABLE' })
    delete cart.when
    await session.save()
    t.deepEqual(
      await bed.stored(session.sessionKey),
      [
        ['cart', '{}'],
        ['a', '1'],
      ],
      'nothing was lost by the failure',
    )
  })

  check('what nobody sets is written back to the letter', async (t, { request, make, stored, traits }) => {
    const data: [string, string][] = [
      ['10', '1.0'],
      ['2', '1e22'],
      ['__proto__', '{"polluted": [1e+16, 1]}'],
      ['nan', 'NaN'],
      ['big', '18446744073709551616'],
      ['zero', '-0.0'],
    ]
    const key = await make(data)
    const session = await request(key)
    for (const name of session.keys()) session.get(name)
    session.set('1', 'one')
    await session.save()
    t.deepEqual(await stored(session.sessionKey), [...data.map(asKept(traits)), ['1', '"one"']])
  })

  check('the test cookie works once it came back, and is deleted once', async (t, { request, make }) => {
    const first = await request()
    t.false(first.testCookieWorked())
    t.throws(() => first.deleteTestCookie(), { name: 'KeyError' })
    first.setTestCookie()
    await first.save()
    const second = await request(first.sessionKey ?? '')
    t.true(second.testCookieWorked())
    second.deleteTestCookie()
    t.false(second.testCookieWorked())
    t.false((await request(await make({ testcookie: '"broken"' }))).testCookieWorked())
  })
}

function lifeCycle(check: Check): void {
  check('saving a new session creates it under a key of its own', async (t, bed) => {
    const { engine, stored, traits } = bed
    const session = await bed.request()
    session.set('a', 'b')
    await session.save()
    if (traits.keepsData) t.regex(session.sessionKey ?? '', /^[a-z0-9]{32}$/)
    t.is(await engine.exists(session.sessionKey ?? ''), traits.keepsData)
    t.is(session.get('a'), 'b')
    t.is(session.outcome, 'new')
    t.deepEqual(await stored(session.sessionKey), [['a', '"b"']])
  })

  check(
    'a new session that is saved without data is kept as an empty one',
    async (t, { request, stored }) => {
      const session = await request()
      await session.save()
      t.like(session, { modified: true, isEmpty: false })
      t.deepEqual(await stored(session.sessionKey), [])
    },
  )

  check(
    'a taken key is passed over',
    async (t, bed) => {
      const { stored } = bed
      const taken = await bed.make({ theirs: '1' })
      const offered = [taken, taken, 'freefreefreefree']
      const session = await bed.request(undefined, { newSessionKey: () => offered.shift() ?? '' })
      session.set('mine', 1)
      await session.save()
      t.is(session.sessionKey, 'freefreefreefree')
      t.deepEqual(await stored(taken), [['theirs', '1']])
      await bed.holds(t, 2)
    },
    { needs: 'keepsData' },
  )

  check('an unknown key is never adopted', async (t, bed) => {
    const { process, traits } = bed
    for (const sent of ['1', '1234567', 'someunknownkey', KEY]) {
      const handle = process().open(sent)
      t.is(handle.sessionKey, isValidSessionKey(sent) ? sent : null)
      const session = await handle.load()
      t.like(handle, { sessionKey: null, isEmpty: true })
      session.set('a', 1)
      await session.save()
      if (traits.keepsData) t.regex(handle.sessionKey ?? '', /^[a-z0-9]{32}$/)
      t.not(handle.sessionKey, sent)
      t.deepEqual(await bed.stored(handle.sessionKey), [['a', '1']])
    }
    await bed.holds(t, 4)
  })

  check('an expired key is never adopted, and the expired session stays as it was', async (t, bed) => {
    const key = await bed.make({ a: '1' }, later(bed.clock, -1))
    const session = await bed.request(key)
    t.false(session.has('a'))
    session.set('b', 1)
    await session.save()
    t.not(session.sessionKey, key)
    bed.clock.now = later(bed.clock, -2)
    const { keepsExpired, keepsData } = bed.traits
    t.deepEqual(await bed.stored(key), keepsExpired || !keepsData ? [['a', '1']] : null)
  })

  check('loading gives the same session each time, with one question to the engine', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    let loads = 0
    const engine: SessionEngine = {
      ...bed.engine,
      load(sessionKey) {
        loads += 1
        return bed.engine.load(sessionKey)
      },
    }
    const handle = bed.process({ engine }).open(key)
    const [first, second] = await Promise.all([handle.load(), handle.load()])
    t.is(first, second)
    t.is(await handle.load(), first)
    t.is(handle.loaded, first)
    t.is(loads, 1)
  })

  check('keys of 8 characters are valid, shorter and empty ones count as none', async (t, { process }) => {
    t.is(process().open('12345678').sessionKey, '12345678')
    t.is(process().open('1234567').sessionKey, null)
    t.is(process().open('').sessionKey, null)
    t.true(process().open('').isEmpty)
    t.false(process().open('12345678').isEmpty, 'not known to be empty until it is loaded')
  })

  check('nobody can set the session key', async (t, { request, process }) => {
    const session = await request()
    t.throws(() => Object.assign(session, { sessionKey: KEY }), { instanceOf: TypeError })
    t.throws(() => Object.assign(process().open(undefined), { sessionKey: KEY }), { instanceOf: TypeError })
  })

  check('flush removes the session, its data and its key', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    const session = await bed.request(key)
    await session.flush()
    t.like(session, { sessionKey: null, isEmpty: true, modified: true, accessed: true, size: 0 })
    await bed.gone(t, key)
  })

  check('a flush that nobody awaits removes the session too', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    const session = await bed.request(key)
    void session.flush()
    t.is(session.sessionKey, null)
    await session.settled()
    await bed.gone(t, key)
  })

  check('what is set after a flush goes under a new key', async (t, bed) => {
    const { stored } = bed
    const key = await bed.make({ a: '1' })
    const session = await bed.request(key)
    session.set('before', 1)
    void session.flush()
    session.set('after', 1)
    await session.save()
    t.not(session.sessionKey, key)
    t.deepEqual(await stored(session.sessionKey), [['after', '1']])
    await bed.holds(t, 1)
  })

  check('a save under way does not survive a flush', async (t, bed) => {
    for (const key of [await bed.make({ a: '1' }), undefined]) {
      const flushes: Promise<void>[] = []
      const flushMeanwhile = <R>(write: Promise<R>): Promise<R> => {
        flushes.push(session.flush())
        return write
      }
      const engine: SessionEngine = {
        ...bed.engine,
        create: (...session) => flushMeanwhile(bed.engine.create(...session)),
        update: (...session) => flushMeanwhile(bed.engine.update(...session)),
      }
      const session = await bed.request(key, { engine })
      session.set('b', 2)
      await session.save()
      t.is(flushes.length, 1)
      await Promise.all(flushes)
      t.like(session, { sessionKey: null, isEmpty: true })
      await bed.holds(t, 0)
    }
  })

  check('a flush forgets the writes that wait before it', async (t, bed) => {
    let writes = 0
    const counted = <R>(write: Promise<R>): Promise<R> => {
      writes += 1
      return write
    }
    const engine: SessionEngine = {
      ...bed.engine,
      create: (...session) => counted(bed.engine.create(...session)),
      update: (...session) => counted(bed.engine.update(...session)),
    }
    const session = await bed.request(await bed.make({ a: '1' }), { engine })
    await Promise.all([session.cycleKey(), session.save(), session.flush()])
    t.is(writes, 0)
    t.like(session, { sessionKey: null, isEmpty: true })
    await bed.holds(t, 0)
  })

  check('a flush that fails is told at the end, whatever else was saved', async (t, bed) => {
    const failing: SessionEngine = {
      ...bed.engine,
      delete: () => Promise.reject(new Error('the database is away')),
    }
    const session = await bed.request(await bed.make({ a: '1' }), { engine: failing })
    void session.flush()
    session.set('b', 1)
    await session.save()
    await t.throwsAsync(session.settled(), { message: 'the database is away' })
  })

  check('cycleKey keeps the data under a new key', async (t, bed) => {
    const { stored } = bed
    const key = await bed.make({ a: '"c"', b: '"d"' })
    const session = await bed.request(key)
    session.set('e', 1)
    await session.cycleKey()
    t.not(session.sessionKey, key)
    await bed.gone(t, key)
    t.deepEqual(session.items(), [
      ['a', 'c'],
      ['b', 'd'],
      ['e', 1],
    ])
    t.deepEqual(await stored(session.sessionKey), [
      ['a', '"c"'],
      ['b', '"d"'],
      ['e', '1'],
    ])
    t.true(session.modified)
    await bed.holds(t, 1)
  })

  check('cycleKey on a new session creates it', async (t, { request, stored }) => {
    const session = await request()
    session.set('a', 1)
    await session.cycleKey()
    t.deepEqual(await stored(session.sessionKey), [['a', '1']])
  })

  check('cycleKey that nobody awaits, with changes behind it, is one session in the end', async (t, bed) => {
    const session = await bed.request(await bed.make({ a: '1' }))
    void session.cycleKey()
    session.set('b', 2)
    await session.save()
    t.deepEqual(await bed.stored(session.sessionKey), [
      ['a', '1'],
      ['b', '2'],
    ])
    await bed.holds(t, 1)
  })

  check(
    'a session deleted meanwhile is not saved, whatever the change',
    async (t, bed) => {
      const changes: ((session: Session) => void)[] = [
        (session) => session.set('a', 2),
        (session) => session.compute('a', () => 2),
        (session) => session.delete('a'),
        (session) => session.clear(),
        (session) => session.setExpiry(5),
      ]
      for (const change of changes) {
        const key = await bed.make({ a: '1' })
        const session = await bed.request(key)
        await bed.engine.delete(key)
        change(session)
        await t.throwsAsync(session.save(), { name: 'SessionInterrupted', code: 'ERR_SESSION_INTERRUPTED' })
      }
      await bed.holds(t, 0)
    },
    { needs: 'keepsData' },
  )

  check(
    'a session deleted after an explicit save is missed at the next one, changed since or not',
    async (t, bed) => {
      const writes: ((session: Session) => Promise<void>)[] = [
        (session) => session.save(),
        (session) => session.cycleKey(),
      ]
      for (const write of writes) {
        for (const key of [await bed.make({ a: '1' }), undefined]) {
          const session = await bed.request(key)
          session.set('b', 2)
          await write(session)
          await bed.engine.delete(session.sessionKey ?? '')
          await nextTurn()
          await t.throwsAsync(session.save(), { name: 'SessionInterrupted' })
          t.is(session.outcome, 'interrupted')
          t.is(await bed.engine.load(session.sessionKey ?? ''), null, 'and it is not brought back')
        }
      }
    },
    { needs: 'keepsData' },
  )

  check('the next save asks for the key once, and not in the turn of the write before', async (t, bed) => {
    let questions = 0
    let writes = 0
    const engine: SessionEngine = {
      ...bed.engine,
      exists(sessionKey) {
        questions += 1
        return bed.engine.exists(sessionKey)
      },
      update(...session) {
        writes += 1
        return bed.engine.update(...session)
      },
    }
    const session = await bed.request(await bed.make({ a: '1' }), { engine })
    session.set('b', 2)
    await session.save()
    await session.save()
    t.deepEqual([questions, writes], [0, 1])
    await nextTurn()
    await session.save()
    t.deepEqual([questions, writes], [bed.traits.keepsData ? 1 : 0, 1])
  })

  check(
    'a session deleted meanwhile does not come back under another key',
    async (t, bed) => {
      const key = await bed.make({ a: '1' })
      const session = await bed.request(key)
      await bed.engine.delete(key)
      await t.throwsAsync(session.cycleKey(), { name: 'SessionInterrupted' })
      await bed.holds(t, 0)
    },
    { needs: 'keepsData' },
  )

  check(
    'a session whose key another request has cycled is gone',
    async (t, bed) => {
      const key = await bed.make({ a: '1' })
      const [left, right] = [await bed.request(key), await bed.request(key)]
      await left.cycleKey()
      right.set('b', 1)
      await t.throwsAsync(right.save(), { name: 'SessionInterrupted' })
      await bed.holds(t, 1)
    },
    { needs: 'keepsData' },
  )

  check('a second save writes what changed since the first', async (t, { request, stored, engine }) => {
    const session = await request()
    session.set('a', 1)
    await session.save()
    const before = await engine.load(session.sessionKey ?? '')
    session.set('b', 2)
    await session.save()
    t.deepEqual(await stored(session.sessionKey), [
      ['a', '1'],
      ['b', '2'],
    ])
    t.not((await engine.load(session.sessionKey ?? ''))?.revision, before?.revision)
  })

  check('what changes while a write is under way is kept, and applied once', async (t, bed) => {
    const visits = (stored: unknown): number => Number(stored ?? 0) + 1
    const slow: SessionEngine = {
      ...bed.engine,
      async create(...session) {
        const created = await bed.engine.create(...session)
        await new Promise(setImmediate)
        return created
      },
    }
    const existing = await bed.request(await bed.make({ n: '1' }))
    const fresh = await bed.request(undefined, { engine: slow })
    fresh.set('n', 1)
    for (const session of [existing, fresh]) {
      const saving = session.save()
      await Promise.resolve()
      await Promise.resolve()
      t.is(session.compute('n', visits), 2)
      await saving
      t.is(session.get('n'), 2)
      await session.save()
      t.deepEqual(await bed.stored(session.sessionKey), [['n', '2']])
    }
  })
}

function expiry(check: Check): void {
  const expireDate = async ({ engine }: TestBed, session: Session) =>
    (await engine.load(session.sessionKey ?? ''))?.expireDate

  const expiredAtOnce = async (t: ExecutionContext, bed: TestBed, session: Session) => {
    const stored = await bed.stored(session.sessionKey)
    if (bed.traits.obeysExpiry) t.is(stored, null)
    else t.deepEqual(stored, [...session.keys().map((key) => [key, stringifyValue(session.get(key))])])
  }

  check('a session lives for the cookie age from each save', async (t, bed) => {
    const session = await bed.request()
    session.set('a', 1)
    t.is(session.getExpiryAge(), rules.cookieAge)
    await session.save()
    bed.expires(t, await expireDate(bed, session), later(bed.clock, rules.cookieAge))
    bed.clock.now = later(bed.clock, 100)
    session.set('a', 2)
    await session.save()
    bed.expires(t, await expireDate(bed, session), later(bed.clock, rules.cookieAge))
  })

  check('an expiry in seconds counts from each save', async (t, bed) => {
    const session = await bed.request()
    session.setExpiry(10)
    t.is(session.getExpiryAge(), 10)
    t.deepEqual(session.getExpiryDate(), later(bed.clock, 10))
    await session.save()
    t.deepEqual(await bed.stored(session.sessionKey), [['_session_expiry', '10']])
    bed.clock.now = later(bed.clock, 5)
    const next = await bed.request(session.sessionKey ?? '')
    next.set('a', 1)
    await next.save()
    bed.expires(t, await expireDate(bed, next), later(bed.clock, 10))
  })

  check('an expiry at a time stays there', async (t, bed) => {
    const time = later(bed.clock, 10)
    for (const value of [time, { seconds: 10 }]) {
      const session = await bed.request()
      session.setExpiry(value)
      t.is(session.getExpiryAge(), 10)
      t.deepEqual(session.getExpiryDate(), time)
      await session.save()
      t.deepEqual(await bed.stored(session.sessionKey), [
        ['_session_expiry', '"2026-11-23T08:25:22.345000+00:00"'],
      ])
      bed.expires(t, await expireDate(bed, session), time)
    }
  })

  check('an expiry is taken back', async (t, { request }) => {
    const session = await request()
    session.setExpiry(null)
    t.false(session.modified)
    session.setExpiry(10)
    session.setExpiry(null)
    t.is(session.getExpiryAge(), rules.cookieAge)
    t.false(session.has('_session_expiry'))
  })

  check('0 means until the browser closes, and the default depends on the site', async (t, { request }) => {
    for (const expireAtBrowserClose of [false, true]) {
      const session = await request(undefined, { rules: { ...rules, expireAtBrowserClose } })
      t.is(session.getExpireAtBrowserClose(), expireAtBrowserClose)
      session.setExpiry(10)
      t.false(session.getExpireAtBrowserClose())
      session.setExpiry(0)
      t.true(session.getExpireAtBrowserClose())
      t.is(session.getExpiryAge(), rules.cookieAge)
      session.setExpiry(null)
      t.is(session.getExpireAtBrowserClose(), expireAtBrowserClose)
    }
  })

  check('every form that a Django stores is understood', async (t, bed) => {
    const { traits } = bed
    const forms: [text: string, seconds: number, atBrowserClose: boolean][] = [
      ['null', rules.cookieAge, false],
      ['0', rules.cookieAge, true],
      ['false', rules.cookieAge, true],
      ['true', 1, false],
      ['300', 300, false],
      ['90.5', 90.5, false],
      ['-10', -10, false],
      ['"2026-11-23T08:30:12.345000+00:00"', 300, false],
      ['"2026-11-23T17:30:12.345+09:00"', 300, false],
      ['"2026-11-23T08:30:12.345Z"', 300, false],
    ]
    for (const [text, seconds, atBrowserClose] of forms) {
      const key = await bed.make({ _session_expiry: text })
      if (seconds < 0 && traits.obeysExpiry && !traits.keepsExpireDate) {
        t.is(await bed.stored(key), null, 'over from the start')
        continue
      }
      const session = await bed.request(key)
      t.is(session.getExpiryAge(), seconds, text)
      t.is(session.getExpireAtBrowserClose(), atBrowserClose, text)
      session.set('a', 1)
      await session.save()
      if (seconds > 0) bed.expires(t, await expireDate(bed, session), later(bed.clock, seconds), text)
      else await expiredAtOnce(t, bed, session)
    }
  })

  check('an expiry on which Django fails fails here, and the session stays as it was', async (t, bed) => {
    for (const text of ['"300"', '"2026-11-23T08:30:12"', '[]'.replace('[]', '[1]'), '1795422312345000']) {
      const key = await bed.make({ a: '1', _session_expiry: text })
      const session = await bed.request(key)
      session.set('a', 2)
      const failed = await t.throwsAsync(
        session.save().then(() => session.getExpiryAge()),
        { code: 'ERR_SESSION_EXPIRY' },
        text,
      )
      t.truthy(failed)
      session.setExpiry(300)
      await t.notThrowsAsync(session.save(), 'mended, it can be saved')
    }
  })

  check('an expiry in the past ends the session at once', async (t, bed) => {
    const session = await bed.request()
    session.set('foo', 'bar')
    session.setExpiry({ seconds: -10 })
    await session.save()
    await expiredAtOnce(t, bed, session)
    t.is((await bed.request(session.sessionKey ?? '')).has('foo'), !bed.traits.obeysExpiry)
  })
}

function merging(checkEvery: Check): void {
  const check: Check = (behaviour, body) => checkEvery(behaviour, body, { needs: 'compares' })

  /** Two requests have loaded the session when the first one saves, and then the second. */
  const race = async (
    bed: TestBed,
    data: Record<string, string>,
    first: (session: Session) => void,
    second: (session: Session) => void,
  ) => {
    const key = await bed.make(data)
    const [left, right] = [await bed.request(key), await bed.request(key)]
    first(left)
    second(right)
    await left.save()
    await right.save()
    return { stored: await bed.stored(key), left, right }
  }

  check('two requests that set different keys lose neither', async (t, bed) => {
    const { stored, left, right } = await race(
      bed,
      { a: '1.0' },
      (session) => session.set('x', 1),
      (session) => session.set('y', 2),
    )
    t.deepEqual(stored, [
      ['a', '1.0'],
      ['x', '1'],
      ['y', '2'],
    ])
    t.is(left.outcome, 'saved')
    t.is(right.outcome, 'merged')
    t.deepEqual(
      right.items(),
      [
        ['a', 1],
        ['x', 1],
        ['y', 2],
      ],
      'the second has seen the first',
    )
  })

  check('of two requests that set one key the later wins', async (t, bed) => {
    const { stored } = await race(
      bed,
      { a: '1', b: '1' },
      (session) => session.set('a', 'first'),
      (session) => session.set('a', 'second'),
    )
    t.deepEqual(stored, [
      ['a', '"second"'],
      ['b', '1'],
    ])
  })

  check('two computations on one key are both counted, and each sees its own number', async (t, bed) => {
    const visit = (session: Session) => session.compute('n', (old) => Number(old ?? 0) + 1)
    const { stored, left, right } = await race(bed, {}, visit, visit)
    t.deepEqual(stored, [['n', '2']])
    t.is(left.get('n'), 1)
    t.is(right.get('n'), 2)
  })

  check('a computation builds on what the same request did before it', async (t, bed) => {
    const { stored } = await race(
      bed,
      { n: '1', list: '[1]' },
      (session) => session.set('n', 100),
      (session) => {
        session.compute('n', (old) => Number(old) + 1)
        session.compute('n', (old) => Number(old) * 2)
        ;(session.get('list') as number[]).push(2)
        session.compute('list', (old) => [...(old as number[]), 3])
      },
    )
    t.deepEqual(stored, [
      ['n', '202'],
      ['list', '[1,2,3]'],
    ])
  })

  check(
    'a computation that gives undefined removes the key, unless there is something new by then',
    async (t, bed) => {
      const take = (session: Session) =>
        session.compute('list', (old) => {
          const left = (old as number[]).filter((item) => item > 2)
          return left.length > 0 ? left : undefined
        })
      const { stored } = await race(
        bed,
        { list: '[1,2]', gone: '[1]' },
        (session) => session.set('list', [1, 2, 3]),
        (session) => {
          t.is(take(session), undefined)
          t.false(session.has('list'))
          session.compute('gone', () => undefined)
        },
      )
      t.deepEqual(stored, [['list', '[3]']])
    },
  )

  check('deleting and popping concern their own keys only', async (t, bed) => {
    const { stored } = await race(
      bed,
      { a: '1', b: '2', c: '3' },
      (session) => session.set('d', 4),
      (session) => {
        session.delete('a')
        session.pop('b')
      },
    )
    t.deepEqual(stored, [
      ['c', '3'],
      ['d', '4'],
    ])
  })

  check('a key that both sides delete is gone, without an error', async (t, bed) => {
    const remove = (session: Session) => session.delete('a')
    t.deepEqual((await race(bed, { a: '1', b: '2' }, remove, remove)).stored, [['b', '2']])
  })

  check(
    'a key that one side deletes and the other sets is there when the setter is later',
    async (t, bed) => {
      const remove = (session: Session) => session.delete('a')
      const set = (session: Session) => session.set('a', 9)
      t.deepEqual((await race(bed, { a: '1' }, remove, set)).stored, [['a', '9']])
      t.deepEqual((await race(bed, { a: '1' }, set, remove)).stored, [])
    },
  )

  check('setDefault leaves what another request stored meanwhile', async (t, bed) => {
    const { stored, right } = await race(
      bed,
      {},
      (session) => session.set('cart', ['theirs']),
      (session) => session.setDefault('cart', []),
    )
    t.deepEqual(stored, [['cart', '["theirs"]']])
    t.deepEqual(right.get('cart'), ['theirs'])
  })

  check(
    'clear takes away what another request stored meanwhile, and not what it stores later',
    async (t, bed) => {
      const set = (session: Session) => session.set('x', 1)
      const clearAndSet = (session: Session) => {
        session.clear()
        session.set('after', 1)
      }
      t.deepEqual((await race(bed, { a: '1' }, set, clearAndSet)).stored, [['after', '1']])
      t.deepEqual((await race(bed, { a: '1' }, clearAndSet, set)).stored, [
        ['after', '1'],
        ['x', '1'],
      ])
    },
  )

  check('a change inside an object takes its own key along, and no other', async (t, bed) => {
    const { stored } = await race(
      bed,
      { cart: '{"items":[]}', rate: '1.0' },
      (session) => session.set('rate', 2.5),
      (session) => {
        session.get('rate')
        ;(session.get('cart') as { items: number[] }).items.push(1)
        session.modified = true
      },
    )
    t.deepEqual(stored, [
      ['cart', '{"items":[1]}'],
      ['rate', '2.5'],
    ])
  })

  check('a request that changes nothing takes nothing away by being saved', async (t, bed) => {
    const { stored } = await race(
      bed,
      { a: '1' },
      (session) => session.set('x', 1),
      () => {},
    )
    t.deepEqual(stored, [
      ['a', '1'],
      ['x', '1'],
    ])
  })

  check('an expiry that another request set meanwhile decides', async (t, bed) => {
    const { stored, right } = await race(
      bed,
      {},
      (session) => session.setExpiry(60),
      (session) => session.set('x', 1),
    )
    t.deepEqual(stored, [
      ['_session_expiry', '60'],
      ['x', '1'],
    ])
    t.is(right.getExpiryAge(), 60)
    const loaded = await bed.engine.load(right.sessionKey ?? '')
    bed.expires(t, loaded?.expireDate, later(bed.clock, 60))
  })

  check('cycleKey carries along what another request saved under the old key', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    const [left, right] = [await bed.request(key), await bed.request(key)]
    left.set('x', 1)
    await left.save()
    right.set('user', 7)
    await right.cycleKey()
    t.is(await bed.stored(key), null)
    t.deepEqual(await bed.stored(right.sessionKey), [
      ['a', '1'],
      ['x', '1'],
      ['user', '7'],
    ])
    await bed.holds(t, 1)
    t.is(right.outcome, 'merged')
  })

  check('a session that is written and then deleted meanwhile stays deleted', async (t, bed) => {
    const logouts: string[] = []
    const key = await bed.make({ a: '1' })
    const session = await bed.request(key, {
      engine: {
        ...bed.engine,
        async load(sessionKey) {
          for (const loggedOut of logouts) await bed.engine.delete(loggedOut)
          return bed.engine.load(sessionKey)
        },
      },
    })
    const other = await bed.request(key)
    logouts.push(key)
    other.set('b', 1)
    await other.save()
    session.set('c', 1)
    await t.throwsAsync(session.save(), { name: 'SessionInterrupted' })
    await bed.holds(t, 0)
  })

  check('a save that others always beat gives up in the end, and says so', async (t, bed) => {
    const key = await bed.make({ n: '0' })
    let conflicts = 0
    const session = await bed.request(key, {
      conflictTimeout: 20,
      onConflict: () => {
        conflicts += 1
      },
      engine: {
        ...bed.engine,
        async update(...update) {
          const current = await bed.engine.load(key)
          const data = new Map([['n', String(conflicts + 1)]])
          if (current !== null) await bed.engine.update(key, { ...current, data }, current.revision)
          return bed.engine.update(...update)
        },
      },
    })
    session.set('mine', 1)
    await t.throwsAsync(session.save(), { code: 'ERR_SESSION_CONFLICT_TIMEOUT' })
    t.true(conflicts > 0)
    t.deepEqual(await bed.stored(key), [['n', String(conflicts)]])
  })

  check('eight processes that count at once lose nothing', async (t, bed) => {
    const key = await bed.make({ other: '1.0' })
    const numbers = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const sessions = bed.process({ conflictTimeout: 60_000 })
        const seen: unknown[] = []
        for (let visit = 0; visit < 5; visit += 1) {
          const session = await sessions.open(key).load()
          session.compute('n', (old) => Number(old ?? 0) + 1)
          await session.save()
          seen.push(session.get('n'))
        }
        return seen
      }),
    )
    t.deepEqual(
      numbers
        .flat()
        .map(Number)
        .sort((a, b) => a - b),
      Array.from({ length: 40 }, (_, at) => at + 1),
    )
    t.deepEqual(await bed.stored(key), [
      ['other', '1.0'],
      ['n', '40'],
    ])
  })
}

function queueing(check: Check): void {
  check(
    'many requests of one process that count at once are exact, in few writes',
    async (t, bed) => {
      const key = await bed.make()
      let updates = 0
      const sessions = bed.process({
        engine: {
          ...bed.engine,
          update(...update) {
            updates += 1
            return bed.engine.update(...update)
          },
        },
      })
      const numbers = await Promise.all(
        Array.from({ length: 50 }, async () => {
          const session = await sessions.open(key).load()
          session.compute('n', (old) => Number(old ?? 0) + 1)
          await session.save()
          return Number(session.get('n'))
        }),
      )
      t.deepEqual(
        numbers.sort((a, b) => a - b),
        Array.from({ length: 50 }, (_, at) => at + 1),
      )
      t.deepEqual(await bed.stored(key), [['n', '50']])
      t.true(updates < 50, `${updates} updates for 50 requests`)
    },
    { needs: 'keepsData' },
  )

  /** Requests of one process that have all loaded, changed and then save at once. */
  const together = async (
    bed: TestBed,
    key: string,
    changes: ((session: Session) => void)[],
    options?: Partial<SessionsOptions>,
  ) => {
    const sessions = bed.process(options)
    const loaded = await Promise.all(changes.map(() => sessions.open(key).load()))
    for (const [at, change] of changes.entries()) {
      const session = loaded[at]
      if (session !== undefined) change(session)
    }
    return Promise.allSettled(loaded.map((session) => session.save()))
  }

  check(
    'a change that cannot be stored fails its own request only',
    async (t, bed) => {
      const key = await bed.make({ n: '1' })
      const onlyOnce = () => {
        let calls = 0
        return (session: Session) =>
          session.compute('n', () => {
            calls += 1
            if (calls > 1) throw new RangeError('not again')
            return 100
          })
      }
      const count = (session: Session) => session.compute('n', (old) => Number(old) + 1)
      const results = await together(bed, key, [
        count,
        count,
        onlyOnce(),
        (session) => session.set('_session_expiry', 'never'),
        count,
      ])
      t.deepEqual(
        results.map((result) => (result.status === 'rejected' ? result.reason.name : 'saved')),
        ['saved', 'saved', 'RangeError', 'InvalidSessionExpiry', 'saved'],
      )
      t.deepEqual(await bed.stored(key), [['n', '4']])
    },
    { needs: 'keepsData' },
  )

  check(
    'all who wait for a session that is deleted are told',
    async (t, bed) => {
      const key = await bed.make({ n: '1' })
      const set = (session: Session) => session.set('a', 1)
      const sessions = bed.process()
      const loaded = await Promise.all([1, 2, 3].map(() => sessions.open(key).load()))
      await bed.engine.delete(key)
      loaded.forEach(set)
      const results = await Promise.allSettled(loaded.map((session) => session.save()))
      for (const result of results) {
        t.is(result.status === 'rejected' && result.reason.code, 'ERR_SESSION_INTERRUPTED')
      }
      await bed.holds(t, 0)
    },
    { needs: 'keepsData' },
  )

  check(
    'the requests of a queue see each other in their order, and do not get in their own way',
    async (t, bed) => {
      const key = await bed.make()
      let conflicts = 0
      const onConflict = () => {
        conflicts += 1
      }
      const changes = ['a', 'b', 'c', 'd'].map((name) => (session: Session) => {
        session.set(name, 1)
        session.set('last', name)
      })
      const results = await together(bed, key, changes, { onConflict })
      t.true(results.every(({ status }) => status === 'fulfilled'))
      t.deepEqual(await bed.stored(key), [
        ['a', '1'],
        ['last', '"d"'],
        ['b', '1'],
        ['c', '1'],
        ['d', '1'],
      ])
      t.is(conflicts, 0)
    },
    { needs: 'keepsData' },
  )

  check('after a failure the queue goes on', async (t, bed) => {
    const key = await bed.make({ n: '1' })
    const failures = [new Error('the database is away')]
    const sessions = bed.process({
      engine: {
        ...bed.engine,
        update(...update) {
          const failure = failures.pop()
          return failure === undefined ? bed.engine.update(...update) : Promise.reject(failure)
        },
      },
    })
    const session = await sessions.open(key).load()
    session.set('a', 1)
    await t.throwsAsync(session.save(), { message: 'the database is away' })
    await session.save()
    await t.notThrowsAsync(session.settled(), 'the second write made up for the first')
    t.deepEqual(await bed.stored(session.sessionKey), [
      ['n', '1'],
      ['a', '1'],
    ])
  })
}

/** What signed_cookies does instead of keeping anything: see EngineTraits. */
function whereTheKeyIsTheData(check: Check): void {
  check('no key is taken: two that are created under one offered key are two', async (t, bed) => {
    const { engine, clock } = bed
    const create = (json: string) =>
      engine.create(KEY, { data: new Map([['a', json]]), expireDate: later(clock, 60) })
    const [one, two] = [await create('1'), await create('2')]
    t.not(one.sessionKey, two.sessionKey)
    t.deepEqual(await bed.stored(one.sessionKey), [['a', '1']])
    t.deepEqual(await bed.stored(two.sessionKey), [['a', '2']])
  })

  check('a save gives another key, and the one before it still holds what it held', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    const session = await bed.request(key)
    session.set('a', 2)
    await session.save()
    bed.sameKey(t, session, key)
    t.deepEqual(await bed.stored(key), [['a', '1']])
    t.deepEqual(await bed.stored(session.sessionKey), [['a', '2']])
  })

  check('a session cannot be deleted: whoever kept its key has it still, and may save it', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    const [left, right] = [await bed.request(key), await bed.request(key)]
    await left.flush()
    t.like(left, { sessionKey: null, isEmpty: true })
    right.set('b', 1)
    await right.save()
    t.deepEqual(await bed.stored(right.sessionKey), [
      ['a', '1'],
      ['b', '1'],
    ])
    await right.cycleKey()
    t.deepEqual(await bed.stored(key), [['a', '1']])
  })

  check('there is nothing to clear', async (t, bed) => {
    await bed.make({}, later(bed.clock, -60))
    t.is(await bed.engine.clearExpired(), 0)
  })

  check('what is more than a browser keeps is refused, and nothing is cut off', async (t, bed) => {
    const session = await bed.request(await bed.make({ a: '1' }))
    const { sessionKey } = session
    session.set(
      'noise',
      Array.from({ length: 1000 }, (_, at) => Math.sin(at)),
    )
    await t.throwsAsync(session.save(), { code: 'ERR_SESSION_COOKIE_TOO_LARGE' })
    t.is(session.sessionKey, sessionKey)
    session.delete('noise')
    await t.notThrowsAsync(session.save())
    t.deepEqual(await bed.stored(session.sessionKey), [['a', '1']])
  })
}

/** What an engine does that cannot compare, when two requests have loaded one session. */
function whereTheLaterWins(check: Check): void {
  check(
    'of two requests the later wins, whole: as in Django, what the other one set is gone',
    async (t, bed) => {
      const key = await bed.make({ a: '1.0', n: '5' })
      const [left, right] = [await bed.request(key), await bed.request(key)]
      left.set('x', 1)
      left.compute('n', (old) => Number(old) + 1)
      right.set('y', 2)
      right.compute('n', (old) => Number(old) + 1)
      await left.save()
      await right.save()
      t.is(right.outcome, 'saved')
      t.deepEqual(await bed.stored(right.sessionKey), [
        ['a', '1.0'],
        ['n', '6'],
        ['y', '2'],
      ])
    },
  )

  check('a request that only saves writes back what it loaded', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    const [left, right] = [await bed.request(key), await bed.request(key)]
    left.set('x', 1)
    await left.save()
    await right.save()
    t.deepEqual(await bed.stored(right.sessionKey), [['a', '1']])
  })

  check('cycleKey carries along what it loaded, and no more', async (t, bed) => {
    const key = await bed.make({ a: '1' })
    const [left, right] = [await bed.request(key), await bed.request(key)]
    left.set('x', 1)
    await left.save()
    right.set('user', 7)
    await right.cycleKey()
    t.deepEqual(await bed.stored(right.sessionKey), [
      ['a', '1'],
      ['user', '7'],
    ])
  })
}

/** What a medium does that forgets by itself. */
function whereTheExpiredAreGone(check: Check): void {
  check(
    'an expired session is gone by itself: its key is free, and nothing is left to clear',
    async (t, bed) => {
      const { engine, clock } = bed
      const key = await bed.make({ a: '1' }, later(clock, -60))
      await bed.gone(t, key)
      t.is(await engine.clearExpired(), 0)
      const session = { data: new Map([['b', '2']]), expireDate: later(clock, 60) }
      await t.notThrowsAsync(engine.create(key, session))
      t.deepEqual(await bed.stored(key), [['b', '2']])
    },
  )
}

/** What signed_cookies does with an expiry of the session's own: Django's ticket 19201. */
function whereOnlyTheCookieAgeEnds(check: Check): void {
  check('a session outlives its own expiry until SESSION_COOKIE_AGE is over', async (t, bed) => {
    const session = await bed.request()
    session.setExpiry(10)
    await session.save()
    await bed.elapse(rules.cookieAge - 1)
    t.deepEqual(await bed.stored(session.sessionKey), [['_session_expiry', '10']])
    await bed.elapse(2)
    t.is(await bed.stored(session.sessionKey), null)
  })
}
