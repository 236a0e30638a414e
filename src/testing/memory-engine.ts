import {
  ConflictError,
  CreateError,
  type KeyedSession,
  type NewSession,
  type SessionEngine,
  UpdateError,
} from '../session/engine.ts'

/** The options of `createMemoryEngine`. */
export interface MemoryEngineOptions {
  readonly now?: () => Date
  /** The most sessions that are kept, expired ones too; default: 10,000. Then `create` throws. */
  readonly maxSessions?: number
}

/** Sessions in the memory of this process, for tests. */
export interface MemoryEngine extends SessionEngine {
  /** How many sessions are kept, expired ones too. */
  readonly size: number
  /** Removes every session. */
  clear(): void
}

/** Creates an engine that does all that the `db` engine does, without a database: the option `engine` of a site takes it. */
export function createMemoryEngine({
  now = () => new Date(),
  maxSessions = 10_000,
}: MemoryEngineOptions = {}): MemoryEngine {
  const kept = new Map<string, KeyedSession>()
  let revisions = 0

  function keep(sessionKey: string, { data, expireDate }: NewSession): KeyedSession {
    revisions += 1
    const session = { sessionKey, data: new Map(data), expireDate, revision: String(revisions) }
    kept.set(sessionKey, session)
    return session
  }

  function check(sessionKey: string, revision: string): void {
    const found = kept.get(sessionKey)
    if (found === undefined) throw new UpdateError('the session was deleted meanwhile')
    if (found.revision !== revision) throw new ConflictError('another request has saved the session')
  }

  return {
    get size() {
      return kept.size
    },

    clear() {
      kept.clear()
    },

    async load(sessionKey) {
      const found = kept.get(sessionKey)
      return found !== undefined && found.expireDate > now() ? found : null
    },

    async exists(sessionKey) {
      return kept.has(sessionKey)
    },

    async create(sessionKey, session) {
      if (kept.has(sessionKey)) throw new CreateError('another session has this key')
      if (kept.size >= maxSessions)
        throw new RangeError(
          `the memory engine holds ${maxSessions} sessions; call its clear() after each test, or raise maxSessions`,
        )
      return keep(sessionKey, session)
    },

    async update(sessionKey, session, revision) {
      check(sessionKey, revision)
      return keep(sessionKey, session)
    },

    async delete(sessionKey, revision) {
      if (revision !== undefined) check(sessionKey, revision)
      kept.delete(sessionKey)
    },

    // Source: django/contrib/sessions/backends/db.py, clear_expired: a session of this very moment stays.
    async clearExpired() {
      const expired = [...kept.values()].filter(({ expireDate }) => expireDate < now())
      for (const { sessionKey } of expired) kept.delete(sessionKey)
      return expired.length
    },
  }
}
