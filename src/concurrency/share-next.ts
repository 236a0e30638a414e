export interface ShareNextOptions {
  /** Milliseconds that the next run waits for the one before it; as long as it takes, unless given. */
  readonly patience?: number | null
  /**
   * Part of the time a run took that the next one waits for as many callers as that answered; 0 unless given. Those
   * whom a run answered tend to come back together: without it the first of them gets a run for itself, and all others
   * wait for it.
   */
  readonly gathering?: number
}

/**
 * `run`, one at a time: a call while a run is under way waits, and shares the next one with all others that wait; where
 * none is, with those that the event loop's same turn brings. Each call's answer is of a run that began after it.
 */
export function shareNext<R>(
  run: () => Promise<R>,
  { patience = null, gathering = 0 }: ShareNextOptions = {},
): () => Promise<R> {
  let running: Promise<R> | null = null
  let waiting: Promise<R> | null = null
  let waitingCallers = 0
  /** As many as the last run was for are waited for until this time, by `performance.now`. */
  let expected = { callers: 0, until: 0 }
  let onCall = (): void => {}

  function start(): Promise<R> {
    const [began, callers] = [performance.now(), waitingCallers]
    waitingCallers = 0
    waiting = null
    const answer = run()
    const end = () => {
      if (running === answer) running = null
      const ended = performance.now()
      expected = { callers, until: ended + (ended - began) * gathering }
    }
    answer.then(end, end)
    running = answer
    return answer
  }

  /** Milliseconds that it pays to wait for those who were answered last. */
  function rest(): number {
    return waitingCallers < expected.callers ? Math.floor(expected.until - performance.now()) : 0
  }

  async function startLater(): Promise<R> {
    await (running === null ? nextTurn() : settled(running, patience))
    const time = rest()
    if (time > 0)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, time)
        onCall = () => {
          if (rest() > 0) return
          clearTimeout(timer)
          resolve()
        }
      })
    onCall = () => {}
    return start()
  }

  return function callShared() {
    waitingCallers += 1
    onCall()
    waiting ??= startLater()
    return waiting
  }
}

/** When what the event loop has at hand is done. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
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
