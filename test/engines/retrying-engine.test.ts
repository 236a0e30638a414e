import test from 'ava'
import { createRetryingEngine } from '../../src/engines/retrying-engine.ts'
import type { SessionEngine } from '../../src/session/engine.ts'
import { retryRead } from '../../src/sql/retry.ts'

const LOCKED = Object.assign(new Error('locked'), {
  code: 'ER_LOCK_DEADLOCK',
  errno: 1213,
  sqlState: '40001',
})
const LOST = Object.assign(new Error('lost'), { code: 'PROTOCOL_CONNECTION_LOST', fatal: true })
const REFUSED = Object.assign(new Error('refused'), { code: 'ER_DUP_ENTRY', errno: 1062, sqlState: '23000' })

/** An engine of which each operation fails with these errors, and then succeeds; and how often it was called. */
function failing(errors: readonly Error[]) {
  const left = [...errors]
  let calls = 0
  const operation = async (): Promise<never> => {
    calls += 1
    const error = left.shift()
    if (error !== undefined) throw error
    return null as never
  }
  const engine: SessionEngine = {
    load: operation,
    exists: operation,
    create: operation,
    update: operation,
    delete: operation,
    clearExpired: operation,
  }
  return { engine, calls: () => calls }
}

const session = { data: new Map<string, string>(), expireDate: new Date(0) }
const READS = {
  load: (engine: SessionEngine) => engine.load('key'),
  exists: (engine: SessionEngine) => engine.exists('key'),
}
const WRITES = {
  create: (engine: SessionEngine) => engine.create('key', session),
  update: (engine: SessionEngine) => engine.update('key', session, 'revision'),
  delete: (engine: SessionEngine) => engine.delete('key'),
}

for (const [name, operation] of Object.entries({ ...READS, ...WRITES })) {
  test(`${name} is repeated after an error that says that nothing was executed`, async (t) => {
    const { engine, calls } = failing([LOCKED, LOCKED])
    const retries: unknown[] = []
    await operation(
      createRetryingEngine(engine, { random: () => 0, onRetry: (error) => void retries.push(error) }),
    )
    t.is(calls(), 3)
    t.deepEqual(retries, [LOCKED, LOCKED])
  })

  test(`${name} is not repeated after any other error`, async (t) => {
    const { engine, calls } = failing([REFUSED])
    t.is(await t.throwsAsync(async () => operation(createRetryingEngine(engine))), REFUSED)
    t.is(calls(), 1)
  })
}

for (const [name, read] of Object.entries(READS)) {
  test(`${name} is repeated after a lost connection`, async (t) => {
    const { engine, calls } = failing([LOST])
    await read(createRetryingEngine(engine, { random: () => 0 }))
    t.is(calls(), 2)
  })
}

for (const [name, write] of Object.entries(WRITES)) {
  test(`${name} is not repeated after a lost connection, under which it may have been executed`, async (t) => {
    const { engine, calls } = failing([LOST])
    t.is(await t.throwsAsync(async () => write(createRetryingEngine(engine))), LOST)
    t.is(calls(), 1)
  })
}

test('an operation is repeated until its time is over, and then its last error is thrown', async (t) => {
  let now = 0
  let calls = 0
  const read = async (): Promise<void> => {
    calls += 1
    now += 10
    throw LOCKED
  }
  const retried = retryRead(read, { timeout: 35, random: () => 0, monotonic: () => now })
  t.is(await t.throwsAsync(retried), LOCKED)
  t.is(calls, 4)
})
