import { Worker } from 'node:worker_threads'
import test from 'ava'
import { bodies, readers, visitors } from './sizes.ts'

/** Milliseconds for three texts: a hundred times the time of a linear reader. A quadratic reader fails before, by its growth. */
const LIMIT = 30_000

for (const reader of Object.keys({ ...readers, ...bodies, ...visitors })) {
  test.serial(`${reader} of maximum size takes linear time and memory`, async (t) => {
    t.timeout(2 * LIMIT)
    const worker = new Worker(new URL('sizes.ts', import.meta.url), {
      workerData: reader,
      resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 64 },
    })
    let last = 'nothing'
    const limit = setTimeout(() => worker.terminate(), LIMIT)
    worker.on('message', (unit: string) => {
      last = JSON.stringify(unit)
      limit.refresh()
      t.timeout(2 * LIMIT)
    })
    const outcome = await new Promise<string>((resolve) => {
      worker.once('error', (error) => resolve(`${error.name}: ${error.message}`))
      worker.once('exit', (code) => resolve(code === 0 ? 'done' : 'too slow'))
    })
    clearTimeout(limit)
    t.is(outcome, 'done', `after ${last}`)
  })
}
