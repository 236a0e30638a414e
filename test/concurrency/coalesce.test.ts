import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { type CoalesceOptions, coalesce } from '../../src/concurrency/coalesce.ts'

// When a run begins

test('calls of one turn of the event loop share a run, calls during it share the next', async (t) => {
  const { call, runs } = counted()
  const first = [call(), call()]
  await turn()
  const others = [call(), call()]

  t.deepEqual(await Promise.all([...first, ...others]), [1, 1, 2, 2])
  t.is(runs(), 2)
})

test('the callers of the last run are waited for, and share the next run', async (t) => {
  const { call, runs } = counted({ gathering: 1000 })
  await Promise.all([call(), call(), call()])

  const first = call()
  await delay(50)
  t.is(runs(), 1)
  const others = [call(), call()]

  t.deepEqual(await Promise.all([first, ...others]), [2, 2, 2])
})

test('callers who do not come back are waited for a part of the time that the last run took', async (t) => {
  const { call, runs } = counted({ gathering: 5 })
  await Promise.all([call(), call()])
  const start = performance.now()

  t.is(await call(), 2)
  t.true(performance.now() - start > 4 * RUN)
  t.is(runs(), 2)
})

test('a lone caller is never delayed', async (t) => {
  const { call, runs } = counted({ gathering: 1000 })

  for (let number = 1; number <= 3; number += 1) {
    const answer = call()
    await turn()
    t.is(runs(), number)
    t.is(await answer, number)
  }
})

test('a call that comes when the time to gather ends gets a run, and so does the call after it', async (t) => {
  let [time, step] = [0, 0]
  const monotonic = () => {
    time += step
    return time
  }
  let runs = 0
  const call = coalesce<void, number>(
    async (callers) => {
      runs += 1
      const mine = runs
      await turn()
      time += 10
      return callers.map(() => mine)
    },
    { gathering: 1, monotonic },
  )
  await Promise.all([call(), call(), call()])
  ;[time, step] = [17, 1.5] // the next look at the clock is before 20, the one after it is not
  const last = call()
  step = 0

  t.is(await last, 2)
  t.is(await call(), 3)
})

test('a run that fails rejects its callers, who share the next run when they come back', async (t) => {
  const { call, runs } = counted({ gathering: 1000, fails: 1 })
  const failed = await Promise.allSettled([call(), call()])
  t.deepEqual(
    failed.map(({ status }) => status),
    ['rejected', 'rejected'],
  )

  t.deepEqual(await Promise.all([call(), call()]), [2, 2])
  t.is(runs(), 2)
})

// What a run is given, and what its callers get

test('a result may be a promise, for which neither the other callers nor the next run wait', async (t) => {
  const late = Promise.withResolvers<string>()
  const call = coalesce(async (keys: readonly string[]) =>
    keys.map((key) => (key === 'late' ? late.promise : key)),
  )
  const [first, waiting, other] = [call('first'), call('late'), call('other')]
  t.deepEqual(await Promise.all([first, other]), ['first', 'other'])
  t.is(await call('next'), 'next')
  late.reject(new Error('its own'))
  await t.throwsAsync(waiting, { message: 'its own' })
})

test('reads without a run in flight begin in the next turn of the event loop, together', async (t) => {
  const { read, asked } = controlledReads()
  const answers = ['a', 'b'].map(read)
  await turn()
  t.deepEqual(asked[0]?.keys, ['a', 'b'])
  asked[0]?.end(row('a'))
  t.deepEqual(await Promise.all(answers), ['row of a', undefined])
})

test('the inputs of calls during a run are one batch, and each caller gets its own result', async (t) => {
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

test('no caller gets the result of a read that began before the call, even of the same key', async (t) => {
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

test('a read that fails fails the callers that share it, and no other', async (t) => {
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

test('a read that hangs delays the next one for `patience` only', async (t) => {
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

test('where `runsAlone` says so, each input of a failed batch is run alone, and has its own result or error', async (t) => {
  const { read, asked } = controlledReads()
  const [first, second, third] = [read('a'), read('b'), read('c')]
  await turn()
  asked[0]?.end(new Refused('one of them'))
  await delay(1)
  t.deepEqual(
    asked.slice(1).map(({ keys }) => keys),
    [['a'], ['b'], ['c']],
  )
  asked[3]?.end(row('c'))
  t.is(await third, 'row of c')
  asked[2]?.end(new Refused('b alone'))
  await t.throwsAsync(second, { message: 'b alone' })
  asked[1]?.end(row('a'))
  t.is(await first, 'row of a')
  t.is(asked.length, 4, 'what is refused alone is not asked again')
})

test('a run fails single inputs by an Error in the place of their result', async (t) => {
  const half = coalesce(async (numbers: readonly number[]) =>
    numbers.map((number) => (number % 2 === 0 ? number / 2 : new RangeError(`${number} is odd`))),
  )
  const [first, second, third] = [half(2), half(3), half(4)]
  t.is(await first, 1)
  await t.throwsAsync(second, { instanceOf: RangeError, message: '3 is odd' })
  t.is(await third, 2)
})

test('a run that returns another number of results fails its callers, instead of leaving one without an answer', async (t) => {
  const call = coalesce<string, string>(async (inputs) => inputs.slice(1))
  const outcomes = await Promise.allSettled([call('a'), call('b')])
  const message = 'a run of 2 inputs must return as many results, not 1'
  for (const outcome of outcomes)
    t.like(outcome, { status: 'rejected', reason: { name: 'TypeError', message } })
})

test('no batch is larger than allowed, in inputs or in size; several run at once', async (t) => {
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

/** Milliseconds that a run takes at least. */
const RUN = 20

/** Each call gets the number of its run. */
function counted({ gathering = 0, fails = 0 }: { gathering?: number; fails?: number } = {}) {
  let number = 0
  const call = coalesce<void, number>(
    async (callers) => {
      number += 1
      const mine = number
      await delay(RUN)
      if (mine === fails) throw new Error('this one fails')
      return callers.map(() => mine)
    },
    { gathering },
  )
  return { call, runs: () => number }
}

class Refused extends Error {}

/** Reads of rows by their keys, which end when told to, and the keys of each. */
function controlledReads(size?: CoalesceOptions<string>['size']) {
  const asked: { keys: readonly string[]; end: (rows: ReadonlyMap<string, string> | Error) => void }[] = []
  const read = coalesce(
    async (keys: readonly string[]) => {
      const { promise, resolve, reject } = Promise.withResolvers<ReadonlyMap<string, string>>()
      asked.push({ keys, end: (rows) => (rows instanceof Error ? reject(rows) : resolve(rows)) })
      const rows = await promise
      return keys.map((key) => rows.get(key))
    },
    {
      mostInputs: 4,
      patience: 20,
      runsAlone: (error) => error instanceof Refused,
      ...(size !== undefined && { size }),
    },
  )
  return { read, asked }
}

const row = (key: string): ReadonlyMap<string, string> => new Map([[key, `row of ${key}`]])
