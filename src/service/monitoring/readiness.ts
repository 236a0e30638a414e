import { CheckFailed } from './health.ts'

/** What must hold so that visitors can be served; rejects where it does not. */
export interface ReadinessCheck {
  /** What `/health/ready` calls it. */
  readonly name: string
  readonly run: () => Promise<unknown>
  /** Milliseconds for which a success counts; 0 for each look anew. A failure counts for a fifth of it. */
  readonly maxAge: number
}

/**
 * One look at all of them, in order. Looks that come while one is under way share it, so that nobody who asks often
 * costs the database more than who asks once.
 * @throws {CheckFailed} for the first that fails.
 */
export function createReadiness(checks: readonly ReadinessCheck[]): () => Promise<void> {
  const looks = checks.map(({ name, run, maxAge }) => {
    let latest: { readonly answer: Promise<CheckFailed | null>; until: number } | null = null
    return () => {
      if (latest !== null && performance.now() < latest.until) return latest.answer
      const answer = Promise.resolve()
        .then(run)
        .then(
          () => null,
          (cause) => new CheckFailed(name, { cause }),
        )
      const look = { answer, until: Number.POSITIVE_INFINITY }
      latest = look
      void answer.then((failure) => {
        look.until = performance.now() + (failure === null ? maxAge : maxAge / 5)
      })
      return answer
    }
  })
  return async function look() {
    for (const one of looks) {
      const failure = await one()
      if (failure !== null) throw failure
    }
  }
}
