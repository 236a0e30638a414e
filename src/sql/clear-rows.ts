import { setTimeout as delay } from 'node:timers/promises'
import { createPace } from '../concurrency/pace.ts'
import { databaseKindOf, dialects } from './dialect.ts'
import { isTimedOut } from './driver-errors.ts'
import { executorOf, runStatement, type SqlDatabase, selectRows } from './executor.ts'
import type { Binding, SqlPart } from './port.ts'
import { retryRead } from './retry.ts'

/** A table whose rows expire: the sessions, or the entries of a DatabaseCache. */
export interface ExpiringTable {
  readonly table: string
  /** The primary key. */
  readonly key: string
  readonly expiry: string
}

export interface ClearRowsOptions {
  readonly db: SqlDatabase
  readonly table: ExpiringTable
  /** Rows that expired before this moment are deleted; as the column stores it. Null: all rows. */
  readonly before: string | null
  /** The most rows of one statement; default: 1000. */
  readonly batchSize?: number
  /** Milliseconds for which a statement is repeated that the database refused for the moment; default: 20,000. */
  readonly timeout?: number
  /** Ends the work after the running statement. */
  readonly signal?: AbortSignal
  /** Called after each step with the number of rows deleted so far. */
  readonly onProgress?: (deleted: number) => void
  /** Wraps each deletion of these keys, e.g. to remove copies of the rows elsewhere. */
  readonly around?: <R>(keys: readonly string[], remove: () => Promise<R>) => Promise<R>
  readonly monotonic?: () => number
}

/** Statements in a row that may take too long before the work ends; each time the batch is halved or more. */
const MOST_TIMEOUTS = 5

/**
 * Deletes expired rows, in batches by primary key. Each batch is a statement of its own that checks the expiry again: a
 * session that a visitor renewed meanwhile stays. The work follows the index on the expiry once, from the oldest row on, so
 * that entries of deleted rows are not read again. Several runs at once, and runs that were cut off, do no harm.
 *
 * Unlike Django, whose `clearsessions` is one DELETE: it is faster (bench/clear-sessions.md), but on a large table it is one
 * transaction that replicas apply at once, that a limit on the time of statements ends, and that is lost when it is cut off.
 * Source: django/contrib/sessions/backends/db.py, clear_expired.
 * @returns how many rows were deleted.
 */
export async function clearRows({
  db,
  table,
  before,
  batchSize = 1000,
  timeout = 20_000,
  signal,
  onProgress = () => {},
  around = (_, remove) => remove(),
  monotonic = () => performance.now(),
}: ClearRowsOptions): Promise<number> {
  const { dialect, from, key, order, isDue, isAt } = inOrder(db, table, before)
  const asked = before === null ? order.asText : `${key}, ${order.asText}`
  const pace = createPace({ most: batchSize })
  // Repeated after a lost connection, too: a second DELETE finds only what is still there.
  const repeated = <R>(work: () => Promise<R>) => retryRead(work, { timeout })

  async function nextRows(after: Position | null, limit: number): Promise<readonly Found[]> {
    const start = after === null ? ALWAYS : isAt(after.isPassed ? '>' : '>=', after.at)
    const sql = `select ${asked} from ${from} where 1 = 1${start.sql}${isDue.sql} order by ${order.column} limit ${limit}`
    const found = await repeated(() => selectRows(db, sql, [...start.bindings, ...isDue.bindings]))
    return found.map((row) => ({ key: String(row[table.key]), at: String(row[order.name]) }))
  }

  async function remove(keys: readonly string[]): Promise<number> {
    if (keys.length === 0) return 0
    const list = keys.map((one) => dialect.comparable(one))
    const sql = `delete from ${from} where ${key} in (${list.map((one) => one.sql).join(', ')})${isDue.sql}`
    const bindings = [...list.flatMap((one) => one.bindings), ...isDue.bindings]
    return around(keys, () => repeated(async () => dialect.changes(await runStatement(db, sql, bindings))))
  }

  let deleted = 0
  let after: Position | null = null
  let timeouts = 0
  while (signal?.aborted !== true) {
    const found = await nextRows(after, pace.rows + 1)
    const last = found.at(-1)
    if (last === undefined) break
    // In one order, whatever the order of their expiry: two runs that delete the same rows do not wait for each other.
    const [first = '', ...others] = found.map((row) => row.key).sort()
    const start = monotonic()
    const removedAlone = await remove([first])
    const middle = monotonic()
    let removed = removedAlone
    let isCutOff = false
    try {
      removed += await remove(others)
      timeouts = 0
    } catch (error) {
      // The server has ended the statement: the same rows again, in smaller batches.
      timeouts += 1
      if (!isTimedOut(error) || timeouts > MOST_TIMEOUTS) throw error
      isCutOff = true
    }
    const end = monotonic()
    deleted += removed
    onProgress(deleted)
    // Rows that stay although they are found (a trigger, a policy of the database) are passed over.
    const isPassed = before === null || removed === 0
    if (!isCutOff) after = { at: last.at, isPassed }
    const rest = pace.rest({ alone: middle - start, batch: end - middle, rows: others.length })
    await delay(rest, undefined, { ...(signal !== undefined && { signal }) }).catch(() => {})
  }
  return deleted
}

