export interface BackoffOptions {
  /** Milliseconds from now within which another attempt may begin. */
  readonly timeout: number
  /** Milliseconds of the longest pause. */
  readonly longest: number
  /** A number from 0 to 1; default: Math.random. */
  readonly random?: () => number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

/**
 * Pauses between the attempts of one operation: up to 2, 4, 8 … milliseconds. Each is a random part of that, so that
 * several processes do not try at the same moments ("full jitter"). Returns a function that returns the milliseconds
 * until the next attempt, or null when the time is over. No pause ends after the time.
 */
export function createBackoff({
  timeout,
  longest,
  random = Math.random,
  monotonic = () => performance.now(),
}: BackoffOptions): () => number | null {
  const end = monotonic() + timeout
  let attempts = 0
  return () => {
    const left = end - monotonic()
    if (left <= 0) return null
    attempts += 1
    return Math.min(random() * Math.min(2 ** attempts, longest), left)
  }
}
