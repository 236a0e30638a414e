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
export async function withDeadline<R, L>(
  promise: Promise<R>,
  milliseconds: number,
  { onLate, schedule = startTimer }: DeadlineOptions<L>,
): Promise<R | L> {
  const { promise: late, resolve } = Promise.withResolvers<typeof LATE>()
  const cancel = schedule(() => resolve(LATE), milliseconds)
  try {
    const first = await Promise.race([promise, late])
    // Here and not in the timer: there an exception would end the process.
    return first === LATE ? onLate() : first
  } finally {
    cancel()
  }
}

const LATE = Symbol('late')

function startTimer(run: () => void, milliseconds: number): () => void {
  const timer = setTimeout(run, milliseconds)
  return () => clearTimeout(timer)
}
