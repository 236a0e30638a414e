import { execFile } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

/** Runs a program without a shell. Returns its whole output. @throws Error when the program fails. */
export const execute: (
  file: string,
  args: readonly string[],
  options?: { cwd?: string; env?: NodeJS.ProcessEnv },
) => Promise<{ stdout: string; stderr: string }> = async (file, args, options) =>
  await promisify(execFile)(file, args, { ...options, encoding: 'utf8', maxBuffer: 64 << 20 })

/** What went wrong in one line: programs say it last. */
export function lastLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim().split('\n').at(-1) ?? ''
}

/** The first of these programs that PATH, the system's folders or the given ones have; null when there is none. */
export function findExecutable(names: readonly string[], folders: readonly string[] = []): string | null {
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const name of names) {
    for (const folder of [...folders, ...path, '/usr/sbin', '/usr/local/sbin']) {
      const file = join(folder, name)
      if (isExecutable(file)) return file
    }
  }
  return null
}

/** A command as `spawn` takes it, which on Linux the kernel itself ends when we die without a chance to. */
export function dyingWithUs(
  file: string,
  args: readonly string[],
  signal: NodeJS.Signals = 'SIGKILL',
): [file: string, args: readonly string[]] {
  const setpriv = process.platform === 'linux' ? findExecutable(['setpriv']) : null
  if (setpriv === null) return [file, args]
  return [setpriv, ['--pdeathsig', signal.slice('SIG'.length), '--', file, ...args]]
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
