import type { Knex } from 'knex'
import { runStatement, selectRows } from '../statement.ts'
import { createBatches } from './batches.ts'

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

/** Rows in one statement at most: 400 kB, less than the `max_allowed_packet` that any server has unless told. */
const MOST_ROWS = 50

/** What goes into a common statement: short texts, in which nothing needs an escape. */
const PLAIN_KEY = /^[a-z0-9]+$/
const PLAIN_TEXT = /^[\w:.=+/-]{0,4000}$/

/**
 * Rows of different sessions that are to be written at once, in one statement and one commit of MySQL or MariaDB: those
 * that come while a write is under way wait and share the next. Such a statement writes all of its rows or none, and
 * waits for nobody's lock. Where it wrote none each row is written `alone`, so one that was changed, deleted, taken or
 * locked is its own visitor's affair.
 * @param table fit for a statement
 */
export function createJointWrites<I extends WrittenRow, U extends ChangedRow>(
  db: Knex,
  table: string,
  alone: RowWrites<I, U>,
): RowWrites<I, U> {
  /** Null where the server has none; undefined until it was asked. */
  let jointUpdate: JointUpdate | null | undefined

  async function jointUpdateOrNull(): Promise<JointUpdate | null> {
    try {
      if (jointUpdate === undefined) jointUpdate = await jointUpdateFor(db, table)
      return jointUpdate
    } catch {
      return null // asked for again; the rows meet the same trouble by themselves
    }
  }

  /** Gives the rows that are written. */
  async function inOneStatement<R extends WrittenRow>(
    rows: readonly R[],
    write: (rows: readonly R[], update: JointUpdate) => Promise<readonly R[]>,
  ): Promise<ReadonlySet<R>> {
    const joint = [...new Map(rows.map((row) => [row.sessionKey, row])).values()]
    const update = joint.length > 1 ? await jointUpdateOrNull() : null
    if (update === null) return new Set()
    try {
      return new Set(await write(joint, update))
    } catch (error) {
      if (error instanceof Error && 'code' in error && UNDONE.has(error.code)) return new Set()
      throw error
    }
  }

  async function insertAll(rows: readonly I[]): Promise<readonly I[]> {
    await runStatement(
      db,
      `insert into ${table} (session_key, session_data, expire_date) values ${listOf(rows, '(?, ?, ?)')}`,
      rows.flatMap(({ sessionKey, sessionData, expireDate }) => [sessionKey, sessionData, expireDate]),
    )
    return rows
  }

  async function updateAll(rows: readonly U[], update: JointUpdate): Promise<readonly U[]> {
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

  const insert = shared(alone.insert, (rows) => inOneStatement(rows, insertAll))
  const update = shared(alone.update, (rows) => inOneStatement(rows, updateAll))
  // What cannot go with others waits for none.
  const canShare = (row: WrittenRow | ChangedRow) => jointUpdate !== null && isPlain(row)
  return {
    insert: (row) => (canShare(row) ? insert(row) : alone.insert(row)),
    update: (row) => (canShare(row) ? update(row) : alone.update(row)),
  }
}

interface Waiting<R> {
  readonly row: R
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

function shared<R>(
  writeAlone: (row: R) => Promise<void>,
  writeTogether: (rows: readonly R[]) => Promise<ReadonlySet<R>>,
): (row: R) => Promise<void> {
  async function writeSome(waiting: readonly Waiting<R>[]): Promise<void> {
    try {
      const written = await writeTogether(waiting.map(({ row }) => row))
      const outcomes = waiting.map(({ row, resolve, reject }) =>
        written.has(row) ? resolve() : writeAlone(row).then(resolve, reject),
      )
      await Promise.all(outcomes)
    } catch (error) {
      for (const { reject } of waiting) reject(error)
    }
  }

  const writeNext = createBatches(async (waiting: readonly Waiting<R>[]) => {
    const parts: Promise<void>[] = []
    for (let at = 0; at < waiting.length; at += MOST_ROWS)
      parts.push(writeSome(waiting.slice(at, at + MOST_ROWS)))
    await Promise.all(parts)
  })
  return (row) => new Promise((resolve, reject) => void writeNext({ row, resolve, reject }))
}

function isPlain(row: WrittenRow | ChangedRow): boolean {
  const { sessionKey, sessionData } = row
  const revision = 'revision' in row ? row.revision : ''
  return PLAIN_KEY.test(sessionKey) && PLAIN_TEXT.test(sessionData) && PLAIN_TEXT.test(revision)
}

/** Changes several rows, all or none, without waiting for a lock. */
type JointUpdate = (table: string, rows: readonly ChangedRow[]) => Statement

interface Statement {
  readonly sql: string
  readonly bindings: readonly string[]
}

/** Since 10.3 a time-out of 0 is none. */
const onMariadb: JointUpdate = (table, rows) => {
  const { sql, bindings } = newValues(rows)
  return {
    sql:
      `set statement innodb_lock_wait_timeout = 0 for update ${table} set ${sql} ` +
      `where session_key in (${listOf(rows, '?')})`,
    bindings: [...bindings, ...keysOf(rows)],
  }
}

/** MySQL has no such time-out below 1 second; since 8.0.1 a SELECT can lock or fail, and comes first. */
const onMysql: JointUpdate = (table, rows) => {
  const { sql, bindings } = newValues(rows)
  return {
    sql:
      `update /*+ NO_MERGE(locked) */ (select session_key as locked_key from ${table} ` +
      `where session_key in (${listOf(rows, '?')}) for update nowait) as locked ` +
      `straight_join ${table} on session_key = locked_key set ${sql}`,
    bindings: [...keysOf(rows), ...bindings],
  }
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
async function jointUpdateFor(db: Knex, table: string): Promise<JointUpdate | null> {
  const [created] = await selectRows(db, `show create table ${table}`)
  if (!/^\) ENGINE=InnoDB\b/m.test(String(created?.['Create Table']))) return null
  const [row] = await selectRows(db, 'select version() as version')
  const version = String(row?.version)
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/, 3).map(Number)
  const number = (major * 100 + minor) * 100 + patch
  if (version.includes('MariaDB')) return number >= 10_03_00 ? onMariadb : null
  return number >= 8_00_01 ? onMysql : null
}

/** MySQL's errors after which nothing is written, and each row shall say for itself what it meets. */
const UNDONE: ReadonlySet<unknown> = new Set([
  'ER_SUBQUERY_NO_1_ROW', // a row was changed
  ...['ER_LOCK_WAIT_TIMEOUT', 'ER_LOCK_NOWAIT', 'ER_LOCK_DEADLOCK'],
  'ER_DUP_ENTRY',
  ...['ER_NO_DEFAULT_FOR_FIELD', 'ER_BAD_NULL_ERROR', 'ER_DATA_TOO_LONG'],
])
