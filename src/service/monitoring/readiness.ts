import { CheckFailed } from './health.ts'

/** A condition that must hold so that pages can be served. */
export interface ReadinessCheck {
  /** Its name in the answer of `/health/ready`. */
  readonly name: string
  /** Rejects when the condition does not hold. */
  readonly run: () => Promise<unknown>
  /** Milliseconds for which a success is reused; 0 to check every time. A failure is reused for a fifth of it. */
  readonly maxAge: number
}

/**
 * Returns a function that runs the checks in order. Simultaneous calls share one run, so that frequent probes cost the
 * database no more than one.
 * @throws {CheckFailed} for the first check that fails.
 */
export function createReadiness(
  checks: readonly ReadinessCheck[],
  { monotonic = () => performance.now() }: { monotonic?: () => number } = {},
): () => Promise<void> {
  const runs = checks.map(({ name, run, maxAge }) => {
    let latest: { readonly answer: Promise<CheckFailed | null>; until: number } | null = null
    return () => {
      if (latest !== null && monotonic() < latest.until) return latest.answer
      const answer = Promise.resolve()
        .then(run)
        .then(
          () => null,
          (cause) => new CheckFailed(name, { cause }),
        )
      const current = { answer, until: Number.POSITIVE_INFINITY }
      latest = current
      void answer.then((failure) => {
        current.until = monotonic() + (failure === null ? maxAge : maxAge / 5)
      })
      return answer
    }
  })
  return async function checkReady() {
    for (const runCheck of runs) {
      const failure = await runCheck()
      if (failure !== null) throw failure
    }
  }
}
