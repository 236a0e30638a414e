import { databaseKindOf, dialects } from '../sql/dialect.ts'
import { executorOf, type SqlDatabase } from '../sql/executor.ts'
import type { SqlPart } from '../sql/port.ts'
import { userId } from './user-id.ts'
import type { UserModel } from './user-model.ts'
import type { UserRow } from './user-rows.ts'

/** What the row of a user shows of the user's sessions. */
export interface UserState {
  /** With the columns that `identify` needs, and no others. */
  readonly row: UserRow
  readonly isActive: boolean
  /** Differs when the password or `is_active` differs. */
  readonly version: string
}

/** Reads the states of many users by one SELECT, which another SELECT can be united with. */
export interface UserStates {
  /** Selects the columns `name`, `state`, `expires`, `live`, `data`, all as text. */
  select(ids: readonly string[]): SqlPart
  /** The state in a row that `select` found; null for an id that is not of the model's type. */
  read(row: Readonly<Record<string, unknown>>): UserState | null
}

/**
 * Characters of the end of a password that tell whether it has changed: of 72 bits of a digest. V8 copies so short a part,
 * and does not keep the whole text for it.
 */
const PASSWORD_END = 12

/** The states of the users of one model. */
export function createUserStates(
  db: SqlDatabase,
  { table, idColumn, idType, columns }: UserModel,
): UserStates {
  const { asText, comparable } = dialects[databaseKindOf(db)]
  const nameOf = (identifier: string): string => executorOf(db).quote(identifier)
  const textOf = (column: string | null) => asText(column === null ? 'NULL' : nameOf(column))
  const [from, id] = [nameOf(table), nameOf(idColumn)]
  const selected =
    `SELECT ${asText("'user'")} AS kind, ${asText(id)} AS name, ${textOf(columns.password)} AS state, ` +
    `${asText('NULL')} AS expires, ${textOf(columns.isActive)} AS live, ${asText('NULL')} AS data FROM ${from} WHERE ${id} IN`

  /** Integers and UUIDs were checked by `userId`. MySQL would compare a bound integer as a float. */
  const valuesOf = (one: string): SqlPart => {
    if (idType === 'integer') return { sql: one, bindings: [] }
    if (idType === 'uuid') return { sql: `'${one.replaceAll('-', '')}', '${one}'`, bindings: [] }
    return comparable(one)
  }

  return {
    select(ids) {
      const values = ids.map(valuesOf)
      return {
        sql: `${selected} (${values.map(({ sql }) => sql).join(', ')})`,
        bindings: values.flatMap(({ bindings }) => bindings),
      }
    },

    read({ name, state, live }) {
      const id = userId(name, idType)
      if (id === null) return null
      const password = typeof state === 'string' ? state : null
      const isActive = columns.isActive === null || live === '1' || live === 'true'
      return {
        row: {
          id,
          columns: {
            ...(columns.password !== null && { [columns.password]: password }),
            ...(columns.isActive !== null && { [columns.isActive]: isActive }),
          },
        },
        isActive,
        version: `${isActive ? 1 : 0}${password?.slice(-PASSWORD_END) ?? ''}`,
      }
    },
  }
}
