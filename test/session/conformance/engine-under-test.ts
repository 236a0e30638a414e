import type { ExpiryRules } from '../../../src/django/expiry.ts'
import type { SessionEngine } from '../../../src/session/engine.ts'

/** An engine under test, on a clock that the tests set. */
export interface EngineUnderTest {
  readonly engine: SessionEngine
  readonly clock: { now: Date }
  /** Removes every session. */
  empty(): Promise<void>
  /** How many sessions are kept, expired ones too. */
  count(): Promise<number>
}

/**
 * What a medium can do. Every engine runs the same suite. A check is left out only where the medium lacks a trait that
 * the check needs. The suite then asserts what the engine does instead.
 */
export interface EngineTraits {
  /**
   * The key is a name for data that is kept elsewhere. Off: the key is the data (signed_cookies), so that each save
   * gives another key, no key is ever taken or deleted, and each key holds what it held.
   */
  readonly keepsData: boolean
  /** An update stores only over what its revision saw. Off: the later of two writers wins, whole. */
  readonly compares: boolean
  /** An expired session keeps its key until it is cleared. Off: it is gone by itself, and nothing is left to clear. */
  readonly keepsExpired: boolean
  /** Time is the clock that the tests set. Off: the medium has its own, and the tests wait. */
  readonly followsClock: boolean
  /**
   * Whatever expiry date a session was stored with is kept. Off: the medium knows at most when it was saved, and the date
   * follows, to the second, from that and the data (SESSION_COOKIE_AGE, `_session_expiry`).
   */
  readonly keepsExpireDate: boolean
  /** That date is kept to the millisecond. Off: to the second. */
  readonly keepsMilliseconds: boolean
  /** JSON text is kept to the letter. Off: the values are, and come back as Python prints them (pickles). */
  readonly keepsText: boolean
  /** A session whose `_session_expiry` is over is gone. Off: SESSION_COOKIE_AGE alone ends it, and the cookie's age. */
  readonly obeysExpiry: boolean
}

export const rules: ExpiryRules = {
  cookieAge: 1_209_600,
  expireAtBrowserClose: false,
  useTz: true,
  timeZone: 'UTC',
  storesIsoExpiry: true,
}
