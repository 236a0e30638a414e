import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
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

/** How long a lock counts as held after it was last renewed; well before others take it for abandoned. */
const HELD_AT_MOST = ABANDONED / 2

/** Milliseconds between two renewals. */
const RENEWAL = HELD_AT_MOST / 5

/**
 * Runs `body` while this file exists, which is made and removed for it: one body at a time among all who ask for the same
 * file, in any process. However slow the disk is, a process that runs keeps its lock: it renews it all the time. One that
 * was stopped for so long that others may have gone on without it must not finish what it began: `body` calls `confirm`
 * just before it changes anything, which throws then, and the whole body is repeated under a new lock.
 * @throws {FileLockTimeout}
 */
export async function withFileLock<R>(
  file: string,
  body: (confirm: () => void) => Promise<R>,
  { timeout }: FileLockOptions,
): Promise<R> {
  const start = performance.now()
  for (;;) {
    const lock = await acquire(file, timeout - (performance.now() - start))
    try {
      return await body(() => {
        if (!lock.isHeld()) throw new LockLost()
      })
    } catch (error) {
      if (!(error instanceof LockLost)) throw error
      if (performance.now() - start > timeout) throw timedOut(timeout)
    } finally {
      await lock.release()
    }
  }
}

class LockLost extends Error {
  override name = 'LockLost'
}

interface Lock {
  isHeld(): boolean
  release(): Promise<void>
}

async function acquire(file: string, timeout: number): Promise<Lock> {
  const start = performance.now()
  const [lockIsSameFor, removalIsSameFor] = [createWatch(), createWatch()]
  for (let tries = 1; ; tries += 1) {
    const asked = performance.now()
    const handle = await make(file)
    if (handle !== null) return hold(file, handle, asked)
    const lock = await identityOf(file)
    const age = lockIsSameFor(lock)
    if (lock !== null && age > ABANDONED - HELD_AT_MOST) {
      // Who died while removing it is waited for at the same time, so that both take no longer than one.
      const removal = removalOf(file, lock)
      const found = await identityOf(removal)
      const isStuck = removalIsSameFor(found) > HELD_AT_MOST && found !== null
      if (age > ABANDONED && isStuck) await rm(removal, { force: true })
      if (age > ABANDONED) await remove(file, lock)
    }
    if (performance.now() - start > timeout) throw timedOut(timeout)
    await delay(Math.random() * Math.min(2 ** tries, 20))
  }
}

function timedOut(timeout: number): FileLockTimeout {
  return new FileLockTimeout(`others have held a lock for ${Math.round(timeout)} ms`)
}

/**
 * Renews a lock by a byte more: a file system's clock may be too coarse to show that it was touched. `renewed` is when
 * the last renewal began that is known to have been done in time. Others see each of them later than that, and wait
 * from then on, so that until HELD_AT_MOST has passed nobody can have taken the lock.
 */
function hold(file: string, handle: FileHandle, made: number): Lock {
  let renewed = made
  let renewing: Promise<void> | null = null
  const isHeld = () => performance.now() - renewed < HELD_AT_MOST

  async function renew(): Promise<void> {
    const began = performance.now()
    try {
      await handle.write('.')
    } catch {
      return // a full disk: the lock lapses
    }
    if (isHeld()) renewed = began // what has lapsed may be another's by now
  }

  const timer = setInterval(() => {
    if (isHeld()) renewing ??= renew().finally(() => (renewing = null))
  }, RENEWAL)
  return {
    isHeld,
    async release() {
      clearInterval(timer)
      await renewing
      try {
        // Much later it may be another's.
        if (isHeld()) await rm(file, { force: true })
        else await remove(file, nameOf(await handle.stat({ bigint: true })))
      } finally {
        await handle.close()
      }
    },
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

/** Null when it is there already. */
async function make(file: string): Promise<FileHandle | null> {
  try {
    return await open(file, 'wx', 0o600)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return null
    throw error
  }
}

/**
 * Under a file of its own: of several who find the same lock abandoned one removes it, and none removes the next. Does
 * nothing while another is at it, or has died meanwhile.
 */
async function remove(file: string, lock: string): Promise<void> {
  const removal = removalOf(file, lock)
  const handle = await make(removal)
  if (handle === null) return
  await handle.close()
  const start = performance.now()
  try {
    const isDue = (await identityOf(file)) === lock && performance.now() - start < HELD_AT_MOST / 2
    if (isDue) await rm(file, { force: true })
  } finally {
    await rm(removal, { force: true })
  }
}

function removalOf(file: string, lock: string): string {
  return `${file}.${lock}`
}

/**
 * What tells one lock from the next of the same name, and from itself before it was renewed; null where there is none of
 * ours. The file is opened for it: a network's file system shows what is new to those who open a file.
 */
async function identityOf(file: string): Promise<string | null> {
  let handle: FileHandle | null = null
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const status = await handle.stat({ bigint: true })
    return status.isFile() ? nameOf(status) : null
  } catch (error) {
    if (NOT_THERE.has(codeOf(error))) return null
    throw error
  } finally {
    await handle?.close()
  }
}

/** Fit for a file's name. */
function nameOf({ ino, mtimeNs, size }: { ino: bigint; mtimeNs: bigint; size: bigint }): string {
  return `${ino}-${mtimeNs}-${size}`
}

/** No such file; a symbolic link; a socket: neither is a lock. */
const NOT_THERE: ReadonlySet<unknown> = new Set(['ENOENT', 'ELOOP', 'ENXIO'])

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
