import type { Knex } from 'knex'
import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import { isMissingColumn, isMissingTable, isNotInCharset } from '../sql/driver-errors.ts'
import { userId } from './user-id.ts'
import type { UserModel } from './user-model.ts'
import { checkUserTable, requireColumns } from './user-table.ts'

/** A row of the user table, as the driver returns it. */
export interface UserRow {
  /** In the form in which `_auth_user_id` stores it. */
  readonly id: string
  readonly columns: Readonly<Record<string, unknown>>
}

/** The result of looking up a username with one statement. */
export interface FoundByName {
  readonly row: UserRow | null
  /** Equal for all spellings that the database treats as the same name, whether such a user exists or not. */
  readonly nameKey: string
}

/** Queries on the user table and the permission tables. */
export interface UserRows {
  findById(id: string): Promise<UserRow | null>
  /** The database's collation decides whether case and accents matter, as in Django. */
  findByUsername(username: string): Promise<FoundByName>
  /** `app_label.codename` of each permission of this user: those granted directly and those of the user's groups. */
  permissionsOf(id: string): Promise<ReadonlySet<string>>
  allPermissions(): Promise<ReadonlySet<string>>
  /** Does nothing if the model has no `last_login`. */
  setLastLogin(user: UserRow, instant: Date): Promise<void>
}

export interface UserRowsOptions {
  readonly db: Knex
  readonly database: DatabaseKind
  readonly dates: DateColumn
  readonly model: UserModel
}

const ID_AS_TEXT = '_id_as_text'
const NAME_KEY = '_name_key'

/**
 * Creates the queries for one user model.
 * Source: django/contrib/auth/backends.py, ModelBackend; django/contrib/auth/models.py, update_last_login.
 */
export function createUserRows({ db, database, dates, model }: UserRowsOptions): UserRows {
  const { table, idColumn, idType, columns, groupsTable, permissionsTable, userColumn } = model
  const column = `${table}.${idColumn}`
  const usernameColumn = `${table}.${columns.username}`
  const idAsText = db.raw(`${TEXT_OF[database]} AS ??`, [column, ID_AS_TEXT])
  let hasColumns = false

  /** Null for a name that the column's character set cannot represent: no user has it. MySQL and MariaDB raise an error. */
  async function lookUp(username: string): Promise<Record<string, unknown> | null> {
    const named = db
      .select(`${table}.*`, idAsText, nameKeyOf(username))
      .from(db.raw('(SELECT 1) AS one'))
      .joinRaw('LEFT JOIN ?? ON ?', [table, isText(usernameColumn, username)])
    try {
      return (await first(named)) ?? null
    } catch (error) {
      if (isNotInCharset(error)) return null
      throw error
    }
  }

  /** If the table never matched the model: throws UnusableUserTable, which says so, instead of the driver's error. */
  async function first(query: Knex.QueryBuilder): Promise<Record<string, unknown> | undefined> {
    try {
      return await query.first()
    } catch (error) {
      if (!hasColumns && (isMissingTable(error) || isMissingColumn(error)))
        await checkUserTable({ db, database, model })
      throw error
    }
  }

  function read(columns: Record<string, unknown>, text: unknown): UserRow {
    const id = userId(text, idType)
    if (id === null) throw new TypeError(`${column} is not of the type ${idType}; see AUTH_USER_ID_TYPE`)
    if (!hasColumns) requireColumns(model, Object.keys(columns))
    hasColumns = true
    return { id, columns }
  }

  async function findById(id: string): Promise<UserRow | null> {
    const row = await first(db(table).select(`${table}.*`, idAsText).where(isUser(column, id)))
    if (row === undefined) return null
    const { [ID_AS_TEXT]: text, ...columns } = row
    return read(columns, text)
  }

  /** The LEFT JOIN returns a row even for an unknown name, so that an unknown name needs no further statement. */
  async function findByUsername(username: string): Promise<FoundByName> {
    if (username.includes('\0')) return { row: null, nameKey: username } // invalid in PostgreSQL; Django's forms reject it
    const { [ID_AS_TEXT]: text, [NAME_KEY]: key, ...columns } = (await lookUp(username)) ?? {}
    const nameKey = typeof key === 'string' ? key : username
    return { row: text === null || text === undefined ? null : read(columns, text), nameKey }
  }

  /**
   * Equal for names that the column's collation treats as equal. On MySQL: the sort key. On PostgreSQL: a hash, which
   * respects citext and nondeterministic collations. COALESCE gives the name the type and collation of the column.
   */
  function nameKeyOf(username: string): Knex.Raw {
    const name = [usernameColumn, literal(username), NAME_KEY]
    if (database === 'mysql') return db.raw('HEX(WEIGHT_STRING(COALESCE(??, ?))) AS ??', name)
    if (database === 'sqlite') return db.raw('? AS ??', [username, NAME_KEY])
    return db.raw('CAST(hash_array_extended(ARRAY[COALESCE(??, ?)], 0) AS text) AS ??', name)
  }

  /** Values are written into the statement where binding them could change their meaning. */
  function isUser(name: string, id: string): Knex.Raw {
    if (idType === 'integer') return db.raw(`?? = ${id}`, [name]) // MySQL would compare a string as a float
    if (idType === 'uuid') {
      // char(32) on MySQL and SQLite; a UUID type on PostgreSQL and (since Django 5.0) MariaDB, which accepts both forms.
      return db.raw(`?? IN ('${id.replaceAll('-', '')}', '${id}')`, [name])
    }
    return isText(name, id)
  }

  function isText(name: string, text: string): Knex.Raw {
    return db.raw('?? = ?', [name, literal(text)])
  }

  /** mysql2 escapes with backslashes even where sql_mode has NO_BACKSLASH_ESCAPES; a hex literal needs no escapes. */
  function literal(text: string): string | Knex.Raw {
    return database === 'mysql' ? db.raw(`_utf8mb4 x'${Buffer.from(text).toString('hex')}'`) : text
  }

  const permissions = (): Knex.QueryBuilder =>
    db('auth_permission')
      .select('django_content_type.app_label', 'auth_permission.codename')
      .join('django_content_type', 'django_content_type.id', 'auth_permission.content_type_id')

  return {
    findById,
    findByUsername,

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

    async setLastLogin({ id, columns: row }, instant) {
      const { lastLogin } = columns
      if (lastLogin === null || !(lastLogin in row)) return
      await db(table)
        .where(isUser(column, id))
        .update({ [lastLogin]: dates.toColumn(instant) })
    },
  }
}

/** Ids are selected as text, because some drivers round bigints. */
const TEXT_OF: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'CAST(?? AS CHAR)',
  postgresql: 'CAST(?? AS text)',
  sqlite: 'CAST(?? AS TEXT)',
}

function namesOf(rows: readonly { app_label: string; codename: string }[]): ReadonlySet<string> {
  return new Set(rows.map(({ app_label, codename }) => `${app_label}.${codename}`))
}
