import { coalesce } from '../concurrency/coalesce.ts'
import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import { isMissingColumn, isMissingTable, isNotInCharset, isRefused } from '../sql/driver-errors.ts'
import { executorOf, PATIENCE, runStatement, type SqlDatabase, selectRows } from '../sql/executor.ts'
import type { Binding, SqlPart } from '../sql/port.ts'
import { retryRead, retryWrite } from '../sql/retry.ts'
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
  readonly db: SqlDatabase
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
  const { quote } = executorOf(db)
  const select = (sql: string, bindings: readonly Binding[] = []) =>
    retryRead(() => selectRows(db, sql, bindings))
  const users = quote(table)
  const read = `${users}.*, CAST(${quote(column)} AS ${TEXT_TYPE[database]}) AS ${quote(ID_AS_TEXT)}`
  let hasColumns = false

  /** Null for a name that the column's character set cannot represent: no user has it. MySQL and MariaDB raise an error. */
  async function lookUp(username: string): Promise<Record<string, unknown> | null> {
    const [key, isNamed] = [nameKeyOf(username), isText(usernameColumn, username)]
    const sql = `SELECT ${read}, ${key.sql} FROM (SELECT 1) AS one LEFT JOIN ${users} ON ${isNamed.sql} LIMIT 1`
    try {
      return (await first(sql, [...key.bindings, ...isNamed.bindings])) ?? null
    } catch (error) {
      if (isNotInCharset(error)) return null
      throw error
    }
  }

  async function first(
    sql: string,
    bindings: readonly Binding[],
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    return (await all(sql, bindings))[0]
  }

  /** If the table never matched the model: throws UnusableUserTable, which says so, instead of the driver's error. */
  async function all(
    sql: string,
    bindings: readonly Binding[],
  ): Promise<readonly Readonly<Record<string, unknown>>[]> {
    try {
      return await select(sql, bindings)
    } catch (error) {
      if (!hasColumns && (isMissingTable(error) || isMissingColumn(error)))
        await checkUserTable({ db, database, model })
      throw error
    }
  }

  function rowOf(columns: Record<string, unknown>, text: unknown): UserRow {
    const id = userId(text, idType)
    if (id === null) throw new TypeError(`${column} is not of the type ${idType}; see AUTH_USER_ID_TYPE`)
    if (!hasColumns) requireColumns(model, Object.keys(columns))
    hasColumns = true
    return { id, columns }
  }

  const findById = eachOf<UserRow | null>(async (ids) => {
    const isOne = isUser(column, ids)
    const sql = `SELECT ${read} FROM ${users} WHERE ${isOne.sql} LIMIT ${ids.length}`
    const found = (await all(sql, isOne.bindings)).map(({ [ID_AS_TEXT]: text, ...columns }) =>
      rowOf(columns, text),
    )
    // A collation may find a user whose text differs from the one that is looked for, so texts are looked up alone.
    if (ids.length === 1) return [found[0] ?? null]
    const rows = new Map(found.map((row) => [row.id, row]))
    return ids.map((id) => rows.get(id) ?? null)
  })

  const permissionsOf = eachOf<ReadonlySet<string>>(async (ids) => {
    const [isOwn, isOfGroup] = [permissionsTable, groupsTable].map((of) => isUser(`${of}.${userColumn}`, ids))
    const permissionsBy = (of: string) =>
      `${PERMISSION_NAMES}, CAST(${quote(`${of}.${userColumn}`)} AS ${TEXT_TYPE[database]}) AS ${quote(ID_AS_TEXT)} ${FROM_PERMISSIONS}`
    const own =
      `${permissionsBy(permissionsTable)} INNER JOIN ${quote(permissionsTable)} ` +
      `ON ${quote(`${permissionsTable}.permission_id`)} = auth_permission.id WHERE ${isOwn?.sql}`
    const ofGroups =
      `${permissionsBy(groupsTable)} INNER JOIN auth_group_permissions ON auth_group_permissions.permission_id = auth_permission.id ` +
      `INNER JOIN ${quote(groupsTable)} ON ${quote(`${groupsTable}.group_id`)} = auth_group_permissions.group_id ` +
      `WHERE ${isOfGroup?.sql}`
    const bindings = [...(isOwn?.bindings ?? []), ...(isOfGroup?.bindings ?? [])]
    const found = await select(`${own} UNION ${ofGroups}`, bindings)
    if (ids.length === 1) return [namesOf(found)]
    const byUser = Map.groupBy(found, (row) => userId(row[ID_AS_TEXT], idType))
    return ids.map((id) => namesOf(byUser.get(id) ?? []))
  })

  /**
   * Lets look-ups that come together share a statement, each user once. A text is looked up alone: the database's
   * collation decides which user it names.
   */
  function eachOf<R>(
    lookUpAll: (ids: readonly string[]) => Promise<readonly R[]>,
  ): (id: string) => Promise<R> {
    return coalesce(
      async (asked) => {
        const ids = [...new Set(asked)]
        const found = new Map((await lookUpAll(ids)).map((result, at) => [ids[at], result]))
        return asked.map((id) => found.get(id) as R)
      },
      { mostInputs: idType === 'text' ? 1 : MOST_USERS, runsAlone: isRefused, patience: PATIENCE },
    )
  }

  /** The LEFT JOIN returns a row even for an unknown name, so that an unknown name needs no further statement. */
  async function findByUsername(username: string): Promise<FoundByName> {
    if (username.includes('\0')) return { row: null, nameKey: username } // invalid in PostgreSQL; Django's forms reject it
    const { [ID_AS_TEXT]: text, [NAME_KEY]: key, ...columns } = (await lookUp(username)) ?? {}
    const nameKey = typeof key === 'string' ? key : username
    return { row: text === null || text === undefined ? null : rowOf(columns, text), nameKey }
  }

  /**
   * Equal for names that the column's collation treats as equal. On MySQL: the sort key. On PostgreSQL: a hash, which
   * respects citext and nondeterministic collations. COALESCE gives the name the type and collation of the column.
   */
  function nameKeyOf(username: string): SqlPart {
    const { sql, bindings } = literal(username)
    const name = `COALESCE(${quote(usernameColumn)}, ${sql})`
    const key = {
      mysql: `HEX(WEIGHT_STRING(${name}))`,
      sqlite: sql,
      postgresql: `CAST(hash_array_extended(ARRAY[${name}], 0) AS text)`,
    }[database]
    return { sql: `${key} AS ${quote(NAME_KEY)}`, bindings }
  }

  /** Values are written into the statement where binding them could change their meaning. */
  function isUser(name: string, ids: readonly string[]): SqlPart {
    // MySQL would compare a string as a float.
    if (idType === 'integer') return { sql: `${quote(name)} IN (${ids.join(', ')})`, bindings: [] }
    if (idType === 'uuid') {
      // char(32) on MySQL and SQLite; a UUID type on PostgreSQL and (since Django 5.0) MariaDB, which accepts both forms.
      const forms = ids.flatMap((id) => [`'${id.replaceAll('-', '')}'`, `'${id}'`])
      return { sql: `${quote(name)} IN (${forms.join(', ')})`, bindings: [] }
    }
    return isText(name, ids[0] ?? '')
  }

  function isText(name: string, text: string): SqlPart {
    const { sql, bindings } = literal(text)
    return { sql: `${quote(name)} = ${sql}`, bindings }
  }

  /** mysql2 escapes with backslashes even where sql_mode has NO_BACKSLASH_ESCAPES; a hex literal needs no escapes. */
  function literal(text: string): SqlPart {
    return database === 'mysql'
      ? { sql: `_utf8mb4 x'${Buffer.from(text).toString('hex')}'`, bindings: [] }
      : { sql: '?', bindings: [text] }
  }

  return {
    findById,
    findByUsername,

    permissionsOf,

    allPermissions: async () => namesOf(await select(`${PERMISSION_NAMES} ${FROM_PERMISSIONS}`)),

    async setLastLogin({ id, columns: row }, instant) {
      const { lastLogin } = columns
      if (lastLogin === null || !(lastLogin in row)) return
      const isThis = isUser(column, [id])
      const sql = `UPDATE ${users} SET ${quote(lastLogin)} = ? WHERE ${isThis.sql}`
      await retryWrite(() => runStatement(db, sql, [dates.toColumn(instant), ...isThis.bindings]))
    },
  }
}

/** Ids are selected as text, because some drivers round bigints. */
const TEXT_TYPE: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'CHAR',
  postgresql: 'text',
  sqlite: 'TEXT',
}

const PERMISSION_NAMES = 'SELECT django_content_type.app_label, auth_permission.codename'
const FROM_PERMISSIONS =
  'FROM auth_permission ' +
  'INNER JOIN django_content_type ON django_content_type.id = auth_permission.content_type_id'

/** Users in one statement at most. */
const MOST_USERS = 200

function namesOf(rows: readonly Readonly<Record<string, unknown>>[]): ReadonlySet<string> {
  return new Set(rows.map(({ app_label, codename }) => `${app_label}.${codename}`))
}
