import type { Measurement } from './measure.ts'
import { medianOf } from './statistics.ts'

/** A measured value of a target in a scenario, one number per round. */
export type Measure = Exclude<keyof Measurement, 'scenario' | 'target' | 'round'>

/** All measurements, with their medians. */
export interface Summary {
  readonly measurements: readonly Measurement[]
  /** The median of the rounds; null if this was not measured. */
  median(scenario: string, target: string, measure: Measure): number | null
  /** The median of the rounds' ratios: in a round, both were measured within seconds of each other. */
  ratio(scenario: string, measure: Measure, targets: Ratio): number | null
  /** The ratio of each round. */
  ratios(scenario: string, measure: Measure, targets: Ratio): readonly number[]
}

/** Two targets, of which the value of the first is divided by that of the second. */
export interface Ratio {
  readonly of: string
  readonly to: string
}

export function summarize(measurements: readonly Measurement[]): Summary {
  const rounds = (scenario: string, target: string, measure: Measure): Map<number, number> =>
    new Map(
      measurements
        .filter((one) => one.scenario === scenario && one.target === target)
        .flatMap((one) => (one[measure] === null ? [] : [[one.round, one[measure]]])),
    )
  function ratios(scenario: string, measure: Measure, { of, to }: Ratio): number[] {
    const divisors = rounds(scenario, to, measure)
    return [...rounds(scenario, of, measure)].flatMap(([round, value]) => {
      const divisor = divisors.get(round)
      return divisor === undefined ? [] : [value / divisor]
    })
  }
  return {
    measurements,
    ratios,
    median: (scenario, target, measure) => medianOf([...rounds(scenario, target, measure).values()]),
    ratio: (...given) => medianOf(ratios(...given)),
  }
}
