import { shareNext } from '../share-next.ts'

/** Milliseconds that a read waits for the one before it: one that hangs holds up nobody else. */
const PATIENCE = 20

/**
 * Reads by key: what is asked for while a read is under way waits, and is asked for together in the next one. Each
 * answer is of a read that began after its question came. A busy service spends most of a read on sending and receiving
 * it, and so does its database.
 * @param read gives what it finds, by key
 */
export function createBatchedReads<V>(
  read: (keys: readonly string[]) => Promise<ReadonlyMap<string, V>>,
): (key: string) => Promise<V | undefined> {
  let asked = new Set<string>()
  const readAsked = shareNext(
    () => {
      const keys = [...asked]
      asked = new Set()
      return read(keys)
    },
    { patience: PATIENCE },
  )
  return async function readOne(key) {
    asked.add(key)
    return (await readAsked()).get(key)
  }
}
