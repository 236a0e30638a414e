import type { Knex } from 'knex'
import { coalesce } from '../concurrency/coalesce.ts'
import { isRefused } from '../sql/driver-errors.ts'
import { runStatement, selectRows } from '../sql/executor.ts'
import type { RowSize } from '../sql/row-size.ts'

/** A row of Django's table, as it is to be. */
export interface WrittenRow {
  readonly sessionKey: string
  readonly sessionData: string
  /** As the column takes it. */
  readonly expireDate: string
}

export interface ChangedRow extends WrittenRow {
  /** The `session_data` that is replaced. */
  readonly revision: string
}

/** Writes one row, or throws what its writer is to know. */
export interface RowWrites<Inserted extends WrittenRow, Updated extends ChangedRow> {
  insert(row: Inserted): Promise<void>
  update(row: Updated): Promise<void>
}

/** Rows in one statement at most, and bytes: less than the `max_allowed_packet` that any server has unless told. */
const MOST_ROWS = 50
const MOST_BYTES = 400_000

/** Milliseconds that a batch waits for the batch before it: a statement that hangs delays no others. */
export const PATIENCE = 20

/** What goes into a common statement: short texts, in which nothing needs an escape. */
const PLAIN_KEY = /^[a-z0-9]+$/
const PLAIN_TEXT = /^[\w:.=+/-]{0,4000}$/

/**
 * Rows of different sessions that are to be written at once, in one statement and one commit of MySQL or MariaDB: those
 * that come while a write is under way wait and share the next. Such a statement writes all of its rows or none. Where
 * the server refuses it, each row is written `alone`, so a row that was changed, deleted, taken, locked or is refused
 * concerns its own visitor only. No such statement waits for a lock, but for an INSERT on MySQL: there is no time-out
 * below a second. If another transaction has locked one of its keys, or a gap that one of them falls into, all its rows
 * wait for `innodb_lock_wait_timeout` before each is written alone.
 * @param table fit for a statement
 */
export function createJointWrites<I extends WrittenRow, U extends ChangedRow>(
  db: Knex,
  table: string,
  alone: RowWrites<I, U>,
  server: Pick<RowSize, 'packet'>,
): RowWrites<I, U> {
  /** Null where the server has none; undefined until it was asked. */
  let dialect: Dialect | null | undefined

  async function dialectOrNull(): Promise<Dialect | null> {
    try {
      if (dialect === undefined) dialect = await dialectFor(db, table)
      return dialect
    } catch {
      return null // asked for again; the rows meet the same trouble by themselves
    }
  }

  /** Gives the rows that are written. */
  async function inOneStatement<R extends WrittenRow>(
    rows: readonly R[],
    write: (rows: readonly R[], dialect: Dialect) => Promise<readonly R[]>,
  ): Promise<ReadonlySet<R>> {
    const joint = [...new Map(rows.map((row) => [row.sessionKey, row])).values()]
    const dialect = joint.length > 1 ? await dialectOrNull() : null
    return new Set(dialect === null ? [] : await write(joint, dialect))
  }

  async function insertAll(rows: readonly I[], { waitsForNoLock }: Dialect): Promise<readonly I[]> {
    await runStatement(
      db,
      `${waitsForNoLock}insert into ${table} (session_key, session_data, expire_date) ` +
        `values ${listOf(rows, '(?, ?, ?)')}`,
      rows.flatMap(({ sessionKey, sessionData, expireDate }) => [sessionKey, sessionData, expireDate]),
    )
    return rows
  }

  async function updateAll(rows: readonly U[], { update }: Dialect): Promise<readonly U[]> {
    const { sql, bindings } = update(table, rows)
    const [{ affectedRows }] = (await runStatement(db, sql, bindings)) as [{ affectedRows: number }]
    if (affectedRows === rows.length) return rows
    try {
      // Those that are still there are written, the others were deleted.
      const there = `select session_key from ${table} where session_key in (${listOf(rows, '?')})`
      const found = new Set((await selectRows(db, there, keysOf(rows))).map((row) => row.session_key))
      return rows.filter(({ sessionKey }) => found.has(sessionKey))
    } catch (cause) {
      // Not the error itself, which may say that nothing was done: then all would be written again.
      throw new Error('it is not known which sessions are written', { cause })
    }
  }

  const mostBytes = () => Math.min(server.packet ?? MOST_BYTES, MOST_BYTES)
  const insert = shared(alone.insert, (rows) => inOneStatement(rows, insertAll), mostBytes)
  const update = shared(alone.update, (rows) => inOneStatement(rows, updateAll), mostBytes)
  // What cannot go with others waits for none.
  const canShare = (row: WrittenRow | ChangedRow) => dialect !== null && isPlain(row)
  return {
    insert: (row) => (canShare(row) ? insert(row) : alone.insert(row)),
    update: (row) => (canShare(row) ? update(row) : alone.update(row)),
  }
}

