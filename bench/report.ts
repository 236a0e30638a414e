import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { findMariadbd } from '../test/support/servers.ts'
import { createChart, type Panel } from './chart.ts'
import { judge, type Verdict } from './goals.ts'
import type { Measurement } from './measure.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import type { StartUp } from './start.ts'
import { type Measure, type Summary, summarize } from './summary.ts'
import type { Target } from './targets.ts'

export interface ReportOptions {
  readonly measurements: readonly Measurement[]
  readonly targets: readonly Target[]
  readonly startUps: readonly StartUp[]
  /** The number of rounds and their length, for the introduction. */
  readonly rounds: number
  readonly seconds: number
  /** Whether all scenarios and targets were measured. */
  readonly isFull: boolean
}

export interface Report {
  readonly markdown: string
  /** SVG by file name. */
  readonly charts: ReadonlyMap<string, string>
}

/** The maximum CPU time of a start, in seconds. */
const START_LIMIT = 0.5

/** The results as a Markdown page with its charts. */
export function createReport(options: ReportOptions): Report {
  const { measurements, targets, startUps } = options
  const summary = summarize(measurements)
  const scenarios = SCENARIOS.filter(({ name }) => measurements.some((one) => one.scenario === name))
  const charts = createCharts(summary, scenarios, targets)
  const verdicts = [...judge(summary, targets), ...startUps.map(judgeStart)]
  const markdown = `# Benchmark

${head(options)}

${[...charts.keys()].map((file) => `![](${file})`).join('\n\n')}

## Goals

Ratios are the service's value divided by the other's: the median of the rounds' ratios.

| scenario | | goal | measured | |
|---|---|---|---|---|
${verdicts.map(({ scenario, what, wanted, found, holds }) => `| ${scenario} | ${what} | ${wanted} | ${found} | ${holds ? 'holds' : '**does not hold**'} |`).join('\n')}

${scenarios.map((scenario) => section(summary, scenario, targets)).join('\n')}
${startUps.length === 0 ? '' : startSection(startUps)}`
  return { markdown, charts }
}

function head({ rounds, seconds, isFull, targets }: ReportOptions): string {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${isFull ? 'The whole benchmark' : '**A part of the benchmark, or short rounds**'} (\`npm run bench\`, ${new Date().toISOString().slice(0, 10)}): ${rounds} rounds of ${seconds} seconds
for each of ${targets.filter(({ kind }) => kind !== 'part').length} targets, in turn (A B C, A B C, …), medians; on ${cpus().length} × ${cpu?.model ?? 'unknown'}, ${memory} GB,
Linux, Node ${process.version}, ${mariadbVersion()} with innodb_flush_log_at_trx_commit=1, Django 5.2 with PyMySQL. Client, target and
database share the machine.

koa-django-sessions is the real service with its log and metrics. All targets show the same page: the Node targets with the service's templates, Django with
LocalLibrary's. Versions of the peers: ${peerVersions()}. The most reliable columns on a busy machine are CPU per request (of
the target's processes, from /proc) and statements per request (the server's own counter).`
}

function section(summary: Summary, { name, title, compares }: Scenario, targets: readonly Target[]): string {
  const first = compares === 'parts' ? 'floor' : 'ours'
  const ours = targets.find(({ kind }) => kind === first)?.name ?? ''
  const rows = targets.flatMap(({ name: target }) => {
    const of = (measure: Measure, digits: number): string =>
      summary.median(name, target, measure)?.toFixed(digits) ?? '–'
    const ratio = (measure: Measure): string =>
      target === ours ? '' : (summary.ratio(name, measure, { of: ours, to: target })?.toFixed(2) ?? '–')
    const isMeasured = summary.median(name, target, 'requests') !== null
    const cells = [
      target,
      of('cpu', 2),
      ratio('cpu'),
      of('statements', 1),
      of('requestsPerSecond', 0),
      ratio('requestsPerSecond'),
      of('p50', 1),
      of('p99', 1),
      of('databaseCpu', 2),
      of('memory', 0),
      of('errors', 0),
      lost(summary, name, target),
    ]
    return isMeasured ? `| ${cells.join(' | ')} |` : []
  })
  return `## ${title}

\`${name}\`

| target | CPU ms/req | ${first} ÷ it | statements/req | req/s | ${first} ÷ it | p50 ms | p99 ms | database CPU ms/req | memory MB | errors | lost visits |
|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

function lost(summary: Summary, scenario: string, target: string): string {
  const rounds = summary.measurements.filter((one) => one.scenario === scenario && one.target === target)
  const total = rounds.reduce((sum, { lost }) => sum + (lost ?? 0), 0)
  const requests = rounds.reduce((sum, one) => sum + one.requests, 0)
  if (rounds.every((one) => one.lost === null)) return '–'
  return total === 0 ? 'none' : `${((100 * total) / requests).toFixed(0)} %`
}

function judgeStart({ title, cpu }: StartUp): Verdict {
  return {
    scenario: `start, ${title}`,
    what: 'seconds of CPU to the first page',
    wanted: `under ${START_LIMIT}`,
    found: cpu.toFixed(2),
    holds: cpu < START_LIMIT,
  }
}

function startSection(startUps: readonly StartUp[]): string {
  return `## From the start of the process to the first page

| | CPU s | seconds |
|---|---|---|
${startUps.map(({ title, cpu, wall }) => `| ${title} | ${cpu.toFixed(2)} | ${wall.toFixed(2)} |`).join('\n')}
`
}

function createCharts(
  summary: Summary,
  scenarios: readonly Scenario[],
  targets: readonly Target[],
): Map<string, string> {
  const panels = (measure: 'cpu' | 'requestsPerSecond', format: (value: number) => string): Panel[] =>
    scenarios.map(({ name, title }) => ({
      title,
      bars: targets.flatMap(({ name: label, kind }) => {
        const value = summary.median(name, label, measure)
        return value === null ? [] : { label, value, text: format(value), isOurs: kind === 'ours' }
      }),
    }))
  return new Map([
    [
      'cpu.svg',
      createChart(
        'CPU per request, milliseconds',
        panels('cpu', (ms) => ms.toFixed(2)),
      ),
    ],
    [
      'requests.svg',
      createChart(
        'Requests per second',
        panels('requestsPerSecond', (value) => value.toFixed(0)),
      ),
    ],
  ])
}

function mariadbVersion(): string {
  const text = execFileSync(findMariadbd() ?? 'mariadbd', ['--version'], { encoding: 'utf8' })
  return `MariaDB ${/Ver (\d+\.\d+\.\d+)/.exec(text)?.[1] ?? 'unknown'}`
}

function peerVersions(): string {
  const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
  return Object.entries(dependencies)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}
