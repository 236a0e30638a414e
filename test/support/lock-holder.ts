/** A process that works under a lock: `lock-holder.ts FILE`; says when it begins, and goes on at each line it is told. */
import { once } from 'node:events'
import { withFileLock } from '../../src/concurrency/file-lock.ts'

let times = 0
const work = async (confirm: () => void): Promise<void> => {
  times += 1
  console.log(`begins ${times}`)
  await once(process.stdin, 'data')
  confirm()
}
await withFileLock(process.argv[2] ?? '', work, { timeout: 60_000 })
console.log('done')
process.exit()
