/**
 * Limits how often the same thing is reported. Returns true for a kind that was not reported within the last `interval`
 * milliseconds, and notes that it is reported now. Kinds must be few, e.g. error codes: each is remembered.
 */
export function createOncePerInterval(
  interval: number,
  { monotonic = () => performance.now() }: { monotonic?: () => number } = {},
): (kind: unknown) => boolean {
  const reportedAt = new Map<unknown, number>()
  return (kind) => {
    const now = monotonic()
    if (now - (reportedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < interval) return false
    reportedAt.set(kind, now)
    return true
  }
}
