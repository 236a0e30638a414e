/**
 * `npm run check:histories`: many requests to sessions on each database while faults strike, and a check of the whole
 * history. Each round has its own seed, servers and history. A history with a finding stays in var/histories.
 *
 *   npm run check:histories                                        1,000,000 requests on three databases
 *   npm run check:histories -- --operations 20000 --database sqlite
 *   npm run check:histories -- --seed 17 --faults kill,lost-answer
 *
 * Round n of a database has the seed `--seed` + n, so `--seed` with the number of a progress line resumes there.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { projectFolder } from '../support/places.ts'
import { FAULTS } from './faults.ts'
import { describe, smallest } from './model.ts'
import type { HistoryDatabase } from './place.ts'

process.env.TEST_SERVERS ??= '{}' // The modules below read it; each round starts a server of its own.
const { DATABASES, mergingEngineOf, openPlace } = await import('./place.ts')
const { runRound } = await import('./run.ts')

const { values } = parseArgs({
  options: {
    /** Requests in all. */
    operations: { type: 'string', default: '1000000' },
    /** Requests of a round. */
    round: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    database: { type: 'string', multiple: true, default: [...DATABASES] },
    faults: { type: 'string', default: FAULTS.join() },
    /** Requests between two faults. */
    between: { type: 'string', default: '400' },
    /** Milliseconds that a fault lasts. */
    lasting: { type: 'string', default: '400' },
    /** Keeps all histories. */
    keep: { type: 'boolean', default: false },
    /** Leaves out the Django whose sessions merge (python/). */
    'without-merging': { type: 'boolean', default: false },
    /** The part of the requests to our processes that are sent by HTTP. */
    http: { type: 'string', default: '0.05' },
  },
})

const number = (name: 'operations' | 'round' | 'seed' | 'between' | 'lasting' | 'http'): number => {
  const value = Number(values[name])
  if (!Number.isFinite(value) || value < 0) fail(`--${name} must be a number, not ${values[name]}`)
  return value
}
const databases = values.database.map((name) => {
  const found = DATABASES.find((each) => each === name)
  return found ?? fail(`--database must be one of ${DATABASES.join(', ')}, not ${name}`)
})
const faults = values.faults.split(',').map((name) => {
  const found = FAULTS.find((each) => each === name)
  return found ?? fail(`--faults must be some of ${FAULTS.join()}, not ${name}`)
})
const settings = {
  operations: number('operations') / databases.length,
  round: number('round'),
  seed: number('seed'),
  between: number('between'),
  lasting: number('lasting'),
  http: number('http'),
}

const folder = join(projectFolder, 'var/histories')
mkdirSync(folder, { recursive: true })
const total = { operations: 0, findings: 0, strikes: {} as Record<string, number> }
await Promise.all(databases.map(check))
const strikes = Object.entries(total.strikes).map(([name, count]) => `${name} × ${count}`)
say(`${total.operations} operations, ${total.findings} findings. Faults: ${strikes.join(', ')}`)
process.exit(total.findings === 0 ? 0 : 1)

async function check(name: HistoryDatabase): Promise<void> {
  let seed = settings.seed
  for (let left = settings.operations; left >= 1; left -= settings.round) {
    await checkRound(name, seed, Math.min(settings.round, Math.ceil(left)))
    seed += 1
  }
}

async function checkRound(name: HistoryDatabase, seed: number, operations: number): Promise<void> {
  const endings: (() => unknown)[] = []
  const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
  const file = join(folder, `${name}-${seed}.jsonl`)
  const startedAt = performance.now()
  try {
    const { lasting, between, http } = settings
    const merging = values['without-merging'] ? null : mergingEngineOf(seed)
    const options = { ownServer: true, seed, withDjango: true, merging, lasting }
    const place = await openPlace(scope, name, options)
    const round = await runRound({ ...place, seed, operations, faults, between, http, file })
    const seconds = (performance.now() - startedAt) / 1000
    const outcomes = Object.entries(round.outcomes).map(([outcome, count]) => `${outcome} ${count}`)
    const count = Object.values(round.strikes).reduce((sum, each) => sum + each, 0)
    say(
      `${name} seed ${seed}: ${round.operations} operations (${outcomes.join(', ')}), ${count} faults, ` +
        `${round.findings.length} findings, ${Math.round(round.operations / seconds)}/s`,
    )
    total.operations += round.operations
    total.findings += round.findings.length
    for (const [fault, times] of Object.entries(round.strikes))
      total.strikes[fault] = (total.strikes[fault] ?? 0) + times
    const found = smallest(round.findings)
    if (found === null && !values.keep) rmSync(file)
    if (found !== null) say(`${describe(found)}\n  the history: ${file}`)
  } finally {
    for (const end of endings) await end()
  }
}

function say(text: string): void {
  console.log(`histories: ${text}`)
}

function fail(text: string): never {
  console.error(`histories: ${text}`)
  process.exit(2)
}
