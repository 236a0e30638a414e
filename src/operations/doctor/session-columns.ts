import type { DatabaseKind } from '../../django/datetime.ts'
import { SESSION_ENGINES } from '../../django/session-engines.ts'
import { databaseKindOf } from '../../sql/dialect.ts'
import { type Check, type Evidence, perRun, type Result } from './check.ts'
import { readTableSchema, type TableSchema } from './table-schema.ts'

/** The schema of the table of the sessions; null for an engine without a table. */
export const sessionSchema: (evidence: Evidence) => Promise<TableSchema | null> = perRun(
  async ({ project: { table, sessionDb } }) => (table === null ? null : readTableSchema(sessionDb, table)),
)

type Judge = (schema: TableSchema, evidence: Evidence & { readonly table: string }) => Result

/** A check of the schema, which is skipped where there is none. */
function schemaCheck(judge: Judge): Check['run'] {
  return async (evidence) => {
    const { table } = evidence.project
    const schema = await sessionSchema(evidence)
    if (schema === null || table === null)
      return { outcome: 'skipped', because: 'this engine keeps no table' }
    if (schema.isView) return { outcome: 'skipped', because: `${table} is a view` }
    if (schema.columns.length === 0)
      return { outcome: 'skipped', because: `the database does not describe the table ${table} to this user` }
    return judge(schema, { ...evidence, table })
  }
}

/** Django's columns. Source: django/contrib/sessions/base_session.py, AbstractBaseSession. */
const DJANGO_COLUMNS = ['session_key', 'session_data', 'expire_date']

/** The columns that these packages add, and that this service writes. Source: qsessions/models.py; user_sessions/models.py. */
const PACKAGE_COLUMNS: Readonly<Record<string, readonly string[]>> = {
  'django-qsessions': ['user_id', 'user_agent', 'created_at', 'updated_at', 'ip'],
  'django-user-sessions': ['user_id', 'user_agent', 'last_activity', 'ip'],
}

/** Characters of MySQL's MEDIUMTEXT. A column that holds as many holds every session. */
const LONG = 2 ** 24 - 1

/** MySQL's types of text that hold fewer characters. PostgreSQL's `text` has no limit. */
const SHORT_TEXTS: Readonly<Record<string, number>> = { tinytext: 2 ** 8 - 1, text: 2 ** 16 - 1 }

const AFTER = ['database.E001', 'database.E002'] as const

