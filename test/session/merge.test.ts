import test, { type ExecutionContext } from 'ava'
import { PythonDatetime } from '../../src/django/pickle/datetimes.ts'
import { pickledValues } from '../../src/django/session-values.ts'
import { createSessions, type SessionsOptions } from '../../src/session/handle.ts'
import type { MergePolicies } from '../../src/session/merge-policies.ts'
import { createMemoryEngine } from '../../src/testing/memory-engine.ts'

/** The rules themselves are in test/vectors/merge.json: test/python/merge.test.ts. */

const KEY = 'abcdefgh0123456789abcdefgh012345'
const rules = {
  useTz: true,
  timeZone: 'UTC',
  cookieAge: 3600,
  expireAtBrowserClose: false,
  storesIsoExpiry: false,
}

/** A stored session, and processes that share nothing but the engine. */
async function begin(
  data: Readonly<Record<string, string>>,
  merge: MergePolicies,
  options?: Partial<SessionsOptions>,
) {
  const engine = createMemoryEngine()
  const expireDate = new Date(Date.now() + 3_600_000)
  await engine.create(KEY, { data: new Map(Object.entries(data)), expireDate })
  const process = () => createSessions({ engine, rules, merge, conflictTimeout: 60_000, ...options })
  return {
    engine,
    process,
    request: () => process().open(KEY).load(),
    stored: async (key = KEY) => Object.fromEntries((await engine.load(key))?.data ?? []),
  }
}

test('requests that wait in one process merge by the policies, too', async (t) => {
  const { process, stored } = await begin({ n: '5', cart: '[1]' }, { n: 'add', cart: 'union' })
  const sessions = process()
  const requests = await Promise.all(Array.from({ length: 20 }, () => sessions.open(KEY).load()))
  await Promise.all(
    requests.map((session, at) => {
      session.set('n', Number(session.get('n')) + 1)
      session.set('cart', [...(session.get('cart') as number[]), at + 10])
      return session.save()
    }),
  )
  const { n, cart = '' } = await stored()
  t.is(n, '25')
  t.deepEqual(
    (JSON.parse(cart) as number[]).sort((a, b) => a - b),
    [1, ...Array.from({ length: 20 }, (_, at) => at + 10)],
  )
})

test('what one request sets in several steps and saves is merged step by step, and counted once', async (t) => {
  const { request, stored } = await begin({ n: '5' }, { n: 'add' })
  const [session, other] = [await request(), await request()]
  session.set('n', 6)
  session.set('n', 8)
  other.set('n', 15)
  await other.save()
  await session.save()
  t.is((await stored()).n, '18')
  t.is(session.get('n'), 18)
  session.compute('n', (n) => Number(n) * 2)
  session.set('n', Number(session.get('n')) + 1)
  other.set('n', 115)
  await other.save() // 18 + 100
  await session.save()
  t.is((await stored()).n, '237')
})

test('a change that is made while the session is being written counts on', async (t) => {
  const { request, stored } = await begin({ n: '5' }, { n: 'add' })
  const [session, other] = [await request(), await request()]
  other.set('n', 15)
  await other.save()
  session.set('n', 6)
  const saving = session.save()
  session.set('n', 7)
  await saving
  await session.save()
  t.is((await stored()).n, '17')
})

test('a request sees its own value after a save, and adds to that, whoever shared the write', async (t) => {
  const { process, stored } = await begin({ n: '0' }, { n: 'add' })
  const sessions = process()
  const requests = await Promise.all([1, 2, 3].map(() => sessions.open(KEY).load()))
  const visit = () =>
    Promise.all(
      requests.map((session) => {
        session.set('n', Number(session.get('n')) + 1)
        return session.save()
      }),
    )
  await visit()
  await visit()
  t.is((await stored()).n, '6')
})

test('a change inside an object is merged with changes of its other members', async (t) => {
  const { request, stored } = await begin({ cart: '{"tea":{"n":1},"jam":{"n":1}}' }, {})
  const [session, other] = [await request(), await request()]
  ;(other.get('cart') as { tea: { n: number } }).tea.n = 7
  other.modified = true
  await other.save()
  ;(session.get('cart') as { jam: { n: number } }).jam.n = 8
  session.modified = true
  await session.save()
  t.is((await stored()).cart, '{"tea":{"n":7},"jam":{"n":8}}')
  t.deepEqual(session.get('cart'), { tea: { n: 7 }, jam: { n: 8 } })
  t.is(session.outcome, 'merged')
})

test('a value that is set again as it was counts as set', async (t) => {
  const { request, stored } = await begin({ color: '"red"' }, {})
  const [session, other] = [await request(), await request()]
  other.set('color', 'blue')
  await other.save()
  session.set('color', 'red')
  await session.save()
  t.is((await stored()).color, '"red"')
})

