import { ConflictError, CreateError, type NewSession, UpdateError } from '../../../src/session/engine.ts'
import { rules } from './engine-under-test.ts'
import { asKept, type Check, later } from './test-bed.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'

/** What `SessionEngine` promises. */
export const engineContract: readonly Check[] = [
  {
    behaviour: 'what is created is loaded, with its expiry date',
    async check(t, bed) {
      const { engine, clock, traits } = bed
      const session = { data: new Map([['a', '1']]), expireDate: later(clock, 60) }
      const created = await engine.create(KEY, session)
      if (traits.keepsData) t.is(created.sessionKey, KEY)
      else t.not(created.sessionKey, KEY)
      const loaded = await engine.load(created.sessionKey)
      t.like(loaded, { data: session.data, revision: created.revision })
      bed.expires(t, loaded?.expireDate, later(clock, traits.keepsExpireDate ? 60 : rules.cookieAge))
      t.is(await engine.exists(created.sessionKey), traits.keepsData)
    },
  },
  {
    behaviour: 'an unknown key loads nothing and leaves nothing behind',
    async check(t, { engine, isUnknown, holds }) {
      await isUnknown(t, 'someunknownkey')
      t.false(await engine.exists('someunknownkey'))
      await holds(t, 0)
    },
  },
  {
    behaviour: 'creating under a taken key fails and leaves the session there as it was',
    needs: 'keepsData',
    async check(t, bed) {
      const { engine, clock } = bed
      const session: NewSession = { data: new Map([['mine', 'true']]), expireDate: later(clock, 60) }
      const live = await bed.make({ theirs: 'true' })
      await t.throwsAsync(engine.create(live, session), {
        instanceOf: CreateError,
        code: 'ERR_SESSION_CREATE',
      })
      t.deepEqual(await bed.stored(live), [['theirs', 'true']])
    },
  },
  {
    behaviour: 'an expired session still takes its key',
    needs: 'keepsExpired',
    async check(t, { engine, clock, make }) {
      const expired = await make({}, later(clock, -60))
      const session = { data: new Map(), expireDate: later(clock, 60) }
      await t.throwsAsync(engine.create(expired, session), { instanceOf: CreateError })
      t.true(await engine.exists(expired))
    },
  },
  {
    behaviour: 'an update replaces data and expiry date',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'an update that changes nothing succeeds',
    async check(t, { engine, make }) {
      const key = await make({ a: '1' })
      const before = await engine.load(key)
      if (before === null) return t.fail()
      const { revision } = await engine.update(key, before, before.revision)
      await t.notThrowsAsync(engine.update(key, before, revision))
    },
  },
  {
    behaviour: 'an update of a deleted session fails and does not bring it back',
    needs: 'keepsData',
    async check(t, bed) {
      const { engine, make } = bed
      const key = await make({ a: '1' })
      const before = await engine.load(key)
      if (before === null) return t.fail()
      await engine.delete(key)
      const update = engine.update(key, before, before.revision)
      await t.throwsAsync(update, { instanceOf: UpdateError, code: 'ERR_SESSION_UPDATE' })
      await bed.holds(t, 0)
    },
  },
  {
    behaviour: 'an update of a session that somebody else has written fails, and theirs stays',
    needs: 'compares',
    async check(t, bed) {
      const { engine, make } = bed
      const key = await make({ a: '1' })
      const seen = await engine.load(key)
      if (seen === null) return t.fail()
      await engine.update(key, { ...seen, data: new Map([['theirs', '1']]) }, seen.revision)
      const mine = engine.update(key, { ...seen, data: new Map([['mine', '1']]) }, seen.revision)
      await t.throwsAsync(mine, { instanceOf: ConflictError, code: 'ERR_SESSION_CONFLICT' })
      t.deepEqual(await bed.stored(key), [['theirs', '1']])
    },
  },
  {
    behaviour: 'deleting removes one session; deleting it again is fine',
    async check(t, bed) {
      const { engine, make, traits } = bed
      const [key, other] = [await make({ a: '1' }), await make({ b: '1' })]
      await engine.delete(key)
      await engine.delete(key)
      await bed.gone(t, key)
      t.is(await engine.exists(other), traits.keepsData)
      t.deepEqual(await bed.stored(other), [['b', '1']])
      await bed.holds(t, 1)
    },
  },
  {
    behaviour: 'a deletion that names a revision removes only what that revision saw',
    needs: 'compares',
    async check(t, bed) {
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
  },
  {
    behaviour: 'a session lives until its expiry date, and not longer',
    async check(t, bed) {
      const { engine, clock, traits } = bed
      const key = await bed.make({}, later(clock, traits.followsClock ? 60 : 1))
      t.not(await engine.load(key), null)
      if (traits.followsClock) {
        await bed.elapse(59)
        t.not(await engine.load(key), null, 'a second before it is live')
      }
      await bed.elapse(2)
      t.is(await engine.load(key), null, 'a second after it is not')
    },
  },
  {
    behaviour: 'a session expires at its expiry date, and is cleared only after it',
    needs: 'keepsMilliseconds',
    async check(t, bed) {
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
  },
  {
    behaviour: 'clearing removes the expired sessions, live ones stay',
    needs: 'keepsExpired',
    async check(t, bed) {
      const { engine, clock, make } = bed
      const live = await make({ a: '1' }, later(clock, 2))
      await make({}, later(clock, -2))
      await make({}, later(clock, -86_400))
      t.is(await engine.clearExpired(), 2)
      t.is(await engine.clearExpired(), 0)
      await bed.holds(t, 1)
      t.deepEqual(await bed.stored(live), [['a', '1']])
    },
  },
  {
    behaviour: 'a key in other letters is another key',
    async check(t, { engine, clock, isUnknown, holds }) {
      const session = { data: new Map([['a', '1']]), expireDate: later(clock, 60) }
      const { sessionKey } = await engine.create(KEY, session)
      const others = [sessionKey.toUpperCase(), `${sessionKey} `, `á${sessionKey.slice(1)}`]
      for (const other of [...others, ` ${sessionKey}`, `${sessionKey}x`]) await isUnknown(t, other)
      await holds(t, 1)
    },
  },
  {
    behaviour: 'a key that no session can have is unknown',
    async check(t, { isUnknown }) {
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
    },
  },
  {
    behaviour: 'values come back to the letter',
    async check(t, { stored, make, traits }) {
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
    },
  },
  {
    behaviour: 'a session of 100 kB is kept, compared and deleted like any other',
    needs: 'compares',
    async check(t, bed) {
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
  },
]
