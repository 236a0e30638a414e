import { shareNext } from '../concurrency/share-next.ts'
import { isRefused } from '../sql/driver-errors.ts'

export interface BatchesOptions<T> {
  /** How many items make up a batch at most; those beyond make up others, which run at the same time. */
  readonly most: number
  /** The size of an item, and of a batch at most (but that of one item); items have none unless given. */
  readonly size?: { of(item: T): number; most(): number }
}

/** Milliseconds that a batch waits for the one before it: one that hangs holds up nobody else. */
const PATIENCE = 20

/**
 * What is asked for in one turn of the event loop, or while a batch is under way, makes up the next one. Each answer is
 * of a batch that began after its question came. A busy service spends most of a statement on sending and receiving it,
 * and so does its database.
 *
 * `run` gives an answer per item, in their order; it may be a promise. Where the server refuses a batch, because of one
 * item perhaps, each item is run alone, and has its own answer or error. Any other error, a lost connection above all, is
 * everybody's.
 */
export function createBatches<T, R>(
  run: (items: readonly T[]) => Promise<readonly (R | Promise<R>)[]>,
  options: BatchesOptions<T>,
): (item: T) => Promise<R> {
  let waiting: Waiting<T, R>[] = []

  async function runPart(part: readonly Waiting<T, R>[]): Promise<void> {
    try {
      const answers = await run(part.map(({ item }) => item))
      for (const [at, answer] of answers.entries()) part[at]?.resolve(answer)
    } catch (error) {
      if (part.length > 1 && isRefused(error)) await Promise.all(part.map((one) => runPart([one])))
      else for (const { reject } of part) reject(error)
    }
  }

  const runNext = shareNext(
    async () => {
      const all = waiting
      waiting = []
      await Promise.all(partsOf(all, options).map(runPart))
    },
    { patience: PATIENCE },
  )
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      void runNext()
    })
}

interface Waiting<T, R> {
  readonly item: T
  readonly resolve: (answer: R | Promise<R>) => void
  readonly reject: (error: unknown) => void
}

function partsOf<T, R>(
  all: readonly Waiting<T, R>[],
  { most, size }: BatchesOptions<T>,
): readonly Waiting<T, R>[][] {
  const parts: Waiting<T, R>[][] = []
  let part: Waiting<T, R>[] = []
  let left = 0
  for (const one of all) {
    const needed = size?.of(one.item) ?? 0
    if (part.length === 0 || part.length >= most || needed > left) {
      part = []
      parts.push(part)
      left = size?.most() ?? 0
    }
    part.push(one)
    left -= needed
  }
  return parts
}
