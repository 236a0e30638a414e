import type { Session } from '../../../src/session/session.ts'
import { type Check, later, type TestBed } from './test-bed.ts'

/** Requests of several processes that change one session at the same time. */
export const merging: readonly Check[] = [
  {
    behaviour: 'two requests that set different keys lose neither',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'of two requests that set one key the later wins',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'two requests that change different members of an object lose neither',
    async check(t, bed) {
      const buy = (what: string) => (session: Session) => {
        ;(session.get('cart') as Record<string, number>)[what] = 1
        session.modified = true
      }
      const { stored } = await race(bed, { cart: '{"tea":2}' }, buy('jam'), buy('rye'))
      t.deepEqual(stored, [['cart', '{"tea":2,"jam":1,"rye":1}']])
    },
  },
  {
    behaviour: 'a key that two requests set is merged by its policy',
    async check(t, bed) {
      const merge = { n: 'add', list: 'union', once: 'fail' } as const
      const key = await bed.make({ n: '9007199254740993', list: '["a","b"]', once: '1' })
      const [left, right] = [await bed.request(key, { merge }), await bed.request(key, { merge })]
      left.set('n', BigInt(left.get('n') as bigint) + 2n)
      left.set('list', ['b', 'c'])
      await left.save()
      right.set('n', BigInt(right.get('n') as bigint) + 3n)
      right.set('list', ['a', 'b', 'd'])
      await right.save()
      t.deepEqual(await bed.stored(key), [
        ['n', '9007199254740998'],
        ['list', '["b","c","d"]'],
        ['once', '1'],
      ])
      left.set('once', 2)
      right.set('once', 3)
      await left.save()
      await t.throwsAsync(right.save(), { code: 'ERR_SESSION_MERGE_CONFLICT' })
      t.deepEqual((await bed.stored(key))?.at(-1), ['once', '2'])
    },
  },
  {
    behaviour: 'two computations on one key are both counted, and each sees its own number',
    async check(t, bed) {
      const visit = (session: Session) => session.compute('n', (old) => Number(old ?? 0) + 1)
      const { stored, left, right } = await race(bed, {}, visit, visit)
      t.deepEqual(stored, [['n', '2']])
      t.is(left.get('n'), 1)
      t.is(right.get('n'), 2)
    },
  },
  {
    behaviour: 'a computation builds on what the same request did before it',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a computation that gives undefined removes the key, unless there is something new by then',
    async check(t, bed) {
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
  },
  {
    behaviour: 'deleting and popping concern their own keys only',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a key that both sides delete is gone, without an error',
    async check(t, bed) {
      const remove = (session: Session) => session.delete('a')
      t.deepEqual((await race(bed, { a: '1', b: '2' }, remove, remove)).stored, [['b', '2']])
    },
  },
  {
    behaviour: 'a key that one side deletes and the other sets is there when the setter is later',
    async check(t, bed) {
      const remove = (session: Session) => session.delete('a')
      const set = (session: Session) => session.set('a', 9)
      t.deepEqual((await race(bed, { a: '1' }, remove, set)).stored, [['a', '9']])
      t.deepEqual((await race(bed, { a: '1' }, set, remove)).stored, [])
    },
  },
  {
    behaviour: 'setDefault leaves what another request stored meanwhile',
    async check(t, bed) {
      const { stored, right } = await race(
        bed,
        {},
        (session) => session.set('cart', ['theirs']),
        (session) => session.setDefault('cart', []),
      )
      t.deepEqual(stored, [['cart', '["theirs"]']])
      t.deepEqual(right.get('cart'), ['theirs'])
    },
  },
  {
    behaviour: 'clear takes away what another request stored meanwhile, and not what it stores later',
    async check(t, bed) {
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
  },
  {
    behaviour: 'a change inside an object takes its own key along, and no other',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a request that changes nothing takes nothing away by being saved',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'an expiry that another request set meanwhile decides',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'cycleKey carries along what another request saved under the old key',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a session that is written and then deleted meanwhile stays deleted',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a save that others always beat gives up in the end, and says so',
    async check(t, bed) {
      const key = await bed.make({ n: '0' })
      let conflicts = 0
      const session = await bed.request(key, {
        conflictTimeout: 20,
        events: {
          conflict: () => {
            conflicts += 1
          },
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
    },
  },
  {
    behaviour: 'eight processes that count at once lose nothing',
    async check(t, bed) {
      const key = await bed.make({ other: '1.0' })
      const numbers = await Promise.all(
        Array.from({ length: 8 }, async () => {
          const sessions = bed.process()
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
    },
  },
]

/** Two requests have loaded the session when the first one saves, and then the second. */
async function race(
  bed: TestBed,
  data: Record<string, string>,
  first: (session: Session) => void,
  second: (session: Session) => void,
): Promise<{ stored: [string, string][] | null; left: Session; right: Session }> {
  const key = await bed.make(data)
  const [left, right] = [await bed.request(key), await bed.request(key)]
  first(left)
  second(right)
  await left.save()
  await right.save()
  return { stored: await bed.stored(key), left, right }
}
