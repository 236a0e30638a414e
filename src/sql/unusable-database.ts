/** A pool or a database is set up in a way that would break a promise of this package, such as that a save is stored. */
export class UnusableDatabase extends Error {
  override name = 'UnusableDatabase'
  readonly code: string = 'ERR_DATABASE_UNUSABLE'
}

/**
 * Runs `check` before the first statement. It runs again before the next one, until it has succeeded once. Undefined: it
 * has succeeded.
 */
export function checkedFirst(check: () => Promise<void>): () => Promise<void> | undefined {
  let isChecked = false
  let checking: Promise<void> | null = null
  return () => {
    if (isChecked) return undefined
    checking ??= check()
      .then(() => {
        isChecked = true
      })
      .finally(() => {
        checking = null
      })
    return checking
  }
}
