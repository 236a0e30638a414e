import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { withDeadline } from '../../src/concurrency/deadline.ts'
import { holdUp } from '../support/hold-up.ts'

/** Timers that the test lets run. */
function createSchedule() {
  const waiting = new Map<() => void, number>()
  return {
    waiting,
    schedule(run: () => void, milliseconds: number) {
      waiting.set(run, milliseconds)
      return () => void waiting.delete(run)
    },
    elapse() {
      for (const run of waiting.keys()) run()
    },
  }
}

class Late extends Error {}

const throwLate = (): never => {
  throw new Late()
}

test('a promise that settles in time keeps its result, and leaves no timer', async (t) => {
  const { schedule, waiting } = createSchedule()
  const work = Promise.withResolvers<number>()
  const answer = withDeadline(work.promise, 50, { onLate: throwLate, schedule })
  t.deepEqual([...waiting.values()], [50])
  work.resolve(7)
  t.is(await answer, 7)
  t.is(waiting.size, 0)
})

test('a promise that rejects in time keeps its error, and leaves no timer', async (t) => {
  const { schedule, waiting } = createSchedule()
  const error = new Error('the work failed')
  t.is(await t.throwsAsync(withDeadline(Promise.reject(error), 50, { onLate: throwLate, schedule })), error)
  t.is(waiting.size, 0)
})

test('a late promise becomes the value of onLate, and leaves no timer', async (t) => {
  const { schedule, waiting, elapse } = createSchedule()
  const answer = withDeadline(new Promise<number>(() => {}), 50, { onLate: () => null, schedule })
  elapse()
  t.is(await answer, null)
  t.is(waiting.size, 0)
})

test('a late promise becomes the error of onLate, which fails the caller and not the process', async (t) => {
  const { schedule, elapse } = createSchedule()
  const answer = withDeadline(new Promise(() => {}), 50, { onLate: throwLate, schedule })
  elapse()
  await t.throwsAsync(answer, { instanceOf: Late })
})

test.serial('what a promise comes to after the deadline is ignored, a rejection too', async (t) => {
  const unhandled: unknown[] = []
  const listen = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listen)
  t.teardown(() => process.off('unhandledRejection', listen))
  const { schedule, elapse } = createSchedule()
  const work = Promise.withResolvers<number>()
  const answer = withDeadline(work.promise, 50, { onLate: () => null, schedule })
  elapse()
  t.is(await answer, null)
  work.reject(new Error('too late'))
  await turn() // Node reports a rejection that nothing handles before the next turn of its event loop.
  t.deepEqual(unhandled, [])
})

test('onLate is not called for a promise that settles in time', async (t) => {
  const { schedule } = createSchedule()
  let calls = 0
  const onLate = () => {
    calls += 1
  }
  t.is(await withDeadline(Promise.resolve('in time'), 50, { onLate, schedule }), 'in time')
  t.is(calls, 0)
})

test('the deadline is a timer by default', async (t) => {
  t.is(await withDeadline(new Promise(() => {}), 1, { onLate: () => 'late' }), 'late')
})

test('a result that has arrived counts, though the process was held up past the deadline', async (t) => {
  const { client, accepted } = await openConnection(t)
  const answer = withDeadline(once(client, 'data'), 20, { onLate: throwLate })
  accepted.write('answer')
  holdUp(60)
  t.is(String((await answer)[0]), 'answer')
})

test('a result that arrives soon after the process was held up counts', async (t) => {
  const { client, accepted } = await openConnection(t)
  const answer = withDeadline(once(client, 'data'), 200, { onLate: throwLate })
  setTimeout(() => accepted.write('answer'), 205) // The server was held up, too.
  holdUp(600)
  t.is(String((await answer)[0]), 'answer')
})

/** Both ends of a connection, until the end of the test. */
async function openConnection(t: ExecutionContext): Promise<{ client: Socket; accepted: Socket }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => {
    client.destroy()
    server.close()
  })
  const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
  return { client, accepted }
}
