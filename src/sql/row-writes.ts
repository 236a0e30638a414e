import type { DatabaseKind } from '../django/datetime.ts'
import { type BoundText, type Dialect, databaseKindOf } from './dialect.ts'
import { type SqlDatabase, selectRows } from './executor.ts'
import type { Binding } from './port.ts'

/** A row of Django's table of sessions, as it is to be. */
export interface WrittenRow {
  readonly sessionKey: string
  readonly sessionData: string
  /** As the column takes it. */
  readonly expireDate: string
  /** The site's own columns, quoted, each with its value. */
  readonly others: readonly { readonly column: string; readonly bound: BoundText<Binding> }[]
}

/** A row that replaces another one. */
export interface ChangedRow extends WrittenRow {
  /** The `session_data` that is replaced. */
  readonly revision: string
}

export interface Statement {
  readonly sql: string
  readonly bindings: readonly Binding[]
}

/** @param table quoted */
export function insertStatement(table: string, row: WrittenRow): Statement {
  const set = assignments(row)
  const columns = set.map(({ column }) => column).join(', ')
  const values = set.map(({ bound }) => bound.sql).join(', ')
  return {
    sql: `insert into ${table} (session_key, ${columns}) values (?, ${values})`,
    bindings: [row.sessionKey, ...set.map(({ bound }) => bound.value)],
  }
}

/** Changes the row if it still holds its revision. @param table quoted */
export function updateStatement(table: string, row: ChangedRow, dialect: Dialect): Statement {
  const set = assignments(row)
  const to = set.map(({ column, bound }) => `${column} = ${bound.sql}`).join(', ')
  const unchanged = dialect.textEquals('session_data', row.revision)
  return {
    sql: `update ${table} set ${to} where session_key = ? and ${unchanged.sql}`,
    bindings: [...set.map(({ bound }) => bound.value), row.sessionKey, unchanged.value],
  }
}

/** All columns but the key. */
function assignments({ sessionData, expireDate, others }: WrittenRow): WrittenRow['others'] {
  return [
    { column: 'session_data', bound: { sql: '?', value: sessionData } },
    { column: 'expire_date', bound: { sql: '?', value: expireDate } },
    ...others,
  ]
}

/**
 * Statements for several rows of different keys, without columns of the site's own.
 *
 * On MySQL and MariaDB each writes all of its rows or none: an UPDATE fails if a row is no longer what it was, whatever the
 * sql_mode is. It skips a row that was deleted. On PostgreSQL and SQLite each row is written or left by itself, and the
 * statement returns the keys of the rows that it wrote.
 *
 * No such statement waits for a lock, with two exceptions. An INSERT on PostgreSQL waits `LONGEST_LOCK_WAIT` for a key that
 * another transaction has inserted. MySQL has no time-out below a second: if another transaction has locked one of the
 * keys, or a gap that one of them falls into, an INSERT waits for `innodb_lock_wait_timeout`.
 */
export interface BulkStatements {
  /** Whether a statement returns the `session_key` of each row that it wrote. */
  readonly returnsKeys: boolean
  insert(table: string, rows: readonly WrittenRow[]): Statement
  update(table: string, rows: readonly ChangedRow[]): Statement
}

/** The statements for this table; null where the database has none that keeps the promises. @param table quoted */
export function bulkStatementsFor(db: SqlDatabase, table: string): Promise<BulkStatements | null> {
  return STATEMENTS_OF[databaseKindOf(db)](db, table)
}

const STATEMENTS_OF: Readonly<
  Record<DatabaseKind, (db: SqlDatabase, table: string) => Promise<BulkStatements | null>>
> = { mysql: ofMysql, postgresql: ofPostgresql, sqlite: ofSqlite }

