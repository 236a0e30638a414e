import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deflate, inflateSync } from 'node:zlib'
import { withFileLock } from '../concurrency/file-lock.ts'
import type { SessionData } from '../django/json.ts'
import { UnreadableSession } from '../django/session-data.ts'
import type { Cache } from './cache.ts'
import { cacheKey } from './cache-key.ts'
import type { CacheSettings } from './cache-settings.ts'
import { createValueFormat, pickleSerializer } from './values.ts'

/** The options of `createFileBasedCache`, beside the entry of CACHES. */
export interface FileBasedCacheOptions {
  readonly now?: () => Date
  /** Largest size of a pickle after decompression, in bytes; default: 16 MiB. */
  readonly maxInflatedBytes?: number
  /** Milliseconds that a write waits for the lock of another of our writers; default: 2000. */
  readonly timeout?: number
}

/**
 * Creates Django's FileBasedCache: one file for each entry, in the folder of LOCATION, which is created if missing. The
 * file name is the MD5 of the key; the content is the pickled expiry time, then a compressed pickle.
 *
 * Our writers, in any number of processes, lock each entry by a lock file beside it. So an update or removal is
 * compare-and-swap among them, and a logout is never undone. Django takes no lock: a write of Django's in the tenths of
 * a millisecond between our check of a file and our replacing it is lost, as between two requests of Django's own.
 *
 * A reader sees a complete file, old or new. Only the owner may read the files: run this as the user that runs Django.
 * Culling (MAX_ENTRIES) is left to Django, which does it at every `set`.
 * Source: django/core/cache/backends/filebased.py.
 */
export function createFileBasedCache(
  settings: CacheSettings,
  {
    now = () => new Date(),
    maxInflatedBytes: maxBytes = 16 * 1024 * 1024,
    timeout = 2000,
  }: FileBasedCacheOptions = {},
): Cache {
  const [folder = ''] = settings.location
  const format = createValueFormat({ serializer: pickleSerializer, compressor: null, maxBytes })
  // The name is a digest, so no key can address a file outside the folder.
  const fileOf = (key: string): string =>
    join(folder, `${createHash('md5').update(cacheKey(settings, key)).digest('hex')}${SUFFIX}`)
  const withLock = async <R>(file: string, body: (confirm: () => void) => Promise<R>): Promise<R> => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return withFileLock(`${file.slice(0, -SUFFIX.length)}.lock`, body, { timeout })
  }

  async function find(file: string): Promise<Entry | null> {
    const content = await unlessMissing(readFile(file))
    const entry = content === null ? null : readEntry(content)
    return entry === null || (entry.expireDate !== null && entry.expireDate < now()) ? null : entry
  }

  async function write(
    file: string,
    { data, timeout, confirm }: { data: SessionData; timeout: number; confirm: () => void },
  ): Promise<{ revision: string }> {
    const content = await writeEntry(
      format.encode(data),
      now().getTime() / 1000 + (timeout === 0 ? -1 : timeout),
    )
    const temporary = join(folder, `tmp${randomUUID()}`)
    try {
      await writeFile(temporary, content, { flag: 'wx', mode: 0o600 })
      confirm()
      await rename(temporary, file)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
    return { revision: revisionOf(content) }
  }

  async function removeExpired(file: string): Promise<number> {
    if (!(await hasExpired(file, now()))) return 0
    return withLock(file, async (confirm) => {
      if (!(await hasExpired(file, now()))) return 0 // another writer has replaced it
      confirm()
      await unlessMissing(unlink(file))
      return 1
    })
  }

  return {
    async get(key) {
      const file = fileOf(key)
      const found = await find(file)
      if (found === null) {
        await removeExpired(file) // as Django does (_is_expired)
        return null
      }
      const { expireDate, revision } = found
      return {
        data: format.decode(inflated(found.compressed, maxBytes)),
        expireDate,
        revision,
      }
    },

    add(key, data, timeout) {
      const file = fileOf(key)
      return withLock(file, async (confirm) =>
        (await find(file)) === null ? write(file, { data, timeout, confirm }) : null,
      )
    },

    replace(key, data, timeout, revision) {
      const file = fileOf(key)
      return withLock(file, async (confirm) => {
        const found = await find(file)
        if (found === null) return 'missing'
        return found.revision === revision ? write(file, { data, timeout, confirm }) : 'changed'
      })
    },

    async delete(key) {
      const file = fileOf(key)
      await withLock(file, () => unlessMissing(unlink(file)))
    },

    remove(key, revision) {
      const file = fileOf(key)
      return withLock(file, async (confirm) => {
        const found = await find(file)
        if (found === null) return 'missing'
        if (found.revision !== revision) return 'changed'
        confirm()
        return (await unlessMissing(unlink(file).then(() => 'removed' as const))) ?? 'missing'
      })
    },

    async clearExpired() {
      let cleared = 0
      for (const name of (await unlessMissing(readdir(folder))) ?? []) {
        if (name.endsWith(SUFFIX)) cleared += await removeExpired(join(folder, name))
      }
      return cleared
    },

    async close() {},
  }
}

