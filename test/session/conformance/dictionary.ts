import type { Session } from '../../../src/session/session.ts'
import { rules } from './engine-under-test.ts'
import { asKept, type Check } from './test-bed.ts'

/** A session as a dictionary. */
export const dictionary: readonly Check[] = [
  {
    behaviour: 'a new session is neither modified nor accessed, and has no key',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'whatever reads a session marks it accessed, and not modified',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'an absent key gives undefined, or the default',
    async check(t, { request }) {
      const session = await request()
      t.is(session.get('cat'), undefined)
      t.is(session.get('cat', 'dog'), 'dog')
      t.throws(() => session.require('cat'), { name: 'KeyError', code: 'ERR_SESSION_KEY' })
      t.throws(() => session.delete('cat'), { name: 'KeyError' })
      t.false(session.modified)
    },
  },
  {
    behaviour: 'null is a value, not an absence',
    async check(t, { request, make }) {
      const session = await request(await make({ a: 'null' }))
      t.is(session.get('a', 'default'), null)
      t.is(session.require('a'), null)
      t.is(session.setDefault('a', 1), null)
      t.is(session.pop('a', 'default'), null)
    },
  },
  {
    behaviour: 'what is set can be popped, once',
    async check(t, { request }) {
      const session = await request()
      session.set('cat', 'dog')
      t.true(session.modified)
      t.is(session.pop('cat'), 'dog')
      t.throws(() => session.pop('cat'), { name: 'KeyError' })
      t.is(session.pop('cat', 'default'), 'default')
    },
  },
  {
    behaviour: 'popping an absent key with a default modifies nothing',
    async check(t, { request }) {
      const session = await request()
      t.is(session.pop('some key', 'does not exist'), 'does not exist')
      t.is(session.pop('some key', undefined), undefined)
      t.like(session, { accessed: true, modified: false })
    },
  },
  {
    behaviour: 'setDefault sets an absent key only',
    async check(t, { request, stored }) {
      const session = await request()
      t.is(session.setDefault('foo', 'bar'), 'bar')
      t.is(session.setDefault('foo', 'baz'), 'bar')
      t.true(session.modified)
      await session.save()
      t.deepEqual(await stored(session.sessionKey), [['foo', '"bar"']])
    },
  },
  {
    behaviour: 'update sets each key of an object',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'an update with nothing in it still marks the session modified',
    async check(t, { request }) {
      const session = await request()
      session.update({})
      t.true(session.modified)
    },
  },
  {
    behaviour: 'keys, values and items are in the order of insertion, numeric keys too',
    async check(t, { request, make }) {
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
  },
  {
    behaviour: 'clear empties the session and keeps its key',
    async check(t, { request, make, stored }) {
      const key = await make({ a: '1' })
      const session = await request(key)
      session.clear()
      t.deepEqual(session.items(), [])
      t.like(session, { modified: true, isEmpty: false, sessionKey: key })
      await session.save()
      t.deepEqual(await stored(session.sessionKey), [])
    },
  },
  {
    behaviour: 'a value that JSON cannot hold is refused when it is set',
    async check(t, { request }) {
      const session = await request()
      for (const value of [new Date(), new Map(), undefined, Symbol('s')]) {
        t.throws(() => session.set('a', value), { code: 'ERR_NOT_SERIALIZABLE' })
      }
      t.false(session.has('a'))
    },
  },
  {
    behaviour: 'a stored object is handed out as the same object each time',
    async check(t, { request, make }) {
      const session = await request(await make({ cart: '{"items":[]}' }))
      t.is(session.get('cart'), session.get('cart'))
      const cart = session.get('cart')
      session.set('other', 1)
      await session.save()
      t.is(session.get('cart'), cart)
      const own = { items: [1] }
      session.set('own', own)
      t.is(session.get('own'), own)
    },
  },
  {
    behaviour: 'a change inside an object is told, but is none until modified is set',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'an explicit save stores changes inside objects, and marks only a new key',
    async check(t, bed) {
      const key = await bed.make({ cart: '[]' })
      const session = await bed.request(key)
      ;(session.get('cart') as number[]).push(1)
      await session.save()
      t.is(
        session.modified,
        !bed.traits.keepsData,
        'as Django, whose save() changes no flag on other engines',
      )
      t.deepEqual(await bed.stored(session.sessionKey), [['cart', '[1]']])
    },
  },
  {
    behaviour: 'an object that was set may change until the session is saved',
    async check(t, { request, stored }) {
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
    },
  },
  {
    behaviour: 'a change inside an object that JSON cannot hold fails the save and no one else',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'what nobody sets is written back to the letter',
    async check(t, { request, make, stored, traits }) {
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
    },
  },
  {
    behaviour: 'the test cookie works once it came back, and is deleted once',
    async check(t, { request, make }) {
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
    },
  },
]
