import { createHash } from 'node:crypto'
import type { UserState, UserStates } from '../auth/user-states.ts'
import { UnreadableSession } from '../django/session-data.ts'
import type { SessionState, TableStates } from '../engines/table-states.ts'
import type { SessionEngine } from '../session/engine.ts'
import { type SqlDatabase, selectRows } from '../sql/executor.ts'
import type { SqlPart } from '../sql/port.ts'

/** What is stored now of the sessions and users that were asked for. */
export interface WatchedStates {
  readonly sessions: ReadonlyMap<string, SessionState>
  readonly users: ReadonlyMap<string, UserState>
}

export interface WatchQuery {
  readonly sessionKeys: readonly string[]
  /** Those of the keys whose data is to be read. */
  readonly dataOf: readonly string[]
  readonly userIds: readonly string[]
}

/** Where a watch reads sessions and users. */
export interface WatchSource {
  read(query: WatchQuery): Promise<WatchedStates>
  hasExpired(expires: string): boolean
}

/** Sessions in a table, with their users: one statement for all that is asked. */
export function createTableSource(db: SqlDatabase, states: TableStates, userStates: UserStates): WatchSource {
  return {
    hasExpired: states.hasExpired,

    async read({ sessionKeys, dataOf, userIds }) {
      const parts: SqlPart[] = [states.select(sessionKeys, dataOf)]
      if (userIds.length > 0) parts.push(userStates.select(userIds))
      const rows = await selectRows(
        db,
        parts.map(({ sql }) => sql).join(' UNION ALL '),
        parts.flatMap(({ bindings }) => bindings),
      )
      const sessions = rows
        .filter(({ kind }) => kind === 'session')
        .map((row) => [String(row.name), states.read(row)] as const)
      return { sessions: new Map(sessions), users: usersIn(rows, userStates) }
    },
  }
}

/** Sessions that an engine without a table reads at the same time. */
const READS = 16

/** Milliseconds: memcached says in whole seconds how long an entry still lives, and the answer of a cache needs its time. */
const EXPIRY_PRECISION = 2000

/** Sessions of an engine without a table, which are read one by one; their users by one statement. */
export function createEngineSource(
  db: SqlDatabase,
  engine: SessionEngine,
  userStates: UserStates,
  now: () => Date,
): WatchSource {
  async function stateOf(sessionKey: string): Promise<SessionState | null> {
    try {
      const stored = await engine.load(sessionKey)
      if (stored === null) return null
      const { data, expireDate, revision } = stored
      const version = createHash('sha1').update(revision).digest('base64')
      return { version, size: 0, isLive: true, expires: String(expireDate.getTime()), data }
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw error
      return { version: 'unreadable', size: 0, isLive: true, expires: '', data: null }
    }
  }

  return {
    hasExpired: (expires) => expires !== '' && Number(expires) <= now().getTime() + EXPIRY_PRECISION,

    async read({ sessionKeys, userIds }) {
      const sessions = new Map<string, SessionState>()
      const waiting = sessionKeys.values()
      const readers = Array.from({ length: READS }, async () => {
        for (const sessionKey of waiting) {
          const state = await stateOf(sessionKey)
          if (state !== null) sessions.set(sessionKey, state)
        }
      })
      await Promise.all(readers)
      const { sql, bindings } = userStates.select(userIds)
      const rows = userIds.length === 0 ? [] : await selectRows(db, sql, bindings)
      return { sessions, users: usersIn(rows, userStates) }
    },
  }
}

function usersIn(
  rows: readonly Readonly<Record<string, unknown>>[],
  userStates: UserStates,
): Map<string, UserState> {
  const states = rows.filter(({ kind }) => kind === 'user').map(userStates.read)
  return new Map(states.filter((state) => state !== null).map((state) => [state.row.id, state]))
}
