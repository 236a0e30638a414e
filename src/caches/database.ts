import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import type { SessionData } from '../django/json.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { InvalidSessionKey, isStorableKey } from '../django/session-key.ts'
import { clearRows } from '../sql/clear-rows.ts'
import { dialects } from '../sql/dialect.ts'
import { isDuplicateKey } from '../sql/driver-errors.ts'
import { executorOf, runStatement, type SqlDatabase, selectRows } from '../sql/executor.ts'
import type { Binding } from '../sql/port.ts'
import { createRowSize } from '../sql/row-size.ts'
import type { Cache } from './cache.ts'
import { cacheKey } from './cache-key.ts'
import type { CacheSettings } from './cache-settings.ts'
import { createValueFormat, pickleSerializer } from './values.ts'

/** The options of `createDatabaseCache`, beside the entry of CACHES. */
export interface DatabaseCacheOptions {
  readonly db: SqlDatabase
  readonly database: DatabaseKind
  /** How this site writes `expires`. */
  readonly dates: DateColumn
  readonly now?: () => Date
  /** How large a pickle may be. */
  readonly maxInflatedBytes?: number
}

/** A row as text, which each driver returns without loss. */
interface CacheRow {
  readonly cache_key: string
  readonly value: string
  readonly expires: string
}

/** Characters of the column `cache_key`. Source: django/core/management/commands/createcachetable.py, create_table. */
const KEY_LENGTH = 255

/**
 * Django's DatabaseCache: base64 of a pickle, in a table of the site's database. `manage.py createcachetable` makes the
 * table, and LOCATION names it. The revision is the stored text, compared in binary by the statement itself, so no write of
 * another process or of Django is lost between a read and a write. Culling (MAX_ENTRIES) is left to Django, which does it
 * at each `set`.
 * Source: django/core/cache/backends/db.py.
 */
