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
  /** As `permissionsOf` returns them, if they were read with the row. */
  readonly permissions?: ReadonlySet<string>
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
  /** As `findById`; the permissions of a user who is looked up alone are read by the same statement, where that works. */
  findWithPermissions(id: string): Promise<UserRow | null>
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

/** FROM and WHERE of permissions, and the quoted column of the user who has them. */
interface Grants extends SqlPart {
  readonly user: string
}

const ID_AS_TEXT = '_id_as_text'
const NAME_KEY = '_name_key'
const OWN = '_own_permissions'
const OF_GROUPS = '_group_permissions'

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
  /** Whether the server rejected a statement that reads a user with the permissions. */
  let mustReadApart = columns.isSuperuser === null // no PermissionsMixin, so no permission tables

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

  async function findAll(ids: readonly string[]): Promise<readonly (UserRow | null)[]> {
    const isOne = isUser(column, ids)
    // A limit for each number of users would be a text for each, and PostgreSQL prepares texts.
    const limit = ids.length === 1 ? ' LIMIT 1' : ''
    const sql = `SELECT ${read} FROM ${users} WHERE ${isOne.sql}${limit}`
    const found = (await all(sql, isOne.bindings)).map(({ [ID_AS_TEXT]: text, ...columns }) =>
      rowOf(columns, text),
    )
    // A collation may find a user whose text differs from the one that is looked for, so texts are looked up alone.
    if (ids.length === 1) return [found[0] ?? null]
    const rows = new Map(found.map((row) => [row.id, row]))
    return ids.map((id) => rows.get(id) ?? null)
  }

  const findById = eachOf(findAll)

  const findWithPermissions = eachOf<UserRow | null>(async (ids) => {
    const [id = ''] = ids
    if (ids.length > 1 || mustReadApart) return findAll(ids)
    try {
      return [await findOneWithPermissions(id)]
    } catch (error) {
      if (!isRefused(error)) throw error
      mustReadApart = true
      return findAll(ids)
    }
  })

  /** The permissions are joined to one text in each of two subqueries, so that the row of the user is not repeated. */
  async function findOneWithPermissions(id: string): Promise<UserRow | null> {
    const [own, ofGroups] = grantsTo([id])
    const isThis = isUser(column, [id])
    const joined = (grants: Grants, name: string) =>
      `(SELECT ${JOINED_NAMES[database]} ${grants.sql}) AS ${quote(name)}`
    const sql =
      `SELECT ${LONG_NAMES[database]}${read}, ${joined(own, OWN)}, ${joined(ofGroups, OF_GROUPS)} ` +
      `FROM ${users} WHERE ${isThis.sql} LIMIT 1`
    const found = await first(sql, [...own.bindings, ...ofGroups.bindings, ...isThis.bindings])
    if (found === undefined) return null
    const { [ID_AS_TEXT]: text, [OWN]: ownNames, [OF_GROUPS]: namesOfGroups, ...row } = found
    const names = [splitNames(ownNames), splitNames(namesOfGroups)]
    const isComplete = names.every((some) => some !== null)
    return { ...rowOf(row, text), ...(isComplete && { permissions: new Set(names.flat()) }) }
  }

  const permissionsOf = eachOf<ReadonlySet<string>>(async (ids) => {
    const grants = grantsTo(ids)
    const selects = grants.map(
      ({ user, sql }) =>
        `SELECT ${APP_LABEL}, ${CODENAME}, CAST(${user} AS ${TEXT_TYPE[database]}) AS ${quote(ID_AS_TEXT)} ${sql}`,
    )
    // ALL: for MySQL's UNION, names that differ only in case are the same.
    const found = await select(
      selects.join(' UNION ALL '),
      grants.flatMap(({ bindings }) => bindings),
    )
    if (ids.length === 1) return [namesOf(found)]
    const byUser = Map.groupBy(found, (row) => userId(row[ID_AS_TEXT], idType))
    return ids.map((id) => namesOf(byUser.get(id) ?? []))
  })

  /**
   * The permissions that these users have themselves, and those of their groups.
   * Source: backends.py, _get_user_permissions and _get_group_permissions.
   */
  function grantsTo(ids: readonly string[]): readonly [own: Grants, ofGroups: Grants] {
    const [user, member] = [`${permissionsTable}.${userColumn}`, `${groupsTable}.${userColumn}`]
    const [isUserOf, isMember] = [isUser(user, ids), isUser(member, ids)]
    return [
      {
        user: quote(user),
        sql:
          `${FROM_PERMISSIONS} INNER JOIN ${quote(permissionsTable)} ` +
          `ON ${quote(`${permissionsTable}.permission_id`)} = auth_permission.id WHERE ${isUserOf.sql}`,
        bindings: isUserOf.bindings,
      },
      {
        user: quote(member),
        sql:
          `${FROM_PERMISSIONS} INNER JOIN auth_group_permissions ON auth_group_permissions.permission_id = auth_permission.id ` +
          `INNER JOIN ${quote(groupsTable)} ON ${quote(`${groupsTable}.group_id`)} = auth_group_permissions.group_id ` +
          `WHERE ${isMember.sql}`,
        bindings: isMember.bindings,
      },
    ]
  }

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
    // One text for any number of users, which can be prepared. As a bigint, an id beyond the column's type is no error.
    if (idType === 'integer' && database === 'postgresql')
      return { sql: `${quote(name)} = ANY(CAST(? AS bigint[]))`, bindings: [`{${ids}}`] }
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
    findWithPermissions,
    findByUsername,

    permissionsOf,

    allPermissions: async () => namesOf(await select(`SELECT ${APP_LABEL}, ${CODENAME} ${FROM_PERMISSIONS}`)),

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

const APP_LABEL = 'django_content_type.app_label'
const CODENAME = 'auth_permission.codename'
const FROM_PERMISSIONS =
  'FROM auth_permission ' +
  'INNER JOIN django_content_type ON django_content_type.id = auth_permission.content_type_id'

/** The number of names and the names. Each ends with a line feed, so that a text that the server has cut is recognized. */
const JOINED_NAMES: Readonly<Record<DatabaseKind, string>> = {
  mysql: `CONCAT(COUNT(*), '\n', GROUP_CONCAT(${APP_LABEL}, '.', ${CODENAME}, '\n' SEPARATOR ''))`,
  postgresql: `CONCAT(COUNT(*), chr(10), string_agg(${APP_LABEL} || '.' || ${CODENAME} || chr(10), ''))`,
  sqlite: `COUNT(*) || char(10) || group_concat(${APP_LABEL} || '.' || ${CODENAME} || char(10), '')`,
}

/** MySQL would cut the names at 1024 bytes; MariaDB cuts them at a megabyte, and takes this for a comment. */
const LONG_NAMES: Readonly<Record<DatabaseKind, string>> = {
  mysql: '/*+ SET_VAR(group_concat_max_len = 1048576) */ ',
  postgresql: '',
  sqlite: '',
}

/** Null if the text was cut, or a name contains a line feed. */
function splitNames(joined: unknown): readonly string[] | null {
  if (joined === null) return [] // No names to join.
  const [count, ...names] = String(joined).split('\n')
  return names.pop() === '' && names.length === Number(count) ? names : null
}

/** Users in one statement at most. */
const MOST_USERS = 200

function namesOf(rows: readonly Readonly<Record<string, unknown>>[]): ReadonlySet<string> {
  return new Set(rows.map(({ app_label, codename }) => `${app_label}.${codename}`))
}
