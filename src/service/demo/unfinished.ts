import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** A name beside this file, in a folder that exists, under which to build it unseen. */
export function unfinishedName(filename: string): string {
  mkdirSync(dirname(filename), { recursive: true })
  return `${filename}.${randomUUID()}`
}

/**
 * Gives what was built its name, unless that is taken: of two processes that start at once, both go on with the file
 * of the one that was first. (A rename would pull it from under the first.) Gives whether it was this one.
 */
export function claimName(unfinished: string, filename: string): boolean {
  try {
    linkSync(unfinished, filename)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** A file of the demo can be neither made nor read. */
export class UnusableDemo extends Error {
  override name = 'UnusableDemo'
  readonly code: string = 'ERR_DEMO_FILE'
}

/** What the file system refused, in words for who starts the service; any other error as it is. */
export function demoProblem(error: unknown, filename: string): unknown {
  if (!(error instanceof Error && 'code' in error)) return error
  if (!('syscall' in error) && !String(error.code).startsWith('SQLITE_')) return error
  return new UnusableDemo(
    `DATABASE_URL is not set, and the file ${filename} of the embedded demo cannot be made or used (${error.code}); start in a folder that this process may write to, or set DATABASE_URL to the database of a Django site`,
    { cause: error },
  )
}