export function createDatabaseCache(
  settings: CacheSettings,
  {
    db,
    database,
    dates,
    now = () => new Date(),
    maxInflatedBytes: maxBytes = 16 * 1024 * 1024,
  }: DatabaseCacheOptions,
): Cache {
  const [table = ''] = settings.location
  const dialect = dialects[database]
  const { quote } = executorOf(db)
  const name = quote(table)
  const value = quote('value')
  const SELECT = `select cache_key, ${value}, ${dialect.dateAsText('expires')} from ${name} where cache_key = ? limit 1`
  const INSERT = `insert into ${name} (cache_key, ${value}, expires) values (?, ?, ?)`
  const UPDATE = `update ${name} set ${value} = ?, expires = ? where cache_key = ?`
  const DELETE = `delete from ${name} where cache_key = ?`
  const keyOf = (key: string): string => cacheKey(settings, key)
  const keyLength = KEY_LENGTH - Array.from(keyOf('')).length
  const canBeKey = (key: string): boolean => isStorableKey(key, keyLength)
  const rowSize = createRowSize(db, { kind: database, table, column: 'value' })
  const format = createValueFormat({ serializer: pickleSerializer, compressor: null, maxBytes })
  const row = (data: SessionData, timeout: number) => ({
    value: format.encode(data).toString('base64'),
    expires: dates.toColumn(expiryOf(timeout, now())),
  })
  const isUnchanged = (revision: string) => dialect.textEquals(value, revision)
  /** Returns how many rows the statement found. */
  const change = async (sql: string, bindings: readonly Binding[]): Promise<number> =>
    dialect.changes(await runStatement(db, sql, bindings))

  /** Runs the statement that stores this value. @throws {SessionTooLarge} */
  async function store<R>(stored: string, statement: () => Promise<R>): Promise<R> {
    await rowSize.admit(stored.length)
    try {
      return await statement()
    } catch (error) {
      throw await rowSize.meaningOf(error, stored.length)
    }
  }

  /** Also finds an expired row. */
  async function find(key: string): Promise<CacheRow | null> {
    if (!canBeKey(key)) return null
    const cacheKey = keyOf(key)
    const [found] = (await selectRows(db, SELECT, [cacheKey])) as readonly (Record<string, unknown> &
      CacheRow)[]
    // Unlike Django, which also finds a key that a collation of MySQL takes for equal.
    return found?.cache_key === cacheKey ? found : null
  }

  async function findLive(key: string): Promise<{ row: CacheRow; expireDate: Date } | null> {
    const found = await find(key)
    if (found === null) return null
    const expireDate = dates.fromColumn(found.expires)
    if (expireDate >= now()) return { row: found, expireDate }
    // As Django does (get_many), but only if it is still expired.
    await change(`${DELETE} and expires < ?`, [keyOf(key), dates.toColumn(now())])
    return null
  }

  /** Replaces the row if it holds its revision, and expires before (`<`) or after now. Returns how many rows it found. */
  function replaceIf(
    expires: '<' | '>=',
    key: string,
    stored: ReturnType<typeof row>,
    revision: string,
  ): Promise<number> {
    const unchanged = isUnchanged(revision)
    const sql = `${UPDATE} and expires ${expires} ? and ${unchanged.sql}`
    const bindings = [stored.value, stored.expires, keyOf(key), dates.toColumn(now()), unchanged.value]
    return store(stored.value, () => change(sql, bindings))
  }

  async function whyNothingMatched(key: string): Promise<'missing' | 'changed'> {
    return (await findLive(key)) === null ? 'missing' : 'changed'
  }

  return {
    async get(key) {
      const found = await findLive(key)
      if (found === null) return null
      const { row, expireDate } = found
      return { data: format.decode(fromBase64(row.value)), expireDate, revision: row.value }
    },

    async add(key, data, timeout) {
      if (!canBeKey(key)) throw new InvalidSessionKey(keyLength)
      const stored = row(data, timeout)
      const found = await find(key)
      if (found === null) {
        try {
          const inserted = [keyOf(key), stored.value, stored.expires]
          await store(stored.value, () => runStatement(db, INSERT, inserted))
        } catch (error) {
          if (isDuplicateKey(error)) return null
          throw error
        }
        return { revision: stored.value }
      }
      if (dates.fromColumn(found.expires) >= now()) return null
      const updated = await replaceIf('<', key, stored, found.value)
      return updated === 0 ? null : { revision: stored.value }
    },

    async replace(key, data, timeout, revision) {
      if (!canBeKey(key)) return 'missing'
      const stored = row(data, timeout)
      const updated = await replaceIf('>=', key, stored, revision)
      return updated === 0 ? whyNothingMatched(key) : { revision: stored.value }
    },

    async delete(key) {
      if (canBeKey(key)) await change(DELETE, [keyOf(key)])
    },

    async remove(key, revision) {
      if (!canBeKey(key)) return 'missing'
      const unchanged = isUnchanged(revision)
      const removed = await change(`${DELETE} and ${unchanged.sql}`, [keyOf(key), unchanged.value])
      return removed === 0 ? whyNothingMatched(key) : 'removed'
    },

    /** Removes all expired entries, as Django's culling does; in small steps, so that no insert waits long. */
    clearExpired: () =>
      clearRows({ db, table: { table, key: 'cache_key', expiry: 'expires' }, before: dates.toColumn(now()) }),

    async close() {}, // the caller closes the database
  }
}

/** Django cuts to whole seconds, and 0 means "already expired" (base.py, get_backend_timeout; db.py, _base_set). */
function expiryOf(timeout: number, now: Date): Date {
  const seconds = now.getTime() / 1000 + (timeout === 0 ? -1 : timeout)
  return new Date(Math.floor(seconds) * 1000)
}

/** Django 6.1 refuses what is not base64; before, it skipped it. @throws {UnreadableSession} */
function fromBase64(value: string): Buffer {
  const bytes = Buffer.from(value, 'base64')
  if (bytes.toString('base64') !== value) throw new UnreadableSession('payload')
  return bytes
}
