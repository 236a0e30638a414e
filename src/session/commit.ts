import { setTimeout as delay } from 'node:timers/promises'
import { type ExpiryRules, getExpiryDate } from '../django/expiry.ts'
import type { SessionData } from '../django/json.ts'
import type { PickledValue } from '../django/pickle/javascript.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { jsonValues, type SessionValues } from '../django/session-values.ts'
import {
  ConflictError,
  CreateError,
  type NewSession,
  type SessionClient,
  type SessionEngine,
  type StoredSession,
  UpdateError,
} from './engine.ts'

/** One thing that a request did to the data; applied to what was loaded, and again to what is there at a conflict. */
export type Change = (data: Map<string, string>) => void

/** What a commit leaves behind. */
export interface Committed {
  readonly sessionKey: string
  /** What the engine holds now. */
  readonly stored: StoredSession
  /** What it held right after this request's changes, where later ones went into the same write. */
  readonly data: SessionData
  /** Whether another request's changes were found and kept. */
  readonly merged: boolean
  /** Whether there was no such session before; one that was moved counts as new. */
  readonly isNew: boolean
}

/** Writes sessions without losing what another request wrote: Django's `save`, `cycle_key` and `delete`. */
export interface SessionCommits {
  /** Whether each write gives another key, which holds the data: see SessionEngine. */
  readonly keepsNothing: boolean
  create(data: SessionData, client?: SessionClient): Promise<Committed>
  /** @throws {SessionInterrupted} when the session was deleted meanwhile. */
  update(
    sessionKey: string,
    stored: StoredSession,
    changes: readonly Change[],
    client?: SessionClient,
  ): Promise<Committed>
  /**
   * Under a new key, with the changes; the old session is removed.
   * @throws {SessionInterrupted} when the session was deleted meanwhile.
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
  /** What sessions may hold; JSON's values unless given. */
  readonly values?: SessionValues
  readonly newSessionKey: () => string
  readonly now: () => Date
  /** How long a write may be repeated while others keep winning, in milliseconds. */
  readonly conflictTimeout?: number
  /** Between 0 and 1: spreads the repeats of several processes. */
  readonly random?: () => number
  /** Called at each conflict, for a counter. */
  readonly onConflict?: () => void
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

/** Other requests kept winning for the whole time that a write may be repeated. */
export class ConflictTimeout extends Error {
  override name = 'ConflictTimeout'
  readonly code: string = 'ERR_SESSION_CONFLICT_TIMEOUT'

