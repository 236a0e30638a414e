import { createHash } from 'node:crypto'
import type { Knex } from 'knex'
import { coalesce } from '../concurrency/coalesce.ts'
import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import type { SessionCodec } from '../django/session-data.ts'
import { InvalidSessionKey, isStorableKey, SESSION_KEY_LENGTH } from '../django/session-key.ts'
import {
  ConflictError,
  CreateError,
  type NewSession,
  type SessionEngine,
  UpdateError,
} from '../session/engine.ts'
import { isDuplicateKey, isMissingValue, isRefused } from '../sql/driver-errors.ts'
import { runStatement, selectRows } from '../sql/executor.ts'
import { createRowSize } from '../sql/row-size.ts'
import {
  type ChangedRow,
  createJointWrites,
  PATIENCE,
  type RowWrites,
  type WrittenRow,
} from './bulk-writes.ts'
import type { ColumnValues, SessionColumns } from './extra-columns.ts'

export interface DbEngineOptions {
  readonly db: Knex
  readonly codec: SessionCodec
  /** How this site writes `expire_date`. */
  readonly dates: DateColumn
  readonly now?: () => Date
  /** Django's table of sessions. */
  readonly table?: string
  /** What else that table holds. */
  readonly columns?: SessionColumns
}

/** A column of the site's own table holds nothing, and must hold something. */
export class UnfilledColumn extends Error {
  override name = 'UnfilledColumn'
  readonly code: string = 'ERR_SESSION_COLUMN'
}

/** A row as each driver can give it without loss: text only. */
type SessionRow = ColumnValues & {
  readonly session_key: string
  readonly session_data: string
  readonly expire_date: string
}

/** A row to be written, with the site's own columns. */
interface Row extends WrittenRow {
  readonly others: readonly Assignment[]
}

/** Above this many characters a digest is compared instead of the text: it costs half at 100 kB. */
const DIGEST_FROM = 4096
const CLEAR_BATCH = 1000

/** Keys in one statement at most: far fewer than PostgreSQL's 65,535 and SQLite's 32,766 placeholders. */
const MOST_KEYS = 200

/** Tables whose keys have the length that Django gives them. */
const TABLES_AS_DJANGO_MAKES_THEM: ReadonlySet<string> = new Set([
  'django_session',
  'qsessions_session',
  'user_sessions_session',
])

/**
 * A site's own model may have longer keys than Django's, up to what Django has as unique text on MySQL.
 * Source: django/db/backends/mysql/validation.py, check_field_type.
 */
const LONGEST_KEY = 255

/** See `isStorableKey`: here a text of which a part is a visitor's. A NUL is an error on PostgreSQL. */
const NEEDS_ESCAPES = /[\0'"\\]/

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
  const rows = (): Knex.QueryBuilder => db(table)
  const prepare = (session: NewSession): NewSession => columns?.prepare?.(session) ?? session
  // Texts that are made once, where Knex's builder would make them at each request.
  const nameOf = (identifier: string): string => db.ref(identifier).toQuery()
  const name = nameOf(table)
  const read = ['session_key', 'session_data', dialect.dateAsText, ...(columns?.read ?? []).map(nameOf)]
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

  function rowOf(sessionKey: string, session: NewSession, isNew: boolean): Row {
    const others = Object.entries(columns?.values(session, { isNew, now: now() }) ?? {})
    return {
      sessionKey,
      sessionData: codec.encode(session.data),
      expireDate: dates.toColumn(session.expireDate),
      others: others.map(([column, value]) => ({ column: nameOf(column), ...safe(value) })),
    }
  }

  /** A visitor may have written this value, the name of a browser say. */
  function safe(value: string | number | null): Pick<Assignment, 'placeholder' | 'value'> {
    return dialect.hexText !== null && typeof value === 'string' && NEEDS_ESCAPES.test(value)
      ? { placeholder: dialect.hexText, value: Buffer.from(value).toString('hex') }
      : { placeholder: '?', value }
  }

  /** What compares the column with a revision, and the value for its placeholder. */
  const unchanged = (revision: string): readonly [condition: string, value: string] =>
    dialect.digestEquals !== null && (revision.length >= DIGEST_FROM || NEEDS_ESCAPES.test(revision))
      ? [dialect.digestEquals, sha256(revision)]
      : [dialect.textEquals, revision]

  async function exists(sessionKey: string): Promise<boolean> {
    return canBeKey(sessionKey) && (await selectRows(db, EXISTS, [sessionKey])).length > 0
  }

  async function whyNothingMatched(sessionKey: string): Promise<UpdateError | ConflictError> {
    return (await exists(sessionKey))
      ? new ConflictError('another request has saved this session')
      : new UpdateError('this session was deleted')
  }

  /** Runs the statement that stores this row. @throws {SessionTooLarge} */
  async function store(
    row: Row,
    sql: string,
    bindings: readonly (string | number | null)[],
  ): Promise<unknown> {
    try {
      return await runStatement(db, sql, bindings)
    } catch (error) {
      throw await rowSize.meaningOf(error, row.sessionData.length)
    }
  }

  const alone: RowWrites<Row, Row & ChangedRow> = {
    async insert(row) {
      const set = assignments(row)
      const into = set.map(({ column }) => column).join(', ')
      const placeholders = set.map(({ placeholder }) => placeholder).join(', ')
      try {
        await store(row, `insert into ${name} (session_key, ${into}) values (?, ${placeholders})`, [
          row.sessionKey,
          ...set.map(bindingOf),
        ])
      } catch (error) {
        if (isDuplicateKey(error)) throw new CreateError('the session key is taken', { cause: error })
        throw isMissingValue(error) ? new UnfilledColumn(unfilledText(table), { cause: error }) : error
      }
    },

    async update(row) {
      const set = assignments(row)
      const to = set.map(({ column, placeholder }) => `${column} = ${placeholder}`).join(', ')
      const [condition, value] = unchanged(row.revision)
      const result = await store(row, `update ${name} set ${to} where session_key = ? and ${condition}`, [
        ...set.map(bindingOf),
        row.sessionKey,
        value,
      ])
      if (dialect.changes(result) === 0) throw await whyNothingMatched(row.sessionKey)
    },
  }
  const writes =
    kind === 'mysql' && columns === undefined ? createJointWrites(db, name, alone, rowSize) : alone

  /** @throws {SessionTooLarge} where MySQL would cut the row or not read it. */
  async function admit(row: Row, revision = ''): Promise<void> {
    const ofOthers = row.others.reduce((sum, { value }) => sum + String(value).length, 0)
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
      const [condition, value] = unchanged(revision)
      const result = await runStatement(db, `${DELETE} and ${condition}`, [sessionKey, value])
      if (dialect.changes(result) === 0) throw await whyNothingMatched(sessionKey)
    },

    // In small steps: one long DELETE would make Django's inserts wait (django-admin clearsessions does that).
    async clearExpired() {
      const limit = dates.toColumn(now())
      for (let cleared = 0; ; ) {
        const keys: string[] = await rows()
          .where('expire_date', '<', limit)
          .limit(CLEAR_BATCH)
          .pluck('session_key')
        if (keys.length === 0) return cleared
        cleared += await rows().whereIn('session_key', keys).where('expire_date', '<', limit).delete()
      }
    },
  }
}

