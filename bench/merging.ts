/**
 * Django's CPU time per request with the engines of python/, compared with its own, on each database. Writes bench/merging.md.
 *
 *   npm run bench:merging                    60 rounds
 *   npm run bench:merging -- --rounds 10     writes nothing without --write
 */
import { writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { prepareDjango, pythonOf } from '../test/support/django-environments.ts'
import { pythonEnvironment } from '../test/support/django-processes.ts'
import { execute } from '../test/support/executables.ts'
import { projectFolder, siteFolder } from '../test/support/places.ts'
import { startPostgresql } from '../test/support/servers.ts'
import { startDurableMariadb } from './database.ts'
import { medianOf } from './statistics.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '60' },
    write: { type: 'boolean', default: false },
  },
})
const ROUNDS = Number(values.rounds)
const GOAL = 1.05
const DJANGO = '5.2'
const DATABASES = ['mariadb', 'postgresql', 'sqlite'] as const
const ENGINES = ['db', 'cached_db'] as const

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (text: string) => console.log(`bench: ${text}`)

interface Result {
  readonly database: string
  readonly engine: string
  /** Microseconds of CPU time per request: the medians of all rounds. */
  readonly djangos: number
  readonly ours: number
  /** The median of the ratios of the rounds. */
  readonly ratio: number
}

try {
  for (const { version, reason } of await prepareDjango(say)) say(`Django ${version}: ${reason}`)
  const mariadb = await startDurableMariadb(scope, { bufferPool: '256M', logFile: '128M' })
  const postgresql = await startPostgresql()
  scope.teardown(() => postgresql.stop())
  // Read by the module that is imported below.
  process.env.TEST_SERVERS = JSON.stringify({ mariadb: mariadb.url, postgresql: postgresql.url })
  const results: Result[] = []
  for (const database of DATABASES) {
    for (const engine of ENGINES) results.push(await measure(database, engine))
  }
  const text = page(results)
  console.log(text)
  if (ROUNDS >= 60 || values.write) writeFileSync(new URL('merging.md', import.meta.url), text)
  if (results.some(({ ratio }) => ratio > GOAL)) process.exitCode = 1
} finally {
  for (const end of endings) await end()
}

async function measure(database: (typeof DATABASES)[number], engine: string): Promise<Result> {
  const { createTestDatabase } = await import('../test/support/databases.ts')
  const { url } = await createTestDatabase(scope, database, { tables: 'library' })
  const script = fileURLToPath(new URL('merging.py', import.meta.url))
  const engines = [`django.contrib.sessions.backends.${engine}`, `merging_sessions.${engine}`]
  const { stdout } = await execute(pythonOf(DJANGO), ['-W', 'ignore', script, ...engines, String(ROUNDS)], {
    cwd: siteFolder,
    env: {
      ...pythonEnvironment,
      PYTHONPATH: `${siteFolder}:${join(projectFolder, 'python')}`,
      DJANGO_SETTINGS_MODULE: 'locallibrary.settings',
      SECRET_KEY: 'of a benchmark',
      DATABASE_URL: url,
      CACHES: JSON.stringify({ default: { BACKEND: 'django.core.cache.backends.locmem.LocMemCache' } }),
    },
  })
  const rounds: [number, number][] = JSON.parse(stdout)
  const median = (numbers: number[]) => medianOf(numbers) ?? Number.NaN
  const result = {
    database,
    engine,
    djangos: median(rounds.map(([djangos]) => djangos)),
    ours: median(rounds.map(([, ours]) => ours)),
    ratio: median(rounds.map(([djangos, ours]) => ours / djangos)),
  }
  say(`${engine} on ${database}: ${result.ratio.toFixed(3)}`)
  return result
}

function page(results: readonly Result[]): string {
  const lines = results.map(
    ({ database, engine, djangos, ours, ratio }) =>
      `| ${engine} | ${database} | ${djangos.toFixed(0)} | ${ours.toFixed(0)} | ${ratio.toFixed(3)} |`,
  )
  const over = results
    .filter(({ ratio }) => ratio > GOAL)
    .map(({ database, engine }) => `${engine} on ${database}`)
  return `# The CPU time of the engines that merge

\`npm run bench:merging\`, ${new Date().toISOString().slice(0, 10)}: Django ${DJANGO}, LocalLibrary's home page, which loads and saves the
session. Both engines run in one process and take turns: ${ROUNDS} rounds of 40 requests each. The numbers are the CPU time of Django's process
per request, without an HTTP server. The ratio is the median over the rounds. The load of the machine was ${(loadavg()[0] ?? 0).toFixed(1)}.

| engine | database | Django's, µs | merging, µs | ratio |
|---|---|---|---|---|
${lines.join('\n')}

The goal is a ratio of at most ${GOAL}. ${over.length === 0 ? 'It is met.' : `It is not met by ${over.join(', ')}.`}
`
}
