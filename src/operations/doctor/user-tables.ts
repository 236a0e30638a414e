import type { Knex } from 'knex'
import { type UserModel, userModel } from '../../auth/user-model.ts'
import { checkUserTable } from '../../auth/user-table.ts'
import { hasCatalog } from '../../service/preflight.ts'
import { servesLogin } from '../../service/required-tables.ts'
import { databaseKindOf } from '../../sql/dialect.ts'
import type { Project } from '../open-project.ts'
import { type Check, type Evidence, perRun, type Result } from './check.ts'
import { failure } from './failure.ts'
import { readTableSchema, tablesWith } from './table-schema.ts'

/** The user model of the settings, in the database. */
export interface UsersHere {
  readonly model: UserModel
  /** The names of the table's columns; empty if there is no such table, or it may not be read. */
  readonly columns: readonly string[]
  /** Other tables with the columns of AbstractBaseUser. */
  readonly others: readonly string[]
  /** Why this service reads no users; null if it does. */
  readonly whyUnread: string | null
}

const readUsers = perRun(async ({ project }: Evidence): Promise<UsersHere> => {
  const { settings, db } = project
  const model = userModel(settings.auth.userModel)
  return project.onUserDatabase(async () => ({
    model,
    whyUnread: await whyUnread(project),
    columns: (await readTableSchema(db, model.table)).columns.map(({ name }) => name),
    others: (await tablesWith(db, ['password', 'last_login'])).filter((table) => table !== model.table),
  }))
})

async function whyUnread({ settings, db }: Project): Promise<string | null> {
  if (settings.auth.sessionHash === 'custom') return 'AUTH_SESSION_HASH is custom: no user is read here'
  if (servesLogin(settings) || (await hasCatalog(db))) return null
  return 'this service has neither the login page nor the home page: no user is read here'
}

/** A check of the users, which is skipped where this service reads none, but not with `always`. */
export function usersCheck(
  judge: (users: UsersHere, evidence: Evidence) => Promise<Result>,
  { always = false }: { always?: boolean } = {},
): Check['run'] {
  return async (evidence) => {
    try {
      const users = await readUsers(evidence)
      if (users.whyUnread !== null && !always) return { outcome: 'skipped', because: users.whyUnread }
      return await judge(users, evidence)
    } catch (error) {
      return failure(error)
    }
  }
}

/** Whether the user model of the settings fits the tables. */
export const USER_TABLE_CHECKS: readonly Check[] = [
  {
    id: 'users.E001',
    title: 'the table of AUTH_USER_MODEL is there',
    meaning:
      'Looks for the table that `AUTH_USER_MODEL` and `AUTH_USER_TABLE` name, and for other tables with the columns of a user. Without the table, the service does not start.',
    remedy: 'Set `AUTH_USER_MODEL` as in settings.py, and `AUTH_USER_TABLE` if the model has a `db_table`.',
    isCheap: true,
    run: usersCheck(async ({ model, columns, others }, { project: { db } }) => {
      if (columns.length > 0) return { outcome: 'ok', read: model.table }
      const [other] = others
      const read = `the database has no table ${model.table}, or this database user may not read it`
      if (other === undefined)
        return {
          outcome: 'failed',
          read,
          hint: 'set AUTH_USER_MODEL as in settings.py, and AUTH_USER_TABLE if the model has a db_table; or run `manage.py migrate` there',
        }
      return {
        outcome: 'failed',
        read: `${read}, but a table with the columns of a user: ${others.join(', ')}`,
        hint: await settingsFor(db, other),
      }
    }),
  },
  {
    id: 'users.E002',
    title: 'the user table has the columns of the user model',
    meaning:
      'Compares the columns of the user table with `AUTH_USER_…_COLUMN`, `AUTH_USERNAME_FIELD` and `AUTH_USER_ID_COLUMN`. Without a required column, the service does not start.',
    remedy: 'Set the settings of the message to the columns that hold the fields of the model.',
    after: ['users.E001'],
    isCheap: true,
    run: usersCheck(async ({ model, columns }, { project }) => {
      await optionalColumnsMissing(project, model)
      return { outcome: 'ok', read: columns.join(', ') }
    }),
  },
  {
    id: 'users.W001',
    title: 'the user table has the optional columns, too',
    meaning:
      'Looks for the columns for `is_staff`, `is_superuser` and `last_login`. Without them no user is staff here, or none has permissions.',
    remedy: 'Set the settings of the message to the columns, or to None if the model has no such field.',
    after: ['users.E001', 'users.E002'],
    isCheap: true,
    run: usersCheck(async ({ model }, { project }) => {
      const missing = await optionalColumnsMissing(project, model)
      if (missing.length === 0) return { outcome: 'ok', read: 'none is missing' }
      return failure(Object.assign(new Error(missing.join('\n')), { code: 'ERR_USER_TABLE' }))
    }),
  },
]

/** @throws {UnusableUserTable} for required columns */
function optionalColumnsMissing({ db, onUserDatabase }: Project, model: UserModel): Promise<string[]> {
  return onUserDatabase(() => checkUserTable({ db, database: databaseKindOf(db), model }))
}

/** The settings for the users in this table, as the content types name its model. */
export async function settingsFor(db: Knex, table: string): Promise<string> {
  const isReadable = (await readTableSchema(db, 'django_content_type')).columns.length > 0
  const types: { app_label: string; model: string }[] = isReadable
    ? await db('django_content_type')
        .select('app_label', 'model')
        .catch(() => []) // A right may be missing.
    : []
  const type = types.find(({ app_label, model }) => `${app_label}_${model}` === table)
  if (type === undefined) return `set AUTH_USER_TABLE=${table}, and AUTH_USER_MODEL as in settings.py`
  const name = type.model.charAt(0).toUpperCase() + type.model.slice(1)
  return `set AUTH_USER_MODEL=${type.app_label}.${name}, as in settings.py`
}
