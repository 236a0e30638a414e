import test from 'ava'
import { lossesIn } from './losses.ts'
import { PLANTED, simulate } from './planted-losses.ts'

test('no loss is found in 1000 random histories of a site that is right', async (t) => {
  const statuses = new Set<number | null>()
  for (let seed = 0; seed < 1000; seed += 1) {
    const { history, stored, ...options } = await simulate(seed, { requests: 200 })
    t.deepEqual(lossesIn(history, stored, options), [], `seed ${seed}`)
    for (const { status } of history) statuses.add(status)
  }
  t.deepEqual([...statuses].toSorted(), [200, 400, 409, null])
})

for (const [name, { plant, says }] of Object.entries(PLANTED)) {
  test(`a planted fault is found: ${name}`, async (t) => {
    let found = 0
    for (let seed = 0; seed < 5; seed += 1) {
      const { history, stored, ...options } = await simulate(seed, { requests: 1000, plant })
      const loss = lossesIn(history, stored, options).find((each) => says.test(each))
      if (loss !== undefined && found++ === 0) t.log(loss)
    }
    t.is(found, 5)
  })
}

test('a read of an older copy is not a loss where reads are not judged', async (t) => {
  const { plant } = PLANTED['a read is answered from an older copy']
  for (let seed = 0; seed < 100; seed += 1) {
    const { history, stored, ...options } = await simulate(seed, { requests: 200, plant })
    t.deepEqual(lossesIn(history, stored, { ...options, readsAreFresh: false }), [], `seed ${seed}`)
  }
})
