import type { Knex } from 'knex'
import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import { userId } from './user-id.ts'
import type { UserModel } from './user-model.ts'

/** A row of the user table, as the driver gives it. */
export interface UserRow {
  /** As `_auth_user_id` holds it. */
  readonly id: string
  readonly columns: Readonly<Record<string, unknown>>
}

/** The user table, and the tables of permissions around it. */
export interface UserRows {
  findById(id: string): Promise<UserRow | null>
  /** Whether case and accents count is for the database's collation to say, as in Django. */
  findByUsername(username: string): Promise<UserRow | null>
  /** `app_label.codename` of each permission of this user, the user's own and those of the user's groups. */
  permissionsOf(id: string): Promise<ReadonlySet<string>>
  allPermissions(): Promise<ReadonlySet<string>>
  setLastLogin(id: string, instant: Date): Promise<void>
}

export interface UserRowsOptions {
  readonly db: Knex
  readonly database: DatabaseKind
  readonly dates: DateColumn
  readonly model: UserModel
}

const ID_AS_TEXT = '_id_as_text'

/** Source: django/contrib/auth/backends.py, ModelBackend; django/contrib/auth/models.py, update_last_login. */
export function createUserRows({ db, database, dates, model }: UserRowsOptions): UserRows {
  const { table, idColumn, idType, usernameColumn, groupsTable, permissionsTable, userColumn } = model
  const column = `${table}.${idColumn}`

  async function find(condition: Knex.Raw): Promise<UserRow | null> {
    const row: Record<string, unknown> | undefined = await db(table)
      .select(`${table}.*`, db.raw(`${TEXT_OF[database]} AS ??`, [column, ID_AS_TEXT]))
      .where(condition)
      .first()
    if (row === undefined) return null
    const { [ID_AS_TEXT]: text, ...columns } = row
    const id = userId(text, idType)
    if (id === null) throw new TypeError(`${column} is not of the type ${idType}; see AUTH_USER_ID_TYPE`)
    return { id, columns }
  }

  /** Values are written into the statement where a driver's own quoting could change what they mean. */
  function isUser(name: string, id: string): Knex.Raw {
    if (idType === 'integer') return db.raw(`?? = ${id}`, [name]) // a text would be compared as a float on MySQL
    if (idType === 'uuid') {
      // char(32) on MySQL and SQLite, a type of its own on PostgreSQL and (since Django 5.0) MariaDB, which take both.
      return db.raw(`?? IN ('${id.replaceAll('-', '')}', '${id}')`, [name])
    }
    return isText(name, id)
  }

  /** mysql2 quotes with backslashes, even where sql_mode says that they quote nothing: no quotes, then. */
  function isText(name: string, text: string): Knex.Raw {
    if (database !== 'mysql') return db.raw('?? = ?', [name, text])
    return db.raw(`?? = _utf8mb4 x'${Buffer.from(text).toString('hex')}'`, [name])
  }

  const permissions = (): Knex.QueryBuilder =>
    db('auth_permission')
      .select('django_content_type.app_label', 'auth_permission.codename')
      .join('django_content_type', 'django_content_type.id', 'auth_permission.content_type_id')

  return {
    findById: (id) => find(isUser(column, id)),

    // A NUL is no text to PostgreSQL, and Django's forms refuse it.
    findByUsername: async (username) =>
      username.includes('\0') ? null : find(isText(`${table}.${usernameColumn}`, username)),

    permissionsOf: async (id) =>
      namesOf(
        await permissions()
          .join(permissionsTable, `${permissionsTable}.permission_id`, 'auth_permission.id')
          .where(isUser(`${permissionsTable}.${userColumn}`, id))
          .union(
            permissions()
              .join('auth_group_permissions', 'auth_group_permissions.permission_id', 'auth_permission.id')
              .join(groupsTable, `${groupsTable}.group_id`, 'auth_group_permissions.group_id')
              .where(isUser(`${groupsTable}.${userColumn}`, id)),
          ),
      ),

    allPermissions: async () => namesOf(await permissions()),

    async setLastLogin(id, instant) {
      await db(table)
        .where(isUser(column, id))
        .update({ last_login: dates.toColumn(instant) })
    },
  }
}

/** Bigints are rounded by some drivers, texts are not. */
const TEXT_OF: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'CAST(?? AS CHAR)',
  postgresql: 'CAST(?? AS text)',
  sqlite: 'CAST(?? AS TEXT)',
}

function namesOf(rows: readonly { app_label: string; codename: string }[]): ReadonlySet<string> {
  return new Set(rows.map(({ app_label, codename }) => `${app_label}.${codename}`))
}
