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
