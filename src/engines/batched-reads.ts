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
  let running: Promise<unknown> | null = null
  let waiting: Batch<V> | null = null

  function run(keys: readonly string[]): Promise<ReadonlyMap<string, V>> {
    const answer = read(keys)
    const end = () => {
      if (running === answer) running = null
    }
    answer.then(end, end)
    running = answer
    return answer
  }

  async function runAfter(
    previous: Promise<unknown>,
    keys: ReadonlySet<string>,
  ): Promise<ReadonlyMap<string, V>> {
    await settledOrLate(previous)
    waiting = null
    return run([...keys])
  }

  return async function readOne(key) {
    if (running === null && waiting === null) return (await run([key])).get(key)
    if (waiting === null) {
      const keys = new Set<string>()
      waiting = { keys, answer: runAfter(running ?? Promise.resolve(), keys) }
    }
    waiting.keys.add(key)
    return (await waiting.answer).get(key)
  }
}

interface Batch<V> {
  readonly keys: Set<string>
  readonly answer: Promise<ReadonlyMap<string, V>>
}

function settledOrLate(promise: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, PATIENCE)
    const end = () => {
      clearTimeout(timer)
      resolve()
    }
    promise.then(end, end)
  })
}
