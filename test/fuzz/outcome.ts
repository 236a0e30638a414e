/** Returns the result of `read`, or null if it throws one of our errors. @throws every other error. */
export function readOrNull<R>(read: () => R): R | null {
  try {
    return read()
  } catch (error) {
    if (isOurs(error)) return null
    throw error
  }
}

/** Whether this error and each of its causes has a name and a code. */
export function isOurs(error: unknown): boolean {
  if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_'))) return false
  // Errors of zlib have their own codes.
  return error.cause === undefined || isOurs(error.cause) || isZlibError(error.cause)
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_[A-Z_]+$/.test(String(error.code))
}
