/** The order of a round, counted from 1: A B C, C B A, A B C, … So none is always measured after the same other one. */
export function inTurnAndBack<One>(all: readonly One[], round: number): readonly One[] {
  return round % 2 === 1 ? all : all.toReversed()
}
