import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { shareNext } from '../../src/concurrency/share-next.ts'

test.serial('a caller with whose call the waiting ends gets a run, and so does everyone after', async (t) => {
  const now = performance.now
  t.teardown(() => {
    performance.now = now
  })
  let [time, step] = [0, 0]
  performance.now = () => {
    time += step
    return time
  }
  let runs = 0
  const call = shareNext(
    async () => {
      runs += 1
      const mine = runs
      await turn()
      time += 10
      return mine
    },
    { gathering: 1 },
  )
  await Promise.all([call(), call(), call()])
  ;[time, step] = [17, 1.5] // the next look at the clock is before 20, the one after it is not
  const last = call()
  step = 0

  t.is(await last, 2)
  t.is(await call(), 3)
})

test('calls of one turn of the event loop share a run, those that come during it the next', async (t) => {
  const { call, runs } = counted()
  const first = [call(), call()]
  await turn()
  const others = [call(), call()]

  t.deepEqual(await Promise.all([...first, ...others]), [1, 1, 2, 2])
  t.is(runs(), 2)
})

test('as many callers as the last run answered are waited for, and share the next run', async (t) => {
  const { call, runs } = counted({ gathering: 1000 })
  await Promise.all([call(), call(), call()])

  const first = call()
  await delay(50)
  t.is(runs(), 1)
  const others = [call(), call()]

  t.deepEqual(await Promise.all([first, ...others]), [2, 2, 2])
})

test('callers who do not come back are waited for a part of the time that the last run took', async (t) => {
  const { call, runs } = counted({ gathering: 5 })
  await Promise.all([call(), call()])
  const start = performance.now()

  t.is(await call(), 2)
  t.true(performance.now() - start > 4 * RUN)
  t.is(runs(), 2)
})

test('who comes alone is never held up', async (t) => {
  const { call, runs } = counted({ gathering: 1000 })

  for (let number = 1; number <= 3; number += 1) {
    const answer = call()
    await turn()
    t.is(runs(), number)
    t.is(await answer, number)
  }
})

test('a run that fails rejects its callers, and those who come back share the next', async (t) => {
  const { call, runs } = counted({ gathering: 1000, fails: 1 })
  const failed = await Promise.allSettled([call(), call()])
  t.deepEqual(
    failed.map(({ status }) => status),
    ['rejected', 'rejected'],
  )

  t.deepEqual(await Promise.all([call(), call()]), [2, 2])
  t.is(runs(), 2)
})

/** Milliseconds that a run takes at least. */
const RUN = 20

/** Gives each run's number. */
function counted({ gathering = 0, fails = 0 }: { gathering?: number; fails?: number } = {}) {
  let number = 0
  const call = shareNext(
    async () => {
      number += 1
      const mine = number
      await delay(RUN)
      if (mine === fails) throw new Error('this one fails')
      return mine
    },
    { gathering },
  )
  return { call, runs: () => number }
}
