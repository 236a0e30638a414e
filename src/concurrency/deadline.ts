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

function startTimer(run: () => void, milliseconds: number): () => void {
  const timer = setTimeout(run, milliseconds)
  return () => clearTimeout(timer)
}
