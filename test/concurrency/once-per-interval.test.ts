import test from 'ava'
import { createOncePerInterval } from '../../src/concurrency/once-per-interval.ts'

test('a kind is due at first, and again when the interval has passed', (t) => {
  let now = 0
  const isDue = createOncePerInterval(100, { monotonic: () => now })
  t.true(isDue('a'))
  now = 99
  t.false(isDue('a'))
  now = 100
  t.true(isDue('a'))
  now = 199
  t.false(isDue('a'))
  now = 200
  t.true(isDue('a'), 'a report that was held back began no interval')
})

test('each kind has an interval of its own', (t) => {
  const isDue = createOncePerInterval(100, { monotonic: () => 0 })
  t.deepEqual(
    [isDue('a'), isDue('b'), isDue(undefined), isDue('a'), isDue(undefined)],
    [true, true, true, false, false],
  )
})
