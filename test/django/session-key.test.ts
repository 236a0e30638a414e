import test from 'ava'
import { isValidSessionKey, newSessionKey } from '../../src/django/session-key.ts'
import { readVectors } from '../vectors/_vectors.ts'

test("a new key is 32 characters of Django's alphabet", (t) => {
  const { keyAlphabet } = readVectors('django-5.2')
  for (let round = 0; round < 100; round += 1) {
    const key = newSessionKey()
    t.is(key.length, 32)
    t.deepEqual(
      [...key].filter((char) => !keyAlphabet.includes(char)),
      [],
    )
  }
})

test('every character of the alphabet is used, and random numbers are in its range', (t) => {
  let next = 0
  const ranges = new Set<number>()
  const count = (max: number) => {
    ranges.add(max)
    return next++ % max
  }
  const { keyAlphabet } = readVectors('django-5.2')
  t.is((newSessionKey(count) + newSessionKey(count)).slice(0, 36), keyAlphabet)
  t.deepEqual([...ranges], [36])
})

test('new keys differ', (t) => {
  t.is(new Set(Array.from({ length: 1000 }, () => newSessionKey())).size, 1000)
})

test('a key has at least 8 characters of any kind', (t) => {
  for (const key of [
    '12345678',
    newSessionKey(),
    '        ',
    'ABC-_/é홍',
    '\0'.repeat(8),
    'x'.repeat(1000),
  ]) {
    t.true(isValidSessionKey(key), key)
  }
  // Four code points, which Python counts, but eight UTF-16 units.
  for (const key of ['', '1234567', '\u{1f600}'.repeat(4)]) t.false(isValidSessionKey(key), key)
})
