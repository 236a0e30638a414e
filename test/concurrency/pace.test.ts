import test from 'ava'
import { createPace } from '../../src/concurrency/pace.ts'

test('a batch grows until it takes about 40 ms, and at most half of the time is work', (t) => {
  const pace = createPace({ most: 10_000 })
  for (let step = 0; step < 20; step += 1) {
    const { rows } = pace
    const batch = rows * 0.1
    t.true(pace.rest({ alone: 2, batch, rows }) >= batch)
  }
  t.is(pace.rows, 400)
})

test('a batch is never larger than the caller allows', (t) => {
  const pace = createPace({ most: 5 })
  t.is(pace.rows, 5)
  pace.rest({ alone: 1, batch: 1, rows: 5 })
  t.is(pace.rows, 5)
})

test('when a row alone becomes slow, batches shrink and rests grow; when it is fast again, both recover', (t) => {
  const pace = createPace({ most: 1000 })
  const step = (alone: number) => pace.rest({ alone, batch: 1, rows: pace.rows })
  for (let steps = 0; steps < 10; steps += 1) step(2)
  t.is(pace.rows, 1000)
  const rests = Array.from({ length: 8 }, () => step(60))
  t.deepEqual(rests, [21, 41, 81, 161, 321, 641, 1000, 1000])
  t.is(pace.rows, 10)
  for (let steps = 0; steps < 20; steps += 1) step(2)
  t.is(pace.rows, 1000)
  t.true(step(2) < 2)
})

test('a database that stays slow does not count as busy for ever', (t) => {
  const pace = createPace({ most: 1000 })
  pace.rest({ alone: 5, batch: 1, rows: 1 })
  const steps = Array.from({ length: 200 }, () => pace.rest({ alone: 60, batch: 1, rows: 1 }))
  t.true((steps.at(-1) ?? 0) < 10)
})
