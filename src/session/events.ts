import type { DecodedSession } from '../django/session-data.ts'
import type { UnreadableSession } from '../django/unreadable-session.ts'
import type { SessionWriter } from './engine.ts'
import type { SavedSession } from './saved-session.ts'
import { createListenerWarning } from './warnings.ts'

/**
 * What happens to sessions, for logs and counters: one listener for each event. A listener that throws, or whose promise
 * rejects, fails no request; a warning of the process names it (`SESSION_LISTENER_FAILED`).
 */
export interface SessionEvents {
  /** A stored session cannot be read. It stays as it is. The key is a secret: log a hash of it. */
  unreadable(sessionKey: string, error: UnreadableSession): void
  /**
   * A write found that another request has written first; it is repeated on what is stored now. `winner`: who has written
   * that.
   */
  conflict(winner?: SessionWriter): void
  /** A statement is repeated because the database refused it for the moment, with this error. */
  retry(error: unknown): void
  /** An operation on the cache of sessions failed. */
  cacheFailure(failure: CacheFailure): void
  /** A session was looked up, for a request or after a conflict. */
  load(outcome: LoadOutcome): void
  /** A stored session was read, with the key that verified it: a key that verifies no session can be dropped. */
  decode(decoded: DecodedSession): void
  /**
   * Values of these keys were changed inside, but will not be saved; Django loses such changes silently. Null: they are
   * not looked for, which takes time.
   */
  readonly lostChange: ((keys: readonly string[]) => void) | null
  /** A session was saved, with the keys that changed. Null: they are not looked for, which takes time. */
  readonly save: ((saved: SavedSession) => void) | null
}

/** `missing`: unknown or expired; `failed`: the storage did not answer. */
export type LoadOutcome = 'found' | 'missing' | 'unreadable' | 'failed'

/** What the event `cacheFailure` reports: an operation on the cache that failed. */
export interface CacheFailure {
  readonly error: unknown
  /** How many removals wait for the cache now. */
  readonly owed: number
  /** How many removals were given up: Django serves these entries until they expire. */
  readonly givenUp: number
}

/** Listeners that do nothing. */
export const NO_EVENTS: SessionEvents = Object.freeze({
  unreadable() {},
  conflict() {},
  retry() {},
  cacheFailure() {},
  load() {},
  decode() {},
  lostChange: null,
  save: null,
})

const guarded = new WeakSet<object>()

/**
 * Every event of `given`, else of `defaults`, else nothing; calling one never throws. What this function returned comes
 * back as it is, so each part that takes events can call it.
 */
export function guardEvents(
  given: Partial<SessionEvents> = {},
  defaults: Partial<SessionEvents> = {},
): SessionEvents {
  if (guarded.has(given)) return given as SessionEvents
  const warn = createListenerWarning()
  const guard = <P extends readonly unknown[]>(
    event: keyof SessionEvents,
    listener: (...parameters: P) => unknown,
  ) => {
    return (...parameters: P): void => {
      try {
        const returned = Reflect.apply(listener, given, parameters) // `given` may be an instance of a class
        if (returned instanceof Promise) returned.catch((error) => warn(`events.${event}`, error))
      } catch (error) {
        warn(`events.${event}`, error)
      }
    }
  }
  const pick = <E extends keyof SessionEvents>(event: E): SessionEvents[E] =>
    given[event] ?? defaults[event] ?? NO_EVENTS[event]
  const lostChange = given.lostChange === null ? null : pick('lostChange')
  const save = given.save === null ? null : pick('save')
  const events: SessionEvents = {
    unreadable: guard('unreadable', pick('unreadable')),
    conflict: guard('conflict', pick('conflict')),
    retry: guard('retry', pick('retry')),
    cacheFailure: guard('cacheFailure', pick('cacheFailure')),
    load: guard('load', pick('load')),
    decode: guard('decode', pick('decode')),
    lostChange: lostChange && guard('lostChange', lostChange),
    save: save && guard('save', save),
  }
  guarded.add(events)
  return Object.freeze(events)
}
