import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { withFileLock } from '../../src/concurrency/file-lock.ts'
import { temporaryFolder } from '../support/service.ts'

const timeout = 60_000

/** Milliseconds between two renewals from which on a lock, which is renewed every 100 ms and held for 500, may lapse. */
const STALL = 250

/** Writes to a file as often as a lock is renewed. `longest` is the longest time, in milliseconds, that one renewal had to last. */
async function watchRenewals(t: ExecutionContext): Promise<{ longest(): number; stop(): Promise<void> }> {
  const handle = await open(join(temporaryFolder(t), 'renewals'), 'a')
  let isStopped = false
  let longest = 0
  async function renew(): Promise<void> {
    for (let renewed = performance.now(); !isStopped; ) {
      await delay(100)
      const began = performance.now()
      await handle.write('.')
      longest = Math.max(longest, performance.now() - renewed)
      renewed = began
    }
  }
  const renewing = renew()
  return {
    longest: () => longest,
    async stop() {
      isStopped = true
      await renewing
      await handle.close()
    },
  }
}

test('a slow holder keeps its lock as long as its process runs', async (t) => {
  const folder = temporaryFolder(t)
  const lock = join(folder, 'lock')
  const order: string[] = []
  const { promise: isHeld, resolve: held } = Promise.withResolvers<void>()
  const renewals = await watchRenewals(t)
  const slow = withFileLock(
    lock,
    async (confirm) => {
      order.push('slow begins')
      held()
      await delay(2500) // twice as long as an abandoned lock is respected
      confirm()
      order.push('slow ends')
    },
    { timeout },
  )
  await isHeld
  const next = withFileLock(lock, async () => void order.push('next'), { timeout })
  await Promise.all([slow, next])
  await renewals.stop()
  // On a busy machine the process or the disk may pause for so long that the lock lapses: then it begins anew, alone again.
  const hasStalled = renewals.longest() > STALL
  t.log(`the longest renewal took ${Math.round(renewals.longest())} ms`)
  const lapsed = ['slow begins', 'next', 'slow begins', 'slow ends']
  t.deepEqual(order, hasStalled && order.length > 3 ? lapsed : ['slow begins', 'slow ends', 'next'])
  t.deepEqual(readdirSync(folder), [])
})

test('a process that was stopped while others went on loses its lock, and begins anew', async (t) => {
  const folder = temporaryFolder(t)
  const lock = join(folder, 'lock')
  const script = fileURLToPath(new URL('../support/lock-holder.ts', import.meta.url))
  const holder = spawn(process.execPath, [script, lock])
  t.teardown(() => holder.kill('SIGKILL'))
  const lines = createInterface(holder.stdout)[Symbol.asyncIterator]()
  const said = async (): Promise<string> => (await lines.next()).value ?? 'it ended'
  t.is(await said(), 'begins 1')
  holder.kill('SIGSTOP')
  await withFileLock(
    lock,
    async (confirm) => {
      holder.kill('SIGCONT')
      holder.stdin.write('go on\n')
      await delay(200) // long enough for it to do harm, if it did
      confirm()
    },
    { timeout },
  )
  t.is(await said(), 'begins 2', 'not a word of having done its work the first time')
  holder.stdin.write('go on\n')
  t.is(await said(), 'done')
  await once(holder, 'close')
  t.false(existsSync(lock))
  t.deepEqual(readdirSync(folder), [])
})
