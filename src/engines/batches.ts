import { shareNext } from '../share-next.ts'

/** Milliseconds that a batch waits for the one before it: one that hangs holds up nobody else. */
const PATIENCE = 20

/**
 * What is asked for in one turn of the event loop, or while a batch is under way, makes up the next one. Each answer is
 * of a batch that began after its question came. A busy service spends most of a statement on sending and receiving it,
 * and so does its database.
 */
export function createBatches<T, R>(run: (items: readonly T[]) => Promise<R>): (item: T) => Promise<R> {
  let waiting: T[] = []
  const runNext = shareNext(
    () => {
      const items = waiting
      waiting = []
      return run(items)
    },
    { patience: PATIENCE },
  )
  return (item) => {
    waiting.push(item)
    return runNext()
  }
}
