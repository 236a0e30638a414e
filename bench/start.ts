import { rmSync } from 'node:fs'
import type { Scope } from '../test/support/file-scope.ts'
import { temporaryFolder } from '../test/support/service.ts'
import { createLibrary } from './library.ts'
import { medianOf } from './summary.ts'
import { startOurs } from './targets.ts'
import { cpuSeconds } from './usage.ts'
import { visit } from './visit.ts'

/** What it takes from the start of the process to the first page, in seconds. */
export interface StartUp {
  readonly title: string
  readonly cpu: number
  readonly wall: number
}

/** Our own start, as medians: on the embedded demo when it is made, when it is there, and on MySQL. */
export async function measureStart(scope: Scope, { rounds }: { rounds: number }): Promise<StartUp[]> {
  const folder = temporaryFolder(scope)
  const databaseUrl = await createLibrary(scope, 'small')
  const kinds = [
    { title: 'embedded demo, which is made', databaseUrl: null, isFirst: true },
    { title: 'embedded demo', databaseUrl: null, isFirst: false },
    { title: 'MariaDB', databaseUrl, isFirst: false },
  ]
  const found = kinds.map(({ title }) => ({ title, cpu: [] as number[], wall: [] as number[] }))
  for (let round = 1; round <= rounds; round += 1) {
    for (const [at, { databaseUrl, isFirst }] of kinds.entries()) {
      if (isFirst) rmSync(`${folder}/var`, { recursive: true, force: true })
      const started = performance.now()
      const running = await startOurs(scope, databaseUrl, { cwd: folder })
      await visit(running.port)
      found[at]?.wall.push((performance.now() - started) / 1000)
      found[at]?.cpu.push(cpuSeconds(running.pids()))
      await running.stop()
    }
  }
  return found.map(({ title, cpu, wall }) => ({
    title,
    cpu: medianOf(cpu) ?? Number.NaN,
    wall: medianOf(wall) ?? Number.NaN,
  }))
}