/** Rows that are counted by one statement. */
const COUNTED_AT_ONCE = 50_000

/**
 * Counts the rows that expired before this moment, or all rows. Reads the index in pieces, so that no statement takes long,
 * and holds no lock. Rows that change meanwhile may be counted or not.
 */
export async function countRows({
  db,
  table,
  before,
  timeout = 20_000,
  signal,
  atOnce = COUNTED_AT_ONCE,
}: Pick<ClearRowsOptions, 'db' | 'table' | 'before' | 'timeout' | 'signal'> & {
  readonly atOnce?: number
}): Promise<number> {
  const { from, order, isDue, isAt } = inOrder(db, table, before)
  const read = (sql: string, bindings: readonly Binding[]) =>
    retryRead(() => selectRows(db, sql, bindings), { timeout })
  let counted = 0
  let start = ALWAYS
  for (;;) {
    const bindings = [...start.bindings, ...isDue.bindings]
    const where = `from ${from} where 1 = 1${start.sql}${isDue.sql}`
    const [found] = await read(
      `select ${order.asText} ${where} order by ${order.column} limit 1 offset ${atOnce - 1}`,
      bindings,
    )
    const end = found === undefined ? ALWAYS : isAt('<=', String(found[order.name]))
    const [row] = await read(`select count(*) as counted ${where}${end.sql}`, [...bindings, ...end.bindings])
    counted += Number(row?.counted ?? 0)
    if (found === undefined || signal?.aborted === true) return counted
    start = isAt('>', String(found[order.name]))
  }
}

/** How a table is read in pieces: in the order of the expiry where only expired rows are wanted, else of the key. */
function inOrder(db: SqlDatabase, { table, key, expiry }: ExpiringTable, before: string | null) {
  const dialect = dialects[databaseKindOf(db)]
  const nameOf = executorOf(db).quote
  const from = nameOf(table)
  const name = before === null ? key : expiry
  // With the table's name: `order by` would prefer the text that is selected under the name of the column.
  const column = `${from}.${nameOf(name)}`
  const isDue: SqlPart = before === null ? ALWAYS : { sql: ` and ${nameOf(expiry)} < ?`, bindings: [before] }
  return {
    dialect,
    from,
    key: nameOf(key),
    order: { name, column, asText: before === null ? nameOf(name) : dialect.dateAsText(nameOf(name)) },
    isDue,
    isAt(operator: '<=' | '>=' | '>', text: string): SqlPart {
      const place = dialect.comparable(text)
      return { sql: ` and ${column} ${operator} ${place.sql}`, bindings: place.bindings }
    },
  }
}

const ALWAYS: SqlPart = { sql: '', bindings: [] }

interface Found {
  readonly key: string
  /** The key or the expiry, in whose order the rows are read. */
  readonly at: string
}

/** How far the work has come along the index. */
interface Position {
  readonly at: string
  readonly isPassed: boolean
}
