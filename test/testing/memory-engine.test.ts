import test from 'ava'
import { createMemoryEngine } from '../../src/testing/memory-engine.ts'
import { conformance } from '../session/conformance/conformance.ts'

conformance('memory engine', async () => {
  const clock = { now: new Date() }
  const engine = createMemoryEngine({ now: () => clock.now })
  return { engine, clock, empty: async () => engine.clear(), count: async () => engine.size }
})

test('it holds no more sessions than it may, and says what to do', async (t) => {
  const engine = createMemoryEngine({ maxSessions: 1 })
  const session = { data: new Map([['a', '1']]), expireDate: new Date(Date.now() + 60_000) }
  const first = await engine.create('first', session)
  await t.throwsAsync(engine.create('second', session), { message: /holds 1 sessions; call its clear\(\)/ })
  await t.notThrowsAsync(engine.update('first', session, first.revision))
  engine.clear()
  await t.notThrowsAsync(engine.create('second', session))
})

test('what its caller changes afterwards does not change what is kept', async (t) => {
  const engine = createMemoryEngine()
  const data = new Map([['a', '1']])
  await engine.create('key', { data, expireDate: new Date(Date.now() + 60_000) })
  data.set('a', '2')
  t.deepEqual([...((await engine.load('key'))?.data ?? [])], [['a', '1']])
})
