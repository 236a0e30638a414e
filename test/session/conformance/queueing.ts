import type { SessionsOptions } from '../../../src/session/handle.ts'
import type { Session } from '../../../src/session/session.ts'
import type { Check, TestBed } from './test-bed.ts'

/** Requests of one process that save one session at the same time. */
export const queueing: readonly Check[] = [
  {
    behaviour: 'many requests of one process that count at once are exact, in few writes',
    needs: 'keepsData',
    async check(t, bed) {
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
  },
  {
    behaviour: 'a change that cannot be stored fails its own request only',
    needs: 'keepsData',
    async check(t, bed) {
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
  },
  {
    behaviour: 'all who wait for a session that is deleted are told',
    needs: 'keepsData',
    async check(t, bed) {
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
  },
  {
    behaviour: 'the requests of a queue see each other in their order, and do not get in their own way',
    needs: 'keepsData',
    async check(t, bed) {
      const key = await bed.make()
      let conflicts = 0
      const conflict = () => {
        conflicts += 1
      }
      const changes = ['a', 'b', 'c', 'd'].map((name) => (session: Session) => {
        session.set(name, 1)
        session.set('last', name)
      })
      const results = await together(bed, key, changes, { events: { conflict } })
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
  },
  {
    behaviour: 'after a failure the queue goes on',
    async check(t, bed) {
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
    },
  },
]

/** Requests of one process that have all loaded and changed the session, and then save it at once. */
async function together(
  bed: TestBed,
  key: string,
  changes: ((session: Session) => void)[],
  options?: Partial<SessionsOptions>,
): Promise<PromiseSettledResult<unknown>[]> {
  const sessions = bed.process(options)
  const loaded = await Promise.all(changes.map(() => sessions.open(key).load()))
  for (const [at, change] of changes.entries()) {
    const session = loaded[at]
    if (session !== undefined) change(session)
  }
  return Promise.allSettled(loaded.map((session) => session.save()))
}
