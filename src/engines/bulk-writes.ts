import { coalesce } from '../concurrency/coalesce.ts'
import { UncertainWrite } from '../session/engine.ts'
import { dialects } from '../sql/dialect.ts'
import { isRefused, isSubqueryOfRows } from '../sql/driver-errors.ts'
import { PATIENCE, runStatement, type SqlDatabase, selectRows } from '../sql/executor.ts'
import type { RowSize } from '../sql/row-size.ts'
import {
  type BulkStatements,
  bulkStatementsFor,
  bytesInBulk,
  type ChangedRow,
  keysInTable,
  type Statement,
  unchangedRows,
  type WrittenRow,
} from '../sql/row-writes.ts'

/** Writes one row, or throws an error for the session's engine. */
export interface RowWrites {
  insert(row: WrittenRow): Promise<void>
  update(row: ChangedRow): Promise<void>
}

/** What became of the rows of a bulk statement. A row that is in neither set was not written. */
interface Outcome<Row> {
  readonly written: readonly Row[]
  /** Rows of which it is not known whether they were written. */
  readonly uncertain?: readonly Row[]
}

/** Rows in one statement at most, and bytes: less than the `max_allowed_packet` that any server has by default. */
const MOST_ROWS = 50
const MOST_BYTES = 400_000

/** What goes into a bulk statement: short texts, in which nothing needs an escape. */
const PLAIN_KEY = /^[a-z0-9]+$/
const PLAIN_TEXT = /^[\w:.=+/-]{0,4000}$/

/**
 * Writes rows of different sessions in one statement and one commit, where they come while a write is in flight. A statement
 * that the database refuses is rolled back as a whole; each row is then retried on its own, by `oneByOne` (but see
 * `updateAll`). On PostgreSQL and SQLite so is each row that the statement left. So a row that was changed, deleted, taken,
 * locked or refused fails only its own request. See `BulkStatements` for the cases in which a locked row delays others.
 * @param table quoted
 */
export function createBulkWrites(
  db: SqlDatabase,
  table: string,
  oneByOne: RowWrites,
  server: Pick<RowSize, 'packet'>,
): RowWrites {
  /** Null where the server has none; undefined until it was asked. */
  let statements: BulkStatements | null | undefined

  async function statementsOrNull(): Promise<BulkStatements | null> {
    try {
      if (statements === undefined) statements = await bulkStatementsFor(db, table)
      return statements
    } catch {
      return null // asked for again; each row meets the same error on its own
    }
  }

  async function insertAll(
    rows: readonly WrittenRow[],
    { insert, returnsKeys }: BulkStatements,
  ): Promise<Outcome<WrittenRow>> {
    if (returnsKeys) return returned(rows, insert(table, rows))
    await run(insert(table, rows))
    return { written: rows }
  }

  /**
   * On MySQL and MariaDB a row that was changed fails the whole UPDATE. Then those that are as they were share another one:
   * a session that several visitors of a busy site use would otherwise let each batch be written one by one.
   */
  async function updateAll(rows: readonly ChangedRow[], bulk: BulkStatements): Promise<Outcome<ChangedRow>> {
    if (bulk.returnsKeys) return returned(rows, bulk.update(table, rows))
    try {
      return await updateAllOrNone(rows, bulk)
    } catch (error) {
      // Of two rows, one at most is as it was.
      if (!isSubqueryOfRows(error) || rows.length === 2) throw error
      const unchanged = await unchangedRows(db, table, rows).catch(() => [])
      if (unchanged.length < 2 || unchanged.length === rows.length) throw error
      return updateAllOrNone(unchanged, bulk)
    }
  }

  /**
   * On MySQL and MariaDB an UPDATE says how many rows it wrote, not which ones. It skips only rows that were deleted, so
   * all rows that still exist are written. If as many exist as were written, the others were deleted before the UPDATE.
   * If fewer exist, a row was deleted after it was written, and which of the others that is cannot be known.
   */
  async function updateAllOrNone(
    rows: readonly ChangedRow[],
    { update }: BulkStatements,
  ): Promise<Outcome<ChangedRow>> {
    const changes = dialects.mysql.changes(await run(update(table, rows)))
    if (changes === rows.length) return { written: rows }
    if (changes === 0) return { written: [] }
    const found = await keysInTable(db, table, rows).catch((cause: unknown) => {
      // Not the error itself, which may say that nothing was executed: then all rows would be written again.
      throw new UncertainWrite('it is not known which sessions are written', { cause })
    })
    const isFound = ({ sessionKey }: ChangedRow): boolean => found.has(sessionKey)
    const written = rows.filter(isFound)
    return written.length === changes
      ? { written }
      : { written, uncertain: rows.filter((row) => !isFound(row)) }
  }

  /** Runs the statement, and returns the rows whose keys it returns. */
  async function returned<Row extends WrittenRow>(
    rows: readonly Row[],
    { sql, bindings }: Statement,
  ): Promise<Outcome<Row>> {
    const keys = new Set((await selectRows(db, sql, bindings)).map((row) => row.session_key))
    return { written: rows.filter(({ sessionKey }) => keys.has(sessionKey)) }
  }

  const run = ({ sql, bindings }: Statement): Promise<unknown> => runStatement(db, sql, bindings)

  /** Coalesces writes of one row into `all`. A row that `all` has not written goes to `one`. */
  function coalesced<Row extends WrittenRow>(
    one: (row: Row) => Promise<void>,
    all: (rows: readonly Row[], statements: BulkStatements) => Promise<Outcome<Row>>,
  ): (row: Row) => Promise<void> {
    async function writeBatch(
      batch: readonly Row[],
    ): Promise<readonly (undefined | Promise<void> | Error)[]> {
      const rows = [...new Map(batch.map((row) => [row.sessionKey, row])).values()]
      const bulk = rows.length > 1 ? await statementsOrNull() : null
      const outcome: Outcome<Row> = bulk === null ? { written: [] } : await all(rows, bulk)
      const written = new Set(outcome.written)
      const uncertain = new Set(outcome.uncertain)
      // Those that are written do not wait for the others: a row that is left may be locked.
      return batch.map((row) => {
        if (written.has(row)) return undefined
        return uncertain.has(row)
          ? new UncertainWrite('the session was deleted; whether its change was stored first is not known')
          : one(row)
      })
    }
    return coalesce(writeBatch, {
      mostInputs: MOST_ROWS,
      size: { of: bytesInBulk, most: () => Math.min(server.packet ?? MOST_BYTES, MOST_BYTES) },
      runsAlone: isRefused,
      patience: PATIENCE,
    })
  }

  const insert = coalesced(oneByOne.insert, insertAll)
  const update = coalesced(oneByOne.update, updateAll)
  // A row that cannot share a statement does not wait for one.
  const canShare = (row: WrittenRow | ChangedRow) => statements !== null && isPlain(row)
  return {
    insert: (row) => (canShare(row) ? insert(row) : oneByOne.insert(row)),
    update: (row) => (canShare(row) ? update(row) : oneByOne.update(row)),
  }
}

function isPlain(row: WrittenRow | ChangedRow): boolean {
  const { sessionKey, sessionData } = row
  const revision = 'revision' in row ? row.revision : ''
  return PLAIN_KEY.test(sessionKey) && PLAIN_TEXT.test(sessionData) && PLAIN_TEXT.test(revision)
}
