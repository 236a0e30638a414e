import { setTimeout as delay } from 'node:timers/promises'
import { createBackoff } from '../concurrency/backoff.ts'
import { type ExpiryRules, getExpiryDate } from '../django/expiry.ts'
import type { SessionData } from '../django/json.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { jsonValues, type SessionValues } from '../django/session-values.ts'
import { applied, type Change } from './changes.ts'
import { type Committed, createCommitQueue } from './commit-queue.ts'
import {
  ConflictError,
  CreateError,
  type NewSession,
  type SessionClient,
  type SessionEngine,
  type SessionWriter,
  type StoredSession,
  UpdateError,
} from './engine.ts'
import { NO_EVENTS, type SessionEvents } from './events.ts'
import { createMerge } from './merge.ts'
import type { MergePolicies } from './merge-policies.ts'
import { SessionTrace } from './trace-message.ts'
import { traced, tracedLoad, traces } from './tracing.ts'

/** Django's `save`, `cycle_key` and `delete`, without losing what another request wrote. */
export interface SessionCommits {
  /** Whether the key itself holds the data, so that each write returns a new key: see SessionEngine. */
  readonly keepsNothing: boolean
  create(data: SessionData, client?: SessionClient): Promise<Committed>
  /**
   * @throws {SessionInterrupted} when the session was deleted meanwhile.
   * @throws {MergeConflict} as the policy `fail` asks; nothing is stored.
   */
  update(
    sessionKey: string,
    stored: StoredSession,
    changes: readonly Change[],
    client?: SessionClient,
  ): Promise<Committed>
  /**
   * Applies the changes, stores the session under a new key, and removes the old one.
   * @throws {SessionInterrupted} when the session was deleted meanwhile.
   * @throws {MergeConflict} as the policy `fail` asks; nothing is stored.
   */
  move(
    sessionKey: string | null,
    stored: StoredSession | null,
    changes: readonly Change[],
    client?: SessionClient,
  ): Promise<Committed>
  remove(sessionKey: string): Promise<void>
  /** @throws {SessionInterrupted} when the session was deleted since it was written. */
  confirm(sessionKey: string): Promise<void>
}

export interface SessionCommitsOptions {
  readonly engine: SessionEngine
  readonly rules: ExpiryRules
  /** Which values sessions may hold; default: those of JSON. */
  readonly values?: SessionValues
  /** What becomes of a key that a request set and that another request changed meanwhile. */
  readonly policies?: MergePolicies | undefined
  readonly newSessionKey: () => string
  readonly now: () => Date
  /** Milliseconds for which a write is repeated while other requests write first. */
  readonly conflictTimeout?: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
  /** Returns a number between 0 and 1, which spreads the retries of several processes. */
  readonly random?: () => number
  readonly events?: Pick<SessionEvents, 'conflict'>
}

/**
 * The session was deleted while the request ran, e.g. by logging out elsewhere; status 400.
 * Source: django/contrib/sessions/exceptions.py, SessionInterrupted.
 */
export class SessionInterrupted extends Error {
  override name = 'SessionInterrupted'
  readonly code: string = 'ERR_SESSION_INTERRUPTED'

  constructor(options?: ErrorOptions) {
    super(
      "The request's session was deleted before the request completed. The user may have logged out in a " +
        'concurrent request, for example.',
      options,
    )
  }
}

/** Other requests wrote first for as long as a write is repeated. */
export class ConflictTimeout extends Error {
  override name = 'ConflictTimeout'
  readonly code: string = 'ERR_SESSION_CONFLICT_TIMEOUT'

  constructor(milliseconds: number) {
    super(`other requests kept changing this session for ${milliseconds} ms; try again`)
  }
}

/**
 * Unlike Django, which writes back the whole dictionary that it loaded, a save is a compare-and-swap: when the stored
 * session is no longer what was loaded, the request's changes are applied to what is stored now (merge.ts), and the result
 * is written. Inside the process the commits of one session key queue (commit-queue.ts).
 */
