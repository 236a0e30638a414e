import { randomUUID } from 'node:crypto'
import { link, open, rename, rm, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

export interface FileLockOptions {
  /** Milliseconds to wait for it. */
  readonly timeout: number
  /** Milliseconds after which a lock counts as left behind by a process that died. */
  readonly staleAfter?: number
}

/** Somebody else held the lock for the whole time. */
export class FileLockTimeout extends Error {
  override name = 'FileLockTimeout'
  readonly code: string = 'ERR_FILE_LOCK_TIMEOUT'
}

/**
 * Runs `body` while this file exists, which is made and removed for it: one body at a time among all processes that
 * share the folder. `body` must take far less time than `staleAfter`.
 * @throws {FileLockTimeout}
 */
export async function withFileLock<R>(
  file: string,
  body: () => Promise<R>,
  { timeout, staleAfter = 5000 }: FileLockOptions,
): Promise<R> {
  const start = performance.now()
  for (let tries = 1; !(await isMade(file)); tries += 1) {
    await breakStale(file, staleAfter)
    if (performance.now() - start > timeout)
      throw new FileLockTimeout(`another process has held a lock for ${timeout} ms`)
    await delay(Math.random() * Math.min(2 ** tries, 20))
  }
  const madeAt = performance.now()
  try {
    return await body()
  } finally {
    // Later it may be another's.
    if (performance.now() - madeAt < staleAfter) await rm(file, { force: true })
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

/** Moved away before it is removed, so that of several that find it stale one removes it. */
async function breakStale(file: string, staleAfter: number): Promise<void> {
  if (!(await isStale(file, staleAfter))) return
  const moved = `${file}.${randomUUID()}`
  try {
    await rename(file, moved)
    // It was another's new one: that had broken the stale one before us.
    if (!(await isStale(moved, staleAfter))) await link(moved, file)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'EEXIST') throw error
  } finally {
    await rm(moved, { force: true })
  }
}

async function isStale(file: string, staleAfter: number): Promise<boolean> {
  try {
    return Date.now() - (await stat(file)).mtimeMs > staleAfter
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}