/** Which of Django's databases a Knex talks to. @throws {TypeError} for one that Django's sessions are not tested on. */
export function databaseKindOf(db: Knex): DatabaseKind {
  const dialect: unknown = db.client.dialect
  if (dialect === 'mysql') return 'mysql'
  if (dialect === 'postgresql') return 'postgresql'
  if (dialect === 'sqlite3') return 'sqlite'
  throw new TypeError(`a Knex for ${String(dialect)} is not supported; use mysql2, pg or better-sqlite3`)
}

interface Dialect {
  readonly dateAsText: string
  readonly textEquals: string
  readonly digestEquals: string | null
  /** Text from its bytes in hexadecimal; null where a driver sends values apart from the statement. */
  readonly hexText: string | null
  /** How many rows an UPDATE or DELETE found, in what the driver gives. */
  changes(result: unknown): number
}

interface Assignment {
  /** Fit for a statement. */
  readonly column: string
  readonly placeholder: string
  readonly value: string | number | null
}

/** The row's columns but its key, each with its placeholder and the value for that. */
function assignments({ sessionData, expireDate, others }: Row): Assignment[] {
  return [
    { column: 'session_data', placeholder: '?', value: sessionData },
    { column: 'expire_date', placeholder: '?', value: expireDate },
    ...others,
  ]
}

function bindingOf({ value }: Assignment): string | number | null {
  return value
}

/**
 * Equality to the byte. MySQL's default collations ignore case, accents and trailing blanks, and base64 texts may
 * differ in case alone. Only `session_data` is cast: a cast of `session_key` would not use the primary key.
 */
const dialects: Readonly<Record<DatabaseKind, Dialect>> = {
  mysql: {
    dateAsText: 'CAST(expire_date AS CHAR) AS expire_date',
    textEquals: 'session_data = CAST(? AS BINARY)',
    digestEquals: 'SHA2(session_data, 256) = ?',
    hexText: 'CONVERT(UNHEX(?) USING utf8mb4)',
    changes: (result) => (result as [{ affectedRows: number }])[0].affectedRows,
  },
  postgresql: {
    dateAsText: 'expire_date::text AS expire_date',
    textEquals: 'session_data = ? COLLATE "C"',
    digestEquals: null, // sha256() came with PostgreSQL 11, and Django 2.2 runs on older ones
    hexText: null,
    changes: (result) => (result as { rowCount: number }).rowCount,
  },
  sqlite: {
    dateAsText: 'expire_date',
    textEquals: 'session_data = ? COLLATE BINARY',
    digestEquals: null,
    hexText: null,
    changes: (result) => (result as { changes: number }).changes,
  },
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function unfilledText(table: string): string {
  return (
    `a column of ${table} must be filled, and only the site knows with what; give it a default in the database, ` +
    'or its value by `columns` (djangoSessions, createDbEngine)'
  )
}
