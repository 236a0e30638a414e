import type { DatabaseKind } from '../django/datetime.ts'
import { checkDatabase } from '../site/check-database.ts'
import { databaseKindOf } from '../sql/dialect.ts'
import { runStatement, type SqlDatabase, selectRows } from '../sql/executor.ts'
import { STATEMENTS, TABLES } from './tables.ts'

/** The database has a table of Django's already: it may be the one of a site. Nothing was changed. */
export class DjangoTablesExist extends Error {
  override name = 'DjangoTablesExist'
  readonly code: string = 'ERR_DJANGO_TABLES_EXIST'
}

/**
 * Creates Django's tables in an empty database of tests, as `migrate` of Django 5.2 makes them for the applications that
 * `startproject` installs, with the rows of its migrations, content types and permissions. A Django of yours can migrate
 * its own applications beside them. In a database of a site, Django's `migrate` creates them, and nothing else.
 * @throws {DjangoTablesExist}
 */
export async function createDjangoTablesForTests(db: SqlDatabase): Promise<void> {
  checkDatabase('createDjangoTablesForTests', db)
  const kind = databaseKindOf(db)
  const names = await selectRows(db, NAMES[kind])
  const present = names.map(({ name }) => String(name)).filter((name) => TABLES.includes(name.toLowerCase()))
  if (present.length > 0)
    throw new DjangoTablesExist(
      `the database already has ${present.toSorted().join(', ')}; createDjangoTablesForTests needs an empty database ` +
        'that only tests use, and changes no other',
    )
  await RUN[kind](db, STATEMENTS[kind].split('\n'))
}

type Run = (db: SqlDatabase, statements: readonly string[]) => Promise<void>

/** Runs all of the statements or none; MySQL commits after each CREATE TABLE. */
const RUN: Readonly<Record<DatabaseKind, Run>> = {
  async mysql(db, statements) {
    for (const statement of statements) await runStatement(db, statement, [])
  },

  // A pool has no transaction of several statements, but one statement may contain them all.
  async postgresql(db, statements) {
    const body = statements.map((statement) => statement.replace(/^SELECT /, 'PERFORM ')).join(';\n')
    await runStatement(db, `DO $tables$ BEGIN\n${body};\nEND $tables$`, [])
  },

  async sqlite(db, statements) {
    if (typeof db === 'function')
      return db.transaction(async (transaction) => {
        for (const statement of statements) await transaction.raw(statement)
      })
    const handle = db as unknown as SqliteHandle
    handle.exec('BEGIN IMMEDIATE')
    try {
      for (const statement of statements) handle.exec(statement)
      handle.exec('COMMIT')
    } catch (error) {
      if (handle.inTransaction ?? handle.isTransaction) handle.exec('ROLLBACK')
      throw error
    }
  },
}

/** A database of better-sqlite3 or node:sqlite. */
interface SqliteHandle {
  readonly inTransaction?: boolean
  readonly isTransaction?: boolean
  exec(sql: string): unknown
}

/** The tables, and the views, that a statement finds without the name of a schema. */
const NAMES: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
  postgresql:
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false))',
  sqlite: "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')",
}
