import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { claimName, demoProblem, unfinishedName } from './unfinished.ts'

/**
 * Returns the SECRET_KEY of the demo database in this file. A random key is created on the first call, and stored beside
 * the file in `….secret-key`, which only its owner can read. A Django that uses the file needs the same key.
 * @throws {UnusableDemo} {EmptySecret}
 */
export function demoSecretKey(filename: string): string {
  const keyFile = `${filename}.secret-key`
  const key = readOrMakeKey(keyFile)
  if (key === '')
    throw new EmptySecret(`${keyFile} is empty; delete it, and a new key is created (sessions are lost)`)
  return key
}

/** The demo's key file is empty. */
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
