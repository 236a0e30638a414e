/** The bundle that `npm start` made of the sources, and whether it still is what they say. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** A path below the project, and the file's size in bytes and its times in milliseconds. */
export type FileState = readonly [path: string, size: number, modified: number, changed: number]

export interface StartRecord {
  /** What the bundle was made from. */
  readonly inputs: readonly FileState[]
  /** What it consists of. */
  readonly files: readonly FileState[]
}

export const project: string = fileURLToPath(new URL('..', import.meta.url))

/** Below the project, whose templates the bundle reads two folders above. */
export const FOLDER = '.cache/start'

export const RECORD = `${FOLDER}/record.json`

/** Returns the URL of the bundle; null if there is none, or if a file has changed since it was made. */
export function currentBundle(): string | null {
  const record = readRecord()
  const isCurrent = record !== null && [...record.inputs, ...record.files].every(isUnchanged)
  return isCurrent ? pathToFileURL(join(project, FOLDER, 'main.js')).href : null
}

export function readRecord(): StartRecord | null {
  try {
    const record = JSON.parse(readFileSync(join(project, RECORD), 'utf8'))
    return Array.isArray(record.inputs) && Array.isArray(record.files) ? record : null
  } catch {
    return null
  }
}

function isUnchanged(known: FileState): boolean {
  const now = stateOf(known[0])
  return now?.every((value, at) => value === known[at]) ?? false
}

/** Null if there is no such file. Tools that copy a file also set the time `modified`; nobody can set `changed`. */
export function stateOf(path: string): FileState | null {
  const stats = statSync(join(project, path), { throwIfNoEntry: false })
  return stats === undefined ? null : [path, stats.size, stats.mtimeMs, stats.ctimeMs]
}
