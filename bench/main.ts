/**
 * Measures the service, its alternatives and a hand-written floor on one MariaDB with durable commits
 * (innodb_flush_log_at_trx_commit=1). The targets run in turn, so that other load on the machine affects all alike.
 *
 *   npm run bench                                           all of it, forty minutes; writes bench/results.md
 *   npm run bench -- --scenario hot --rounds 1 --seconds 2  a part; writes files only with --write
 *   npm run bench -- --memory                               memory after ten minutes at 64 connections
 *   npm run bench -- --proxies                              what passing requests on costs, beside nginx and two Node proxies
 *   npm run bench -- --growth                               the service on tables of 1,000 and of 5,000,000 sessions
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { DatabaseServer } from '../test/support/servers.ts'
import { startDurableMariadb } from './database.ts'
import type { Measurement } from './measure.ts'
import { prepare } from './prepare.ts'

const { values } = parseArgs({
  options: {
    /** A part of the names to run; may be repeated. */
    scenario: { type: 'string', multiple: true },
    target: { type: 'string', multiple: true },
    // Many short rounds, because the speed of a machine varies over time; but not shorter, because rounds of one second
    // varied more.
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    memory: { type: 'boolean', default: false },
    growth: { type: 'boolean', default: false },
    proxies: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '10' },
    write: { type: 'boolean', default: false },
  },
})
const isFull = values.scenario === undefined && values.target === undefined

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (text: string) => console.log(`bench: ${text}`)

try {
  await prepare(say)
  if (values.proxies) {
    await proxies()
  } else {
    const server = await startDatabase()
    if (values.memory) await memory()
    else if (values.growth) await growth(server)
    else await benchmark(server)
  }
} finally {
  for (const end of endings) await end()
}

async function startDatabase(): Promise<DatabaseServer> {
  const server = await startDurableMariadb(scope, { bufferPool: '512M', logFile: '256M' })
  process.env.TEST_SERVERS = JSON.stringify({ mariadb: server.url }) // read by the modules imported below
  return server
}

async function benchmark(database: DatabaseServer): Promise<void> {
  const { runAll } = await import('./run.ts')
  const { SCENARIOS } = await import('./scenarios.ts')
  const { TARGETS } = await import('./targets.ts')
  const { measureStart } = await import('./start.ts')
  const { createReport } = await import('./report.ts')
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  const targets = chosen(TARGETS, values.target)
  const startUps = isFull ? await measureStart(scope, { rounds: Math.max(rounds, 5) }) : []
  const measurements = await runAll(scope, {
    database,
    scenarios: chosen(SCENARIOS, values.scenario),
    targets,
    rounds,
    seconds,
    onMeasured: (one) => say(line(one)),
  })
  const { markdown, charts } = createReport({
    measurements,
    targets,
    startUps,
    rounds,
    seconds,
    isFull: isFull && rounds >= 3 && seconds >= 1,
  })
  console.log(markdown)
  if (!isFull && !values.write) return
  write('results.md', markdown)
  for (const [file, svg] of charts) write(file, svg)
}

async function memory(): Promise<void> {
  const { measureMemory, memoryReport } = await import('./memory.ts')
  const { TARGETS } = await import('./targets.ts')
  const minutes = Number(values.minutes)
  const uses = await measureMemory(scope, { targets: chosen(TARGETS, values.target), minutes })
  const markdown = memoryReport(uses, minutes)
  console.log(markdown)
  if (isFull) write('memory.md', markdown)
}

async function growth(database: DatabaseServer): Promise<void> {
  const { measureGrowth, growthReport } = await import('./growth.ts')
  const options = { rounds: Number(values.rounds), seconds: Number(values.seconds) }
  const markdown = growthReport(await measureGrowth(scope, { database, ...options }), options)
  console.log(markdown)
  write('growth.md', markdown)
}

async function proxies(): Promise<void> {
  const { measureProxies, proxiesReport } = await import('./proxies.ts')
  const options = { rounds: Number(values.rounds), seconds: Number(values.seconds) }
  const measurements = await measureProxies(scope, {
    ...options,
    onMeasured: ({ proxy, connections, round, requestsPerSecond, cpu, p50 }) =>
      say(
        `${connections} ${round}: ${proxy}: ${requestsPerSecond.toFixed(0)} req/s, ${cpu.toFixed(3)} ms CPU, p50 ${p50.toFixed(2)} ms`,
      ),
  })
  const markdown = proxiesReport(measurements, options)
  console.log(markdown)
  write('proxies.md', markdown)
}

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  names: readonly string[] | undefined,
): readonly T[] {
  return names === undefined ? all : all.filter(({ name }) => names.some((part) => name.includes(part)))
}

function write(file: string, text: string): void {
  writeFileSync(new URL(file, import.meta.url), text)
  say(`wrote bench/${file}`)
}

function line({ scenario, round, target, requestsPerSecond, cpu, p99, errors, lost }: Measurement): string {
  const numbers = `${requestsPerSecond.toFixed(0)} req/s, ${cpu.toFixed(2)} ms CPU, p99 ${p99.toFixed(0)} ms`
  const failed = `${errors === 0 ? '' : `, ${errors} errors`}${lost ? `, ${lost} lost` : ''}`
  return `${scenario} ${round}: ${target}: ${numbers}${failed}`
}
