import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { createBackoff } from './backoff.ts'
import { isFileMissing, isFileTaken } from './file-errors.ts'

export interface FileLockOptions {
  /** Milliseconds to wait for the lock. */
  readonly timeout: number
  /** A number from 0 to 1, which spreads the attempts of several processes; default: Math.random. */
  readonly random?: () => number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

/** Other requests held the lock for the whole time. */
export class FileLockTimeout extends Error {
  override name = 'FileLockTimeout'
  readonly code: string = 'ERR_FILE_LOCK_TIMEOUT'
}

/** Milliseconds without a change after which a lock is abandoned: its process has died. */
const ABANDONED = 1000

/** Milliseconds that a lock is held after its last renewal; well before others take it for abandoned. */
const HELD_AT_MOST = ABANDONED / 2

/** Milliseconds between two renewals. */
const RENEWAL = HELD_AT_MOST / 5

/** Milliseconds between two attempts at most. */
const LONGEST_PAUSE = 20

/**
 * Runs `body` under a lock: a file that is made before it and removed after it. One body runs at a time for the same file,
 * in all processes. A running process keeps its lock however slow the disk is, since it renews the lock all the time. A
 * process that was stopped for longer may have lost its lock to another one, and must not finish what it began. So `body`
 * calls `confirm` just before it changes anything: `confirm` throws if the lock is lost, and the whole body is repeated
 * under a new lock.
 * @throws {FileLockTimeout}
 */
export async function withFileLock<R>(
  file: string,
  body: (confirm: () => void) => Promise<R>,
  options: FileLockOptions,
): Promise<R> {
  const { timeout, monotonic = () => performance.now() } = options
  const start = monotonic()
  for (;;) {
    const lock = await acquire(file, { ...options, timeout: timeout - (monotonic() - start), monotonic })
    try {
      return await body(() => {
        if (!lock.isHeld()) throw new LockLost()
      })
    } catch (error) {
      if (!(error instanceof LockLost)) throw error
      if (monotonic() - start > timeout) throw timedOut(timeout)
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

type Clock = Required<FileLockOptions>['monotonic']

async function acquire(
  file: string,
  { monotonic, ...options }: FileLockOptions & { monotonic: Clock },
): Promise<Lock> {
  const nextPause = createBackoff({ longest: LONGEST_PAUSE, monotonic, ...options })
  const removeIfAbandoned = createRemover(file, monotonic)
  for (;;) {
    const asked = monotonic()
    const handle = await make(file)
    if (handle !== null) return hold(file, handle, { made: asked, monotonic })
    await removeIfAbandoned(file)
    const pause = nextPause()
    if (pause === null) throw timedOut(options.timeout)
    await delay(pause)
  }
}

function timedOut(timeout: number): FileLockTimeout {
  return new FileLockTimeout(`other requests have held the lock for ${Math.round(timeout)} ms; try again`)
}

/**
 * Renews a lock by one more byte: a file system's clock may be too coarse to show that the file was touched. `renewed` is
 * the time at which the last renewal began that is known to have ended in time. Other processes see each renewal later
 * than that, and wait from then on, so until HELD_AT_MOST has passed no other process can have taken the lock.
 */
function hold(
  file: string,
  handle: FileHandle,
  { made, monotonic }: { made: number; monotonic: Clock },
): Lock {
  let renewed = made
  let renewing: Promise<void> | null = null
  const isHeld = () => monotonic() - renewed < HELD_AT_MOST

  async function renew(): Promise<void> {
    const began = monotonic()
    try {
      await handle.write('.')
    } catch {
      return // a full disk: the lock lapses
    }
    if (isHeld()) renewed = began // a lapsed lock may be another process's by now
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
        // A lapsed lock may be another process's.
        if (isHeld()) {
          await rm(file, { force: true })
        } else {
          const identity = nameOf(await handle.stat({ bigint: true }))
          await remove(file, { lock: file, identity, monotonic })
        }
      } finally {
        await handle.close()
      }
    },
  }
}

/** Returns a function that returns for how many milliseconds it has been called with the same identity. */
function createWatch(monotonic: Clock): (identity: string | null) => number {
  let seen: string | null = null
  let since = monotonic()
  return (identity) => {
    if (identity !== seen) {
      seen = identity
      since = monotonic()
    }
    return monotonic() - since
  }
}

/** Null when the file exists. */
async function make(file: string): Promise<FileHandle | null> {
  try {
    return await open(file, 'wx', 0o600)
  } catch (error) {
    if (isFileTaken(error)) return null
    throw error
  }
}

/**
 * Returns a function that looks at a lock, and removes it when it is abandoned. A process may have died while it removed
 * the lock. What it left is looked at in the same way and at the same time, so it does not prolong the wait; and so on for
 * a process that died while it removed that.
 */
function createRemover(lock: string, monotonic: Clock): (file: string) => Promise<void> {
  const isSameFor = createWatch(monotonic)
  let removeRemovalIfAbandoned: ReturnType<typeof createRemover> | undefined
  return async (file) => {
    const identity = await identityOf(file)
    const age = isSameFor(identity)
    if (identity === null || age < RENEWAL) return // made or renewed just now
    removeRemovalIfAbandoned ??= createRemover(lock, monotonic)
    await removeRemovalIfAbandoned(removalOf(lock, identity))
    if (age > ABANDONED) await remove(file, { lock, identity, monotonic })
  }
}

/**
 * Removes an abandoned file, under another file: if several processes find the same one abandoned, one of them removes
 * it, and none removes the next one of its name. Does nothing while another process removes it, or has died while it did.
 */
async function remove(
  file: string,
  { lock, identity, monotonic }: { lock: string; identity: string; monotonic: Clock },
): Promise<void> {
  const removal = removalOf(lock, identity)
  const start = monotonic()
  const handle = await make(removal)
  if (handle === null) return
  await handle.close()
  if ((await identityOf(file)) === identity) {
    // Too late: the removal may be another process's by now. If it is not, others find it abandoned, as the file is.
    if (monotonic() - start > HELD_AT_MOST) return
    await rm(file, { force: true })
  }
  await rm(removal, { force: true })
}

/** The file under which one process at a time removes a lock, or the removal that another process has left. */
function removalOf(lock: string, identity: string): string {
  return `${lock}.${identity}`
}

/**
 * What distinguishes a lock from the next one of the same name, and from itself before a renewal; null where there is no
 * lock of ours. The file is opened for it: a network file system shows changes to a process that opens the file.
 */
async function identityOf(file: string): Promise<string | null> {
  let handle: FileHandle | null = null
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const status = await handle.stat({ bigint: true })
    return status.isFile() ? nameOf(status) : null
  } catch (error) {
    if (isFileMissing(error)) return null
    throw error
  } finally {
    await handle?.close()
  }
}

/** Fit for the name of a file. */
function nameOf({ ino, mtimeNs, size }: { ino: bigint; mtimeNs: bigint; size: bigint }): string {
  return `${ino}-${mtimeNs}-${size}`
}