/** Whether the columns of the session table are such that Django and this service can use them. */
export const SESSION_COLUMN_CHECKS: readonly Check[] = [
  {
    id: 'database.E003',
    title: 'the session table has the columns that are written, and no others that need a value',
    meaning:
      "Compares the table with Django's three columns. Without one of them, or with a further NOT NULL column without a default, no session can be saved: every page that saves one is a 500.",
    remedy:
      'Run `manage.py migrate` at the Django site, or correct `SESSION_ENGINE` and `SESSION_DB_TABLE`. Give a further column of the site a default in the database.',
    after: AFTER,
    isCheap: true,
    run: schemaCheck(({ columns }, { table, project }) => {
      const names = columns.map(({ name }) => name)
      const missing = DJANGO_COLUMNS.filter((name) => !names.includes(name))
      if (missing.length > 0)
        return {
          outcome: 'failed',
          read: `the table ${table} has no column ${missing.join(', ')}`,
          hint: 'run `manage.py migrate` at the Django site, or set SESSION_ENGINE and SESSION_DB_TABLE to the table of its sessions',
        }
      const { package: source = 'django' } = SESSION_ENGINES.get(project.settings.session.engine) ?? {}
      const written = [...DJANGO_COLUMNS, ...(PACKAGE_COLUMNS[source] ?? [])]
      const needy = columns.filter(({ name, needsValue }) => needsValue && !written.includes(name))
      if (needy.length === 0) return { outcome: 'ok', read: names.join(', ') }
      const needed = needy.map(({ name }) => name).join(', ')
      return {
        outcome: 'failed',
        read: `the table ${table} has the NOT NULL column ${needed} without a default`,
        hint: `give ${needed} a default in the database, or make it nullable`,
      }
    }),
  },
  {
    id: 'database.E004',
    title: 'session_data and session_key have types that hold every session',
    meaning:
      "Reads the types of the columns. Django makes `session_data` LONGTEXT on MySQL, and text elsewhere. In a shorter column, saving a larger session is an error, or without MySQL's strict mode a session that Django cannot read any more. From a binary column, the drivers return bytes instead of text: no session is found.",
    remedy: 'Change the type as the message says.',
    after: [...AFTER, 'database.E003'],
    isCheap: true,
    run: schemaCheck(({ columns }, { table, project }) => {
      const kind = databaseKindOf(project.sessionDb)
      const [data, key] = ['session_data', 'session_key'].map((one) =>
        columns.find(({ name }) => name === one),
      )
      const read = `session_key ${key?.type}, session_data ${data?.type}`
      // A type is only a hint on SQLite, which stores any text in any column.
      if (kind === 'sqlite') return { outcome: 'ok', read }
      const types = { mysql: ['varchar(40)', 'longtext'], postgresql: ['varchar(40)', 'text'] }[kind]
      const isText = (type = '') => /char|text|enum|citext/.test(type)
      const problems = [
        ...(isText(key?.type) && lengthOf(key?.type, kind) >= 32 ? [] : [['session_key', types[0]]]),
        ...(isText(data?.type) && lengthOf(data?.type, kind) >= LONG ? [] : [['session_data', types[1]]]),
      ]
      if (problems.length === 0) return { outcome: 'ok', read }
      const changes = problems.map(([column, type]) =>
        kind === 'mysql'
          ? `ALTER TABLE ${table} MODIFY ${column} ${type} NOT NULL`
          : `ALTER TABLE ${table} ALTER COLUMN ${column} TYPE ${type}`,
      )
      return { outcome: 'failed', read, hint: `run ${changes.join('; ')}` }
    }),
  },
  {
    id: 'database.E005',
    title: 'expire_date has the type of a date that both sides read alike',
    meaning:
      'Reads the type of the column. Django makes it `datetime(6)` on MySQL and `timestamp with time zone` on PostgreSQL. With another type, the time zone of a connection changes what a date means: sessions expire hours too early or too late on one side.',
    remedy: 'Change the type as the message says.',
    after: [...AFTER, 'database.E003'],
    isCheap: true,
    run: schemaCheck(({ columns }, { table, project }) => {
      const kind = databaseKindOf(project.sessionDb)
      const type = columns.find(({ name }) => name === 'expire_date')?.type ?? ''
      const { isRight, change } = {
        mysql: {
          isRight: type.startsWith('datetime'),
          change: `ALTER TABLE ${table} MODIFY expire_date datetime(6) NOT NULL`,
        },
        postgresql: {
          isRight: /^timestamp.* with time zone$/.test(type),
          change: `ALTER TABLE ${table} ALTER COLUMN expire_date TYPE timestamptz USING expire_date AT TIME ZONE '${zoneOf(project)}'`,
        },
        sqlite: { isRight: true, change: '' },
      }[kind]
      const read = `expire_date ${type}`
      return isRight ? { outcome: 'ok', read } : { outcome: 'failed', read, hint: `run ${change}` }
    }),
  },
  {
    id: 'database.E006',
    title: 'session_key is unique',
    meaning:
      'Reads the indexes. Without a primary key, two rows may have the same key, so that the two sides read different ones, and each visit reads the whole table.',
    remedy: 'Delete duplicate rows, then add the primary key.',
    after: [...AFTER, 'database.E003'],
    isCheap: true,
    run: schemaCheck(({ indexes }, { table }) => {
      const isUnique = indexes.some((index) => index.first === 'session_key' && index.isUnique)
      if (isUnique) return { outcome: 'ok', read: 'it has a unique index' }
      return {
        outcome: 'failed',
        read: `the table ${table} has no primary key or unique index on session_key alone`,
        hint: `run ALTER TABLE ${table} ADD PRIMARY KEY (session_key), after duplicate rows are deleted`,
      }
    }),
  },
]

