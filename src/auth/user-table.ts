import type { DatabaseKind } from '../django/datetime.ts'
import { isMissingTable, isPermissionDenied } from '../sql/driver-errors.ts'
import { executorOf, runStatement, type SqlDatabase, selectRows } from '../sql/executor.ts'
import type { UserColumn, UserModel } from './user-model.ts'

/** The user table does not exist, cannot be read, or lacks a required column. */
export class UnusableUserTable extends Error {
  override name = 'UnusableUserTable'
  readonly code: string = 'ERR_USER_TABLE'
}

/** For each column: its setting, its field in the model, and the advice for a model without that field. */
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
  isStaff: { setting: 'AUTH_USER_STAFF_COLUMN', of: 'is_staff', without: 'None if no user is staff' },
  isSuperuser: {
    setting: 'AUTH_USER_SUPERUSER_COLUMN',
    of: 'is_superuser',
    without: 'None if the model does not use PermissionsMixin',
  },
  lastLogin: {
    setting: 'AUTH_USER_LAST_LOGIN_COLUMN',
    of: 'last_login',
    without: 'None if the model has `last_login = None`',
  },
  firstName: { setting: 'AUTH_USER_FIRST_NAME_COLUMN', of: 'first_name', without: 'None' },
  lastName: { setting: 'AUTH_USER_LAST_NAME_COLUMN', of: 'last_name', without: 'None' },
}

/** Must exist even if no setting names them: a guess could let the wrong user in. */
const REQUIRED: ReadonlySet<UserColumn> = new Set(['username', 'password', 'isActive'])

/** What does not work without an optional column. A missing first or last name is not worth a warning. */
const EFFECT_IF_MISSING: Readonly<Partial<Record<UserColumn, string>>> = {
  isStaff: 'no user is staff here',
  isSuperuser: 'no user has permissions here',
  lastLogin: 'a login here does not update it',
}

/**
 * Asks the database which columns the user table has. Returns a warning for each optional column that is missing.
 * @throws {UnusableUserTable} if a required column is missing; the message names the setting to correct.
 */
export async function checkUserTable({
  db,
  database,
  model,
}: {
  db: SqlDatabase
  database: DatabaseKind
  model: UserModel
}): Promise<string[]> {
  const found = await columnsOf(db, database, model.table)
  if (found.length === 0) throw noTable(model)
  requireColumns(model, found)
  return (Object.keys(EFFECT_IF_MISSING) as UserColumn[])
    .filter((column) => isMissing(model, column, found))
    .map((column) => `${problemOf(model, column)}, so ${EFFECT_IF_MISSING[column]}; ${remedyOf(column)}`)
}

/** @throws {UnusableUserTable} if a required column is not among these columns of the user table. */
export function requireColumns(model: UserModel, found: readonly string[]): void {
  const problems = [
    ...(found.includes(model.idColumn)
      ? []
      : [
          `the user table ${model.table} has no column ${model.idColumn}; set AUTH_USER_ID_COLUMN (idColumn) to the column of its primary key`,
        ]),
    ...(Object.keys(COLUMNS) as UserColumn[])
      .filter((column) => REQUIRED.has(column) || model.givenColumns.has(column))
      .filter((column) => isMissing(model, column, found))
      .map((column) => `${problemOf(model, column)}; ${remedyOf(column)}`),
  ]
  if (problems.length > 0)
    throw new UnusableUserTable(`${problems.join('\n')}\n(the columns of the table: ${found.join(', ')})`)
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
    `the database has no user table ${table}, or this database user may not read it; set AUTH_USER_MODEL as in settings.py, and AUTH_USER_TABLE if the model has a db_table`,
  )
}

/** Also works for a view. Empty if the table does not exist, or this database user may not read it. */
async function columnsOf(db: SqlDatabase, database: DatabaseKind, table: string): Promise<string[]> {
  if (database === 'sqlite') {
    const rows = await selectRows(db, 'SELECT name FROM pragma_table_info(?)', [table])
    return rows.map(({ name }) => String(name))
  }
  try {
    const answer = await runStatement(db, `SELECT * FROM ${executorOf(db).quote(table)} WHERE 1 = 0`, [])
    const { 1: ofMysql, fields: ofPostgresql } = answer as Record<'1' | 'fields', readonly { name: string }[]>
    return (database === 'mysql' ? ofMysql : ofPostgresql).map(({ name }) => name)
  } catch (error) {
    if (isMissingTable(error) || isPermissionDenied(error)) return []
    throw error
  }
}
