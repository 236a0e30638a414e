import test from 'ava'
import { pickledKey, pickledValues } from '../../../src/django/session-values.ts'
import { dateIn, duration, storedKeys } from '../../../src/service/pages/session-details.ts'

for (const [seconds, text] of [
  [-1, '0 seconds'],
  [0.9, '0 seconds'],
  [1, '1 second'],
  [61, '1 minute, 1 second'],
  [3600, '1 hour'],
  [3605, '1 hour'],
  [1_209_599, '13 days, 23 hours'],
  [1_209_600, '14 days'],
  [365_000 * 86_400, '365,000 days'],
] as const) {
  test(`${seconds} seconds are "${text}"`, (t) => t.is(duration(seconds), text))
}

test('a date is in the time zone, in summer and in winter', (t) => {
  const date = dateIn('Europe/Berlin')
  t.is(date(new Date('2026-01-15T23:30:00Z')), 'Fri, 16 Jan 2026, 00:30:00')
  t.is(date(new Date('2026-07-15T12:00:09Z')), 'Wed, 15 Jul 2026, 14:00:09')
})

test('a pickled value has its Python type, and is shown as data', (t) => {
  const text = pickledValues.stringify(new Set(['a', 'b']))
  const data = new Map([['tags', text]])
  const [hidden] = storedKeys(data, null).keys
  t.like(hidden, { name: 'tags', type: 'set', value: null, isSecret: false })
  t.is(storedKeys(data, hidden?.id ?? null).keys[0]?.value, "Set(2) { 'a', 'b' }")
})

test('a key that is not a str is named by its type', (t) => {
  const data = new Map([[pickledKey(1), '1']])
  t.is(storedKeys(data, null).keys[0]?.name, 'a key of the type int')
})

test('of a session with thousands of keys, the first are shown and the others counted', (t) => {
  const data = new Map(Array.from({ length: 5000 }, (_, at) => [`key${at}`, '1'] as const))
  const { keys, others } = storedKeys(data, null)
  t.is(keys.length, 200)
  t.is(others, 4800)
})

test('the value of a key whose name is like a secret is never shown', (t) => {
  for (const key of [
    '_auth_user_hash',
    '_csrftoken',
    '_password_reset_token',
    'apiToken',
    'SECRET',
    'pass_phrase',
  ]) {
    const data = new Map([[key, '"x"']])
    const [hidden] = storedKeys(data, null).keys
    t.true(hidden?.isSecret, key)
    t.is(storedKeys(data, hidden?.id ?? null).keys[0]?.value, null)
  }
  t.false(storedKeys(new Map([['_auth_user_id', '"1"']]), null).keys[0]?.isSecret)
})
