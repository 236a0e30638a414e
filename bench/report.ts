import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { findMariadbd, findPostgresql } from '../test/support/servers.ts'
import { createChart } from './chart.ts'
import { CHART_KINDS, chartFile, createFigures } from './figures.ts'
import { judge, type Verdict } from './goals.ts'
import type { Measurement } from './measure.ts'
import { judgeProxies, proxiesOf, proxiesSection } from './proxies.ts'
import { CHAPTERS, type Chapter, chapterOf, SCENARIOS, type Scenario } from './scenarios.ts'
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
  /** The figures of docs/performance.md. */
  readonly figures: string
}

/** The maximum CPU time of a start, in seconds. */
const START_LIMIT = 0.5

/** The results as a Markdown page, with their charts and the part of them that docs/performance.md shows. */
export function createReport(options: ReportOptions): Report {
  const { measurements, targets, startUps } = options
  const summary = summarize(measurements)
  const scenarios = SCENARIOS.filter(({ name }) => measurements.some((one) => one.scenario === name))
  const chapters = (Object.keys(CHAPTERS) as Chapter[])
    .map((chapter) => ({
      chapter,
      scenarios: scenarios.filter((scenario) => chapterOf(scenario) === chapter),
    }))
    .filter((one) => one.scenarios.length > 0)
  const charts = new Map(chapters.flatMap((one) => createCharts(summary, { ...one, targets })))
  const verdicts = [...judge(summary, targets), ...judgeProxies(summary), ...startUps.map(judgeStart)]
  const sections = chapters.map(
    (one) => `## ${CHAPTERS[one.chapter]}

${CHART_KINDS.map((kind) => `![](${chartFile(kind, one.chapter)})`).join('\n\n')}

${one.scenarios.map((scenario) => section(summary, scenario, targets)).join('\n')}`,
  )
  if (proxiesOf(summary).length > 0) sections.push(proxiesSection(summary))
  if (startUps.length > 0) sections.push(startSection(startUps))
  const markdown = `# Benchmark

${head(options)}

## Goals

Ratios are the service's value divided by the other's, over all rounds. In brackets: the lowest and the highest ratio in five parts of
the rounds, which follow each other. ${count(verdicts)}

| scenario | | goal | measured | |
|---|---|---|---|---|
${verdicts.map(({ scenario, what, wanted, found, holds }) => `| ${scenario} | ${what} | ${wanted} | ${found} | ${holds ? 'holds' : '**does not hold**'} |`).join('\n')}

${sections.join('\n')}`
  return { markdown, charts, figures: createFigures({ summary, targets, chapters, startUps }) }
}

function count(verdicts: readonly Verdict[]): string {
  const failed = verdicts.filter(({ holds }) => !holds).length
  return failed === 0 ? 'All hold.' : `${failed} of ${verdicts.length} do not hold.`
}

function head({ rounds, seconds, isFull, targets }: ReportOptions): string {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${isFull ? 'The whole benchmark' : '**A part of the benchmark, or short rounds**'} (\`npm run bench\`, ${new Date().toISOString().slice(0, 10)}): ${rounds} rounds of ${seconds} seconds
for each of ${targets.length} targets, in a random order without repeats, and fewer but longer ones where a target is slow. The speed of a shared
machine changes from second to second, so the sums of all rounds are divided. On ${cpus().length} × ${cpu?.model ?? 'unknown'}, ${memory} GB,
Linux, Node ${process.version}, ${mariadbVersion()} with innodb_flush_log_at_trx_commit=1, ${postgresqlVersion()} with fsync, Django 5.2 with PyMySQL
and psycopg. Client, target and database share the machine. Load average at the end: ${loadavg()[0]?.toFixed(1)}.

koa-django-sessions is the real service with its log and metrics. All targets show the same page: the Node targets with the service's templates, Django with
LocalLibrary's. Versions of the peers: ${peerVersions()}. The most reliable columns on a busy machine are CPU per request (of
the target's processes, from /proc) and statements per request (the server's own counter; PostgreSQL counts transactions). The
database's CPU includes Redis.`
}

function section(summary: Summary, { name, title }: Scenario, targets: readonly Target[]): string {
  const ours = targets.find(({ kind }) => kind === 'ours')?.name ?? ''
  const rows = targets.flatMap(({ name: target }) => {
    const of = (measure: Measure, digits: number): string =>
      (summary.value(name, target, measure)?.toFixed(digits) ?? '–').replace('NaN', '–')
    const ratio = (measure: Measure): string =>
      target === ours ? '' : (summary.ratio(name, measure, { of: ours, to: target })?.toFixed(2) ?? '–')
    const isMeasured = summary.value(name, target, 'errors') !== null
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
  return `### ${title}

\`${name}\`

| target | CPU ms/req | ours ÷ it | statements/req | req/s | ours ÷ it | p50 ms | p99 ms | database CPU ms/req | memory MB | errors | lost visits |
|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

function lost(summary: Summary, scenario: string, target: string): string {
  const rounds = summary.measurements.filter((one) => one.scenario === scenario && one.target === target)
  const total = rounds.reduce((sum, { lost }) => sum + (lost ?? 0), 0)
  const sent = rounds.reduce((sum, one) => sum + one.sent, 0)
  if (rounds.every((one) => one.lost === null)) return '–'
  return total === 0 ? 'none' : `${((100 * total) / sent).toFixed(0)} %`
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
  {
    chapter,
    scenarios,
    targets,
  }: { chapter: Chapter; scenarios: readonly Scenario[]; targets: readonly Target[] },
): [file: string, svg: string][] {
  return CHART_KINDS.map((kind) => {
    const panels = scenarios.map(({ name, title }) => ({
      title,
      bars: targets.flatMap(({ name: label, kind: of }) => {
        const value = summary.value(name, label, kind)
        return value === null ? [] : { label, value, text: CHART_TEXT[kind](value), isOurs: of === 'ours' }
      }),
    }))
    return [chartFile(kind, chapter), createChart(`${CHAPTERS[chapter]}: ${CHART_TITLES[kind]}`, panels)]
  })
}

const CHART_TITLES = {
  requestsPerSecond: 'requests per second',
  cpu: 'CPU per request, milliseconds',
} as const
const CHART_TEXT = {
  requestsPerSecond: (value: number) => value.toFixed(0),
  cpu: (value: number) => value.toFixed(2),
} as const

function mariadbVersion(): string {
  return `MariaDB ${versionOf(findMariadbd(), /Ver (\d+\.\d+\.\d+)/)}`
}

function postgresqlVersion(): string {
  const folder = findPostgresql()
  return `PostgreSQL ${versionOf(folder === null ? null : join(folder, 'postgres'), /(\d+\.\d+)/)}`
}

function versionOf(program: string | null, pattern: RegExp): string {
  const text = program === null ? '' : execFileSync(program, ['--version'], { encoding: 'utf8' })
  return pattern.exec(text)?.[1] ?? 'unknown'
}

function peerVersions(): string {
  const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'))
  return Object.entries(dependencies)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}
