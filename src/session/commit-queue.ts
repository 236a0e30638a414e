import type { SessionData } from '../django/json.ts'
import { applied, type Change } from './changes.ts'
import type { KeyedSession, NewSession, SessionClient, StoredSession } from './engine.ts'
import type { Merge } from './merge.ts'

/** The result of a commit. */
export interface Committed {
  readonly sessionKey: string
  /** What is stored now. */
  readonly stored: StoredSession
  /** The data right after this request's changes; later commits may be in the same write. */
  readonly data: SessionData
  /** Whether changes of another request were found and kept. */
  readonly merged: boolean
  /** Whether the session is new; a session under a new key counts as new. */
  readonly isNew: boolean
}

export interface CommitQueueOptions {
  /** What is to be stored for this data. Throws for a `_session_expiry` on which Django fails too. */
  readonly newSession: (data: SessionData, client?: SessionClient) => NewSession
  /** What becomes of a key that this request set and that another request changed; default: what this request set. */
  readonly merge?: Merge
  /** Stores what `next` makes of the session; calls it again with what is stored now after a conflict. */
  readonly replace: (
    sessionKey: string,
    stored: StoredSession,
    next: (current: StoredSession) => NewSession,
  ) => Promise<KeyedSession>
}

export interface CommitQueue {
  /** Applies the changes of one request to the session that it loaded as `stored`. */
  commit(
    sessionKey: string,
    stored: StoredSession,
    changes: readonly Change[],
    client?: SessionClient,
  ): Promise<Committed>
}

/**
 * A queue of commits for each session key, so that requests of this process do not conflict with each other: one write is
 * in flight, and the commits that come meanwhile share the next one. A `Session` has at most one commit in the queue, so
 * the requests in progress bound it; a queue that is empty is removed.
 */
export function createCommitQueue({ newSession, merge, replace }: CommitQueueOptions): CommitQueue {
  const queues = new Map<string, PendingCommit[]>()

  /** The changes of each commit on top of the one before. A commit that cannot be stored fails alone and changes nothing. */
  function applyInTurn(base: SessionData, batch: readonly PendingCommit[]): Outcome[] {
    let data = base
    return batch.map((pending) => {
      try {
        const changed = applied(data, pending.changes, merge)
        newSession(changed) // only to see whether it throws
        data = changed
        return { pending, data }
      } catch (error) {
        return { pending, data, error }
      }
    })
  }

  /** Settles each commit of the batch. Returns what is stored then, or null when the write failed. */
  async function commitBatch(
    sessionKey: string,
    base: StoredSession,
    batch: readonly PendingCommit[],
  ): Promise<StoredSession | null> {
    try {
      let found = base
      let outcomes: readonly Outcome[] = []
      const stored = await replace(sessionKey, base, (current) => {
        found = current
        outcomes = applyInTurn(current.data, batch)
        // The client of the last commit, since its changes are applied last.
        return newSession(outcomes.at(-1)?.data ?? current.data, batch.at(-1)?.client)
      })
      for (const [at, { pending, data: own, error }] of outcomes.entries()) {
        const data = at === outcomes.length - 1 ? stored.data : own
        const merged = batch.length > 1 || found !== pending.stored
        if (error !== undefined) pending.reject(error)
        else pending.resolve({ sessionKey: stored.sessionKey, stored, data, merged, isNew: false })
      }
      return stored
    } catch (error) {
      for (const { reject } of batch) reject(error)
      return null
    }
  }

  async function drain(sessionKey: string, queue: PendingCommit[]): Promise<void> {
    let latest: StoredSession | null = null
    while (queue.length > 0) {
      const batch = queue.splice(0)
      // What this process has just written is newer than what any of these requests loaded.
      const base: StoredSession | undefined = latest ?? batch.at(-1)?.stored
      if (base !== undefined) latest = await commitBatch(sessionKey, base, batch)
    }
    queues.delete(sessionKey)
  }

  return {
    commit(sessionKey, stored, changes, client) {
      return new Promise((resolve, reject) => {
        const pending: PendingCommit = { stored, changes, client, resolve, reject }
        const queue = queues.get(sessionKey)
        if (queue !== undefined) {
          queue.push(pending)
          return
        }
        const started = [pending]
        queues.set(sessionKey, started)
        void drain(sessionKey, started)
      })
    },
  }
}

interface PendingCommit {
  readonly stored: StoredSession
  readonly changes: readonly Change[]
  readonly client: SessionClient | undefined
  readonly resolve: (committed: Committed) => void
  readonly reject: (error: unknown) => void
}

interface Outcome {
  readonly pending: PendingCommit
  readonly data: SessionData
  readonly error?: unknown
}
