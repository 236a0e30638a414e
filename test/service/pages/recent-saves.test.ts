import test from 'ava'
import { createRecentSaves } from '../../../src/service/pages/recent-saves.ts'
import type { SavedSession } from '../../../src/session/saved-session.ts'

const save = (sessionKey: string, given: Partial<SavedSession> = {}): SavedSession => ({
  sessionKey,
  previousKey: sessionKey,
  added: [],
  changed: [],
  removed: [],
  merged: false,
  kept: [],
  ...given,
})

test('the latest saves of a session come newest first, and never those of another session', (t) => {
  let now = new Date(0)
  const saves = createRecentSaves({ now: () => now })
  saves.record(save('mine', { previousKey: null, added: ['a'] }))
  saves.record(save('other', { added: ['secret of another'] }))
  now = new Date(1000)
  saves.record(save('mine', { changed: ['a'], merged: true, kept: ['b'] }))
  t.deepEqual(saves.of('mine'), [
    { at: new Date(1000), key: 'same', added: [], changed: ['a'], removed: [], merged: true, kept: ['b'] },
    { at: new Date(0), key: 'new', added: ['a'], changed: [], removed: [], merged: false, kept: [] },
  ])
  t.deepEqual(saves.of('nobody'), [])
})

test('the saves follow a session to its new key', (t) => {
  const saves = createRecentSaves()
  saves.record(save('old', { added: ['cart'] }))
  saves.record(save('new', { previousKey: 'old', added: ['_auth_user_id'] }))
  t.deepEqual(saves.of('old'), [])
  t.deepEqual(
    saves.of('new').map(({ key, added }) => [key, ...added]),
    [
      ['moved', '_auth_user_id'],
      ['same', 'cart'],
    ],
  )
})

test('five saves of each session are kept, of the sessions that were saved last', (t) => {
  const saves = createRecentSaves({ mostSessions: 2 })
  saves.record(save('a'))
  saves.record(save('b'))
  for (let count = 0; count < 9; count += 1) saves.record(save('a', { added: [`key ${count}`] }))
  saves.record(save('c'))
  t.deepEqual(
    saves.of('a').map(({ added }) => added),
    [['key 8'], ['key 7'], ['key 6'], ['key 5'], ['key 4']],
  )
  t.deepEqual(saves.of('b'), [])
  t.is(saves.of('c').length, 1)
})

test('of many or long keys, the first are kept, shortened', (t) => {
  const saves = createRecentSaves()
  const added = Array.from({ length: 13 }, (_, at) => `${at}`.padEnd(at === 0 ? 100_000 : 1, '-'))
  saves.record(save('a', { added }))
  const kept = saves.of('a')[0]?.added ?? []
  t.is(kept.length, 11)
  t.is(kept[0], `0${'-'.repeat(58)}…`)
  t.is(kept.at(-1), 'and 3 more')
})
