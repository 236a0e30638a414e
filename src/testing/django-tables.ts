import type { Knex } from 'knex'
import { kindOf } from '../checks/check-values.ts'
import type { DatabaseKind } from '../django/datetime.ts'
import { databaseKindOf } from '../sql/dialect.ts'
import { driverOf, selectRows } from '../sql/executor.ts'
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
export async function createDjangoTablesForTests(db: Knex): Promise<void> {
  if (driverOf(db) !== 'knex')
    throw new TypeError(
      `createDjangoTablesForTests: db is ${kindOf(db)}; it must be a Knex: knex({ client: 'mysql2', connection: DATABASE_URL })`,
    )
  const kind = databaseKindOf(db)
  // MySQL commits after each CREATE TABLE; elsewhere there are all tables or none.
  await db.transaction(async (transaction) => {
    const names = await selectRows(transaction, NAMES[kind])
    const present = names
      .map(({ name }) => String(name))
      .filter((name) => TABLES.includes(name.toLowerCase()))
    if (present.length > 0)
      throw new DjangoTablesExist(
        `the database already has ${present.toSorted().join(', ')}; createDjangoTablesForTests needs an empty database ` +
          'that only tests use, and changes no other',
      )
    for (const statement of STATEMENTS[kind].split('\n')) await transaction.raw(statement)
  })
}

/** The tables, and the views, that a statement finds without the name of a schema. */
const NAMES: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()',
  postgresql:
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false))',
  sqlite: "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')",
}
