import type { Stats } from 'node:fs'
import { lstat, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Knex } from 'knex'
import type { CachedSession } from '../../caches/cache.ts'
import { CacheUnavailable } from '../../caches/cache-errors.ts'
import { isFileMissing } from '../../concurrency/file-errors.ts'
import { UnreadableSession } from '../../django/session-data.ts'
import { SESSION_ENGINES } from '../../django/session-engines.ts'
import { isGeneratedSessionKey } from '../../django/session-key.ts'
import { CACHE_KEY_PREFIX } from '../../engines/cache.ts'
import { copyPrefixOf } from '../../engines/cached-db.ts'
import { checkTables } from '../../service/preflight.ts'
import { sessionTables } from '../../service/required-tables.ts'
import { databaseKindOf, dialects } from '../../sql/dialect.ts'
import {
  isMissingColumn,
  isMissingTable,
  isNotInCharset,
  isPermissionDenied,
} from '../../sql/driver-errors.ts'
import { selectRows } from '../../sql/executor.ts'
import type { Project } from '../open-project.ts'
import { openSiteCache } from '../site-cache.ts'

/** A row of a table of sessions as it is. */
export interface StoredRow {
  /** As it is stored; a collation may have found it under another spelling. */
  readonly sessionKey: string
  readonly text: string
  /** The text of the column; SQLite also holds numbers there. */
  readonly expireDate: string | number
}

/** Characters of `session_data` that are read: more than twice the largest session. */
const LONGEST_TEXT = 64 * 1024 ** 2

/** Longest key that is looked up: the longest column that Django allows for unique text on MySQL. */
export const LONGEST_STORED_KEY = 255

/**
 * The row of this key, live or expired, as Django's query finds it: by the collation of the column. Null without one.
 * Source: django/contrib/sessions/backends/db.py, _get_session_from_db.
 */
export async function findRow(db: Knex, table: string, sessionKey: string): Promise<StoredRow | null> {
  if (sessionKey.includes('\0') || sessionKey.length > LONGEST_STORED_KEY) return null
  const dialect = dialects[databaseKindOf(db)]
  const nameOf = (identifier: string): string => db.ref(identifier).toQuery()
  const columns = `session_key, substr(session_data, 1, ${LONGEST_TEXT}) as session_data, ${dialect.dateAsText('expire_date')}`
  const bound = dialect.bind(sessionKey)
  const sql = `select ${columns} from ${nameOf(table)} where session_key = ${bound.sql}`
  try {
    const [row] = await selectRows(db, sql, [bound.value])
    if (row === undefined) return null
    const { expire_date: expireDate } = row
    return {
      sessionKey: String(row.session_key),
      text: String(row.session_data),
      expireDate: typeof expireDate === 'number' ? expireDate : String(expireDate),
    }
  } catch (error) {
    if (isNotInCharset(error)) return null // No row has such a key.
    throw error
  }
}

/** How many characters `session_data` holds on MySQL, which may cut longer ones; null for the other databases. */
export async function columnLengthOf(db: Knex, table: string): Promise<number | null> {
  if (databaseKindOf(db) !== 'mysql') return null
  const sql = `select character_maximum_length as length from information_schema.columns
    where table_schema = database() and table_name = ? and column_name = 'session_data'`
  const [row] = await selectRows(db, sql, [table])
  return row === undefined || row.length === null ? null : Number(row.length)
}

/** A table that the settings do not name, in which the session is; null if it is in none. */
export async function findInOtherTables(project: Project, sessionKey: string): Promise<string | null> {
  const tables = new Set(
    [...SESSION_ENGINES.values()].flatMap(({ table }) => (table === null ? [] : [table])),
  )
  const places = [
    ...[...tables]
      .filter((table) => table !== project.table)
      .map((table) => [project.sessionDb, table] as const),
    ...(project.db === project.sessionDb ? [] : [...tables].map((table) => [project.db, table] as const)),
  ]
  for (const [db, table] of places) {
    const where = db === project.sessionDb ? table : `${table} of the database that DATABASE_URL names`
    if (await isInTable(db, table, sessionKey)) return where
  }
  return null
}

async function isInTable(db: Knex, table: string, sessionKey: string): Promise<boolean> {
  try {
    return (await findRow(db, table, sessionKey)) !== null
  } catch (error) {
    if (isMissingTable(error) || isMissingColumn(error) || isPermissionDenied(error)) return false
    throw error
  }
}

/** A session file as it is. */
export interface StoredFile {
  readonly text: string
  readonly savedAt: Date
}

/** Null without a file. Source: django/contrib/sessions/backends/file.py, _key_to_file. */
export async function findFile(project: Project, sessionKey: string): Promise<StoredFile | null> {
  const { filePath, cookie } = project.settings.session
  if (!isGeneratedSessionKey(sessionKey) || sessionKey.length > LONGEST_STORED_KEY) return null
  const file = join(filePath ?? tmpdir(), `${cookie.name}${sessionKey}`)
  try {
    const stats: Stats = await lstat(file)
    if (!stats.isFile() || stats.size > LONGEST_TEXT) return null
    return { text: await readFile(file, 'latin1'), savedAt: new Date(Math.round(stats.mtimeMs)) }
  } catch (error) {
    if (isFileMissing(error)) return null
    throw error
  }
}

/** What the cache of the site holds of a session. */
export type CacheEntry =
  | { readonly state: 'none' }
  | { readonly state: 'unavailable'; readonly error: CacheUnavailable }
  | { readonly state: 'unreadable'; readonly error: UnreadableSession }
  | { readonly state: 'found'; readonly session: CachedSession }

/** Asks the entry of CACHES that the settings name, as Django's engine does; `none` without one. */
export async function findInCache(project: Project, sessionKey: string): Promise<CacheEntry> {
  const { engine } = project.settings.session
  const needs = SESSION_ENGINES.get(engine)
  const cache = openSiteCache(project)
  if (needs === undefined || cache === null) return { state: 'none' }
  const prefix = needs.keptIn === 'cache' ? CACHE_KEY_PREFIX : copyPrefixOf(needs)
  try {
    const session = await cache.get(`${prefix}${sessionKey}`)
    return session === null ? { state: 'none' } : { state: 'found', session }
  } catch (error) {
    if (error instanceof UnreadableSession) return { state: 'unreadable', error }
    if (error instanceof CacheUnavailable) return { state: 'unavailable', error }
    throw error
  }
}

/**
 * Does work that asks the database of the sessions and the cache. A failure of the database names its setting.
 * @throws {CannotStart} also when a table of the sessions is missing or may not be read; {CacheUnavailable}.
 */
export async function onPlaces<R>(project: Project, work: () => Promise<R>): Promise<R> {
  const result = await project.onSessionDatabase(async () => {
    try {
      return await work()
    } catch (error) {
      if (error instanceof CacheUnavailable) return error
      // Says more than the error of the driver.
      if (isMissingTable(error) || isPermissionDenied(error))
        await checkTables(project.sessionDb, sessionTables(project.settings))
      throw error
    }
  })
  if (result instanceof CacheUnavailable) throw result
  return result
}
