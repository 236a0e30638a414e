import type { SessionData } from '../django/json.ts'
import { applied, type Change } from './changes.ts'
import type { Committed } from './commit-queue.ts'

/** What one save changed. It holds names of keys and no values. */
export interface SavedSession {
  /** A secret: log a hash of it. */
  readonly sessionKey: string
  /** The key before the save; null for a new session. It differs after a login, and with each save of `signed_cookies`. */
  readonly previousKey: string | null
  /** The keys that this request added, set to another value, and removed. */
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
  /** Whether another request had changed the session meanwhile, and those changes were kept. */
  readonly merged: boolean
  /** The keys that the other request added, changed or removed. */
  readonly kept: readonly string[]
}

/** Compares what this request loaded, what it made of that, and what was stored. `changes` are applied once more. */
export function savedSession(
  before: { sessionKey: string | null; data: SessionData },
  changes: readonly Change[],
  { sessionKey, data, merged }: Committed,
): SavedSession {
  const own = applied(before.data, changes)
  const { added, changed, removed } = differences(before.data, own)
  const others = merged ? differences(own, data) : NO_DIFFERENCES
  return {
    sessionKey,
    previousKey: before.sessionKey,
    added,
    changed,
    removed,
    merged,
    kept: [...others.added, ...others.changed, ...others.removed],
  }
}

interface Differences {
  readonly added: readonly string[]
  readonly changed: readonly string[]
  readonly removed: readonly string[]
}

const NO_DIFFERENCES: Differences = { added: [], changed: [], removed: [] }

function differences(before: SessionData, after: SessionData): Differences {
  const keys = [...after.keys()]
  return {
    added: keys.filter((key) => !before.has(key)),
    changed: keys.filter((key) => before.has(key) && before.get(key) !== after.get(key)),
    removed: [...before.keys()].filter((key) => !after.has(key)),
  }
}
