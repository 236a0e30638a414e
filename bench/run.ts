import type { Scope } from '../test/support/file-scope.ts'
import { type Measurement, openStage, type ServersUnderLoad } from './measure.ts'
import { randomOrders } from './rounds.ts'
import { placeOf, type Scenario, targetsOf } from './scenarios.ts'
import type { Target } from './targets.ts'

export interface RunOptions {
  readonly servers: ServersUnderLoad
  readonly scenarios: readonly Scenario[]
  readonly targets: readonly Target[]
  readonly rounds: number
  readonly seconds: number
  /** Called with the measurements of a scenario. */
  readonly onMeasured: (measurements: readonly Measurement[]) => void
}

/** Measures every target in every scenario, in a random order in each round. */
export async function runAll(
  scope: Scope,
  { servers, scenarios, targets, rounds, seconds, onMeasured }: RunOptions,
): Promise<Measurement[]> {
  const stage = await openStage(scope, { servers })
  const measurements: Measurement[] = []
  for (const [at, scenario] of scenarios.entries()) {
    const measured: Measurement[] = []
    const nextOrder = randomOrders(targetsOf(scenario, targets))
    for (let round = 1; round <= roundsOf(scenario, rounds); round += 1) {
      for (const target of nextOrder())
        measured.push(await stage.measure(target, scenario, { round, seconds }))
    }
    measurements.push(...measured)
    onMeasured(measured)
    // Processes that wait use memory, and some have timers.
    const next = scenarios[at + 1]
    if (next === undefined || placeOf(next) !== placeOf(scenario)) await stage.leave(placeOf(scenario))
  }
  return measurements
}

/** Fewer rounds where they are longer, but three at least if there are so many. */
function roundsOf({ stretch }: Scenario, rounds: number): number {
  return Math.min(rounds, Math.max(3, Math.round(rounds / stretch)))
}
