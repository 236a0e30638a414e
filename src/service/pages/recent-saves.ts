import { hash, randomBytes } from 'node:crypto'
import type { SavedSession } from '../../session/saved-session.ts'

/** One save of a session by this process: names of keys, no values. */
export interface RecentSave extends Pick<SavedSession, 'added' | 'changed' | 'removed' | 'merged' | 'kept'> {
  readonly at: Date
  /** What the save did with the session's key. `moved`: the data got a new key, as at a login. */
  readonly key: 'new' | 'same' | 'moved'
}

export interface RecentSaves {
  /** For `SessionEvents.save`. */
  record(saved: SavedSession): void
  /** The latest saves of the session with this key, newest first. */
  of(sessionKey: string): readonly RecentSave[]
}

/** How many sessions, saves of each, and keys of each list are remembered: some 2 MB where every list is full. */
const MOST_SESSIONS = 1000
const MOST_SAVES = 5
const MOST_KEYS = 10
const LONGEST_KEY = 60

/**
 * Remembers the latest saves of the sessions that this process saved last, in its memory alone. A session key is a secret:
 * only a hash of it is kept, together with a random text of the process.
 */
export function createRecentSaves({
  now = () => new Date(),
  mostSessions = MOST_SESSIONS,
}: {
  now?: () => Date
  mostSessions?: number
} = {}): RecentSaves {
  const secret = randomBytes(32).toString('base64')
  const nameOf = (sessionKey: string) => hash('sha256', secret + sessionKey, 'base64')
  /** The session that was saved last is the last entry. */
  const sessions = new Map<string, readonly RecentSave[]>()

  return {
    record({ sessionKey, previousKey, added, changed, removed, merged, kept }) {
      const name = nameOf(sessionKey)
      const previous = previousKey === null || previousKey === sessionKey ? name : nameOf(previousKey)
      const earlier = sessions.get(previous) ?? []
      sessions.delete(previous)
      const save: RecentSave = {
        at: now(),
        key: previousKey === null ? 'new' : previousKey === sessionKey ? 'same' : 'moved',
        added: shortened(added),
        changed: shortened(changed),
        removed: shortened(removed),
        merged,
        kept: shortened(kept),
      }
      sessions.set(name, [save, ...earlier.slice(0, MOST_SAVES - 1)])
      if (sessions.size <= mostSessions) return
      const [oldest = ''] = sessions.keys()
      sessions.delete(oldest)
    },
    of: (sessionKey) => sessions.get(nameOf(sessionKey)) ?? [],
  }
}

/** A session may have any number of keys, and each may be of any length. */
function shortened(keys: readonly string[]): readonly string[] {
  if (keys.length === 0) return keys
  const shown = keys
    .slice(0, MOST_KEYS)
    .map((key) => (key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY - 1)}…` : key))
  return keys.length > MOST_KEYS ? [...shown, `and ${keys.length - MOST_KEYS} more`] : shown
}