/** What works, but not well. */
export const SESSION_COLUMN_WARNINGS: readonly Check[] = [
  {
    id: 'database.W001',
    title: 'the storage engine of the session table has transactions',
    meaning:
      'Reads the storage engine of MySQL or MariaDB. MyISAM, Aria and MEMORY lose rows in a crash and lock the whole table for each save.',
    remedy: 'Run `ALTER TABLE … ENGINE=InnoDB`.',
    after: AFTER,
    isCheap: true,
    run: schemaCheck(({ engine }, { table }) => {
      if (engine === null) return { outcome: 'skipped', because: 'only MySQL has several storage engines' }
      if (engine.hasTransactions) return { outcome: 'ok', read: engine.name }
      return { outcome: 'failed', read: engine.name, hint: `run ALTER TABLE ${table} ENGINE=InnoDB` }
    }),
  },
  {
    id: 'database.W002',
    title: 'expire_date has an index',
    meaning:
      "Reads the indexes. Without the index, each `clearsessions` reads the whole table, and so do the doctor's own checks.",
    remedy: 'Run the `CREATE INDEX` of the message.',
    after: [...AFTER, 'database.E003'],
    isCheap: true,
    run: schemaCheck(({ indexes }, { table }) => {
      if (indexes.some(({ first }) => first === 'expire_date'))
        return { outcome: 'ok', read: 'an index begins with it' }
      return {
        outcome: 'failed',
        read: `no index of the table ${table} begins with expire_date`,
        hint: `run CREATE INDEX ${table}_expire_date ON ${table} (expire_date)`,
      }
    }),
  },
  {
    id: 'database.W003',
    title: 'expire_date keeps fractions of a second',
    meaning:
      'Reads the type of the column on MySQL. A table made before Django 1.8 has `datetime` instead of `datetime(6)`: the server rounds each date to a second.',
    remedy:
      'Change the type as the message says, or silence this warning: the difference is less than a second.',
    after: [...AFTER, 'database.E003', 'database.E005'],
    isCheap: true,
    run: schemaCheck(({ columns }, { table, project }) => {
      const type = columns.find(({ name }) => name === 'expire_date')?.type ?? ''
      if (databaseKindOf(project.sessionDb) !== 'mysql' || type !== 'datetime')
        return { outcome: 'ok', read: type }
      const hint = `run ALTER TABLE ${table} MODIFY expire_date datetime(6) NOT NULL`
      return { outcome: 'failed', read: type, hint }
    }),
  },
  {
    id: 'database.W004',
    title: 'the character set of session_key holds every cookie',
    meaning:
      "Reads the character set of the column on MySQL. With latin1 or ascii, a cookie with another character, which anyone can send, is an error 500 of Django's. (This service ignores such a cookie.) Collations that ignore case are Django's default and do no harm.",
    remedy: 'Convert the table as the message says.',
    after: [...AFTER, 'database.E003'],
    isCheap: true,
    run: schemaCheck(({ columns }, { table }) => {
      const { charset = null, collation = null } = columns.find(({ name }) => name === 'session_key') ?? {}
      if (charset === null)
        return { outcome: 'skipped', because: 'the column has no character set of its own' }
      const read = `${charset}, ${collation}`
      if (/^(?:utf|ucs|gb18030)/.test(charset)) return { outcome: 'ok', read }
      return { outcome: 'failed', read, hint: `run ALTER TABLE ${table} CONVERT TO CHARACTER SET utf8mb4` }
    }),
  },
]

/** How many characters a column of this type holds. */
function lengthOf(type: string | undefined, kind: DatabaseKind): number {
  const [, length] = /char[^()]*\((\d+)\)/.exec(type ?? '') ?? []
  if (length !== undefined) return Number(length)
  return (kind === 'mysql' ? SHORT_TEXTS[type ?? ''] : undefined) ?? Number.POSITIVE_INFINITY
}

/** The zone of Django's connections to PostgreSQL. Source: django/db/backends/base/base.py, timezone_name. */
function zoneOf({ useTz, settings }: Evidence['project']): string {
  return useTz ? settings.sessionDatabaseTimeZone : settings.timeZone
}
