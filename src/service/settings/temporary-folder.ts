import { accessSync, constants, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Environment } from './environment.ts'

/**
 * Python's folder for temporary files: Django keeps its session files there if SESSION_FILE_PATH is not set.
 * Source: Python's tempfile.py, _candidate_tempdir_list.
 */
export function pythonTemporaryFolder(environment: Environment, cwd: string): string {
  const named = (['TMPDIR', 'TEMP', 'TMP'] as const)
    .map((name) => environment.text(name))
    .filter((name) => name !== null)
  const candidates = [...named, '/tmp', '/var/tmp', '/usr/tmp'].map((folder) => resolve(cwd, folder))
  return candidates.find(isWritable) ?? cwd
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
    return statSync(folder).isDirectory()
  } catch {
    return false
  }
}
