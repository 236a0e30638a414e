import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { createCommitQueue } from '../../src/session/commit-queue.ts'
import type { NewSession, StoredSession } from '../../src/session/engine.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'
const expireDate = new Date('2026-12-24T18:00:00Z')

/** A store whose writes end when the test decides: with a real one it is random which commits wait together. */
function createStore() {
  const stored = (text: string, revision: string): StoredSession => ({
    data: new Map([['log', text]]),
    expireDate,
    revision,
  })
  const writes: { base: string; written: NewSession; end(): void; fail(error: Error): void }[] = []
  const queue = createCommitQueue({
    newSession(data, client) {
      if (data.has('refused')) throw new TypeError('not an expiry')
      return { data, expireDate, client }
    },
    replace: (sessionKey, base, next) =>
      new Promise((resolve, reject) => {
        const written = next(base)
        const revision = `${base.revision}+`
        writes.push({
          base: base.revision,
          written,
          end: () => resolve({ ...written, sessionKey, revision }),
          fail: reject,
        })
      }),
  })
  const log = (letter: string) => (data: Map<string, string>) =>
    void data.set('log', `${data.get('log')}${letter}`)
  return {
    writes,
    queue,
    stored,
    add: (letter: string, loaded: StoredSession, key = KEY) =>
      queue.commit(key, loaded, [log(letter)], { userAgent: letter, ip: null }),
  }
}

test('one write is in flight for a key; the commits that come meanwhile share the next one', async (t) => {
  const { writes, add, stored } = createStore()
  const loaded = stored('', '1')
  const commits = ['a', 'b', 'c'].map((letter) => add(letter, loaded))
  t.is(writes.length, 1)
  writes[0]?.end()
  await turn()
  t.deepEqual(
    writes.map(({ base, written }) => [base, written.data.get('log'), written.client?.userAgent]),
    [
      ['1', 'a', 'a'],
      ['1+', 'abc', 'c'],
    ],
    'the second write goes on from the first',
  )
  writes[1]?.end()
  t.deepEqual(
    (await Promise.all(commits)).map(({ data, merged }) => [data.get('log'), merged]),
    [
      ['a', false],
      ['ab', true],
      ['abc', true],
    ],
  )
})

test('commits of different keys do not wait for each other', async (t) => {
  const { writes, add, stored } = createStore()
  const commits = [add('a', stored('', '1')), add('b', stored('', '7'), 'another-key')]
  t.deepEqual(
    writes.map(({ base }) => base),
    ['1', '7'],
  )
  for (const { end } of writes) end()
  t.deepEqual(
    (await Promise.all(commits)).map(({ sessionKey }) => sessionKey),
    [KEY, 'another-key'],
  )
})

test('a commit that cannot be stored fails alone', async (t) => {
  const { writes, add, queue, stored } = createStore()
  const loaded = stored('', '1')
  const first = add('a', loaded)
  const refused = queue.commit(KEY, loaded, [(data) => void data.set('refused', 'x')])
  const last = add('b', loaded)
  writes[0]?.end()
  await first
  await turn()
  writes[1]?.end()
  await t.throwsAsync(refused, { message: 'not an expiry' })
  t.is((await last).data.get('log'), 'ab')
})

test('a write that fails, fails each of its commits, and those after it start from what they loaded', async (t) => {
  const { writes, add, stored } = createStore()
  const first = add('a', stored('', '1'))
  const second = add('b', stored('x', '2'))
  writes[0]?.fail(new Error('the database is away'))
  await t.throwsAsync(first, { message: /away/ })
  await turn()
  writes[1]?.end()
  t.is((await second).data.get('log'), 'xb')
  t.is(writes[1]?.base, '2')
})

test('nothing of a session is kept once its queue is empty', async (t) => {
  const { writes, add, stored } = createStore()
  const first = add('a', stored('', '1'))
  writes[0]?.end()
  await first
  await turn()
  const later = add('b', stored('theirs ', '5'))
  t.is(writes[1]?.base, '5', 'another process may have written since')
  writes[1]?.end()
  const { data, merged } = await later
  t.deepEqual([data.get('log'), merged], ['theirs b', false])
})
