import { rules } from './engine-under-test.ts'
import { type Check, later } from './test-bed.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'

/** What signed_cookies does instead of keeping anything (`keepsData`). */
export const withoutKeptData: readonly Check[] = [
  {
    behaviour: 'no key is taken: two that are created under one offered key are two',
    async check(t, bed) {
      const { engine, clock } = bed
      const create = (json: string) =>
        engine.create(KEY, { data: new Map([['a', json]]), expireDate: later(clock, 60) })
      const [one, two] = [await create('1'), await create('2')]
      t.not(one.sessionKey, two.sessionKey)
      t.deepEqual(await bed.stored(one.sessionKey), [['a', '1']])
      t.deepEqual(await bed.stored(two.sessionKey), [['a', '2']])
    },
  },
  {
    behaviour: 'a save gives another key, and the one before it still holds what it held',
    async check(t, bed) {
      const key = await bed.make({ a: '1' })
      const session = await bed.request(key)
      session.set('a', 2)
      await session.save()
      bed.sameKey(t, session, key)
      t.deepEqual(await bed.stored(key), [['a', '1']])
      t.deepEqual(await bed.stored(session.sessionKey), [['a', '2']])
    },
  },
  {
    behaviour: 'a session cannot be deleted: whoever kept its key has it still, and may save it',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'there is nothing to clear',
    async check(t, bed) {
      await bed.make({}, later(bed.clock, -60))
      t.is(await bed.engine.clearExpired(), 0)
    },
  },
  {
    behaviour: 'what is more than a browser keeps is refused, and nothing is cut off',
    async check(t, bed) {
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
    },
  },
]

/** What an engine that cannot compare does when two requests have loaded one session (`compares`). */
export const withoutComparing: readonly Check[] = [
  {
    behaviour: 'of two requests the later wins, whole: as in Django, what the other one set is gone',
    async check(t, bed) {
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
  },
  {
    behaviour: 'a request that only saves writes back what it loaded',
    async check(t, bed) {
      const key = await bed.make({ a: '1' })
      const [left, right] = [await bed.request(key), await bed.request(key)]
      left.set('x', 1)
      await left.save()
      await right.save()
      t.deepEqual(await bed.stored(right.sessionKey), [['a', '1']])
    },
  },
  {
    behaviour: 'cycleKey carries along what it loaded, and no more',
    async check(t, bed) {
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
    },
  },
]

/** What a medium does that removes expired sessions by itself (`keepsExpired`). */
export const withoutExpiredRows: readonly Check[] = [
  {
    behaviour: 'an expired session is gone by itself: its key is free, and nothing is left to clear',
    async check(t, bed) {
      const { engine, clock } = bed
      const key = await bed.make({ a: '1' }, later(clock, -60))
      await bed.gone(t, key)
      t.is(await engine.clearExpired(), 0)
      const session = { data: new Map([['b', '2']]), expireDate: later(clock, 60) }
      await t.notThrowsAsync(engine.create(key, session))
      t.deepEqual(await bed.stored(key), [['b', '2']])
    },
  },
]

/** What signed_cookies does with a session's own expiry: Django's ticket 19201 (`obeysExpiry`). */
export const withoutOwnExpiry: readonly Check[] = [
  {
    behaviour: 'a session outlives its own expiry until SESSION_COOKIE_AGE is over',
    async check(t, bed) {
      const session = await bed.request()
      session.setExpiry(10)
      await session.save()
      await bed.elapse(rules.cookieAge - 1)
      t.deepEqual(await bed.stored(session.sessionKey), [['_session_expiry', '10']])
      await bed.elapse(2)
      t.is(await bed.stored(session.sessionKey), null)
    },
  },
]
