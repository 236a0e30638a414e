import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { claimName, demoProblem, unfinishedName } from './unfinished.ts'

/**
 * The SECRET_KEY of the demo database in this file: made at random when first asked for, and kept beside it in
 * `….secret-key`, which its owner alone can read. A Django that is pointed at the file needs the same key.
 * @throws {UnusableDemo} {EmptySecret}
 */
export function demoSecretKey(filename: string): string {
  const keyFile = `${filename}.secret-key`
  const key = readOrMakeKey(keyFile)
  if (key === '')
    throw new EmptySecret(`${keyFile} is empty; delete it, and a new key is made (sessions are lost)`)
  return key
}

/** The file of the demo's key holds none. */
export class EmptySecret extends Error {
  override name = 'EmptySecret'
  readonly code: string = 'ERR_DEMO_SECRET'
}

function readOrMakeKey(keyFile: string): string {
  try {
    if (!existsSync(keyFile)) makeKey(keyFile)
    return readFileSync(keyFile, 'utf8').trim()
  } catch (error) {
    throw demoProblem(error, keyFile)
  }
}

function makeKey(keyFile: string): void {
  const unfinished = unfinishedName(keyFile)
  try {
    writeFileSync(unfinished, `${randomBytes(48).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
    claimName(unfinished, keyFile)
  } finally {
    rmSync(unfinished, { force: true })
  }
}
