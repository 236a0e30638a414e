import test, { type ExecutionContext } from 'ava'
import { createSessions } from '../../src/session/handle.ts'
import type { SavedSession } from '../../src/session/saved-session.ts'
import type { Session } from '../../src/session/session.ts'
import { openDb } from '../engines/db-under-test.ts'
import { rules } from './conformance/engine-under-test.ts'

interface Site {
  /** What was told so far. */
  readonly told: SavedSession[]
  /** A request of the process that is listened to. */
  request(sessionKey?: string | null): Promise<Session>
  /** A request of another process. */
  elsewhere(sessionKey: string | null): Promise<Session>
}

async function openSite(t: ExecutionContext): Promise<Site> {
  const { engine, clock } = await openDb(t, 'sqlite')
  const told: SavedSession[] = []
  const options = { engine, rules, now: () => clock.now }
  const here = createSessions({ ...options, events: { save: (saved) => void told.push(saved) } })
  const there = createSessions(options)
  return {
    told,
    request: (sessionKey = null) => here.open(sessionKey ?? undefined).load(),
    elsewhere: (sessionKey) => there.open(sessionKey ?? undefined).load(),
  }
}

test('a new session tells which keys it was created with, and has no previous key', async (t) => {
  const { told, request } = await openSite(t)
  const session = await request()
  session.set('cart', [1])
  session.set('gone', 1)
  session.delete('gone')
  await session.save()
  t.deepEqual(told, [
    {
      sessionKey: session.sessionKey ?? '',
      previousKey: null,
      added: ['cart'],
      changed: [],
      removed: [],
      merged: false,
      kept: [],
    },
  ])
})

test('a save tells what it added, changed and removed; a value that is set to itself is no change', async (t) => {
  const { told, request } = await openSite(t)
  const first = await request()
  first.update({ same: 1, other: 2, old: 3 })
  await first.save()
  const second = await request(first.sessionKey)
  second.update({ same: 1, other: 3, fresh: 4 })
  second.delete('old')
  await second.save()
  t.like(told[1], { added: ['fresh'], changed: ['other'], removed: ['old'], merged: false, kept: [] })
})

test('a merge tells the changes of this request, and apart from them those that another process made', async (t) => {
  const { told, request, elsewhere } = await openSite(t)
  const first = await request()
  first.update({ visits: 1, theirs: 1, lost: 1 })
  await first.save()
  const slow = await request(first.sessionKey)
  const other = await elsewhere(first.sessionKey)
  other.compute('visits', (stored) => Number(stored) + 1)
  other.set('theirs', 2)
  other.delete('lost')
  await other.save()
  slow.compute('visits', (stored) => Number(stored) + 1)
  await slow.save()
  t.is(slow.get('visits'), 3)
  t.like(told[1], { added: [], changed: ['visits'], removed: [], merged: true })
  t.deepEqual(told[1]?.kept, ['visits', 'theirs', 'lost'])
})

test('a new key names the one before it', async (t) => {
  const { told, request } = await openSite(t)
  const session = await request()
  session.set('cart', [])
  await session.save()
  const previousKey = session.sessionKey
  session.set('user', 1)
  await session.cycleKey()
  t.like(told[1], { sessionKey: session.sessionKey ?? '', previousKey, added: ['user'] })
})

test('a save that fails, and one that a flush undoes, tell nothing', async (t) => {
  const { told, request, elsewhere } = await openSite(t)
  const session = await request()
  session.set('cart', [])
  await session.save()
  const late = await request(session.sessionKey)
  late.set('cart', [1])
  await (await elsewhere(session.sessionKey)).flush()
  await t.throwsAsync(late.save(), { code: 'ERR_SESSION_INTERRUPTED' })
  const fresh = await request()
  fresh.set('cart', [])
  void fresh.save()
  await fresh.flush()
  t.is(told.length, 1)
})
