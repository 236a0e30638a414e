/** The file does not exist, is a symbolic link or a socket, or its name is too long for a file. */
export function isFileMissing(error: unknown): boolean {
  return MISSING.has(codeOf(error))
}

const MISSING: ReadonlySet<unknown> = new Set(['ENOENT', 'ELOOP', 'ENAMETOOLONG', 'ENXIO'])

/** The file that was to be made exists. */
export function isFileTaken(error: unknown): boolean {
  return codeOf(error) === 'EEXIST'
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
