import type { Measure, Ratio, Summary } from './summary.ts'
import type { Target } from './targets.ts'

/** A goal of the service in a scenario, as a ratio to another target. */
interface Goal {
  readonly scenario: string
  /** `the best peer` is the one with the best value of this measure. */
  readonly against: 'the best peer' | 'Django' | 'the floor' | 'koa-session'
  readonly measure: 'requestsPerSecond' | 'cpu' | 'databaseCpu' | 'p50'
  /** The service's value divided by the other's: a minimum for requests, a maximum for the others. */
  readonly ratio: number
}

const GOALS: readonly Goal[] = [
  { scenario: 'returning-16', against: 'Django', measure: 'requestsPerSecond', ratio: 8 },
  { scenario: 'returning-16', against: 'Django', measure: 'cpu', ratio: 0.1 },
  { scenario: 'returning-16', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
  { scenario: 'returning-16', against: 'the best peer', measure: 'cpu', ratio: 0.55 },
  { scenario: 'returning-16', against: 'the floor', measure: 'cpu', ratio: 1.7 },
  { scenario: 'returning-1', against: 'the best peer', measure: 'p50', ratio: 0.9 },
  { scenario: 'returning-1', against: 'the best peer', measure: 'cpu', ratio: 1 },
  { scenario: 'new', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
  { scenario: 'hot', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
  { scenario: 'payload-100k', against: 'Django', measure: 'cpu', ratio: 0.5 },
  { scenario: 'payload-100k', against: 'koa-session', measure: 'cpu', ratio: 0.7 },
  { scenario: 'logged-in-16', against: 'Django', measure: 'cpu', ratio: 0.12 },
  { scenario: 'large', against: 'the best peer', measure: 'requestsPerSecond', ratio: 4 },
  { scenario: 'large', against: 'Django', measure: 'requestsPerSecond', ratio: 7 },
  { scenario: 'huge-16', against: 'the best peer', measure: 'requestsPerSecond', ratio: 4.5 },
  { scenario: 'huge-16', against: 'Django', measure: 'requestsPerSecond', ratio: 4.5 },
  { scenario: 'huge-64', against: 'the best peer', measure: 'requestsPerSecond', ratio: 12 },
  { scenario: 'huge-64', against: 'Django', measure: 'requestsPerSecond', ratio: 12 },
  { scenario: 'postgresql-16', against: 'Django', measure: 'requestsPerSecond', ratio: 8 },
  { scenario: 'postgresql-16', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
  { scenario: 'postgresql-16', against: 'the best peer', measure: 'cpu', ratio: 0.55 },
  { scenario: 'postgresql-16', against: 'the best peer', measure: 'databaseCpu', ratio: 0.5 },
  { scenario: 'postgresql-1', against: 'the best peer', measure: 'p50', ratio: 0.9 },
  { scenario: 'postgresql-1', against: 'the best peer', measure: 'cpu', ratio: 1 },
  { scenario: 'postgresql-64', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2.5 },
  { scenario: 'postgresql-logged-in', against: 'Django', measure: 'cpu', ratio: 0.12 },
  { scenario: 'sqlite-16', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
]

const NAMES: Readonly<Record<Goal['measure'], string>> = {
  requestsPerSecond: 'requests/s',
  cpu: 'CPU per request',
  databaseCpu: 'CPU of the database per request',
  p50: 'p50',
}

/** The maximum number of statements for each request, by scenario. PostgreSQL counts transactions, so it is not judged. */
const STATEMENTS: Readonly<Record<string, number>> = { 'logged-in-16': 3, 'logged-in-1': 3 }

/** Scenarios in which no visit may be lost. */
const EXACT: readonly string[] = ['hot', 'hot-two', 'postgresql-hot']

export interface Verdict {
  readonly scenario: string
  /** E.g. `CPU per request, to Django`. */
  readonly what: string
  /** E.g. `at most 0.1`. */
  readonly wanted: string
  /** E.g. `0.08 (0.07 to 0.10)`: a ratio, and the lowest and highest in the parts of the rounds. */
  readonly found: string
  readonly holds: boolean
}

/** Judges the goals whose scenario was measured for the service and the other target. */
export function judge(summary: Summary, targets: readonly Target[]): Verdict[] {
  const ours = targets.find(({ kind }) => kind === 'ours')?.name ?? ''
  const ratios = GOALS.flatMap(({ scenario, against, measure, ratio }) => {
    const other = opponent(summary, targets, { scenario, against, measure })
    if (other === null) return []
    const named = against === 'the best peer' ? `${against}, ${other}` : against
    return judgeRatio(summary, { scenario, measure, targets: { of: ours, to: other }, ratio, other: named })
  })
  const statements = Object.entries(STATEMENTS).flatMap(([scenario, wanted]) => {
    const statements = summary.value(scenario, ours, 'statements')
    if (statements === null) return []
    const found = Number(statements.toFixed(1))
    return {
      scenario,
      what: 'statements per request',
      wanted: `at most ${wanted}`,
      found: String(found),
      holds: found <= wanted,
    }
  })
  const losses = EXACT.flatMap((scenario) => {
    const lost = summary.measurements.filter((one) => one.scenario === scenario && one.target === ours)
    if (lost.length === 0) return []
    const sum = lost.reduce((total, one) => total + (one.lost ?? 0), 0)
    return { scenario, what: 'lost visits', wanted: 'none', found: String(sum), holds: sum === 0 }
  })
  return [...ratios, ...statements, ...losses]
}

/** Judges a ratio, which is a minimum for requests and a maximum for the others; nothing if it was not measured. */
export function judgeRatio(
  summary: Summary,
  {
    scenario,
    measure,
    targets,
    ratio: wanted,
    other,
  }: Pick<Goal, 'scenario' | 'measure' | 'ratio'> & {
    readonly targets: Ratio
    /** The name of the other target in the report. */
    readonly other: string
  },
): Verdict[] {
  const ratio = summary.ratio(scenario, measure, targets)
  if (ratio === null) return []
  const parts = summary.ratios(scenario, measure, targets)
  const isMinimum = better(measure)
  return [
    {
      scenario,
      what: `${NAMES[measure]}, to ${other}`,
      wanted: `${isMinimum ? 'at least' : 'at most'} ${wanted}`,
      found: `${ratio.toFixed(2)} (${Math.min(...parts).toFixed(2)} to ${Math.max(...parts).toFixed(2)})`,
      holds: isMinimum ? ratio >= wanted : ratio <= wanted,
    },
  ]
}

/** The target to which a goal compares the service; null if none was measured. */
export function opponent(
  summary: Summary,
  targets: readonly Target[],
  { scenario, against, measure }: Pick<Goal, 'scenario' | 'against' | 'measure'>,
): string | null {
  const matches: Record<Goal['against'], (target: Target) => boolean> = {
    'the best peer': ({ kind }) => kind === 'peer',
    Django: ({ kind }) => kind === 'django',
    'the floor': ({ kind }) => kind === 'floor',
    'koa-session': ({ name }) => name.includes('koa-session'),
  }
  const values = targets.filter(matches[against]).flatMap(({ name }) => {
    const value = summary.value(scenario, name, measure)
    return value === null ? [] : [{ name, value }]
  })
  const best = values.toSorted((a, b) => (better(measure) ? b.value - a.value : a.value - b.value))[0]
  return best?.name ?? null
}

/** Whether a larger value is better. */
function better(measure: Measure): boolean {
  return measure === 'requestsPerSecond'
}
