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

export interface FileBasedCacheOptions {
  readonly now?: () => Date
  /** How large a pickle may be, once inflated. */
  readonly maxInflatedBytes?: number
  /** Milliseconds that a write may wait for another of ours. */
  readonly timeout?: number
}

/**
 * Django's FileBasedCache: in the folder that LOCATION names, which is made where it is missing, a file each, named by the MD5 of its key, with a pickled time and a compressed pickle.
 * Writers of ours, in however many processes, take turns by a lock file beside each, so an update or removal is
 * compare-and-swap among them, and a logout is never undone. Django takes no lock: what it writes between our look at a
 * file and our replacing it, some tenths of a millisecond, is lost, as it would be between two requests of its own.
 * A reader sees a whole file, old or new. Files are for their owner alone: run this as the user that runs Django.
 * Culling (MAX_ENTRIES) is left to Django: it does so whenever it sets something.
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
  // The name is a digest, so no key leads out of the folder.
  const fileOf = (key: string): string =>
    join(folder, `${createHash('md5').update(cacheKey(settings, key)).digest('hex')}${SUFFIX}`)
  const locked = async <R>(file: string, body: (confirm: () => void) => Promise<R>): Promise<R> => {
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
    return locked(file, async (confirm) => {
      if (!(await hasExpired(file, now()))) return 0 // written anew meanwhile
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
      return locked(file, async (confirm) =>
        (await find(file)) === null ? write(file, { data, timeout, confirm }) : null,
      )
    },

    replace(key, data, timeout, revision) {
      const file = fileOf(key)
      return locked(file, async (confirm) => {
        const found = await find(file)
        if (found === null) return 'missing'
        return found.revision === revision ? write(file, { data, timeout, confirm }) : 'changed'
      })
    },

    async delete(key) {
      const file = fileOf(key)
      await locked(file, () => unlessMissing(unlink(file)))
    },

    remove(key, revision) {
      const file = fileOf(key)
      return locked(file, async (confirm) => {
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

/** PROTO 5, FRAME of 10 bytes, BINFLOAT, its 8 bytes, STOP. */
const EXPIRY_HEAD = Buffer.from([0x80, 5, 0x95, 10, 0, 0, 0, 0, 0, 0, 0, 0x47])
const EXPIRY_BYTES = EXPIRY_HEAD.length + 8 + 1
const STOP = 0x2e

interface Entry {
  /** Null for never. */
  readonly expireDate: Date | null
  readonly compressed: Buffer
  readonly revision: string
}

/** Null for an empty file, which Django takes for an expired one. @throws {UnreadableSession} */
function readEntry(content: Buffer): Entry | null {
  if (content.length === 0) return null
  const { expireDate, end } = readExpiry(content)
  return { expireDate, compressed: content.subarray(end), revision: revisionOf(content) }
}

/** The pickled time, seconds since 1970, at which a file begins, and where it ends. @throws {UnreadableSession} */
function readExpiry(content: Buffer): { expireDate: Date | null; end: number } {
  // PROTO and, from protocol 4 on, a FRAME.
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

/** The expiry alone, whatever else the file holds; what is no cache file has none. */
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

async function unlessMissing<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}
