import type { Measurement } from './measure.ts'
import { medianOf, percentileOf } from './statistics.ts'

type Rounds = readonly Measurement[]

/**
 * What the rounds of a target give. Sums are divided, so a round in which the machine was fast counts as often as it had answers; a
 * percentile is that of all answers.
 */
const RESULTS = {
  requestsPerSecond: (rounds: Rounds) => answers(rounds) / sum(rounds, ({ seconds }) => seconds),
  /** Milliseconds. */
  p50: (rounds: Rounds) => percentileOf(times(rounds), 0.5),
  p99: (rounds: Rounds) => percentileOf(times(rounds), 0.99),
  /** Milliseconds of CPU per request: of the target's processes, and of the database with Redis. */
  cpu: (rounds: Rounds) => sum(rounds, ({ cpu }) => cpu) / answers(rounds),
  databaseCpu: (rounds: Rounds) => sum(rounds, ({ databaseCpu }) => databaseCpu) / answers(rounds),
  /** Per request; NaN if unknown. */
  statements: (rounds: Rounds) =>
    sum(rounds, ({ statements }) => statements) / sum(rounds, ({ sent }) => sent),
  /** MiB, the median of the rounds. */
  memory: (rounds: Rounds) => medianOf(rounds.map(({ memory }) => memory)) ?? Number.NaN,
  errors: (rounds: Rounds) => sum(rounds, ({ errors }) => errors),
} as const

export type Measure = keyof typeof RESULTS

function answers(rounds: Rounds): number {
  return sum(rounds, ({ times }) => times.length)
}

function times(rounds: Rounds): number[] {
  return rounds.flatMap((one) => one.times)
}

function sum(rounds: Rounds, of: (one: Measurement) => number): number {
  return rounds.reduce((total, one) => total + of(one), 0)
}

/** All measurements, with their results. */
export interface Summary {
  readonly measurements: readonly Measurement[]
  /** Over all rounds; null if this was not measured. */
  value(scenario: string, target: string, measure: Measure): number | null
  /** The value of the first target divided by that of the second; null if one was not measured. */
  ratio(scenario: string, measure: Measure, targets: Ratio): number | null
  /** The ratio in each of five parts of the rounds, which follow each other; fewer with fewer rounds. */
  ratios(scenario: string, measure: Measure, targets: Ratio): readonly number[]
}

/** Two targets, of which the value of the first is divided by that of the second. */
export interface Ratio {
  readonly of: string
  readonly to: string
}

/** The number of parts of the rounds whose ratios show how far the results vary. */
const PARTS = 5

export function summarize(measurements: readonly Measurement[]): Summary {
  const roundsOf = (scenario: string, target: string) =>
    measurements.filter((one) => one.scenario === scenario && one.target === target)

  return {
    measurements,
    value(scenario, target, measure) {
      const rounds = roundsOf(scenario, target)
      return rounds.length === 0 ? null : RESULTS[measure](rounds)
    },
    ratio: (scenario, measure, { of, to }) =>
      ratioOf(measure, roundsOf(scenario, of), roundsOf(scenario, to)),
    ratios(scenario, measure, { of, to }) {
      const others = partsOf(roundsOf(scenario, to))
      return partsOf(roundsOf(scenario, of)).flatMap(
        (part, at) => ratioOf(measure, part, others[at] ?? []) ?? [],
      )
    },
  }
}

function ratioOf(measure: Measure, some: Rounds, others: Rounds): number | null {
  return some.length === 0 || others.length === 0 ? null : RESULTS[measure](some) / RESULTS[measure](others)
}

function partsOf(rounds: Rounds): Rounds[] {
  const parts = Math.min(PARTS, rounds.length)
  const start = (part: number) => Math.floor((part * rounds.length) / parts)
  return Array.from({ length: parts }, (_, at) => rounds.slice(start(at), start(at + 1)))
}
