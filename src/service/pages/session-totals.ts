import type { Knex } from 'knex'
import type { DateColumn } from '../../django/datetime.ts'
import type { SessionCodec } from '../../django/session-data.ts'
import { signedAt } from '../../django/signing.ts'
import {
  type UnreadableReason,
  UnreadableSession,
  unlessUnreadable,
} from '../../django/unreadable-session.ts'
import type { SessionFormat } from '../../django/versions.ts'
import { databaseKindOf, dialects } from '../../sql/dialect.ts'
import { selectRows } from '../../sql/executor.ts'

/** What the session table holds, as far as a bounded read shows. No session of a visitor is in it. */
export interface SessionTotals {
  readonly live: BoundedCount
  readonly expired: BoundedCount
  /** All rows: exact where both counts are; else what the statistics of the database say, or null without statistics. */
  readonly rows: { readonly count: number; readonly isExact: boolean } | null
  readonly sample: SessionSample
  readonly readAt: Date
}

export interface BoundedCount {
  readonly count: number
  /** Whether counting ended here: there may be more. */
  readonly isAtLeast: boolean
}

/** The rows with the latest expiry. */
export interface SessionSample {
  readonly rows: readonly SampledRow[]
  /** Whether these are all rows of the table. */
  readonly isWhole: boolean
  /** Rows that were saved before this time may be missing: an estimate for sessions of the default age. Null where all are there. */
  readonly completeSince: Date | null
}

export interface SampledRow {
  /** Characters of `session_data`: its bytes, since Django writes ASCII. */
  readonly size: number
  readonly reading: Reading
  /** The time stamp of the signature: when the session was last saved. Null for legacy rows and for those that do not verify. */
  readonly savedAt: Date | null
}

/** `unread`: larger than what is read for this page. */
export type Reading =
  | { readonly outcome: 'read'; readonly format: SessionFormat; readonly keyIndex: number }
  | { readonly outcome: 'unreadable'; readonly reason: UnreadableReason }
  | { readonly outcome: 'unread' }

export interface SessionTotalsOptions {
  readonly db: Knex
  readonly table: string
  readonly codec: SessionCodec
  readonly dates: DateColumn
  /** SESSION_COOKIE_AGE, in seconds. */
  readonly cookieAge: number
  readonly now?: () => Date
  /** Milliseconds for which a result is used again; default: 10 s. */
  readonly maxAge?: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
  /** Default: 10,000. */
  readonly mostCounted?: number
  /** Default: 500. */
  readonly sampleSize?: number
}

/** Characters of `session_data` that are read of a row. */
export const LARGEST_READ = 16_384

/**
 * Returns a reader of the totals. Nothing scans the table: rows are counted along the index of `expire_date` up to a limit,
 * and the newest rows along the same index are read. One read runs at a time, for all who ask meanwhile, and its result is
 * used for some seconds.
 */
export function createSessionTotals({
  maxAge = 10_000,
  monotonic = () => performance.now(),
  ...options
}: SessionTotalsOptions): () => Promise<SessionTotals> {
  let latest: { readonly totals: Promise<SessionTotals>; until: number } | null = null

  function read(): Promise<SessionTotals> {
    const current = { totals: readTotals(options), until: Number.POSITIVE_INFINITY }
    latest = current
    current.totals.then(
      () => {
        current.until = monotonic() + maxAge
      },
      () => {
        latest = null
      },
    )
    return current.totals
  }

  return () => (latest !== null && monotonic() < latest.until ? latest.totals : read())
}

async function readTotals({
  db,
  table,
  codec,
  dates,
  cookieAge,
  now = () => new Date(),
  mostCounted = 10_000,
  sampleSize = 500,
}: SessionTotalsOptions): Promise<SessionTotals> {
  const name = db.ref(table).toQuery()
  const readAt = now()

  // The order makes PostgreSQL take the index: without it, a scan of the whole table may look cheaper.
  async function count(comparison: '>' | '<=', order: 'asc' | 'desc'): Promise<BoundedCount> {
    const some = `select 1 as one from ${name} where expire_date ${comparison} ? order by expire_date ${order} limit ${mostCounted + 1}`
    const [row = {}] = await selectRows(db, `select count(*) as found from (${some}) as counted`, [
      dates.toColumn(readAt),
    ])
    const found = Number(row.found)
    return { count: Math.min(found, mostCounted), isAtLeast: found > mostCounted }
  }

  const live = await count('>', 'desc')
  const expired = await count('<=', 'asc')
  const isExact = !live.isAtLeast && !expired.isAtLeast
  const estimate = isExact ? live.count + expired.count : await estimatedRows(db, table)
  const kind = databaseKindOf(db)
  const columns = `length(session_data) as size, case when length(session_data) <= ${LARGEST_READ} then session_data end as session_data, ${dialects[kind].dateAsText('expire_date')}`
  const newest = `from ${name} order by ${name}.expire_date desc limit ${sampleSize + 1}`
  const found = await selectRows(
    db,
    // MySQL may sort the whole table for a few rows. It walks the index where that alone has every column that is asked for.
    kind === 'mysql'
      ? `select ${columns} from ${name} join (select session_key as newest_key, expire_date as newest_date ${newest}) as newest on session_key = newest_key order by newest_date desc`
      : `select ${columns} ${newest}`,
  )
  const isWhole = found.length <= sampleSize
  const sampled = found.slice(0, sampleSize)
  return {
    live,
    expired,
    rows: estimate === null ? null : { count: estimate, isExact },
    sample: {
      rows: sampled.map((row) => sampledRow(row, { codec, dates })),
      isWhole,
      completeSince: isWhole ? null : savedBefore(sampled.at(-1)?.expire_date, { dates, cookieAge }),
    },
    readAt,
  }
}

function sampledRow(
  { size, session_data: data, expire_date: expireDate }: Readonly<Record<string, unknown>>,
  { codec, dates }: Pick<SessionTotalsOptions, 'codec' | 'dates'>,
): SampledRow {
  if (data === null) return { size: Number(size), reading: { outcome: 'unread' }, savedAt: null }
  const text = String(data)
  try {
    const { format, keyIndex } = codec.decode(text)
    dates.fromColumn(String(expireDate))
    const savedAt = format === 'signed' ? signedAt(text) : null
    return { size: Number(size), reading: { outcome: 'read', format, keyIndex }, savedAt }
  } catch (error) {
    if (!(error instanceof UnreadableSession)) throw error
    return { size: Number(size), reading: { outcome: 'unreadable', reason: error.reason }, savedAt: null }
  }
}

/** Where this expiry is the earliest of the sample: sessions of the default age that are missing were saved before. */
function savedBefore(
  expireDate: unknown,
  { dates, cookieAge }: Pick<SessionTotalsOptions, 'dates' | 'cookieAge'>,
): Date | null {
  try {
    return new Date(dates.fromColumn(String(expireDate)).getTime() - cookieAge * 1000)
  } catch (error) {
    return unlessUnreadable(error)
  }
}

/** What the optimizer's statistics say. Null without statistics: on SQLite, and on PostgreSQL before the first ANALYZE. */
async function estimatedRows(db: Knex, table: string): Promise<number | null> {
  const kind = databaseKindOf(db)
  if (kind === 'sqlite') return null
  const [row = {}] = await selectRows(
    db,
    kind === 'mysql'
      ? 'select table_rows as estimate from information_schema.tables where table_schema = database() and table_name = ?'
      : 'select reltuples as estimate from pg_class where oid = to_regclass(quote_ident(?))',
    [table],
  )
  const estimate = Number(row.estimate ?? -1)
  return estimate < 0 ? null : Math.round(estimate)
}