  constructor(milliseconds: number) {
    super(`other requests kept changing this session for ${milliseconds} ms; try again`)
  }
}

/**
 * Unlike Django, which writes back the whole dictionary that it loaded, a save here is compare-and-swap: where the
 * row is no longer what was loaded, the request's changes are applied to what is there now, and that is written.
 * The commits of one session key queue inside the process: one write is under way, those that wait share the next.
 */
export function createSessionCommits({
  engine,
  rules,
  values = jsonValues,
  newSessionKey,
  now,
  conflictTimeout = 2000,
  random = Math.random,
  onConflict = () => {},
}: SessionCommitsOptions): SessionCommits {
  const keepsNothing = engine.keepsNothing === true
  const queues = new Map<string, Waiting[]>()

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
        // The key is taken: try another one. Source: django/contrib/sessions/backends/db.py, create.
        if (!(error instanceof CreateError)) throw error
      }
    }
  }

  async function reload(sessionKey: string, cause: unknown): Promise<StoredSession> {
    try {
      const fresh = await engine.load(sessionKey)
      if (fresh !== null) return fresh
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw error
    }
    throw new SessionInterrupted({ cause })
  }

  /** Repeats `write` on what is there now until nobody else has written in between. */
  async function swap<R>(
    sessionKey: string,
    stored: StoredSession,
    write: (current: StoredSession) => Promise<R>,
  ): Promise<R> {
    const start = performance.now()
    let current = stored
    for (let conflicts = 1; ; conflicts += 1) {
      try {
        return await write(current)
      } catch (error) {
        if (error instanceof UpdateError) throw new SessionInterrupted({ cause: error })
        if (!(error instanceof ConflictError)) throw error
        onConflict()
        if (performance.now() - start > conflictTimeout) throw new ConflictTimeout(conflictTimeout)
        await delay(random() * Math.min(2 ** conflicts, 50))
        current = await reload(sessionKey, error)
      }
    }
  }

  /** Each request's changes on top of those before it; one that cannot be stored changes nothing and stops nobody else. */
  function applyInTurn(base: SessionData, batch: readonly Waiting[]): Outcome[] {
    let data = base
    return batch.map((waiting) => {
      try {
        const changed = applied(data, waiting.changes)
        withExpiry(changed) // throws for a `_session_expiry` on which Django fails too
        data = changed
        return { waiting, data }
      } catch (error) {
        return { waiting, data, error }
      }
    })
  }

  async function commitBatch(
    sessionKey: string,
    base: StoredSession,
    batch: readonly Waiting[],
  ): Promise<StoredSession | null> {
    try {
      let found = base
      let outcomes: readonly Outcome[] = []
      const stored = await swap(sessionKey, base, (current) => {
        found = current
        outcomes = applyInTurn(current.data, batch)
        const data = outcomes.at(-1)?.data ?? current.data
        // Of several requests the last one's client, as its changes are the last.
        return engine.update(sessionKey, withExpiry(data, batch.at(-1)?.client), current.revision)
      })
      for (const [at, { waiting, data: own, error }] of outcomes.entries()) {
        const data = at === outcomes.length - 1 ? stored.data : own
        const merged = batch.length > 1 || found !== waiting.stored
        if (error !== undefined) waiting.reject(error)
        else waiting.resolve({ sessionKey: stored.sessionKey, stored, data, merged, isNew: false })
      }
      return stored
    } catch (error) {
      for (const { reject } of batch) reject(error)
      return null
    }
  }

  async function drain(sessionKey: string, queue: Waiting[]): Promise<void> {
    let latest: StoredSession | null = null
    while (queue.length > 0) {
      const batch = queue.splice(0)
      // What this process has just written is fresher than anything that a request loaded before.
      const base: StoredSession | undefined = latest ?? batch.at(-1)?.stored
      if (base !== undefined) latest = await commitBatch(sessionKey, base, batch)
    }
    queues.delete(sessionKey)
  }

  function update(
    sessionKey: string,
    stored: StoredSession,
    changes: readonly Change[],
    client?: SessionClient,
  ): Promise<Committed> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { stored, changes, client, resolve, reject }
      const queue = queues.get(sessionKey)
      if (queue !== undefined) {
        queue.push(waiting)
        return
      }
      const started = [waiting]
      queues.set(sessionKey, started)
      void drain(sessionKey, started)
    })
  }

  async function move(
    sessionKey: string | null,
    stored: StoredSession | null,
    changes: readonly Change[],
    client?: SessionClient,
  ): Promise<Committed> {
    let moved = await create(applied(stored?.data ?? new Map<string, string>(), changes), client)
    if (sessionKey === null || stored === null) return moved
    try {
      // Unlike Django, which may lose what was saved under the old key since it was loaded, and which brings a session
      // back that was deleted since.
      await swap(sessionKey, stored, async (current) => {
        if (current !== stored) {
          const data = applied(current.data, changes)
          const { revision } = moved.stored
          const updated = await engine.update(moved.sessionKey, withExpiry(data, client), revision)
          const { sessionKey } = updated
          moved = { sessionKey, stored: updated, data: updated.data, merged: true, isNew: true }
        }
        await engine.delete(sessionKey, current.revision)
      })
    } catch (error) {
      await engine.delete(moved.sessionKey) // nobody will ever hold this key
      throw error
    }
    return moved
  }

  /** Django writes the session again for this; asking for its key locks nothing, and writes to no disk. */
  async function confirm(sessionKey: string): Promise<void> {
    if (!keepsNothing && !(await engine.exists(sessionKey))) throw new SessionInterrupted()
  }

  return { keepsNothing, create, update, move, remove: (sessionKey) => engine.delete(sessionKey), confirm }
}

/** Sets `key` to a function of its old value; removes it where that gives undefined. */
export function computed(
  key: string,
  next: (stored: PickledValue | undefined) => unknown,
  values: SessionValues,
): Change {
  return (data) => {
    const stored = data.get(key)
    const value = next(stored === undefined ? undefined : values.parse(stored))
    if (value === undefined) data.delete(key)
    else data.set(key, values.stringify(value))
  }
}

export function removed(key: string): Change {
  return (data) => {
    data.delete(key)
  }
}

interface Waiting {
  readonly stored: StoredSession
  readonly changes: readonly Change[]
  readonly client: SessionClient | undefined
  readonly resolve: (committed: Committed) => void
  readonly reject: (error: unknown) => void
}

interface Outcome {
  readonly waiting: Waiting
  readonly data: SessionData
  readonly error?: unknown
}

function applied(base: SessionData, changes: readonly Change[]): SessionData {
  const data = new Map(base)
  for (const change of changes) change(data)
  return data
}
