import type { Knex } from 'knex'
import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import { isMissingColumn, isMissingTable, isNotInCharset } from '../sql/driver-errors.ts'
import { userId } from './user-id.ts'
import type { UserModel } from './user-model.ts'
import { checkUserTable, requireColumns } from './user-table.ts'

/** A row of the user table, as the driver gives it. */
export interface UserRow {
  /** As `_auth_user_id` holds it. */
  readonly id: string
  readonly columns: Readonly<Record<string, unknown>>
}

/** What one statement tells of a name. */
export interface FoundByName {
  readonly row: UserRow | null
  /** The same for all spellings that the database takes for this name, whether a user has it or not. */
  readonly nameKey: string
}

/** The user table, and the tables of permissions around it. */
export interface UserRows {
  findById(id: string): Promise<UserRow | null>
  /** Whether case and accents count is for the database's collation to say, as in Django. */
  findByUsername(username: string): Promise<FoundByName>
  /** `app_label.codename` of each permission of this user, the user's own and those of the user's groups. */
  permissionsOf(id: string): Promise<ReadonlySet<string>>
  allPermissions(): Promise<ReadonlySet<string>>
  /** Does nothing for a model without. */
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

/** Source: django/contrib/auth/backends.py, ModelBackend; django/contrib/auth/models.py, update_last_login. */
export function createUserRows({ db, database, dates, model }: UserRowsOptions): UserRows {
  const { table, idColumn, idType, columns, groupsTable, permissionsTable, userColumn } = model
  const column = `${table}.${idColumn}`
  const usernameColumn = `${table}.${columns.username}`
  const idAsText = db.raw(`${TEXT_OF[database]} AS ??`, [column, ID_AS_TEXT])
  let hasColumns = false

  /** Null for a name that the column's character set cannot hold: no user has it. MySQL fails on it, MariaDB too. */
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

  /** Where the table was never as the model says, an error that tells so instead of the driver's. */
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

  /** A row comes in any case, so that a name that no user has costs no statement more. */
  async function findByUsername(username: string): Promise<FoundByName> {
    if (username.includes('\0')) return { row: null, nameKey: username } // no text to PostgreSQL; Django's forms refuse it
    const { [ID_AS_TEXT]: text, [NAME_KEY]: key, ...columns } = (await lookUp(username)) ?? {}
    const nameKey = typeof key === 'string' ? key : username
    return { row: text === null || text === undefined ? null : read(columns, text), nameKey }
  }

  /**
   * Equal for what the column's collation takes for equal: its sort key on MySQL; on PostgreSQL a hash, which follows
   * citext and nondeterministic collations. COALESCE gives the name the type and collation of the column.
   */
  function nameKeyOf(username: string): Knex.Raw {
    const name = [usernameColumn, literal(username), NAME_KEY]
    if (database === 'mysql') return db.raw('HEX(WEIGHT_STRING(COALESCE(??, ?))) AS ??', name)
    if (database === 'sqlite') return db.raw('? AS ??', [username, NAME_KEY])
    return db.raw('CAST(hash_array_extended(ARRAY[COALESCE(??, ?)], 0) AS text) AS ??', name)
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

  function isText(name: string, text: string): Knex.Raw {
    return db.raw('?? = ?', [name, literal(text)])
  }

  /** mysql2 quotes with backslashes, even where sql_mode says that they quote nothing: no quotes, then. */
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

/** Bigints are rounded by some drivers, texts are not. */
const TEXT_OF: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'CAST(?? AS CHAR)',
  postgresql: 'CAST(?? AS text)',
  sqlite: 'CAST(?? AS TEXT)',
}

function namesOf(rows: readonly { app_label: string; codename: string }[]): ReadonlySet<string> {
  return new Set(rows.map(({ app_label, codename }) => `${app_label}.${codename}`))
}
