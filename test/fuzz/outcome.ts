/** What `read` gives, or null where it throws an error of ours. @throws every other error. */
export function readOrNull<R>(read: () => R): R | null {
  try {
    return read()
  } catch (error) {
    if (isOurs(error)) return null
    throw error
  }
}

/** Whether this error has a name and a code, and each of its causes too. */
export function isOurs(error: unknown): boolean {
  if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_'))) return false
  // Those of zlib have codes of their own.
  return error.cause === undefined || isOurs(error.cause) || isZlibError(error.cause)
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_[A-Z_]+$/.test(String(error.code))
}
