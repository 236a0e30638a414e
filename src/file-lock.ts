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
  const [lockIsSameFor, removalIsSameFor] = [createWatch(), createWatch()]
  for (let tries = 1; ; tries += 1) {
    if (await isMade(file)) return identityOf(file)
    const lock = await identityOf(file)
    if (lockIsSameFor(lock) > ABANDONED && lock !== null && !(await remove(file, lock))) {
      const removal = removalOf(file, lock)
      if (removalIsSameFor(await identityOf(removal)) > HELD_AT_MOST) await rm(removal, { force: true })
    }
    if (performance.now() - start > timeout)
      throw new FileLockTimeout(`others have held a lock for ${timeout} ms`)
    await delay(Math.random() * Math.min(2 ** tries, 20))
  }
}

/** For how long, in milliseconds, it has been told the same. */
function createWatch(): (identity: string | null) => number {
  let seen: string | null = null
  let since = performance.now()
  return (identity) => {
    if (identity !== seen) {
      seen = identity
      since = performance.now()
    }
    return performance.now() - since
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

/**
 * Under a file of its own: of several who find the same lock abandoned one removes it, and none removes the next. Gives
 * false while another is at it, or has died meanwhile.
 */
async function remove(file: string, lock: string): Promise<boolean> {
  const removal = removalOf(file, lock)
  if (!(await isMade(removal))) return false
  const start = performance.now()
  try {
    const isDue = (await identityOf(file)) === lock && performance.now() - start < HELD_AT_MOST / 2
    if (isDue) await rm(file, { force: true })
  } finally {
    await rm(removal, { force: true })
  }
  return true
}

function removalOf(file: string, lock: string): string {
  return `${file}.${lock}`
}

/** What tells one lock from the next of the same name, fit for a file's name; null where there is none of ours. */
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
