import test from 'ava'
import { createBackoff } from '../../src/concurrency/backoff.ts'

test('pauses grow up to the longest one', (t) => {
  const next = createBackoff({ timeout: 1000, longest: 20, random: () => 1, monotonic: () => 0 })
  t.deepEqual(Array.from({ length: 7 }, next), [2, 4, 8, 16, 20, 20, 20])
})

test('each pause is a random part of its length', (t) => {
  const parts = [0, 0.25, 0.5, 1]
  const next = createBackoff({
    timeout: 1000,
    longest: 100,
    random: () => parts.shift() ?? 0,
    monotonic: () => 0,
  })
  t.deepEqual(Array.from({ length: 5 }, next), [0, 1, 4, 16, 0])
})

test('no pause ends after the time, and then there is none', (t) => {
  let now = 500
  const next = createBackoff({ timeout: 10, longest: 100, random: () => 1, monotonic: () => now })
  t.is(next(), 2)
  now = 503
  t.is(next(), 4)
  now = 507
  t.is(next(), 3)
  now = 510
  t.is(next(), null)
})

test('without time there is no other attempt', (t) => {
  t.is(createBackoff({ timeout: 0, longest: 100, monotonic: () => 0 })(), null)
  t.is(createBackoff({ timeout: -1, longest: 100, monotonic: () => 0 })(), null)
})

test('many attempts overflow nothing', (t) => {
  const next = createBackoff({ timeout: 1, longest: 50, random: () => 0.01, monotonic: () => 0 })
  for (let attempt = 1; attempt <= 2000; attempt += 1) t.true((next() ?? -1) <= 0.5)
})
