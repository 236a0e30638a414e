import test from 'ava'
import { createReadiness } from '../../../src/service/monitoring/readiness.ts'

test('a successful check is not repeated within its maximum age, and simultaneous calls share one run', async (t) => {
  const asked = { kept: 0, anew: 0 }
  const count = (name: keyof typeof asked) => async () => {
    asked[name] += 1
  }
  const look = createReadiness([
    { name: 'kept', run: count('kept'), maxAge: 60_000 },
    { name: 'anew', run: count('anew'), maxAge: 0 },
  ])
  await Promise.all(Array.from({ length: 50 }, look))
  t.deepEqual(asked, { kept: 1, anew: 1 })
  for (let times = 0; times < 10; times += 1) await look()
  t.is(asked.kept, 1)
  t.true(asked.anew > 1)
})

test('the first failed check is named, and later ones do not run', async (t) => {
  const cause = new Error('the reason')
  let isBehindAsked = false
  const look = createReadiness([
    { name: 'first', run: async () => null, maxAge: 0 },
    { name: 'second', run: () => Promise.reject(cause), maxAge: 0 },
    {
      name: 'third',
      run: async () => {
        isBehindAsked = true
      },
      maxAge: 0,
    },
  ])
  await t.throwsAsync(look(), { name: 'CheckFailed', message: 'the check second failed' })
  const error = await look().catch((failure: unknown) => failure)
  t.like(error, { check: 'second', cause })
  t.false(isBehindAsked)
})

test('a check that throws synchronously fails like any other', async (t) => {
  const look = createReadiness([
    {
      name: 'sync',
      run: () => {
        throw new TypeError('not yet')
      },
      maxAge: 0,
    },
  ])
  await t.throwsAsync(look(), { name: 'CheckFailed' })
})

test('a success counts for the time of its check, a failure for a fifth of it', async (t) => {
  let [milliseconds, asked] = [0, 0]
  let answer: Promise<unknown> = Promise.resolve()
  const run = () => {
    asked += 1
    return answer
  }
  const look = createReadiness([{ name: 'database', run, maxAge: 5000 }], { monotonic: () => milliseconds })
  await look()
  milliseconds = 4999
  await look()
  t.is(asked, 1)
  milliseconds = 5000
  answer = Promise.reject(new Error('the database is away'))
  await t.throwsAsync(look(), { name: 'CheckFailed' })
  answer = Promise.resolve()
  milliseconds = 5999
  await t.throwsAsync(look(), { name: 'CheckFailed' })
  t.is(asked, 2)
  milliseconds = 6000
  await look()
  t.is(asked, 3)
})
