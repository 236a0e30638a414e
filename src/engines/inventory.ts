import type { DateColumn } from '../django/datetime.ts'
import type { SessionData } from '../django/json.ts'
import { type SessionCodec, type UnreadableReason, UnreadableSession } from '../django/session-data.ts'
import { isStorableKey } from '../django/session-key.ts'
import { signedAt } from '../django/signing.ts'
import { unlessUnreadable } from '../django/unreadable-session.ts'
import { type ClearRowsOptions, clearRows, countRows, type ExpiringTable } from '../sql/clear-rows.ts'
import { type Dialect, databaseKindOf, dialects } from '../sql/dialect.ts'
import { executorOf, type SqlDatabase, selectRows } from '../sql/executor.ts'
import type { Binding, SqlPart } from '../sql/port.ts'
import { retryRead } from '../sql/retry.ts'
import type { TableFacts } from './extra-columns.ts'

/** Where sessions, or the entries of a cache, expire without anything that deletes them. */
export interface ExpiringPlace {
  /** The name of the table, or the path of the folder. */
  readonly place: string
  countExpired(options: { before: Date; signal?: AbortSignal }): Promise<number>
  /** Deletes what expired before this moment; null: everything. Returns how many. */
  clear(options: ClearOptions): Promise<number>
}

export interface ClearOptions extends Pick<ClearRowsOptions, 'batchSize' | 'signal' | 'onProgress'> {
  readonly before: Date | null
}

/** All sessions of an engine, for work that no visitor waits for. */
export interface SessionInventory extends ExpiringPlace {
  /** How many there are, live or expired. */
  count(options?: { signal?: AbortSignal }): Promise<number>
  /**
   * Live sessions in the order of their keys, page by page. Locks nothing. A session that is created meanwhile may be
   * missing.
   */
  pages(options: PagesOptions): AsyncGenerator<InventoryPage>
  /** Keys in their order, from this text on: at most `limit`. */
  keysFrom(start: string, limit: number): Promise<string[]>
}

export interface PagesOptions {
  /** The first key may be equal to it (`isPassed` false), or comes after it. Null: from the first key on. */
  readonly start: { readonly key: string; readonly isPassed: boolean } | null
  /** The sessions that are read at most. */
  readonly limit: number
  /** Only sessions of this user, where the table has a column for it; elsewhere all. */
  readonly userId: UserIdText | null
}

/** A primary key of the user model, in the form in which `_auth_user_id` stores it. */
export interface UserIdText {
  readonly id: string
  readonly type: 'integer' | 'uuid' | 'text'
}

export interface InventoryPage {
  readonly entries: readonly InventoryEntry[]
  /** How many sessions were read, live or expired. */
  readonly scanned: number
  /** The last key that was read. */
  readonly last: string
}

/** A live session, or one that cannot be read. */
export interface InventoryEntry {
  readonly sessionKey: string
  readonly stored:
    | { readonly data: SessionData; readonly revision: string; readonly expireDate: Date }
    | { readonly unreadable: UnreadableReason }
  readonly facts: SessionFacts
}

/** What is known of a session beside its data. Null: not known. */
export interface SessionFacts {
  readonly created: Date | null
  /** The last save. */
  readonly changed: Date | null
  readonly ip: string | null
  readonly userAgent: string | null
}

export const NO_FACTS: SessionFacts = { created: null, changed: null, ip: null, userAgent: null }

/** A page is chosen so large that its sessions take up about so many bytes, and within these numbers of rows. */
const PAGE = { bytes: 1024 * 1024, rows: { least: 10, first: 100, most: 2000 } } as const

export interface TablePlaceOptions {
  readonly db: SqlDatabase
  readonly table: ExpiringTable
  readonly dates: DateColumn
  readonly around?: ClearRowsOptions['around']
}

/** Rows that expire. */
export function createTablePlace({ db, table, dates, around }: TablePlaceOptions): ExpiringPlace {
  return {
    place: table.table,
    countExpired: ({ before, signal }) =>
      countRows({ db, table, before: dates.toColumn(before), ...(signal !== undefined && { signal }) }),
    clear: ({ before, ...options }) =>
      clearRows({
        db,
        table,
        before: before === null ? null : dates.toColumn(before),
        // An expired session has no copy elsewhere.
        ...(before === null && around !== undefined && { around }),
        ...options,
      }),
  }
}

export interface TableInventoryOptions extends Omit<TablePlaceOptions, 'table'> {
  /** The table of sessions. */
  readonly table: string
  readonly codec: SessionCodec
  readonly now: () => Date
  /** What the table stores beside Django's columns; null for Django's own table. */
  readonly facts: TableFacts | null
}

