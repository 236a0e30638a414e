/**
 * `run`, one at a time: a call while a run is under way waits, and shares the next one with all others that wait. Each
 * call's answer is of a run that began after it.
 * @param options.patience milliseconds that the next run waits for the one before it; as long as it takes, unless given
 */
export function shareNext<R>(
  run: () => Promise<R>,
  { patience = null }: { patience?: number | null } = {},
): () => Promise<R> {
  let running: Promise<R> | null = null
  let waiting: Promise<R> | null = null

  function start(): Promise<R> {
    const answer = run()
    const end = () => {
      if (running === answer) running = null
    }
    answer.then(end, end)
    running = answer
    return answer
  }

  async function startAfter(previous: Promise<R>): Promise<R> {
    await settled(previous, patience)
    waiting = null
    return start()
  }

  return function callShared() {
    if (waiting !== null) return waiting
    if (running === null) return start()
    waiting = startAfter(running)
    return waiting
  }
}

/** Resolves once the promise is settled, or its time is over. */
function settled(promise: Promise<unknown>, patience: number | null): Promise<void> {
  return new Promise((resolve) => {
    const timer = patience === null ? undefined : setTimeout(resolve, patience)
    const end = () => {
      clearTimeout(timer)
      resolve()
    }
    promise.then(end, end)
  })
}
