/**
 * What an import of the published library costs beside a Node that imports nothing, for each entry point. Writes
 * bench/import.md.
 *
 *   npm run bench:import                 40 rounds, which take a minute
 *   npm run bench:import -- --rounds 5   fewer; writes nothing without --write
 */
import { writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { execute } from '../test/support/executables.ts'
import { projectFolder } from '../test/support/places.ts'
import { medianOf } from './statistics.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '40' }, write: { type: 'boolean', default: false } },
})
const ROUNDS = Number(values.rounds)

/** The maximum time of an import, in milliseconds. */
const LIMIT = 20

/** Of the machine, before this program adds its own. */
const load = loadavg()[0] ?? Number.NaN

const PACKAGE = join(projectFolder, 'dist/package')

/** What one process took, in milliseconds. */
interface Taken {
  /** From before the import until after it. */
  readonly wall: number
  /** Of the whole process, on all threads: user and system. */
  readonly cpu: number
  readonly user: number
}

await execute('npm', ['run', '--silent', 'package'], { cwd: projectFolder })
const { default: manifest } = await import(join(PACKAGE, 'package.json'), { with: { type: 'json' } })
const exported = Object.entries<string | { default: string }>(manifest.exports)
const files = exported.flatMap(([path, target]) =>
  typeof target === 'string' ? [] : [[path, join(PACKAGE, target.default)] as const],
)
const plain: Taken[] = []
const taken = files.map(([path, file]) => ({ path, file, all: [] as Taken[] }))
// In turn, so that other load on the machine affects all alike.
for (let round = 0; round < ROUNDS; round += 1) {
  plain.push(await start(''))
  for (const { file, all } of taken) all.push(await start(`await import(${JSON.stringify(file)})`))
}

const rows = taken.map(({ path, all }) => {
  const above = (what: keyof Taken) => median(all, what) - median(plain, what)
  return { path, wall: above('wall'), cpu: above('cpu'), user: above('user') }
})
const lines = rows.map(({ path, wall, cpu, user }) => {
  return `| \`${path}\` | ${user.toFixed(1)} | ${cpu.toFixed(1)} | ${wall.toFixed(1)} |`
})
const slow = rows.filter(({ cpu }) => cpu > LIMIT)
const verdict = slow.length === 0 ? 'is met' : `is missed by ${slow.map(({ path }) => path).join(', ')}`
// Processes that share a core and its caches take more CPU, too.
const isBusy = load > cpus().length
const report = `# Import

\`npm run bench:import\`, ${new Date().toISOString().slice(0, 10)}: milliseconds that the import of an entry point adds to a
Node that imports nothing (${median(plain, 'user').toFixed(1)} ms of user CPU, ${median(plain, 'cpu').toFixed(1)} ms of CPU). Medians of ${ROUNDS}
processes each, started in turn. ${cpus().length} cores, load ${load.toFixed(1)}, Node ${process.version}.

| entry point | user CPU | CPU | wall time |
|---|---|---|---|
${lines.join('\n')}

The goal, at most ${LIMIT} ms of CPU on an idle core, ${verdict}.${isBusy ? ' The machine was busy, which makes each figure larger.' : ''}
`
console.log(report)
if (ROUNDS >= 40 || values.write) writeFileSync(join(import.meta.dirname, 'import.md'), report)

async function start(statement: string): Promise<Taken> {
  const program = `const before = performance.now()
${statement}
const wall = performance.now() - before
const { user, system } = process.cpuUsage()
console.log(JSON.stringify({ wall, user: user / 1000, cpu: (user + system) / 1000 }))`
  return JSON.parse((await execute(process.execPath, ['--input-type=module', '--eval', program])).stdout)
}

function median(all: readonly Taken[], what: keyof Taken): number {
  return medianOf(all.map((one) => one[what])) ?? Number.NaN
}
