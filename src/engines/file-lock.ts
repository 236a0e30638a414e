import { open, rm, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { ConflictError } from '../session/engine.ts'

/** A lock that has been the same one for so long is of a process that died, in milliseconds. */
const ABANDONED = 1000

/** How long one may be worked under; well before others take it for abandoned. */
const HELD_AT_MOST = ABANDONED / 2

/** How long it is waited for, in milliseconds. */
const PATIENCE = 2000

/**
 * Does `work` while nobody else holds the lock of this name, a file that exists as long as it is held. It keeps out
 * those who ask for it, and nobody else. Just before `work` changes anything it calls `check`: a process that was
 * stopped for so long that others went on without it must not finish what it began.
 * @throws {ConflictError} when others keep holding it, or `check` when it was held for too long.
 */
export async function withFileLock<R>(lock: string, work: (check: () => void) => Promise<R>): Promise<R> {
  await acquire(lock)
  const start = performance.now()
  const isHeld = () => performance.now() - start < HELD_AT_MOST
  try {
    return await work(() => {
      if (!isHeld()) throw new ConflictError('another request may have taken over this session')
    })
  } finally {
    if (isHeld()) await rm(lock, { force: true })
  }
}

async function acquire(lock: string): Promise<void> {
  const start = performance.now()
  let seen: string | null = null
  let seenSince = start
  for (let tries = 1; ; tries += 1) {
    if (await isCreated(lock)) return
    const holder = await identityOf(lock)
    const time = performance.now()
    if (holder !== seen) {
      seen = holder
      seenSince = time
    } else if (holder !== null && time - seenSince > ABANDONED) {
      await rm(lock, { force: true })
      seen = null
      continue
    }
    if (time - start > PATIENCE) throw new ConflictError('other requests keep saving this session')
    await delay(Math.random() * Math.min(2 ** tries, 20))
  }
}

async function isCreated(lock: string): Promise<boolean> {
  try {
    await (await open(lock, 'wx', 0o600)).close()
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** What tells one lock from the next of the same name; null when there is none any more. */
async function identityOf(lock: string): Promise<string | null> {
  try {
    const { ino, ctimeNs } = await stat(lock, { bigint: true })
    return `${ino} ${ctimeNs}`
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
