import { randomBytes } from 'node:crypto'
import { accessSync, constants, renameSync, statSync } from 'node:fs'
import { type FileHandle, lstat, open, opendir, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { isFileMissing, isFileTaken } from '../concurrency/file-errors.ts'
import { withFileLock } from '../concurrency/file-lock.ts'
import { type ExpiryRules, getExpiryAgeSince, InvalidSessionExpiry } from '../django/expiry.ts'
import type { SessionData } from '../django/json.ts'
import { type SessionCodec, UnreadableSession } from '../django/session-data.ts'
import { isGeneratedSessionKey } from '../django/session-key.ts'
import { unlessUnreadable } from '../django/unreadable-session.ts'
import { ConflictError, CreateError, type SessionEngine, UpdateError } from '../session/engine.ts'
import { type InventoryEntry, NO_FACTS, type SessionInventory } from './inventory.ts'
import { expireDateSince, expiryIn } from './stored-expiry.ts'

/** The options of `createFileEngine`. */
export interface FileEngineOptions {
  /** SESSION_FILE_PATH: a folder that exists. */
  readonly path: string
  /** SESSION_COOKIE_NAME, with which the files' names begin. */
  readonly cookieName: string
  readonly codec: SessionCodec
  readonly rules: ExpiryRules
  readonly now?: () => Date
}

/** The folder does not exist, or cannot be read and written: Django's ImproperlyConfigured. */
export class UnusableSessionFolder extends Error {
  override name = 'UnusableSessionFolder'
  readonly code: string = 'ERR_SESSION_FILE_PATH'
}

/** Milliseconds that a request waits for other requests that save the same session. */
const LOCK_TIMEOUT = 2000

/** Bytes above which a file is not a session: about twice the size of the largest session. */
const LARGEST_FILE = 64 * 1024 * 1024

/**
 * Sessions in Django's files: `sessionid<key>`, with the text that `session_data` would hold, mode 0600, replaced
 * atomically. A file says when it was saved (its mtime); when it expires follows from the data. The revision is the text.
 * Our processes compare and replace it under a lock, which Django does not know. So a session that Django saves in the
 * moment (about a millisecond) between our comparison and our replacement is lost, and a session that it deletes in that
 * moment comes back. The same happens between two requests of Django.
 * Source: django/contrib/sessions/backends/file.py, the same from Django 2.2 to 6.1.
 * @throws {UnusableSessionFolder}
 */
export function createFileEngine(options: FileEngineOptions): SessionEngine {
  return openFiles(options).engine
}

/** The same engine, with the list of its sessions. @throws {UnusableSessionFolder} */
export function openFiles({ path, cookieName, codec, rules, now = () => new Date() }: FileEngineOptions): {
  engine: SessionEngine
  inventory: SessionInventory
} {
  checkFolder(path)
  const fileOf = (sessionKey: string) => join(path, `${cookieName}${sessionKey}`)
  // No session key has an underscore, so neither we nor Django read such a file as a session.
  const lockOf = (file: string) => `${file}_lock`

  /** Django reads an empty file, which a process is about to fill, as an empty session that never expires. */
  function isExpired({ text, savedAt }: SessionFile, data: SessionData, at: Date): boolean {
    if (text === '') return false
    try {
      return getExpiryAgeSince(savedAt, expiryIn(data), { rules, now: at }) <= 0
    } catch (error) {
      // Django fails on this value. The next save of the session throws.
      if (error instanceof InvalidSessionExpiry) return false
      throw error
    }
  }

  /** The data, or null when the session has expired at this moment. */
  function dataOf(file: SessionFile, at: Date = now()): SessionData | null {
    try {
      const data = file.text === '' ? NOTHING : codec.decode(file.text).data
      return isExpired(file, data, at) ? null : data
    } catch (error) {
      // Django reads it as a session without data.
      if (error instanceof UnreadableSession && isExpired(file, NOTHING, at)) return null
      throw error
    }
  }

  async function write(file: string, text: string): Promise<void> {
    const handle = await open(file, 'wx', 0o600)
    try {
      await handle.writeFile(text, 'latin1')
      await handle.utimes(now(), now())
    } catch (error) {
      await rm(file, { force: true })
      throw error
    } finally {
      await handle.close()
    }
  }

  /** Does `work` while the file holds the text of `revision`; null: whatever the file holds. */
  function change(file: string, revision: string | null, work: () => void | Promise<void>): Promise<void> {
    const compareAndChange = async (confirm: () => void) => {
      if (revision !== null) {
        const found = await read(file)
        if (found === null) throw new UpdateError('this session was deleted')
        if (found.text !== revision) throw new ConflictError('another request has saved this session')
      }
      confirm()
      await work()
    }
    return withFileLock(lockOf(file), compareAndChange, { timeout: LOCK_TIMEOUT })
  }

  async function remove(sessionKey: string, revision?: string): Promise<void> {
    const file = fileOf(sessionKey)
    await change(file, revision ?? null, () => rm(file, { force: true }))
  }

  const engine: SessionEngine = {
    async load(sessionKey) {
      const file = isGeneratedSessionKey(sessionKey) ? await read(fileOf(sessionKey)) : null
      const data = file === null ? null : dataOf(file)
      if (file === null || data === null) return null
      return { data, expireDate: expireDateSince(file.savedAt, data, rules), revision: file.text }
    },

    async exists(sessionKey) {
      return isGeneratedSessionKey(sessionKey) && (await isThere(fileOf(sessionKey)))
    },

    async create(sessionKey, session) {
      if (!isGeneratedSessionKey(sessionKey))
        throw new TypeError('the session key of a file must consist of a-z and 0-9')
      const revision = codec.encode(session.data)
      try {
        await write(fileOf(sessionKey), revision)
      } catch (error) {
        if (isFileTaken(error)) throw new CreateError('the session key is taken', { cause: error })
        throw error
      }
      return { ...session, sessionKey, revision }
    },

    async update(sessionKey, session, revision) {
      const text = codec.encode(session.data)
      const file = fileOf(sessionKey)
      const written = `${file}_out_${randomBytes(4).toString('hex')}` // as Python's mkstemp names it there
      await write(written, text)
      try {
        // Synchronously: no other work of this process may come between the check and the replacement.
        await change(file, revision, () => renameSync(written, file))
      } catch (error) {
        await unlink(written)
        throw error
      }
      return { ...session, sessionKey, revision: text }
    },

    delete: remove,

    clearExpired: () => inventory.clear({ before: now() }),
  }

  const inventory: SessionInventory = {
    place: path,

    async countExpired({ before, signal }) {
      let expired = 0
      for await (const sessionKey of keys(signal)) if (await isOver(sessionKey, before)) expired += 1
      return expired
    },

    async clear({ before, signal, onProgress = () => {} }) {
      let cleared = 0
      for await (const sessionKey of keys(signal)) {
        if (!(await removeIf(sessionKey, before))) continue
        cleared += 1
        onProgress(cleared)
      }
      return cleared
    },

    async count({ signal } = {}) {
      let found = 0
      for await (const _ of keys(signal)) found += 1
      return found
    },

    async keysFrom(start, limit) {
      return (await sortedKeys()).filter((key) => key >= start).slice(0, limit)
    },

    async *pages({ start, limit }) {
      const all = await sortedKeys()
      const rest = all.filter(
        (key) => start === null || key > start.key || (key === start.key && !start.isPassed),
      )
      for (const sessionKey of rest.slice(0, limit)) {
        const entry = await entryOf(sessionKey)
        yield { entries: entry === null ? [] : [entry], scanned: 1, last: sessionKey }
      }
    },
  }

  return { engine, inventory }

  async function* keys(signal?: AbortSignal): AsyncGenerator<string> {
    for await (const { name } of await opendir(path)) {
      if (signal?.aborted === true) return
      const sessionKey = name.slice(cookieName.length)
      if (name.startsWith(cookieName) && isGeneratedSessionKey(sessionKey)) yield sessionKey
    }
  }

  async function sortedKeys(): Promise<string[]> {
    const found: string[] = []
    for await (const sessionKey of keys()) found.push(sessionKey)
    return found.sort((a, b) => (a < b ? -1 : 1))
  }

  /** Deletes a session that expired before this moment (null: any), unless it was saved meanwhile. */
  async function removeIf(sessionKey: string, before: Date | null): Promise<boolean> {
    try {
      if (before === null) {
        if (!(await isThere(fileOf(sessionKey)))) return false
        await remove(sessionKey)
        return true
      }
      const file = await read(fileOf(sessionKey))
      if (file === null || !isOverAt(file, before)) return false
      await remove(sessionKey, file.text)
      return true
    } catch (error) {
      // In use after all, or unreadable, which is not known to have expired.
      const stays =
        error instanceof UpdateError || error instanceof ConflictError || error instanceof UnreadableSession
      if (stays) return false
      throw error
    }
  }

  async function isOver(sessionKey: string, before: Date): Promise<boolean> {
    const file = await read(fileOf(sessionKey)).catch(unlessUnreadable)
    return file !== null && isOverAt(file, before)
  }

  function isOverAt(file: SessionFile, before: Date): boolean {
    try {
      return dataOf(file, before) === null
    } catch (error) {
      return unlessUnreadable(error) !== null
    }
  }

  /** A live session, or one that cannot be read; null when there is none. */
  async function entryOf(sessionKey: string): Promise<InventoryEntry | null> {
    try {
      const file = await read(fileOf(sessionKey))
      const data = file === null ? null : dataOf(file)
      if (file === null || data === null) return null
      const expireDate = expireDateSince(file.savedAt, data, rules)
      const facts = { ...NO_FACTS, changed: file.savedAt }
      return { sessionKey, stored: { data, revision: file.text, expireDate }, facts }
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw error
      return { sessionKey, stored: { unreadable: error.reason }, facts: NO_FACTS }
    }
  }
}

interface SessionFile {
  readonly text: string
  readonly savedAt: Date
}

const NOTHING: SessionData = new Map()

/** Source: file.py, _get_storage_path. */
function checkFolder(path: string): void {
  const hint = 'set SESSION_FILE_PATH to the folder in which Django keeps its sessions'
  try {
    if (!statSync(path).isDirectory()) throw new UnusableSessionFolder(`${path} is not a folder; ${hint}`)
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    if (error instanceof UnusableSessionFolder) throw error
    const problem = isFileMissing(error) ? 'does not exist' : 'cannot be read and written'
    throw new UnusableSessionFolder(`The folder of sessions ${path} ${problem}; ${hint}`, { cause: error })
  }
}

/**
 * Null when the file does not exist. Unlike Django, does not follow symbolic links, and opens files only: every user may
 * be allowed to write into the folder.
 */
async function read(file: string): Promise<SessionFile | null> {
  const handle = await openIfThere(file)
  if (handle === null) return null
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) return null
    if (stat.size > LARGEST_FILE) throw new UnreadableSession('too-large')
    return { text: await handle.readFile('latin1'), savedAt: new Date(Math.round(stat.mtimeMs)) }
  } finally {
    await handle.close()
  }
}

async function openIfThere(file: string): Promise<FileHandle | null> {
  try {
    return await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isFileMissing(error)) return null
    throw error
  }
}

async function isThere(file: string): Promise<boolean> {
  try {
    await lstat(file)
    return true
  } catch (error) {
    if (isFileMissing(error)) return false
    throw error
  }
}