/** The sessions of Django's table, or of a table with more columns. */
export function createTableInventory(options: TableInventoryOptions): SessionInventory {
  const { db, codec, dates, now, facts } = options
  const table = { table: options.table, key: 'session_key', expiry: 'expire_date' }
  const dialect = dialects[databaseKindOf(db)]
  const nameOf = executorOf(db).quote
  const from = nameOf(table.table)
  const read = (sql: string, bindings: readonly Binding[]) => retryRead(() => selectRows(db, sql, bindings))
  const columns = [
    'session_key',
    'case when expire_date > ? then session_data end as live_data',
    dialect.dateAsText('expire_date'),
    ...[facts?.created, facts?.changed].flatMap((column) =>
      column ? [dialect.dateAsText(nameOf(column))] : [],
    ),
    ...(facts === null ? [] : [nameOf(facts.ip), nameOf(facts.userAgent)]),
  ].join(', ')

  function entryOf(row: Readonly<Record<string, unknown>>): InventoryEntry[] {
    const [sessionKey, text] = [String(row.session_key), row.live_data]
    if (typeof text !== 'string') return [] // expired
    return [
      {
        sessionKey,
        stored: isStorableKey(sessionKey, 255) ? storedOf(text, row.expire_date) : { unreadable: 'format' },
        facts: { ...factsOf(row), changed: dateIn(row, facts?.changed) ?? signedAt(text) },
      },
    ]
  }

  function storedOf(text: string, expireDate: unknown): InventoryEntry['stored'] {
    try {
      const { data } = codec.decode(text)
      return { data, revision: text, expireDate: dates.fromColumn(String(expireDate)) }
    } catch (error) {
      if (error instanceof UnreadableSession) return { unreadable: error.reason }
      throw error
    }
  }

  function factsOf(row: Readonly<Record<string, unknown>>): SessionFacts {
    if (facts === null) return NO_FACTS
    const text = (column: string) => (typeof row[column] === 'string' ? row[column] : null)
    return {
      created: dateIn(row, facts.created),
      changed: null,
      ip: text(facts.ip),
      userAgent: text(facts.userAgent),
    }
  }

  function dateIn(row: Readonly<Record<string, unknown>>, column: string | null | undefined): Date | null {
    const text = column ? row[column] : null
    try {
      return typeof text === 'string' ? dates.fromColumn(text) : null
    } catch (error) {
      return unlessUnreadable(error)
    }
  }

  return {
    ...createTablePlace({ ...options, table }),
    count: (given = {}) => countRows({ db, table, before: null, ...given }),

    async keysFrom(start, limit) {
      const first = dialect.comparable(start)
      const sql = `select session_key from ${from} where session_key >= ${first.sql} order by session_key limit ${limit}`
      return (await read(sql, first.bindings)).map((row) => String(row.session_key))
    },

    async *pages({ start, limit, userId }) {
      let place = start
      let left = limit
      let size: number = PAGE.rows.first
      const owner =
        userId === null || facts === null ? NO_OWNER : ownerOf(dialect, nameOf(facts.userId), userId)
      while (left > 0) {
        const asked = Math.min(size, left)
        const first = place === null ? null : dialect.comparable(place.key)
        const isLater = first === null ? '' : ` and session_key ${place?.isPassed ? '>' : '>='} ${first.sql}`
        const rows = await read(
          `select ${columns} from ${from} where 1 = 1${owner.sql}${isLater} order by session_key limit ${asked}`,
          [dates.toColumn(now()), ...owner.bindings, ...(first?.bindings ?? [])],
        )
        const last = rows.at(-1)
        if (last === undefined) return
        place = { key: String(last.session_key), isPassed: true }
        left -= rows.length
        yield { entries: rows.flatMap(entryOf), scanned: rows.length, last: place.key }
        if (rows.length < asked) return
        size = nextSize(size, rows)
      }
    },
  }
}

const NO_OWNER: SqlPart = { sql: '', bindings: [] }

/** On MySQL and SQLite, a UUID is char(32), without dashes. The ids have been checked: they contain nothing else. */
function ownerOf(dialect: Dialect, column: string, { id, type }: UserIdText): SqlPart {
  if (type === 'integer') return { sql: ` and ${column} = ${id}`, bindings: [] }
  if (type === 'uuid') return { sql: ` and ${column} in (?, ?)`, bindings: [id.replaceAll('-', ''), id] }
  const text = dialect.comparable(id)
  return { sql: ` and ${column} = ${text.sql}`, bindings: text.bindings }
}

function nextSize(size: number, rows: readonly Readonly<Record<string, unknown>>[]): number {
  const bytes = rows.reduce((sum, row) => sum + 200 + String(row.live_data ?? '').length, 0)
  const fitting = Math.floor((rows.length * PAGE.bytes) / bytes)
  return Math.max(PAGE.rows.least, Math.min(fitting, 2 * size, PAGE.rows.most))
}