export function createSessionCommits({
  engine,
  rules,
  values = jsonValues,
  policies = {},
  newSessionKey,
  now,
  conflictTimeout = 2000,
  monotonic = () => performance.now(),
  random = Math.random,
  events = NO_EVENTS,
}: SessionCommitsOptions): SessionCommits {
  const keepsNothing = engine.keepsNothing === true
  const merge = createMerge(policies, values)

  const withExpiry = (data: SessionData, client?: SessionClient): NewSession => {
    const expiry = data.get('_session_expiry')
    return {
      data,
      expireDate: getExpiryDate(expiry === undefined ? undefined : values.parse(expiry), rules, now()),
      client,
    }
  }

  async function create(data: SessionData, client?: SessionClient): Promise<Committed> {
    for (;;) {
      try {
        const stored = await engine.create(newSessionKey(), withExpiry(data, client))
        return { sessionKey: stored.sessionKey, stored, data: stored.data, merged: false, isNew: true }
      } catch (error) {
        // The key is taken: try another. Source: django/contrib/sessions/backends/db.py, create.
        if (!(error instanceof CreateError)) throw error
      }
    }
  }

  async function reload(sessionKey: string, cause: unknown): Promise<StoredSession> {
    try {
      const fresh = await tracedLoad(engine, sessionKey)
      if (fresh !== null) return fresh
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw error
    }
    throw new SessionInterrupted({ cause })
  }

  /** Milliseconds: null when the write was repeated for long enough. */
  async function reloadAfter(
    milliseconds: number | null,
    sessionKey: string,
    cause: unknown,
  ): Promise<StoredSession> {
    if (milliseconds === null) throw new ConflictTimeout(conflictTimeout)
    await delay(milliseconds)
    return reload(sessionKey, cause)
  }

  /** Repeats `write` on what is stored now until no other request has written in between. */
  async function swap<R>(
    sessionKey: string,
    stored: StoredSession,
    write: (current: StoredSession) => Promise<R>,
  ): Promise<R> {
    const pause = createBackoff({ timeout: conflictTimeout, longest: 50, random, monotonic })
    let current = stored
    for (;;) {
      try {
        return await write(current)
      } catch (error) {
        if (error instanceof UpdateError) throw new SessionInterrupted({ cause: error })
        if (!(error instanceof ConflictError)) throw error
        let winner: SessionWriter = 'unknown'
        try {
          current = await traced(
            traces.conflict,
            () => new SessionTrace(sessionKey),
            () => reloadAfter(pause(), sessionKey, error),
            writerOf,
          )
          winner = writerOf(current)
        } finally {
          events.conflict(winner)
        }
      }
    }
  }

  const queue = createCommitQueue({
    newSession: withExpiry,
    merge,
    replace: (sessionKey, stored, next) =>
      swap(sessionKey, stored, (current) => engine.update(sessionKey, next(current), current.revision)),
  })

  async function move(
    sessionKey: string | null,
    stored: StoredSession | null,
    changes: readonly Change[],
    client?: SessionClient,
  ): Promise<Committed> {
    let moved = await create(applied(stored?.data ?? new Map<string, string>(), changes), client)
    if (sessionKey === null || stored === null) return moved
    try {
      // Unlike Django, which loses what another request saved under the old key since the load, and which restores a
      // session that was deleted since.
      await swap(sessionKey, stored, async (current) => {
        if (current !== stored) {
          const data = applied(current.data, changes, merge)
          const { revision } = moved.stored
          const updated = await engine.update(moved.sessionKey, withExpiry(data, client), revision)
          const { sessionKey } = updated
          moved = { sessionKey, stored: updated, data: updated.data, merged: true, isNew: true }
        }
        await engine.delete(sessionKey, current.revision)
      })
    } catch (error) {
      await engine.delete(moved.sessionKey) // no browser will get this key
      throw error
    }
    return moved
  }

  /** Unlike Django, which writes the session again; a read locks nothing and writes nothing to disk. */
  async function confirm(sessionKey: string): Promise<void> {
    if (!keepsNothing && !(await engine.exists(sessionKey))) throw new SessionInterrupted()
  }

  return {
    keepsNothing,
    create,
    update: queue.commit,
    move,
    remove: (sessionKey) => engine.delete(sessionKey),
    confirm,
  }
}

const writerOf = ({ writer = 'unknown' }: StoredSession): SessionWriter => writer