async function ofMysql(db: SqlDatabase, table: string): Promise<BulkStatements | null> {
  const [created] = await selectRows(db, `show create table ${table}`)
  // Another storage engine would keep one half of a statement that failed in the middle.
  if (!/^\) ENGINE=InnoDB\b/m.test(String(created?.['Create Table']))) return null
  const [row] = await selectRows(db, 'select version() as version')
  const version = String(row?.version)
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/, 3).map(Number)
  const number = (major * 100 + minor) * 100 + patch
  if (version.includes('MariaDB')) return number >= 10_03_00 ? mariadb : null
  return number >= 8_00_01 ? mysql : null
}

/** A view, or a table with a rule, may not return what it wrote. SKIP LOCKED came with PostgreSQL 9.5. */
async function ofPostgresql(db: SqlDatabase, table: string): Promise<BulkStatements | null> {
  const [row] = await selectRows(
    db,
    'select format_type(atttypid, null) as type from pg_class join pg_attribute on attrelid = pg_class.oid ' +
      "where pg_class.oid = ?::regclass and attname = 'expire_date' and relkind = 'r' and not relhasrules " +
      "and current_setting('server_version_num')::int >= 90500",
    [table],
  )
  return row === undefined ? null : postgresql(String(row.type))
}

/** With a trigger, or on a view, RETURNING may name a row that was not written. */
async function ofSqlite(db: SqlDatabase, table: string): Promise<BulkStatements | null> {
  const [mark = ''] = table
  const name = table.slice(1, -1).replaceAll(mark + mark, mark)
  const sql = "select type from sqlite_master where tbl_name = ? collate nocase and type <> 'index'"
  const parts = await selectRows(db, sql, [name])
  return parts.length === 1 && parts[0]?.type === 'table' ? sqlite : null
}

/** The keys of these rows that the table has. @param table quoted */
export async function keysInTable(
  db: SqlDatabase,
  table: string,
  rows: readonly WrittenRow[],
): Promise<ReadonlySet<unknown>> {
  const sql = `select session_key from ${table} where session_key in (${listOf(rows, '?')})`
  return new Set((await selectRows(db, sql, keysOf(rows))).map((row) => row.session_key))
}

/** The rows of which the table still has the revision. @param table quoted */
export async function unchangedRows(
  db: SqlDatabase,
  table: string,
  rows: readonly ChangedRow[],
): Promise<readonly ChangedRow[]> {
  const sql = `select session_key, session_data from ${table} where session_key in (${listOf(rows, '?')})`
  const found = await selectRows(db, sql, keysOf(rows))
  const stored = new Map(found.map((row) => [row.session_key, row.session_data]))
  return rows.filter(({ sessionKey, revision }) => stored.get(sessionKey) === revision)
}

/** At most what a row takes up in a bulk statement; `newValues` has it three times by its key. */
export function bytesInBulk(row: WrittenRow | ChangedRow): number {
  const revision = 'revision' in row ? row.revision : ''
  return row.sessionData.length + revision.length + 4 * row.sessionKey.length + 250
}

/** Since MariaDB 10.3 a time-out of 0 does not wait. */
const WITHOUT_WAITING = 'set statement innodb_lock_wait_timeout = 0 for '

const mariadb: BulkStatements = {
  returnsKeys: false,
  insert(table, rows) {
    const { sql, bindings } = insertAll(table, rows)
    return { sql: `${WITHOUT_WAITING}${sql}`, bindings }
  },
  update(table, rows) {
    const { sql, bindings } = newValues(rows)
    return {
      sql: `${WITHOUT_WAITING}update ${table} set ${sql} where session_key in (${listOf(rows, '?')})`,
      bindings: [...bindings, ...keysOf(rows)],
    }
  },
}

/** MySQL has no such time-out below a second; since 8.0.1 a SELECT can lock or fail, and comes first. */
const mysql: BulkStatements = {
  returnsKeys: false,
  // A SELECT before it would see no gap that is locked, and lock one itself under REPEATABLE READ.
  insert: insertAll,
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
}

/** Far less than `deadlock_timeout`, so that a deadlock ends before PostgreSQL chooses a victim. */
const LONGEST_LOCK_WAIT = '20ms'

