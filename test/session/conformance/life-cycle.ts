import { isValidSessionKey } from '../../../src/django/session-key.ts'
import type { SessionEngine } from '../../../src/session/engine.ts'
import type { Session } from '../../../src/session/session.ts'
import { type Check, later, nextTurn } from './test-bed.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'

/** How a session begins, is saved, changes its key and ends. */
export const lifeCycle: readonly Check[] = [
  {
    behaviour: 'saving a new session creates it under a key of its own',
    async check(t, bed) {
      const { engine, stored, traits } = bed
      const session = await bed.request()
      session.set('a', 'b')
      await session.save()
      if (traits.keepsData) t.regex(session.sessionKey ?? '', /^[a-z0-9]{32}$/)
      t.is(await engine.exists(session.sessionKey ?? ''), traits.keepsData)
      t.is(session.get('a'), 'b')
      t.is(session.outcome, 'new')
      t.deepEqual(await stored(session.sessionKey), [['a', '"b"']])
    },
  },
  {
    behaviour: 'a new session that is saved without data is kept as an empty one',
    async check(t, { request, stored }) {
      const session = await request()
      await session.save()
      t.like(session, { modified: true, isEmpty: false })
      t.deepEqual(await stored(session.sessionKey), [])
    },
  },
  {
    behaviour: 'a taken key is passed over',
    needs: 'keepsData',
    async check(t, bed) {
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
  },
  {
    behaviour: 'an unknown key is never adopted',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'an expired key is never adopted, and the expired session stays as it was',
    async check(t, bed) {
      const key = await bed.make({ a: '1' }, later(bed.clock, -1))
      const session = await bed.request(key)
      t.false(session.has('a'))
      session.set('b', 1)
      await session.save()
      t.not(session.sessionKey, key)
      bed.clock.now = later(bed.clock, -2)
      const { keepsExpired, keepsData } = bed.traits
      t.deepEqual(await bed.stored(key), keepsExpired || !keepsData ? [['a', '1']] : null)
    },
  },
  {
    behaviour: 'loading gives the same session each time, with one question to the engine',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'keys of 8 characters are valid, shorter and empty ones count as none',
    async check(t, { process }) {
      t.is(process().open('12345678').sessionKey, '12345678')
      t.is(process().open('1234567').sessionKey, null)
      t.is(process().open('').sessionKey, null)
      t.true(process().open('').isEmpty)
      t.false(process().open('12345678').isEmpty, 'not known to be empty until it is loaded')
    },
  },
  {
    behaviour: 'nobody can set the session key',
    async check(t, { request, process }) {
      const session = await request()
      t.throws(() => Object.assign(session, { sessionKey: KEY }), { instanceOf: TypeError })
      t.throws(() => Object.assign(process().open(undefined), { sessionKey: KEY }), { instanceOf: TypeError })
    },
  },
  {
    behaviour: 'flush removes the session, its data and its key',
    async check(t, bed) {
      const key = await bed.make({ a: '1' })
      const session = await bed.request(key)
      await session.flush()
      t.like(session, { sessionKey: null, isEmpty: true, modified: true, accessed: true, size: 0 })
      await bed.gone(t, key)
    },
  },
  {
    behaviour: 'a flush that nobody awaits removes the session too',
    async check(t, bed) {
      const key = await bed.make({ a: '1' })
      const session = await bed.request(key)
      void session.flush()
      t.is(session.sessionKey, null)
      await session.settled()
      await bed.gone(t, key)
    },
  },
  {
    behaviour: 'what is set after a flush goes under a new key',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a save under way does not survive a flush',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a flush forgets the writes that wait before it',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a flush that fails is told at the end, whatever else was saved',
    async check(t, bed) {
      const failing: SessionEngine = {
        ...bed.engine,
        delete: () => Promise.reject(new Error('the database is away')),
      }
      const session = await bed.request(await bed.make({ a: '1' }), { engine: failing })
      void session.flush()
      session.set('b', 1)
      await session.save()
      await t.throwsAsync(session.settled(), { message: 'the database is away' })
    },
  },
  {
    behaviour: 'cycleKey keeps the data under a new key',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'cycleKey on a new session creates it',
    async check(t, { request, stored }) {
      const session = await request()
      session.set('a', 1)
      await session.cycleKey()
      t.deepEqual(await stored(session.sessionKey), [['a', '1']])
    },
  },
  {
    behaviour: 'cycleKey that nobody awaits, with changes behind it, is one session in the end',
    async check(t, bed) {
      const session = await bed.request(await bed.make({ a: '1' }))
      void session.cycleKey()
      session.set('b', 2)
      await session.save()
      t.deepEqual(await bed.stored(session.sessionKey), [
        ['a', '1'],
        ['b', '2'],
      ])
      await bed.holds(t, 1)
    },
  },
  {
    behaviour: 'a session deleted meanwhile is not saved, whatever the change',
    needs: 'keepsData',
    async check(t, bed) {
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
  },
  {
    behaviour: 'a session deleted after an explicit save is missed at the next one, changed since or not',
    needs: 'keepsData',
    async check(t, bed) {
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
  },
  {
    behaviour: 'the next save asks for the key once, and not in the turn of the write before',
    async check(t, bed) {
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
    },
  },
  {
    behaviour: 'a session deleted meanwhile does not come back under another key',
    needs: 'keepsData',
    async check(t, bed) {
      const key = await bed.make({ a: '1' })
      const session = await bed.request(key)
      await bed.engine.delete(key)
      await t.throwsAsync(session.cycleKey(), { name: 'SessionInterrupted' })
      await bed.holds(t, 0)
    },
  },
  {
    behaviour: 'a session whose key another request has cycled is gone',
    needs: 'keepsData',
    async check(t, bed) {
      const key = await bed.make({ a: '1' })
      const [left, right] = [await bed.request(key), await bed.request(key)]
      await left.cycleKey()
      right.set('b', 1)
      await t.throwsAsync(right.save(), { name: 'SessionInterrupted' })
      await bed.holds(t, 1)
    },
  },
  {
    behaviour: 'a second save writes what changed since the first',
    async check(t, { request, stored, engine }) {
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
    },
  },
  {
    behaviour: 'what changes while a write is under way is kept, and applied once',
    async check(t, bed) {
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
    },
  },
]
