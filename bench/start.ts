import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Scope } from '../test/support/file-scope.ts'
import { projectFolder } from '../test/support/places.ts'
import { temporaryFolder } from '../test/support/service.ts'
import { createLibrary } from './library.ts'
import { medianOf } from './statistics.ts'
import { BUNDLE, startOurs } from './targets.ts'
import { cpuSeconds } from './usage.ts'
import { visit } from './visit.ts'

/** Seconds from the start of the process to the first page. */
export interface StartUp {
  readonly title: string
  readonly cpu: number
  readonly wall: number
}

/** As in production, and as in a checkout, where the first start has made a bundle. */
const MAINS = [
  { how: 'bundled', main: join(BUNDLE, 'main.js') },
  { how: '`npm start`', main: join(projectFolder, 'tools/start.mjs') },
]

/** The number of starts of each kind, if there are so many rounds. */
const STARTS = 7

/** Measures starts of the service, as medians: on a new embedded demo, on an existing one, and on MariaDB. */
export async function measureStart(scope: Scope, { rounds }: { rounds: number }): Promise<StartUp[]> {
  const folder = temporaryFolder(scope)
  const databaseUrl = await createLibrary(scope, 'small')
  const databases = [
    { where: 'embedded demo, which is made', databaseUrl: null, isFirst: true },
    { where: 'embedded demo', databaseUrl: null, isFirst: false },
    { where: 'MariaDB', databaseUrl, isFirst: false },
  ]
  const kinds = MAINS.flatMap(({ how, main }) =>
    databases.map(({ where, ...database }) => ({ title: `${how}, ${where}`, main, ...database })),
  )
  const found = kinds.map(({ title }) => ({ title, cpu: [] as number[], wall: [] as number[] }))
  // The round before the first makes the bundle of `npm start` and fills the compile cache.
  for (let round = 0; round <= Math.min(rounds, STARTS); round += 1) {
    for (const [at, { databaseUrl, isFirst, main }] of kinds.entries()) {
      if (isFirst) rmSync(`${folder}/var`, { recursive: true, force: true })
      const started = performance.now()
      const running = await startOurs(scope, databaseUrl, { cwd: folder, main })
      await visit(running.port)
      const wall = (performance.now() - started) / 1000
      if (round > 0) {
        found[at]?.wall.push(wall)
        found[at]?.cpu.push(cpuSeconds(running.pids()))
      }
      await running.stop()
    }
  }
  return found.map(({ title, cpu, wall }) => ({
    title,
    cpu: medianOf(cpu) ?? Number.NaN,
    wall: medianOf(wall) ?? Number.NaN,
  }))
}
