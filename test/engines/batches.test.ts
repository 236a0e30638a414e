import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { type BatchesOptions, createBatches } from '../../src/engines/batches.ts'

/** Reads of rows by their keys, that end when told to, and the keys of each. */
function controlledReads(size?: BatchesOptions<string>['size']) {
  const asked: { keys: readonly string[]; end: (rows: ReadonlyMap<string, string> | Error) => void }[] = []
  const read = createBatches(
    async (keys: readonly string[]) => {
      const { promise, resolve, reject } = Promise.withResolvers<ReadonlyMap<string, string>>()
      asked.push({ keys, end: (rows) => (rows instanceof Error ? reject(rows) : resolve(rows)) })
      const rows = await promise
      return keys.map((key) => rows.get(key))
    },
    { most: 4, ...(size !== undefined && { size }) },
  )
  return { read, asked }
}

const row = (key: string): ReadonlyMap<string, string> => new Map([[key, `row of ${key}`]])

test('reads with none before them begin in the next turn of the event loop, together', async (t) => {
  const { read, asked } = controlledReads()
  const answers = ['a', 'b'].map(read)
  await turn()
  t.deepEqual(asked[0]?.keys, ['a', 'b'])
  asked[0]?.end(row('a'))
  t.deepEqual(await Promise.all(answers), ['row of a', undefined])
})

test('what is asked for meanwhile is asked for together, and each gets its own', async (t) => {
  const { read, asked } = controlledReads()
  const first = read('a')
  await turn()
  const later = ['b', 'c', 'b', 'a'].map(read)
  t.is(asked.length, 1)
  asked[0]?.end(row('a'))
  t.is(await first, 'row of a')
  await delay(1)
  t.deepEqual(asked[1]?.keys, ['b', 'c', 'b', 'a'])
  asked[1]?.end(new Map([...row('b'), ...row('a')]))
  t.deepEqual(await Promise.all(later), ['row of b', undefined, 'row of b', 'row of a'])
})

test('nobody gets the answer of a read that began before they asked, though it is of their key', async (t) => {
  const { read, asked } = controlledReads()
  const early = read('a')
  await turn()
  const late = read('a')
  asked[0]?.end(new Map([['a', 'old']]))
  t.is(await early, 'old')
  await delay(1)
  asked[1]?.end(new Map([['a', 'new']]))
  t.is(await late, 'new')
})

test('a read that fails fails those that share it, and no other', async (t) => {
  const { read, asked } = controlledReads()
  const first = read('a')
  await turn()
  const [second, third] = [read('b'), read('c')]
  asked[0]?.end(new Error('first'))
  await t.throwsAsync(first, { message: 'first' })
  await delay(1)
  const fourth = read('d')
  asked[1]?.end(new Error('second'))
  await t.throwsAsync(second, { message: 'second' })
  await t.throwsAsync(third, { message: 'second' })
  await delay(1)
  asked[2]?.end(row('d'))
  t.is(await fourth, 'row of d')
})

test('a read that hangs holds up the next for a moment only', async (t) => {
  const { read, asked } = controlledReads()
  const hanging = read('a')
  await turn()
  const next = read('b')
  while (asked.length < 2) await delay(5)
  asked[1]?.end(row('b'))
  t.is(await next, 'row of b')
  asked[0]?.end(row('a'))
  t.is(await hanging, 'row of a')
  const after = read('c')
  await turn()
  t.deepEqual(asked[2]?.keys, ['c'])
  asked[2]?.end(row('c'))
  t.is(await after, 'row of c')
})

test('a batch that the server refuses is asked for one by one, and each gets its own answer or error', async (t) => {
  const { read, asked } = controlledReads()
  const [first, second, third] = [read('a'), read('b'), read('c')]
  await turn()
  asked[0]?.end(Object.assign(new Error('one of them'), { code: 'ER_CHECK', errno: 3819, sqlState: 'HY000' }))
  await delay(1)
  t.deepEqual(
    asked.slice(1).map(({ keys }) => keys),
    [['a'], ['b'], ['c']],
  )
  asked[3]?.end(row('c'))
  t.is(await third, 'row of c')
  asked[2]?.end(Object.assign(new Error('b alone'), { code: '22012', severity: 'ERROR' }))
  await t.throwsAsync(second, { message: 'b alone' })
  asked[1]?.end(row('a'))
  t.is(await first, 'row of a')
  t.is(asked.length, 4, 'what is refused alone is not asked again')
})

test('no batch is larger than allowed, in items or in size; several run at once', async (t) => {
  const counted = controlledReads()
  const all = [...'abcdefghi'].map(counted.read)
  await turn()
  t.deepEqual(
    counted.asked.map(({ keys }) => keys.join('')),
    ['abcd', 'efgh', 'i'],
  )
  counted.asked[1]?.end(new Error('of the second'))
  for (const at of [0, 2]) counted.asked[at]?.end(new Map())
  t.deepEqual(
    (await Promise.allSettled(all)).map(({ status }) => status === 'rejected').map(Number),
    [0, 0, 0, 0, 1, 1, 1, 1, 0],
  )

  const measured = controlledReads({ of: ({ length }) => length, most: () => 5 })
  for (const key of ['aa', 'bbb', 'c', 'ddddddd', 'e']) void measured.read(key)
  await turn()
  t.deepEqual(
    measured.asked.map(({ keys }) => keys),
    [['aa', 'bbb'], ['c'], ['ddddddd'], ['e']],
  )
})
