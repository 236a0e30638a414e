import { coalesce } from '../concurrency/coalesce.ts'
import type { DateColumn } from '../django/datetime.ts'
import type { SessionCodec } from '../django/session-data.ts'
import { InvalidSessionKey, isStorableKey, SESSION_KEY_LENGTH } from '../django/session-key.ts'
import {
  ConflictError,
  CreateError,
  type NewSession,
  type SessionEngine,
  UpdateError,
} from '../session/engine.ts'
import { clearRows } from '../sql/clear-rows.ts'
import { DIGEST_FROM, databaseKindOf, dialects } from '../sql/dialect.ts'
import { isDuplicateKey, isMissingValue, isRefused } from '../sql/driver-errors.ts'
import { executorOf, PATIENCE, runStatement, type SqlDatabase, selectRows } from '../sql/executor.ts'
import { createRowSize } from '../sql/row-size.ts'
import { insertStatement, type Statement, updateStatement, type WrittenRow } from '../sql/row-writes.ts'
import { createBulkWrites, type RowWrites } from './bulk-writes.ts'
import type { ColumnValues, SessionColumns } from './extra-columns.ts'
import { writerOf } from './row-writer.ts'

/** The options of `createDbEngine`. */
export interface DbEngineOptions {
  readonly db: SqlDatabase
  readonly codec: SessionCodec
  /** How this site writes `expire_date`. */
  readonly dates: DateColumn
  readonly now?: () => Date
  /** The table of sessions; default: `django_session`. */
  readonly table?: string
  /** The table's other columns. */
  readonly columns?: SessionColumns
}

/** NOT NULL column without a value: a column of the site's own that has no default. */
export class MissingColumnValue extends Error {
  override name = 'MissingColumnValue'
  readonly code: string = 'ERR_SESSION_COLUMN'
}

/** A row as text, which each driver returns without loss. */
type SessionRow = ColumnValues & {
  readonly session_key: string
  readonly session_data: string
  readonly expire_date: string
}

/** Keys in one statement at most: far fewer than PostgreSQL's 65,535 and SQLite's 32,766 placeholders. */
const MOST_KEYS = 200

/** Tables whose column `session_key` is as long as Django makes it. */
const TABLES_AS_DJANGO_MAKES_THEM: ReadonlySet<string> = new Set([
  'django_session',
  'qsessions_session',
  'user_sessions_session',
])

/**
 * The model of a site may have longer keys than Django's own, up to the length that Django allows for unique text on MySQL.
 * Source: django/db/backends/mysql/validation.py, check_field_type.
 */
const LONGEST_KEY = 255

/**
 * Sessions in Django's own `django_session` table. The revision is the stored text, compared in binary by the UPDATE
 * itself: no transaction, so no lock outlives a statement (Django answers 400 to a user whose row is locked).
 * Source: django/contrib/sessions/backends/db.py.
 */
