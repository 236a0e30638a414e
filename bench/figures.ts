import { readFileSync, writeFileSync } from 'node:fs'
import { opponent } from './goals.ts'
import { OURS, proxiesOf, scenarioOf } from './proxies.ts'
import { CHAPTERS, type Chapter, type Scenario } from './scenarios.ts'
import type { StartUp } from './start.ts'
import type { Measure, Summary } from './summary.ts'
import type { Target } from './targets.ts'

/** What the charts show. */
export const CHART_KINDS = ['requestsPerSecond', 'cpu'] as const

/** The file of a chart, beside the report. */
export function chartFile(kind: (typeof CHART_KINDS)[number], chapter: Chapter): string {
  return `${kind === 'cpu' ? 'cpu' : 'requests'}-${chapter}.svg`
}

export interface FiguresOptions {
  readonly summary: Summary
  readonly targets: readonly Target[]
  readonly chapters: readonly { readonly chapter: Chapter; readonly scenarios: readonly Scenario[] }[]
  readonly startUps: readonly StartUp[]
}

/** The ratios that docs/performance.md shows, per database, as Markdown. */
export function createFigures({ summary, targets, chapters, startUps }: FiguresOptions): string {
  const ours = targets.find(({ kind }) => kind === 'ours')?.name ?? ''
  const ratio = (
    scenario: string,
    measure: 'requestsPerSecond' | 'cpu' | 'p50',
    against: 'Django' | 'the best peer',
  ): string => {
    const other = opponent(summary, targets, { scenario, against, measure })
    const found = other === null ? null : summary.ratio(scenario, measure, { of: ours, to: other })
    return found === null ? '–' : timesOf(found)
  }
  const of = (scenario: string, measure: Measure, digits: number): string =>
    (summary.value(scenario, ours, measure)?.toFixed(digits) ?? '–').replace('NaN', '–')
  const row = ({ name, title }: Scenario): string => {
    const cells = [
      title,
      of(name, 'requestsPerSecond', 0),
      ratio(name, 'requestsPerSecond', 'Django'),
      ratio(name, 'requestsPerSecond', 'the best peer'),
      of(name, 'cpu', 2),
      ratio(name, 'cpu', 'Django'),
      ratio(name, 'cpu', 'the best peer'),
      ratio(name, 'p50', 'the best peer'),
      of(name, 'statements', 1),
    ]
    return `| ${cells.join(' | ')} |`
  }
  const parts = chapters.map(
    ({ chapter, scenarios }) => `### ${CHAPTERS[chapter]}

| | requests/s | to Django | to the best Node store | CPU ms | to Django | to the best Node store | p50, to the best Node store | statements |
|---|---|---|---|---|---|---|---|---|
${scenarios.map(row).join('\n')}

![](../bench/${chartFile('requestsPerSecond', chapter)})
`,
  )
  if (proxiesOf(summary).length > 0) parts.push(proxiesFigures(summary))
  if (startUps.length > 0) parts.push(startFigures(startUps))
  return parts.join('\n')
}

function proxiesFigures(summary: Summary): string {
  const [many, alone] = [scenarioOf(16), scenarioOf(1)]
  const rows = proxiesOf(summary).map((proxy) => {
    const value = (scenario: string, measure: Measure, digits: number): string =>
      summary.value(scenario, proxy, measure)?.toFixed(digits) ?? '–'
    const ratio = (scenario: string, measure: Measure): string => {
      const found = summary.ratio(scenario, measure, { of: OURS, to: proxy })
      return proxy === OURS || found === null ? '' : timesOf(found)
    }
    const cells = [
      proxy,
      value(many, 'cpu', 3),
      value(many, 'requestsPerSecond', 0),
      value(alone, 'p50', 2),
      ratio(many, 'cpu'),
      ratio(many, 'requestsPerSecond'),
      ratio(alone, 'p50'),
    ]
    return `| ${cells.join(' | ')} |`
  })
  return `### Passing requests on

A page of 3 kB: 16 connections, and p50 with 1 connection.

| | CPU ms | requests/s | p50 ms | CPU of the service, to it | requests/s, to it | p50, to it |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

function startFigures(startUps: readonly StartUp[]): string {
  return `### Start

From the start of the process to the first page. Most of it is Node loading modules.

| | CPU s |
|---|---|
${startUps.map(({ title, cpu }) => `| ${title} | ${cpu.toFixed(2)} |`).join('\n')}
`
}

/** E.g. `16.6 times`, `2.24 times`, `0.04`. */
function timesOf(ratio: number): string {
  if (ratio >= 10) return `${ratio.toFixed(1)} times`
  return ratio >= 1 ? `${ratio.toFixed(2)} times` : ratio.toFixed(2)
}

const PAGE = new URL('../docs/performance.md', import.meta.url)
const PLACE = /(<!-- figures: written by npm run bench -->\n).*(<!-- end of the figures -->)/s

/** Replaces the figures of docs/performance.md. @throws Error without their place there */
export function writeFigures(figures: string): void {
  const text = readFileSync(PAGE, 'utf8')
  if (!PLACE.test(text)) throw new Error('docs/performance.md has no place for the figures')
  writeFileSync(
    PAGE,
    text.replace(PLACE, (_, begin: string, end: string) => `${begin}\n${figures}\n${end}`),
  )
}
