import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import type { SessionData } from '../django/json.ts'
import type { SessionCodec } from '../django/session-data.ts'
import { isStorableKey } from '../django/session-key.ts'
import { UnreadableSession, unlessUnreadable } from '../django/unreadable-session.ts'
import { databaseKindOf, dialects } from '../sql/dialect.ts'
import { executorOf, type SqlDatabase } from '../sql/executor.ts'
import type { SqlPart } from '../sql/port.ts'

/** What a session's row shows without its data. */
export interface SessionState {
  /** Differs when the stored text differs. */
  readonly version: string
  /** Characters of the stored text. */
  readonly size: number
  readonly isLive: boolean
  /** When it expires, as the storage writes it. */
  readonly expires: string
  /** Undefined: not read. Null: the session cannot be read. */
  readonly data: SessionData | null | undefined
}

/** Reads the states of many sessions of a table by one SELECT, which another SELECT can be united with. */
export interface TableStates {
  /**
   * Selects the columns `name`, `state`, `expires`, `live`, `data`, all as text. `data` is there for the keys of `dataOf`,
   * which are some of the keys.
   */
  select(sessionKeys: readonly string[], dataOf: readonly string[]): SqlPart
  /** The state in a row that `select` found. */
  read(row: Readonly<Record<string, unknown>>): SessionState
  /** Whether a session with this `expires` has expired by now. */
  hasExpired(expires: string): boolean
}

export interface TableStatesOptions {
  readonly db: SqlDatabase
  readonly table: string
  readonly codec: SessionCodec
  readonly dates: DateColumn
  readonly now: () => Date
}

/** The longest key of a site's own table; see `createDbEngine`. */
const LONGEST_KEY = 255

/**
 * A signature is the end of a stored text. The texts of Django 3.0 and older begin with their hash. So the length and both
 * ends tell whether a text is another one, and a database computes no digest.
 */
const VERSION: Readonly<Record<DatabaseKind, string>> = {
  mysql: "CONCAT(CHAR_LENGTH(session_data), ':', LEFT(session_data, 48), RIGHT(session_data, 24))",
  postgresql: "length(session_data)::text || ':' || left(session_data, 48) || right(session_data, 24)",
  sqlite: "length(session_data) || ':' || substr(session_data, 1, 48) || substr(session_data, -24)",
}

/** The states of the sessions in Django's table, or in a table with more columns. */
export function createTableStates({ db, table, codec, dates, now }: TableStatesOptions): TableStates {
  const kind = databaseKindOf(db)
  const { asText, dateAsText } = dialects[kind]
  const from = executorOf(db).quote(table)
  // Its alias is the column's own name.
  const expires = dateAsText('expire_date').replace(/ AS expire_date$/, '')

  return {
    select(sessionKeys, dataOf) {
      const keys = sessionKeys.filter((sessionKey) => isStorableKey(sessionKey, LONGEST_KEY))
      const wanted = dataOf.filter((sessionKey) => isStorableKey(sessionKey, LONGEST_KEY))
      const data =
        wanted.length === 0
          ? asText('NULL')
          : `CASE WHEN session_key IN (${placeholders(wanted)}) THEN ${asText('session_data')} END`
      return {
        sql:
          `SELECT ${asText("'session'")} AS kind, ${asText('session_key')} AS name, ${asText(VERSION[kind])} AS state, ` +
          `${asText(expires)} AS expires, CASE WHEN expire_date > ? THEN ${asText("'1'")} ELSE ${asText("'0'")} END AS live, ` +
          `${data} AS data FROM ${from} WHERE ${keys.length === 0 ? '1 = 0' : `session_key IN (${placeholders(keys)})`}`,
        bindings: [dates.toColumn(now()), ...wanted, ...keys],
      }
    },

    read({ state, expires, live, data }) {
      const version = String(state)
      return {
        version,
        size: Number.parseInt(version, 10),
        isLive: live === '1',
        expires: String(expires),
        data: typeof data === 'string' ? decoded(codec, data) : undefined,
      }
    },

    hasExpired(text) {
      try {
        return dates.fromColumn(text) <= now()
      } catch (error) {
        if (error instanceof UnreadableSession) return false
        throw error
      }
    },
  }
}

function decoded(codec: SessionCodec, text: string): SessionData | null {
  try {
    return codec.decode(text).data
  } catch (error) {
    return unlessUnreadable(error)
  }
}

function placeholders(values: readonly unknown[]): string {
  return values.map(() => '?').join(', ')
}