/**
 * Each column is one array, so that the text is the same for any number of rows, and can be prepared.
 * @param dateType the type of `expire_date`
 */
function postgresql(dateType: string): BulkStatements {
  return {
    returnsKeys: true,
    // In the order of the keys, as every process has them: two that insert the same keys wait for each other in turn.
    insert(table, rows) {
      const sorted = [...rows].sort((one, other) => (one.sessionKey < other.sessionKey ? -1 : 1))
      return {
        // For this transaction only, since a pooler may give the connection to another client afterwards.
        sql:
          `insert into ${table} (session_key, session_data, expire_date) ` +
          `select * from unnest(?::text[], ?::text[], ?::${dateType}[]) ` +
          `where (select set_config('lock_timeout', '${LONGEST_LOCK_WAIT}', true)) is not null ` +
          'on conflict do nothing returning session_key',
        bindings: [
          arrayOf(sorted, ({ sessionKey }) => sessionKey),
          arrayOf(sorted, ({ sessionData }) => sessionData),
          arrayOf(sorted, ({ expireDate }) => expireDate),
        ],
      }
    },
    // The subquery locks as the UPDATE itself does, but leaves a row that another transaction holds: two processes that
    // write the same rows in different orders cannot deadlock. A row that changed meanwhile is compared as it is now.
    // Source: PostgreSQL's manual, "Read Committed Isolation Level".
    update: (table, rows) => ({
      sql:
        `update ${table} as stored set session_data = locked.data, expire_date = locked.expires ` +
        `from (select found.session_key, given.data, given.expires from ${table} as found ` +
        `join unnest(?::text[], ?::text[], ?::text[], ?::${dateType}[]) as given (key, revision, data, expires) ` +
        'on found.session_key = given.key and found.session_data = given.revision collate "C" ' +
        'for no key update of found skip locked) as locked ' +
        'where stored.session_key = locked.session_key returning stored.session_key',
      bindings: [
        arrayOf(rows, ({ sessionKey }) => sessionKey),
        arrayOf(rows, ({ revision }) => revision),
        arrayOf(rows, ({ sessionData }) => sessionData),
        arrayOf(rows, ({ expireDate }) => expireDate),
      ],
    }),
  }
}

/** One transaction, so one write to the disk. Source: sqlite.org, "UPDATE", "UPDATE FROM"; "The RETURNING Clause". */
const sqlite: BulkStatements = {
  returnsKeys: true,
  insert(table, rows) {
    const { sql, bindings } = insertAll(table, rows)
    return { sql: `${sql} on conflict do nothing returning session_key`, bindings }
  },
  update: (table, rows) => ({
    sql:
      `update ${table} set session_data = given.column3, expire_date = given.column4 ` +
      `from (values ${listOf(rows, '(?, ?, ?, ?)')}) as given ` +
      'where session_key = given.column1 and session_data = given.column2 collate binary returning session_key',
    bindings: rows.flatMap(({ sessionKey, revision, sessionData, expireDate }) => [
      sessionKey,
      revision,
      sessionData,
      expireDate,
    ]),
  }),
}

/** A text that PostgreSQL reads as an array. No value has a quote or a backslash: see `isPlain`. */
function arrayOf<Row>(rows: readonly Row[], textOf: (row: Row) => string): string {
  return `{${rows.map((row) => `"${textOf(row)}"`).join(',')}}`
}

function insertAll(table: string, rows: readonly WrittenRow[]): Statement {
  return {
    sql: `insert into ${table} (session_key, session_data, expire_date) values ${listOf(rows, '(?, ?, ?)')}`,
    bindings: rows.flatMap(({ sessionKey, sessionData, expireDate }) => [
      sessionKey,
      sessionData,
      expireDate,
    ]),
  }
}

/** A row that is no longer what it was fails the whole statement, by a subquery of two rows. */
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
