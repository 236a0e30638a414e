/**
 * Packages that only some sites need. They are optional peers of the published package: a site installs what it uses.
 */

/** A package that this site needs is not installed. The message says which one, what for, and the command. */
export class MissingPackage extends Error {
  override name = 'MissingPackage'
  readonly code: string = 'ERR_MISSING_PACKAGE'
}

/**
 * Returns the error with which loading a package failed, in words when the package is not installed.
 * @param purpose what the package is for: `to read sessions from Redis`.
 */
export function loadingError(error: unknown, name: string, purpose: string): unknown {
  if (!isNotInstalled(error, name)) return error
  return new MissingPackage(`the package ${name} is not installed; ${purpose}, npm i ${name}`, {
    cause: error,
  })
}

/** Whether Node found no package of this name. A package that fails for another reason, or lacks one of its own, is there. */
function isNotInstalled(error: unknown, name: string): boolean {
  if (!(error instanceof Error) || !('code' in error)) return false
  const isMissing = error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND'
  return isMissing && (error.message.split('\n')[0] ?? '').includes(`'${name}'`)
}