test('a login keeps what was counted under the old key', async (t) => {
  const { request, stored } = await begin({ n: '5' }, { n: 'add', '*': 'add' })
  const [session, other] = [await request(), await request()]
  session.set('n', 6)
  session.set('_auth_user_id', '7')
  other.set('n', 7)
  await other.save()
  await session.cycleKey()
  t.deepEqual(await stored(session.sessionKey ?? ''), { n: '8', _auth_user_id: '"7"' })
  t.deepEqual(await stored(), {})
})

test('fail: nothing of the request is saved, and the request can save again after it gave up the change', async (t) => {
  const { request, stored } = await begin({ cart: '[1]', n: '1' }, { cart: 'fail' })
  const [session, other] = [await request(), await request()]
  other.set('cart', [2])
  await other.save()
  session.set('n', 2)
  session.set('cart', [3])
  await t.throwsAsync(session.save(), { code: 'ERR_SESSION_MERGE_CONFLICT', name: 'MergeConflict' })
  await t.throwsAsync(session.save(), { code: 'ERR_SESSION_MERGE_CONFLICT' }, 'the change is still there')
  t.deepEqual(await stored(), { cart: '[2]', n: '1' })
  session.discardChanges()
  session.set('n', 2)
  await session.save()
  t.deepEqual(await stored(), { cart: '[2]', n: '2' })
})

test('fail: the requests that share a write are saved without the one that fails', async (t) => {
  const { process, stored } = await begin({ cart: '[1]' }, { cart: 'fail' })
  const sessions = process()
  const requests = await Promise.all([1, 2, 3].map(() => sessions.open(KEY).load()))
  const results = await Promise.allSettled(
    requests.map((session, at) => {
      if (at < 2) session.set('cart', [at + 10])
      session.set(`n${at}`, at)
      return session.save()
    }),
  )
  t.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  t.deepEqual(await stored(), { cart: '[10]', n0: '0', n2: '2' })
})

test('fail: a login that cannot be merged leaves the old session, and no new one', async (t) => {
  const { engine, request, stored } = await begin({ cart: '[1]' }, { cart: 'fail' })
  const [session, other] = [await request(), await request()]
  other.set('cart', [2])
  await other.save()
  session.set('cart', [3])
  await t.throwsAsync(session.cycleKey(), { code: 'ERR_SESSION_MERGE_CONFLICT' })
  t.deepEqual(await stored(), { cart: '[2]' })
  t.is(engine.size, 1)
})

test('a function may remove the key, and what it throws fails the save', async (t) => {
  const merge = { a: () => undefined, b: () => raise(new RangeError('not here')) }
  const { request, stored } = await begin({ a: '1', b: '1' }, merge)
  const change = async (
    key: string,
    t: ExecutionContext,
    expectation?: { instanceOf: typeof RangeError },
  ) => {
    const [session, other] = [await request(), await request()]
    other.set(key, 2)
    await other.save()
    session.set(key, 3)
    if (expectation === undefined) await session.save()
    else await t.throwsAsync(session.save(), expectation)
  }
  await change('a', t)
  await change('b', t, { instanceOf: RangeError })
  t.deepEqual(await stored(), { b: '2' })
})

test('values that only a pickle can hold merge by member, too', async (t) => {
  const seen = (n: number) => ({ at: PythonDatetime.fromDate(new Date('2026-11-29T12:00:00Z')), n })
  const data = {
    seen: pickledValues.stringify(seen(1)),
    tags: pickledValues.stringify([new Set(['a', 'b'])]),
  }
  const { request } = await begin(data, { '*': 'add', tags: 'union' }, { values: pickledValues })
  const [session, other] = [await request(), await request()]
  other.set('seen', { ...seen(3), by: 'other' })
  other.set('tags', [new Set(['b', 'a']), new Set(['c'])])
  await other.save()
  session.set('seen', seen(2))
  session.set('tags', [new Set(['a', 'b']), new Set(['d'])])
  await session.save()
  t.deepEqual((await request()).items(), [
    ['seen', { ...seen(4), by: 'other' }],
    ['tags', [new Set(['b', 'a']), new Set(['c']), new Set(['d'])]],
  ])
})

test('a value that nests very deeply is one value', async (t) => {
  const deep = (levels: number, leaf: string) => `${'{"a":'.repeat(levels)}${leaf}${'}'.repeat(levels)}`
  for (const [levels, isMerged] of [
    [300, true],
    [899, false],
  ] as const) {
    const { engine, request, stored } = await begin({ o: deep(levels, '{}'), n: '1' }, {})
    const session = await request()
    const current = await engine.load(KEY)
    const others = new Map([['o', deep(levels, '{"y":1}')]])
    if (current !== null) await engine.update(KEY, { ...current, data: others }, current.revision)
    session.set('o', JSON.parse(deep(levels, '{"x":1}')))
    await session.save()
    t.deepEqual(await stored(), { o: deep(levels, isMerged ? '{"y":1,"x":1}' : '{"x":1}') })
  }
})

function raise(error: Error): never {
  throw error
}
