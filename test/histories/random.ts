/** Returns numbers from 0, less than 1, which a seed determines. */
export type Random = () => number

/** Mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One of these. @throws Error when there is none. */
export function pick<T>(random: Random, among: readonly T[]): T {
  const picked = among[Math.floor(random() * among.length)]
  if (picked === undefined) throw new Error('nothing to pick from')
  return picked
}
