import { parseValue, type SessionData, stringifyValue } from '../django/json.ts'
import type { NewSession, SessionClient } from '../session/engine.ts'

/** The columns of a site's own table of sessions beside Django's three, e.g. of a subclass of AbstractBaseSession. */
export interface SessionColumns {
  /** The columns that `isOutdated` reads. */
  readonly read?: readonly string[]
  /** Returns the session as the site stores it, with the keys that the site itself puts into the data. */
  prepare?(session: NewSession): NewSession
  /**
   * Returns the values of the columns, by name: numbers, texts, or null. A column that is not named keeps its value; in a
   * new row it gets the database's default. Source: backends/db.py, create_model_instance, which such sites override.
   */
  values(session: NewSession, row: { readonly isNew: boolean; readonly now: Date }): ColumnValues
  /** Whether an unchanged session must be saved, since another client asks for it now. */
  isOutdated?(stored: { data: SessionData; row: ColumnValues }, client: SessionClient): boolean
}

export type ColumnValues = Readonly<Record<string, string | number | null>>

/** The columns that say whose session a row is, for lists of a user's sessions. */
export interface TableFacts {
  readonly userId: string
  readonly ip: string
  readonly userAgent: string
  /** Dates: of the creation, where the table has it, and of the last save. */
  readonly created: string | null
  readonly changed: string
}

/** Source: qsessions/models.py, Session. */
export const QSESSIONS_FACTS: TableFacts = {
  userId: 'user_id',
  ip: 'ip',
  userAgent: 'user_agent',
  created: 'created_at',
  changed: 'updated_at',
}

/** Source: user_sessions/models.py, Session. */
export const USER_SESSIONS_FACTS: TableFacts = {
  userId: 'user_id',
  ip: 'ip',
  userAgent: 'user_agent',
  created: null,
  changed: 'last_activity',
}

/** Writes an instant as the site's columns hold it; see `createDateColumn`. */
type ToColumn = (instant: Date) => string

/**
 * The columns and the keys of django-qsessions 1.1 and 2.1, `qsessions.backends.db` (and `cached_db`, whose entries hold
 * the data with these keys). Source: qsessions/backends/db.py and qsessions/models.py, Session.save.
 */
export function createQsessionsColumns({ toColumn }: { toColumn: ToColumn }): SessionColumns {
  return {
    prepare(session) {
      if (session.client === undefined) return session
      const data = new Map(session.data)
      for (const [key, text] of qsessionsKeys(session.client)) if (data.get(key) !== text) data.set(key, text)
      return { ...session, data }
    },
    values({ data, client }, { isNew, now }) {
      return {
        user_id: userIdIn(data),
        updated_at: toColumn(now),
        ...(isNew && { created_at: toColumn(now) }),
        ...(client !== undefined && { user_agent: cut(client.userAgent, QSESSIONS_AGENT), ip: client.ip }),
      }
    },
    isOutdated: ({ data }, client) => isOutdatedQsession(data, client),
  }
}

/** Whether a session of django-qsessions was saved by another client than this one. Source: qsessions/backends/db.py, load. */
function isOutdatedQsession(data: SessionData, client: SessionClient): boolean {
  return qsessionsKeys(client).some(([key, text]) => data.get(key) !== text)
}

/**
 * The columns of django-user-sessions 1.7 and 2.0, `user_sessions.backends.db`. There a user that was deleted from the
 * data, but neither flushed nor cleared, stays in the row. Here the row always has the user of the data.
 * Source: user_sessions/backends/db.py.
 */
export function createUserSessionsColumns({ toColumn }: { toColumn: ToColumn }): SessionColumns {
  return {
    read: ['user_agent', 'ip'],
    values({ data, client }, { now }) {
      return {
        user_id: userIdIn(data),
        last_activity: toColumn(now),
        ...(client !== undefined && {
          user_agent: cut(client.userAgent, USER_SESSIONS_AGENT),
          ip: client.ip,
        }),
      }
    },
    isOutdated: ({ row }, client) =>
      row.user_agent !== cut(client.userAgent, USER_SESSIONS_AGENT) || row.ip !== client.ip,
  }
}

/** Characters of the column `user_agent`. */
const QSESSIONS_AGENT = 300
const USER_SESSIONS_AGENT = 200

/** The keys of django-qsessions in the data, as JSON text; an unknown address is null. */
function qsessionsKeys({ userAgent, ip }: SessionClient): [key: string, text: string][] {
  return [
    ['_qsessions_user_agent', stringifyValue(cut(userAgent, QSESSIONS_AGENT))],
    ['_qsessions_ip', stringifyValue(ip)],
  ]
}

/** A header has no characters beyond U+00FF, so a UTF-16 unit is one character. */
function cut(text: string, length: number): string {
  return text.slice(0, length)
}

/** Source: django/contrib/auth/__init__.py, SESSION_KEY. */
function userIdIn(data: SessionData): string | number | null {
  const text = data.get('_auth_user_id')
  const id = text === undefined ? null : parseValue(text)
  if (typeof id === 'bigint') return String(id)
  return typeof id === 'string' || typeof id === 'number' ? id : null
}
