export interface DeadlineOptions<L> {
  /** What counts when the time is up: the value that it returns, or the error that it throws. */
  readonly onLate: () => L
  /** Runs something later and returns what cancels it; default: a timer. */
  readonly schedule?: (run: () => void, milliseconds: number) => () => void
}

/**
 * Waits for a promise, but not longer than `milliseconds`. The work behind the promise goes on; what it comes to after
 * the deadline is ignored, a rejection too. No timer is left when the wait ends.
 */
export function withDeadline<R, L>(
  promise: Promise<R>,
  milliseconds: number,
  { onLate, schedule = startTimer }: DeadlineOptions<L>,
): Promise<R | L> {
  return new Promise((resolve, reject) => {
    const cancel = schedule(late, milliseconds)
    function late(): void {
      cancel()
      // An exception of a timer would end the process.
      try {
        resolve(onLate())
      } catch (error) {
        reject(error)
      }
    }
    promise.then(
      (result) => {
        cancel()
        resolve(result)
      },
      (error: unknown) => {
        cancel()
        reject(error)
      },
    )
  })
}

/**
 * Runs something after this time, and returns what cancels it. If the process was held up meanwhile (a paused container,
 * a long computation), the time goes on for as long, but twice as long at most: what has arrived is read before that.
 */
export function startTimer(
  run: () => void,
  milliseconds: number,
  { monotonic = () => performance.now() }: { monotonic?: () => number } = {},
): () => void {
  const due = monotonic() + milliseconds
  let timer = setTimeout(() => {
    const heldUp = Math.max(monotonic() - due, 1) // A timer may be early by a fraction of a millisecond.
    timer = setTimeout(run, Math.min(heldUp, milliseconds))
  }, milliseconds)
  return () => clearTimeout(timer)
}
