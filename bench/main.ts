/**
 * Measures the service, its alternatives and a hand-written floor: on MariaDB and PostgreSQL with durable commits, on
 * SQLite, and with Redis; as a proxy; and its start. The targets run in random orders, so that other load on the machine
 * affects all alike.
 *
 *   npm run bench                                      all of it, an hour; writes bench/results.md, its charts, and the
 *                                                      figures of docs/performance.md
 *   npm run bench -- --only hot --rounds 1 --seconds 2 a part: scenarios, `proxies`, `start`. Few rounds and
 *                                                      parts write only with --write
 *   npm run bench -- --memory                          memory after ten minutes at 64 connections
 *   npm run bench -- --growth                          the service on tables of 1,000 and of 5,000,000 sessions
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startRedis } from '../test/support/redis.ts'
import type { DatabaseServer } from '../test/support/servers.ts'
import { startDurableMariadb, startDurablePostgresql } from './database.ts'
import type { ServerUnderLoad } from './measure.ts'
import { prepare } from './prepare.ts'
import { type Measure, type Summary, summarize } from './summary.ts'

const { values } = parseArgs({
  options: {
    /** A part of the names to run; may be repeated. */
    only: { type: 'string', multiple: true },
    target: { type: 'string', multiple: true },
    // Many short rounds, because the speed of a shared machine changes from second to second.
    rounds: { type: 'string', default: '50' },
    seconds: { type: 'string', default: '0.2' },
    memory: { type: 'boolean', default: false },
    growth: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '10' },
    write: { type: 'boolean', default: false },
  },
})
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
const isFull = values.only === undefined && values.target === undefined && rounds >= 30 && seconds >= 0.2

const endings: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void endings.unshift(end) }
const say = (text: string) => console.log(`bench: ${text}`)

try {
  await prepare(say)
  const servers = await startServers()
  if (values.memory) await memory()
  else if (values.growth) await growth(servers)
  else await benchmark(servers)
} finally {
  for (const end of endings) await end()
}

interface Servers {
  readonly mariadb: DatabaseServer
  readonly postgresql: DatabaseServer
}

async function startServers(): Promise<Servers> {
  const mariadb = await startDurableMariadb(scope, { bufferPool: '512M', logFile: '256M' })
  const postgresql = await startDurablePostgresql(scope, { sharedBuffers: '512MB' })
  // Read by the modules imported below.
  process.env.TEST_SERVERS = JSON.stringify({ mariadb: mariadb.url, postgresql: postgresql.url })
  return { mariadb, postgresql }
}

async function startRedisServer(): Promise<ServerUnderLoad> {
  const redis = await startRedis()
  scope.teardown(() => redis.stop())
  return { url: redis.location, pid: redis.pid }
}

async function benchmark(servers: Servers): Promise<void> {
  const { runAll } = await import('./run.ts')
  const { SCENARIOS } = await import('./scenarios.ts')
  const { TARGETS } = await import('./targets.ts')
  const { measureProxies } = await import('./proxies.ts')
  const { measureStart } = await import('./start.ts')
  const { createReport } = await import('./report.ts')
  const begin = performance.now()
  const targets = chosen(TARGETS, values.target)
  const isChosen = (name: string) => chosen([{ name }], values.only).length === 1
  const startUps = isChosen('start') ? await measureStart(scope, { rounds }) : []
  const proxies = isChosen('proxies') ? await measureProxies(scope, { rounds, seconds }) : []
  sayAll(summarize(proxies))
  const measurements = await runAll(scope, {
    servers: { ...servers, redis: await startRedisServer() },
    scenarios: chosen(SCENARIOS, values.only),
    targets,
    rounds,
    seconds,
    onMeasured: (measured) => sayAll(summarize(measured)),
  })
  const { markdown, charts, figures } = createReport({
    measurements: [...measurements, ...proxies],
    targets,
    startUps,
    rounds,
    seconds,
    isFull,
  })
  console.log(markdown)
  say(`${((performance.now() - begin) / 60_000).toFixed(1)} minutes`)
  if (!isFull && !values.write) return
  write('results.md', markdown)
  for (const [file, svg] of charts) write(file, svg)
  const { writeFigures } = await import('./figures.ts')
  writeFigures(figures)
  say('wrote the figures of docs/performance.md')
}

async function memory(): Promise<void> {
  const { measureMemory, memoryReport } = await import('./memory.ts')
  const { TARGETS } = await import('./targets.ts')
  const minutes = Number(values.minutes)
  const uses = await measureMemory(scope, { targets: chosen(TARGETS, values.target), minutes })
  const markdown = memoryReport(uses, minutes)
  console.log(markdown)
  if (values.target === undefined) write('memory.md', markdown)
}

async function growth(servers: Servers): Promise<void> {
  const { measureGrowth, growthReport } = await import('./growth.ts')
  const options = { rounds, seconds }
  const markdown = growthReport(await measureGrowth(scope, { servers, ...options }), options)
  console.log(markdown)
  write('growth.md', markdown)
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

/** A line for each target of each scenario. */
function sayAll(summary: Summary): void {
  const measured = new Map(summary.measurements.map((one) => [`${one.scenario}: ${one.target}`, one]))
  for (const [name, { scenario, target }] of measured) {
    const value = (measure: Measure, digits: number) =>
      summary.value(scenario, target, measure)?.toFixed(digits) ?? '–'
    say(
      `${name}: ${value('requestsPerSecond', 0)} req/s, ${value('cpu', 3)} ms CPU, p50 ${value('p50', 2)} ms, ${value('errors', 0)} errors`,
    )
  }
}
