import type { Measure, Summary } from './summary.ts'
import type { Target } from './targets.ts'

/** A goal of the service in a scenario, as a ratio to another target. */
interface Goal {
  readonly scenario: string
  /** `the best peer` is the peer with the best median of this measure. */
  readonly against: 'the best peer' | 'Django' | 'the floor' | 'koa-session'
  readonly measure: 'requestsPerSecond' | 'cpu'
  /** The service's value divided by the other's: a minimum for requests, a maximum for CPU. */
  readonly ratio: number
}

const GOALS: readonly Goal[] = [
  { scenario: 'returning-16', against: 'Django', measure: 'requestsPerSecond', ratio: 8 },
  { scenario: 'returning-16', against: 'Django', measure: 'cpu', ratio: 0.1 },
  { scenario: 'returning-16', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
  { scenario: 'returning-16', against: 'the best peer', measure: 'cpu', ratio: 0.55 },
  { scenario: 'returning-16', against: 'the floor', measure: 'cpu', ratio: 1.7 },
  { scenario: 'new', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
  { scenario: 'hot', against: 'the best peer', measure: 'requestsPerSecond', ratio: 2 },
  { scenario: 'payload-100k', against: 'Django', measure: 'cpu', ratio: 0.5 },
  { scenario: 'payload-100k', against: 'koa-session', measure: 'cpu', ratio: 0.7 },
  { scenario: 'large', against: 'the best peer', measure: 'requestsPerSecond', ratio: 4 },
  { scenario: 'large', against: 'Django', measure: 'requestsPerSecond', ratio: 7 },
  { scenario: 'huge-16', against: 'the best peer', measure: 'requestsPerSecond', ratio: 4.5 },
  { scenario: 'huge-16', against: 'Django', measure: 'requestsPerSecond', ratio: 4.5 },
  { scenario: 'huge-64', against: 'the best peer', measure: 'requestsPerSecond', ratio: 12 },
  { scenario: 'huge-64', against: 'Django', measure: 'requestsPerSecond', ratio: 12 },
]

/** Scenarios in which no visit may be lost. */
const EXACT: readonly string[] = ['hot', 'hot-two']

export interface Verdict {
  readonly scenario: string
  /** E.g. `CPU per request, of Django's`. */
  readonly what: string
  /** E.g. `at most 0.1`. */
  readonly wanted: string
  /** E.g. `0.08 (0.47 ms to 5.92 ms)`. */
  readonly found: string
  readonly holds: boolean
}

/** Judges the goals whose scenario was measured for the service and the other target. */
export function judge(summary: Summary, targets: readonly Target[]): Verdict[] {
  const ours = targets.find(({ kind }) => kind === 'ours')?.name ?? ''
  const ratios = GOALS.flatMap(({ scenario, against, measure, ratio: wanted }) => {
    const other = opponent(summary, targets, { scenario, against, measure })
    const ratio = other === null ? null : summary.ratio(scenario, measure, { of: ours, to: other })
    if (ratio === null) return []
    const isCpu = measure === 'cpu'
    return {
      scenario,
      what: `${isCpu ? 'CPU per request' : 'requests/s'}, to ${against === 'the best peer' ? `${against}, ${other}` : against}`,
      wanted: `${isCpu ? 'at most' : 'at least'} ${wanted}`,
      found: ratio.toFixed(2),
      holds: isCpu ? ratio <= wanted : ratio >= wanted,
    }
  })
  const losses = EXACT.flatMap((scenario) => {
    const lost = summary.measurements.filter((one) => one.scenario === scenario && one.target === ours)
    if (lost.length === 0) return []
    const sum = lost.reduce((total, one) => total + (one.lost ?? 0), 0)
    return { scenario, what: 'lost visits', wanted: 'none', found: String(sum), holds: sum === 0 }
  })
  return [...ratios, ...losses]
}

function opponent(
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
  const medians = targets.filter(matches[against]).flatMap(({ name }) => {
    const median = summary.median(scenario, name, measure)
    return median === null ? [] : [{ name, median }]
  })
  const best = medians.toSorted((a, b) => (better(measure) ? b.median - a.median : a.median - b.median))[0]
  return best?.name ?? null
}

/** Whether a larger value is better. */
function better(measure: Measure): boolean {
  return measure === 'requestsPerSecond'
}
