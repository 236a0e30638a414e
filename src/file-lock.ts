import { open, rm, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

export interface FileLockOptions {
  /** Milliseconds to wait for it. */
  readonly timeout: number
}

/** Others held the lock for the whole time. */
export class FileLockTimeout extends Error {
  override name = 'FileLockTimeout'
  readonly code: string = 'ERR_FILE_LOCK_TIMEOUT'
}

/** A lock that has been the same one for so long is of a process that died, in milliseconds. */
const ABANDONED = 1000

/** How long one may be worked under; well before others take it for abandoned. */
const HELD_AT_MOST = ABANDONED / 2

/**
 * Runs `body` while this file exists, which is made and removed for it: one body at a time among all who ask for the same
 * file, in any process. Just before it changes anything it asks `isHeld`: a process that was stopped for so long that
 * others went on without it must not finish what it began.
 * @throws {FileLockTimeout}
 */
export async function withFileLock<R>(
  file: string,
  body: (isHeld: () => boolean) => Promise<R>,
  { timeout }: FileLockOptions,
): Promise<R> {
  const lock = await acquire(file, timeout)
  const start = performance.now()
  const isHeld = () => performance.now() - start < HELD_AT_MOST
  try {
    return await body(isHeld)
  } finally {
    // Much later it may be another's.
    if (isHeld()) await rm(file, { force: true })
    else if (lock !== null) await remove(file, lock)
  }
}

/** Gives the identity of the lock. */
async function acquire(file: string, timeout: number): Promise<string | null> {
  const start = performance.now()
  let seen: string | null = null
  let seenSince = start
  for (let tries = 1; ; tries += 1) {
    if (await isMade(file)) return identityOf(file)
    const lock = await identityOf(file)
    const time = performance.now()
    if (lock !== seen) {
      seen = lock
      seenSince = time
    } else if (lock !== null && time - seenSince > ABANDONED) {
      await remove(file, lock)
      if (time - seenSince > 2 * ABANDONED) await rm(removalOf(file, lock), { force: true })
    }
    if (time - start > timeout) throw new FileLockTimeout(`others have held a lock for ${timeout} ms`)
    await delay(Math.random() * Math.min(2 ** tries, 20))
  }
}

async function isMade(file: string): Promise<boolean> {
  try {
    await (await open(file, 'wx', 0o600)).close()
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Under a file of its own: of several who find the same lock abandoned one removes it, and none removes the next. */
async function remove(file: string, lock: string): Promise<void> {
  const removal = removalOf(file, lock)
  if (!(await isMade(removal))) return
  try {
    if ((await identityOf(file)) === lock) await rm(file, { force: true })
  } finally {
    await rm(removal, { force: true })
  }
}

function removalOf(file: string, lock: string): string {
  return `${file}.${lock}`
}

/** What tells one lock from the next of the same name; fit for a file's name. Null when there is none, or none of ours. */
async function identityOf(file: string): Promise<string | null> {
  try {
    const status = await stat(file, { bigint: true })
    return status.isFile() ? `${status.ino}-${status.mtimeNs}` : null
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw error
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
