import test from 'ava'
import { generate } from './generator.ts'
import type { Answer, Entry, Kind } from './history.ts'
import { check, describe, smallest } from './model.ts'
import { PLANTED } from './planted-faults.ts'
import { createRandom } from './random.ts'
import { createReferenceStore } from './reference-store.ts'

/** A random history of a store in memory. At its end each key that was given is read. */
async function historyOf(
  seed: number,
  { operations = 150, plant }: { operations?: number; plant?: (typeof PLANTED)[string] | undefined } = {},
): Promise<Entry[]> {
  const random = createRandom(seed)
  const store = createReferenceStore(random, plant)
  const entries: Entry[] = []
  const record = (entry: Entry) => void entries.push(entry)
  const pause = () => Promise.resolve()
  const given = await generate({
    target: () => store,
    operations,
    clients: 6,
    sessions: 3,
    random,
    record,
    pause,
  })
  for (const [at, { session, key }] of given.entries()) {
    const operation = { id: operations + at, kind: 'read', client: 'last', session, key } as const
    record({ invoke: operation })
    record({ end: operation.id, ...(await store.send(operation)) })
  }
  return entries
}

test('the model finds nothing in 1500 random histories of a store that is right', async (t) => {
  const ends = new Map<string, number>()
  for (let seed = 0; seed < 1500; seed += 1) {
    const entries = await historyOf(seed)
    t.deepEqual(check(entries).map(describe), [], `seed ${seed}`)
    for (const entry of entries)
      if ('end' in entry) ends.set(entry.outcome, (ends.get(entry.outcome) ?? 0) + 1)
  }
  t.log(Object.fromEntries(ends))
  for (const outcome of ['ok', 'gone', 'unknown']) t.true((ends.get(outcome) ?? 0) > 1000, outcome)
})

for (const [name, plant] of Object.entries(PLANTED)) {
  test(`the model finds a planted fault: ${name}`, async (t) => {
    for (let seed = 0; seed < 3; seed += 1) {
      const found = smallest(check(await historyOf(seed, { operations: 1500, plant })))
      t.truthy(found, `seed ${seed}`)
      if (found === null) continue
      t.true(found.operations.length <= 4)
      if (seed === 0) t.log(describe(found))
    }
  })
}

test('at least 20 faults are planted', (t) => {
  t.true(Object.keys(PLANTED).length >= 20)
})

const contents = (...log: string[]): Answer['seen'] => {
  const numbers = Object.fromEntries(log.map((name) => [name.split('.')[0], Number(name.split('.')[1])]))
  return { log, count: log.length, last: numbers, cart: numbers }
}

/** A history of requests that do not overlap, unless `ends` moves an end behind later invocations. */
function history(
  ...requests: readonly [client: string, kind: Kind, answer: Answer, options?: { endsAfter?: number }][]
): Entry[] {
  const entries: Entry[] = []
  const late: { after: number; entry: Entry }[] = []
  const numbers = new Map<string, number>()
  for (const [id, [client, kind, answer, { endsAfter } = {}]] of requests.entries()) {
    const isChange = kind === 'create' || kind === 'change'
    if (isChange) numbers.set(client, (numbers.get(client) ?? 0) + 1)
    const number = numbers.get(client) ?? 0
    const key = kind === 'create' ? null : 'key'
    entries.push({ invoke: { id, kind, client, session: 's', key, ...(isChange && { number }) } })
    const entry = { end: id, ...answer }
    if (endsAfter === undefined) entries.push(entry)
    else late.push({ after: endsAfter, entry })
    for (const each of late) if (each.after === id) entries.push(each.entry)
  }
  return entries
}

const created = ['a', 'create', { outcome: 'ok', key: 'key', seen: contents('a.1') }] as const
const promises = (entries: Entry[]) => check(entries).map(({ promise }) => promise)

test('a change whose answer was lost may be applied at any later time, or never', (t) => {
  const lost = ['b', 'change', { outcome: 'unknown' }] as const
  const without = ['c', 'read', { outcome: 'ok', seen: contents('a.1') }] as const
  const shown = ['c', 'read', { outcome: 'ok', seen: contents('a.1', 'b.1') }] as const
  t.deepEqual(promises(history([...created], [...lost], [...without], [...without])), [])
  t.deepEqual(promises(history([...created], [...lost], [...without], [...shown], [...shown])), [])
  t.deepEqual(promises(history([...created], [...lost], [...shown], [...without])), ['seen change lost'])
})

test('a request that overlaps a logout may find the session or not; a later one must not', (t) => {
  const logout = ['b', 'logout', { outcome: 'ok' }, { endsAfter: 2 }] as const
  const alive = ['c', 'read', { outcome: 'ok', seen: contents('a.1') }] as const
  const gone = ['c', 'read', { outcome: 'gone' }] as const
  t.deepEqual(promises(history([...created], [...logout], [...alive], [...gone])), [])
  t.deepEqual(promises(history([...created], [...logout], [...gone], [...gone])), [])
  t.deepEqual(promises(history([...created], [...logout], [...alive], [...alive])), ['dead session revived'])
  t.deepEqual(promises(history([...created], [...logout], [...gone], [...alive])), ['dead session revived'])
  t.deepEqual(promises(history([...created], [...gone])), ['session lost'])
})

test('the counterexample is the few requests that contradict each other', (t) => {
  const change = ['b', 'change', { outcome: 'ok', seen: contents('a.1', 'b.1') }] as const
  const stale = ['c', 'read', { outcome: 'ok', seen: contents('a.1') }] as const
  const found = smallest(check(history([...created], [...change], [...stale])))
  t.is(
    found && describe(found),
    `acknowledged change lost: b.1 was stored, and a later answer does not show it
  lines 3–4: b change b.1 of s, key key: ok, shows {"log":["a.1","b.1"],"count":2,"last":{"a":1,"b":1},"cart":{"a":1,"b":1}}
  lines 5–6: c read of s, key key: ok, shows {"log":["a.1"],"count":1,"last":{"a":1},"cart":{"a":1}}`,
  )
})
