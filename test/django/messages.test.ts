import { readFileSync } from 'node:fs'
import test from 'ava'
import type { PythonValue } from '../../src/django/json.ts'
import {
  createMessagesCookie,
  type Message,
  type MessagesCookie,
  messagesExcept,
  readSessionMessages,
  writeSessionMessages,
} from '../../src/django/messages.ts'
import { versionProfile } from '../../src/django/versions.ts'

type Plain = readonly [level: number, text: string, extraTags: string | null, isSafe: boolean]

/** Django's list; null for none; or the name of an exception, or of a type that is not a list. */
type Read =
  | readonly [items: readonly (Plain | { other: string })[], isComplete: boolean]
  | { other: string }
  | string
  | null

interface Written {
  readonly session: string | null
  readonly cookie: string
  readonly oldest: number
  readonly newest: number
}

/** Recorded from real Django by messages.py. */
const vectors: {
  readonly keys: readonly [string, ...string[]]
  readonly time: number
  readonly lists: readonly (readonly Plain[])[]
  readonly cookies: readonly string[]
  readonly sessions: readonly PythonValue[]
  readonly djangos: readonly {
    readonly django: string
    readonly written: readonly Written[]
    readonly cookies: readonly Read[]
    readonly sessions: readonly Read[]
  }[]
} = JSON.parse(readFileSync(new URL('../vectors/messages.json', import.meta.url), 'utf8'))

for (const { django, written, cookies, sessions } of vectors.djangos) {
  const profile = versionProfile(django)
  const cookie = createMessagesCookie({
    secretKeys: vectors.keys,
    profile,
    now: () => new Date(vectors.time * 1000),
  })

  test(`messages are written as by Django ${django}`, (t) => {
    for (const [index, list] of vectors.lists.entries()) {
      const messages = list.map(messageOf)
      const theirs = written[index]
      if (messages.length > 0) t.is(writeSessionMessages(messages, profile.messages), theirs?.session ?? '')
      const oldest = cookie.write(messages, { drops: 'oldest' })
      t.is(oldest.unstored.length, theirs?.oldest ?? -1)
      t.deepEqual(oldest.unstored, messages.slice(0, theirs?.oldest))
      t.is(cookie.write(messages, { drops: 'newest' }).unstored.length, theirs?.newest ?? -1)
      t.is(payloadOf(cookie, oldest.value), payloadOf(cookie, theirs?.cookie ?? null))
      // zlib's output differs between Node and CPython.
      if (theirs !== undefined && !theirs.cookie.startsWith('.')) t.is(oldest.value ?? '', theirs.cookie)
    }
  })

  test(`messages in ${vectors.cookies.length} cookies are read as by Django ${django}`, (t) => {
    for (const [index, value] of vectors.cookies.entries()) {
      const ours = value === '' ? null : cookie.read(value)
      const theirs = cookies[index] ?? null
      if (typeof theirs === 'string') continue // Django answers 500: see below
      const expected = readable(theirs)
      t.deepEqual(
        ours && { messages: ours.messages, isComplete: ours.isComplete },
        expected,
        JSON.stringify(value),
      )
    }
  })

  test(`messages in ${vectors.sessions.length} sessions are read as by Django ${django}`, (t) => {
    for (const [index, value] of vectors.sessions.entries()) {
      const theirs = sessions[index] ?? null
      if (typeof theirs === 'string' && theirs !== '') continue // Django answers 500: see below
      // Django shows an item that is not text unchanged.
      const messages = typeof value === 'string' ? readable(theirs)?.messages : []
      t.deepEqual(readSessionMessages(value), messages ?? [], JSON.stringify(value))
    }
  })
}

test('where Django answers 500 to stored messages, the valid ones are read', (t) => {
  let count = 0
  for (const { django, cookies, sessions } of vectors.djangos) {
    const profile = versionProfile(django)
    const cookie = createMessagesCookie({ secretKeys: vectors.keys, profile })
    for (const [index, theirs] of [...cookies, ...sessions].entries()) {
      if (typeof theirs !== 'string' || theirs === '') continue
      const value = index < cookies.length ? vectors.cookies[index] : vectors.sessions[index - cookies.length]
      const ours = index < cookies.length ? cookie.read(String(value))?.messages : readSessionMessages(value)
      t.true(
        (ours ?? []).every(({ text }) => text === 'fine'),
        JSON.stringify(value),
      )
      count += 1
    }
  }
  t.true(count > 50)
})

test('each shown message is removed once, and messages added meanwhile stay', (t) => {
  const [a, b, c] = ['a', 'b', 'c'].map((text) => messageOf([20, text, '', false]))
  if (a === undefined || b === undefined || c === undefined) return t.fail()
  t.deepEqual(messagesExcept([a, b, a, c], [a, b]), [a, c])
  t.deepEqual(messagesExcept([a, { ...b, extraTags: null }], [b, c]), [a])
  for (const other of [
    { ...a, level: 25 },
    { ...a, isSafe: true },
    { ...a, extraTags: 'x' },
  ])
    t.deepEqual(messagesExcept([a], [other]), [a])
})

function messageOf([level, text, extraTags, isSafe]: Plain): Message {
  return { level, text, extraTags, isSafe }
}

/** Our result for Django's: only messages, and null where Django raises or has no list. */
function readable(read: Read): { messages: Message[]; isComplete: boolean } | null {
  if (read === null || typeof read === 'string' || !Array.isArray(read)) return null
  const [items, isComplete] = read as Extract<Read, readonly unknown[]>
  return { messages: items.filter(isPlain).map(messageOf), isComplete }
}

function isPlain(item: Plain | { other: string }): item is Plain {
  return Array.isArray(item)
}

function payloadOf(cookie: MessagesCookie, value: string | null): string {
  return JSON.stringify(value === null || value === '' ? null : cookie.read(value))
}
