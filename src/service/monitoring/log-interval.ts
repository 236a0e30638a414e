/**
 * Limits how often the same thing is logged. Returns true for a kind that was not logged within the last `interval`
 * milliseconds, and notes that it is logged now. Kinds must be few, e.g. error codes: each is remembered.
 */
export function createLogInterval(
  interval: number,
  { monotonic = () => performance.now() }: { monotonic?: () => number } = {},
): (kind: unknown) => boolean {
  const loggedAt = new Map<unknown, number>()
  return (kind) => {
    const now = monotonic()
    if (now - (loggedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < interval) return false
    loggedAt.set(kind, now)
    return true
  }
}