export function createDbEngine({
  db,
  codec,
  dates,
  now = () => new Date(),
  table = 'django_session',
  columns,
}: DbEngineOptions): SessionEngine {
  const kind = databaseKindOf(db)
  const dialect = dialects[kind]
  const keyLength = TABLES_AS_DJANGO_MAKES_THEM.has(table) ? SESSION_KEY_LENGTH : LONGEST_KEY
  const canBeKey = (sessionKey: string): boolean => isStorableKey(sessionKey, keyLength)
  const rowSize = createRowSize(db, { kind, table, column: 'session_data' })
  const prepare = (session: NewSession): NewSession => columns?.prepare?.(session) ?? session
  // These texts are made once. Knex's builder would make them at each request.
  const nameOf = executorOf(db).quote
  const name = nameOf(table)
  const read = [
    'session_key',
    'session_data',
    dialect.dateAsText('expire_date'),
    ...(columns?.read ?? []).map(nameOf),
  ]
  const SELECT = `select ${read.join(', ')} from ${name} where session_key in`
  const EXISTS = `select 1 from ${name} where session_key = ?`
  const DELETE = `delete from ${name} where session_key = ?`

  const readRow = coalesce(
    async (asked: readonly string[]) => {
      const sessionKeys = [...new Set(asked)]
      const sql = `${SELECT} (${sessionKeys.map(() => '?').join(', ')}) and expire_date > ?`
      const found = (await selectRows(db, sql, [
        ...sessionKeys,
        dates.toColumn(now()),
      ])) as readonly SessionRow[]
      // Unlike Django, whose query finds the row of `abc…` for `ABC…` under MySQL's collations.
      const rowOf = new Map(found.map((row) => [row.session_key, row]))
      return asked.map((sessionKey) => rowOf.get(sessionKey))
    },
    { mostInputs: MOST_KEYS, runsAlone: isRefused, patience: PATIENCE },
  )

  function rowOf(sessionKey: string, session: NewSession, isNew: boolean): WrittenRow {
    const others = Object.entries(columns?.values(session, { isNew, now: now() }) ?? {})
    return {
      sessionKey,
      sessionData: codec.encode(session.data),
      expireDate: dates.toColumn(session.expireDate),
      others: others.map(([column, value]) => ({ column: nameOf(column), bound: dialect.bind(value) })),
    }
  }

  async function exists(sessionKey: string): Promise<boolean> {
    return canBeKey(sessionKey) && (await selectRows(db, EXISTS, [sessionKey])).length > 0
  }

  async function whyNothingMatched(sessionKey: string): Promise<UpdateError | ConflictError> {
    return (await exists(sessionKey))
      ? new ConflictError('another request has saved this session')
      : new UpdateError('this session was deleted')
  }

  /** Runs the statement that stores this row. @throws {SessionTooLarge} */
  async function store(row: WrittenRow, { sql, bindings }: Statement): Promise<unknown> {
    try {
      return await runStatement(db, sql, bindings)
    } catch (error) {
      throw await rowSize.meaningOf(error, row.sessionData.length)
    }
  }

  const oneByOne: RowWrites = {
    async insert(row) {
      try {
        await store(row, insertStatement(name, row))
      } catch (error) {
        if (isDuplicateKey(error)) throw new CreateError('the session key is taken', { cause: error })
        throw isMissingValue(error)
          ? new MissingColumnValue(missingValueText(table), { cause: error })
          : error
      }
    },

    async update(row) {
      const result = await store(row, updateStatement(name, row, dialect))
      if (dialect.changes(result) === 0) throw await whyNothingMatched(row.sessionKey)
    },
  }
  const writes = columns === undefined ? createBulkWrites(db, name, oneByOne, rowSize) : oneByOne

  /** @throws {SessionTooLarge} if MySQL would cut the text, or not read the statement. */
  async function admit(row: WrittenRow, revision = ''): Promise<void> {
    const ofOthers = row.others.reduce((sum, { bound }) => sum + String(bound.value).length, 0)
    const ofRevision = revision.length < DIGEST_FROM ? revision.length : 0
    const data = row.sessionData.length
    await rowSize.admit(data, data + ofOthers + ofRevision)
  }

  return {
    exists,

    async load(sessionKey, client) {
      if (!canBeKey(sessionKey)) return null
      const found = await readRow(sessionKey)
      if (found === undefined) return null
      const { data } = codec.decode(found.session_data)
      return {
        data,
        expireDate: dates.fromColumn(found.expire_date),
        revision: found.session_data,
        writer: writerOf(found.expire_date),
        ...(client !== undefined &&
          columns?.isOutdated?.({ data, row: found }, client) === true && { isOutdated: true }),
      }
    },

    async create(sessionKey, given) {
      if (!canBeKey(sessionKey)) throw new InvalidSessionKey(keyLength)
      const session = prepare(given)
      const row = rowOf(sessionKey, session, true)
      await admit(row)
      await writes.insert(row)
      return { ...session, sessionKey, revision: row.sessionData }
    },

    async update(sessionKey, given, revision) {
      if (!canBeKey(sessionKey)) throw await whyNothingMatched(sessionKey)
      const session = prepare(given)
      const row = rowOf(sessionKey, session, false)
      await admit(row, revision)
      await writes.update({ ...row, revision })
      return { ...session, sessionKey, revision: row.sessionData }
    },

    async delete(sessionKey, revision) {
      if (revision === undefined) {
        if (canBeKey(sessionKey)) await runStatement(db, DELETE, [sessionKey])
        return
      }
      if (!canBeKey(sessionKey)) throw await whyNothingMatched(sessionKey)
      const unchanged = dialect.textEquals('session_data', revision)
      const result = await runStatement(db, `${DELETE} and ${unchanged.sql}`, [sessionKey, unchanged.value])
      if (dialect.changes(result) === 0) throw await whyNothingMatched(sessionKey)
    },

    clearExpired: () =>
      clearRows({
        db,
        table: { table, key: 'session_key', expiry: 'expire_date' },
        before: dates.toColumn(now()),
      }),
  }
}

function missingValueText(table: string): string {
  return (
    `the table ${table} has a NOT NULL column without a value; give the column a default in the database, ` +
    'or its value by the option `columns` (djangoSessions, createDbEngine)'
  )
}
