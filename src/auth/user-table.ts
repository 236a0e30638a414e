import type { Knex } from 'knex'
import type { DatabaseKind } from '../django/datetime.ts'
import { isMissingTable, isPermissionDenied } from '../sql/driver-errors.ts'
import type { UserColumn, UserModel } from './user-model.ts'

/** The user table is not there, cannot be read, or lacks a column that the rules about users need. */
export class UnusableUserTable extends Error {
  override name = 'UnusableUserTable'
  readonly code: string = 'ERR_USER_TABLE'
}

/** For each column its setting, what the model calls it, and what a model without it is told. */
const COLUMNS: Readonly<Record<UserColumn, { setting: string; of: string; without: string | null }>> = {
  username: { setting: 'AUTH_USERNAME_COLUMN', of: 'USERNAME_FIELD', without: null },
  password: {
    setting: 'AUTH_USER_PASSWORD_COLUMN',
    of: 'password',
    without: 'None if the model has `password = None`',
  },
  isActive: {
    setting: 'AUTH_USER_ACTIVE_COLUMN',
    of: 'is_active',
    without: 'None if the model has no such field and every user is active',
  },
  isStaff: { setting: 'AUTH_USER_STAFF_COLUMN', of: 'is_staff', without: 'None if nobody is staff here' },
  isSuperuser: {
    setting: 'AUTH_USER_SUPERUSER_COLUMN',
    of: 'is_superuser',
    without: 'None if the model has no PermissionsMixin',
  },
  lastLogin: {
    setting: 'AUTH_USER_LAST_LOGIN_COLUMN',
    of: 'last_login',
    without: 'None if the model has `last_login = None`',
  },
  firstName: { setting: 'AUTH_USER_FIRST_NAME_COLUMN', of: 'first_name', without: 'None' },
  lastName: { setting: 'AUTH_USER_LAST_NAME_COLUMN', of: 'last_name', without: 'None' },
}

/** Where a guess would let somebody in: these must be there even if no setting names them. */
const NEEDED: ReadonlySet<UserColumn> = new Set(['username', 'password', 'isActive'])

/** What is off for everybody where the column is missing; names of people are not worth a word. */
const MISSED: Readonly<Partial<Record<UserColumn, string>>> = {
  isStaff: 'nobody is staff here',
  isSuperuser: 'nobody has permissions here',
  lastLogin: 'a login here does not set it',
}

/**
 * Asks the database which columns the user table has, and gives a sentence for each that is missed but not needed.
 * @throws {UnusableUserTable} with what is missing, and the setting that mends it.
 */
export async function checkUserTable({
  db,
  database,
  model,
}: {
  db: Knex
  database: DatabaseKind
  model: UserModel
}): Promise<string[]> {
  const found = await columnsOf(db, database, model.table)
  if (found.length === 0) throw noTable(model)
  requireColumns(model, found)
  return (Object.keys(MISSED) as UserColumn[])
    .filter((column) => isMissing(model, column, found))
    .map((column) => `${problemOf(model, column)}, and ${MISSED[column]}; ${remedyOf(column)}`)
}

/** @throws {UnusableUserTable} unless what the rules need is among these columns of the user table. */
export function requireColumns(model: UserModel, found: readonly string[]): void {
  const problems = [
    ...(found.includes(model.idColumn)
      ? []
      : [
          `the user table ${model.table} has no column ${model.idColumn}; set AUTH_USER_ID_COLUMN (idColumn) to that of its primary key`,
        ]),
    ...(Object.keys(COLUMNS) as UserColumn[])
      .filter((column) => NEEDED.has(column) || model.givenColumns.has(column))
      .filter((column) => isMissing(model, column, found))
      .map((column) => `${problemOf(model, column)}; ${remedyOf(column)}`),
  ]
  if (problems.length > 0)
    throw new UnusableUserTable(`${problems.join('\n')}\n(its columns: ${found.join(', ')})`)
}

function isMissing({ columns }: UserModel, column: UserColumn, found: readonly string[]): boolean {
  const name = columns[column]
  return name !== null && !found.includes(name)
}

function problemOf({ table, columns }: UserModel, column: UserColumn): string {
  return `the user table ${table} has no column ${columns[column]} for ${COLUMNS[column].of}`
}

function remedyOf(column: UserColumn): string {
  const { setting, of, without } = COLUMNS[column]
  return (
    `set ${setting} (userModel.columns.${column}) to the column that holds the model's ${of}` +
    (without === null ? '' : `, or to ${without}`)
  )
}

function noTable({ table }: UserModel): UnusableUserTable {
  return new UnusableUserTable(
    `the database has no user table ${table} that can be read; set AUTH_USER_MODEL as in settings.py, and AUTH_USER_TABLE if the model has a db_table`,
  )
}

/** Also of a view; none where there is no such table, or none that this database user may read. */
async function columnsOf(db: Knex, database: DatabaseKind, table: string): Promise<string[]> {
  if (database === 'sqlite') {
    const rows: { name: string }[] = await db.raw('SELECT name FROM pragma_table_info(?)', [table])
    return rows.map(({ name }) => name)
  }
  try {
    const answer = await db.raw('SELECT * FROM ?? WHERE 1 = 0', [table])
    const fields: { name: string }[] = database === 'mysql' ? answer[1] : answer.fields
    return fields.map(({ name }) => name)
  } catch (error) {
    if (isMissingTable(error) || isPermissionDenied(error)) return []
    throw error
  }
}
