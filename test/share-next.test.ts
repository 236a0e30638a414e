import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { shareNext } from '../src/share-next.ts'

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
  ;[time, step] = [27, 1.5] // the next look at the clock is before 30, the one after it is not
  const last = call()
  step = 0

  t.is(await last, 3)
  t.is(await call(), 4)
})

test('as many callers as the last run answered are waited for, and share the next run', async (t) => {
  const { call, runs } = counted({ gathering: 1000 })
  await Promise.all([call(), call(), call(), call()])
  t.is(runs(), 2, 'one for the first, one for three')

  const first = call()
  await delay(50)
  t.is(runs(), 2)
  const others = [call(), call()]

  t.deepEqual(await Promise.all([first, ...others]), [3, 3, 3])
})

test('callers who do not come back are waited for a part of the time that the last run took', async (t) => {
  const { call, runs } = counted({ gathering: 5 })
  await Promise.all([call(), call(), call()])
  const start = performance.now()

  t.is(await call(), 3)
  t.true(performance.now() - start > 4 * RUN)
  t.is(runs(), 3)
})

test('who comes alone is never held up', async (t) => {
  const { call, runs } = counted({ gathering: 1000 })

  for (let number = 1; number <= 3; number += 1) {
    const answer = call()
    t.is(runs(), number)
    t.is(await answer, number)
  }
})

test('a run that fails rejects its callers, and those who come back share the next', async (t) => {
  const { call, runs } = counted({ gathering: 1000, fails: 2 })
  const [, ...failed] = await Promise.allSettled([call(), call(), call()])
  t.deepEqual(
    failed.map(({ status }) => status),
    ['rejected', 'rejected'],
  )

  t.deepEqual(await Promise.all([call(), call()]), [3, 3])
  t.is(runs(), 3)
})

/** Milliseconds that a run takes at least. */
const RUN = 20

/** Gives each run's number. */
function counted({ gathering, fails = 0 }: { gathering: number; fails?: number }) {
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
