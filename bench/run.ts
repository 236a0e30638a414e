import type { Scope } from '../test/support/file-scope.ts'
import { type DatabaseUnderLoad, type Measurement, openStage } from './measure.ts'
import { type Scenario, targetsOf } from './scenarios.ts'
import type { Target } from './targets.ts'

export interface RunOptions {
  readonly database: DatabaseUnderLoad
  readonly scenarios: readonly Scenario[]
  readonly targets: readonly Target[]
  readonly rounds: number
  readonly seconds: number
  readonly onMeasured: (measurement: Measurement) => void
}

/** Measures every target in every scenario, in turn: A B C, A B C, … */
export async function runAll(
  scope: Scope,
  { database, scenarios, targets, rounds, seconds, onMeasured }: RunOptions,
): Promise<Measurement[]> {
  const stage = await openStage(scope, { database })
  const measurements: Measurement[] = []
  for (const scenario of scenarios) {
    for (let round = 1; round <= rounds; round += 1) {
      for (const target of targetsOf(scenario, targets)) {
        const measurement = await stage.measure(target, scenario, { round, seconds })
        measurements.push(measurement)
        onMeasured(measurement)
      }
    }
  }
  return measurements
}