const SUFFIX = '.djcache'

/** The opcodes before the float: PROTO 5, FRAME of 10 bytes, BINFLOAT. Its 8 bytes and STOP follow. */
const EXPIRY_HEAD = Buffer.from([0x80, 5, 0x95, 10, 0, 0, 0, 0, 0, 0, 0, 0x47])
const EXPIRY_BYTES = EXPIRY_HEAD.length + 8 + 1
const STOP = 0x2e

interface Entry {
  /** Null for never. */
  readonly expireDate: Date | null
  readonly compressed: Buffer
  readonly revision: string
}

/** Null for an empty file, which Django treats as expired. @throws {UnreadableSession} */
function readEntry(content: Buffer): Entry | null {
  if (content.length === 0) return null
  const { expireDate, end } = readExpiry(content)
  return { expireDate, compressed: content.subarray(end), revision: revisionOf(content) }
}

/**
 * Reads the pickled expiry time at the start of a file: seconds since 1970, or None. `end` is the offset after it.
 * @throws {UnreadableSession}
 */
function readExpiry(content: Buffer): { expireDate: Date | null; end: number } {
  // PROTO; FRAME too since protocol 4.
  const head = content[0] !== 0x80 ? 0 : content[2] === 0x95 ? 11 : 2
  const opcode = String.fromCharCode(content[head] ?? 0)
  if (opcode === 'N' && content[head + 1] === STOP) return { expireDate: null, end: head + 2 }
  if (opcode === 'G' && content[head + 9] === STOP)
    return { expireDate: dateOf(content.readDoubleBE(head + 1)), end: head + 10 }
  throw new UnreadableSession('payload')
}

function dateOf(seconds: number): Date {
  const date = new Date(Math.round(seconds * 1000))
  if (Number.isNaN(date.getTime())) throw new UnreadableSession('payload')
  return date
}

async function writeEntry(pickle: Buffer, expiry: number): Promise<Buffer> {
  const time = Buffer.alloc(9)
  time.writeDoubleBE(expiry)
  time[8] = STOP
  return Buffer.concat([EXPIRY_HEAD, time, await promisify(deflate)(pickle)])
}

function inflated(compressed: Buffer, maxBytes: number): Buffer {
  try {
    return inflateSync(compressed, { maxOutputLength: maxBytes })
  } catch (cause) {
    const isTooLarge = cause instanceof RangeError
    throw new UnreadableSession(isTooLarge ? 'too-large' : 'payload', { cause })
  }
}

/** Reads only the expiry time, not the value. False for a file that is not a cache file. */
async function hasExpired(file: string, now: Date): Promise<boolean> {
  const opened = await unlessMissing(open(file))
  if (opened === null) return false
  try {
    const head = Buffer.alloc(EXPIRY_BYTES)
    const { bytesRead } = await opened.read(head, 0, head.length, 0)
    if (bytesRead === 0) return true
    const { expireDate } = readExpiry(head.subarray(0, bytesRead))
    return expireDate !== null && expireDate < now
  } catch (error) {
    if (error instanceof UnreadableSession) return false
    throw error
  } finally {
    await opened.close()
  }
}

function revisionOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('base64')
}

/** The result, or null if the file or folder does not exist. */
async function unlessMissing<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
