import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'

/** Returns a temporary name beside the file, under which it is built; creates the folder. */
export function unfinishedName(filename: string): string {
  mkdirSync(dirname(filename), { recursive: true })
  return `${filename}.${randomUUID()}`
}

/**
 * Gives the finished file its final name, unless another process was first. Returns whether it did. Of two processes that
 * start at the same time, both then use the file of the first one; a rename would replace it while it is in use.
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

/** A file of the demo can be neither created nor read. */
export class UnusableDemo extends Error {
  override name = 'UnusableDemo'
  readonly code: string = 'ERR_DEMO_FILE'
}

/** Turns an error of the file system into a message for the operator; returns any other error unchanged. */
export function demoProblem(error: unknown, filename: string): unknown {
  if (!(error instanceof Error && 'code' in error)) return error
  if (!('syscall' in error) && !String(error.code).startsWith('SQLITE_')) return error
  return new UnusableDemo(
    `DATABASE_URL is not set, and the file ${filename} of the embedded demo cannot be created or used (${error.code}); start in a folder that this process may write to, or set DATABASE_URL to the database of a Django site`,
    { cause: error },
  )
}