function shared<R extends WrittenRow | ChangedRow>(
  writeAlone: (row: R) => Promise<void>,
  writeTogether: (rows: readonly R[]) => Promise<ReadonlySet<R>>,
  mostBytes: () => number,
): (row: R) => Promise<void> {
  return coalesce(
    async (rows: readonly R[]) => {
      const written = await writeTogether(rows)
      return Promise.all(
        rows.map((row) => (written.has(row) ? undefined : writeAlone(row).then(() => undefined, asError))),
      )
    },
    {
      mostInputs: MOST_ROWS,
      size: { of: bytesOf, most: mostBytes },
      runsAlone: isRefused,
      patience: PATIENCE,
    },
  )
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** At most what a row takes up in a common statement; `newValues` has it three times by its key. */
function bytesOf(row: WrittenRow | ChangedRow): number {
  const revision = 'revision' in row ? row.revision : ''
  return row.sessionData.length + revision.length + 4 * row.sessionKey.length + 250
}

function isPlain(row: WrittenRow | ChangedRow): boolean {
  const { sessionKey, sessionData } = row
  const revision = 'revision' in row ? row.revision : ''
  return PLAIN_KEY.test(sessionKey) && PLAIN_TEXT.test(sessionData) && PLAIN_TEXT.test(revision)
}

interface Dialect {
  /** Changes several rows, all or none, without waiting for a lock. */
  readonly update: (table: string, rows: readonly ChangedRow[]) => Statement
  /** What stands before a statement that is to wait for no lock; nothing where there is no such thing. */
  readonly waitsForNoLock: string
}

interface Statement {
  readonly sql: string
  readonly bindings: readonly string[]
}

/** Since 10.3 a time-out of 0 is none. */
const WAITS_FOR_NO_LOCK = 'set statement innodb_lock_wait_timeout = 0 for '

const mariadb: Dialect = {
  update(table, rows) {
    const { sql, bindings } = newValues(rows)
    return {
      sql: `${WAITS_FOR_NO_LOCK}update ${table} set ${sql} where session_key in (${listOf(rows, '?')})`,
      bindings: [...bindings, ...keysOf(rows)],
    }
  },
  waitsForNoLock: WAITS_FOR_NO_LOCK,
}

/** MySQL has no such time-out below 1 second; since 8.0.1 a SELECT can lock or fail, and comes first. */
const mysql: Dialect = {
  update(table, rows) {
    const { sql, bindings } = newValues(rows)
    return {
      sql:
        `update /*+ NO_MERGE(locked) */ (select session_key as locked_key from ${table} ` +
        `where session_key in (${listOf(rows, '?')}) for update nowait) as locked ` +
        `straight_join ${table} on session_key = locked_key set ${sql}`,
      bindings: [...keysOf(rows), ...bindings],
    }
  },
  // A SELECT before it would see no gap that is locked, and lock one itself under REPEATABLE READ.
  waitsForNoLock: '',
}

/** A row that is not what it was fails the whole statement, by a subquery of two rows: whatever the sql_mode is. */
function newValues(rows: readonly ChangedRow[]): Statement {
  const data = "when ? then if(session_data = cast(? as binary), ?, (select '' union all select ''))"
  return {
    sql:
      `session_data = case session_key ${rows.map(() => data).join(' ')} end, ` +
      `expire_date = case session_key ${rows.map(() => 'when ? then ?').join(' ')} end`,
    bindings: [
      ...rows.flatMap(({ sessionKey, revision, sessionData }) => [sessionKey, revision, sessionData]),
      ...rows.flatMap(({ sessionKey, expireDate }) => [sessionKey, expireDate]),
    ],
  }
}

function keysOf(rows: readonly WrittenRow[]): string[] {
  return rows.map(({ sessionKey }) => sessionKey)
}

function listOf(rows: readonly WrittenRow[], text: string): string {
  return rows.map(() => text).join(', ')
}

/** Null where one is not to be had: another storage engine would keep the half of a statement that failed. */
async function dialectFor(db: Knex, table: string): Promise<Dialect | null> {
  const [created] = await selectRows(db, `show create table ${table}`)
  if (!/^\) ENGINE=InnoDB\b/m.test(String(created?.['Create Table']))) return null
  const [row] = await selectRows(db, 'select version() as version')
  const version = String(row?.version)
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/, 3).map(Number)
  const number = (major * 100 + minor) * 100 + patch
  if (version.includes('MariaDB')) return number >= 10_03_00 ? mariadb : null
  return number >= 8_00_01 ? mysql : null
}
