import type { SessionData } from '../django/json.ts'

/** Whose request it is, as far as some sites keep it with the session. */
export interface SessionClient {
  /** The User-Agent header; '' for none. */
  readonly userAgent: string
  /** Such as 192.0.2.1 or 2001:db8::1; null where it is not known. */
  readonly ip: string | null
}

/** A session to be stored: its data, and when it expires. */
export interface NewSession {
  readonly data: SessionData
  readonly expireDate: Date
  /** Whose request stores it; absent where nobody says. */
  readonly client?: SessionClient | undefined
}

export interface StoredSession extends NewSession {
  /** What a later `update` compares with; opaque. */
  readonly revision: string
  /** Whether it is to be saved although nobody changed it: its engine keeps the client, which is another one now. */
  readonly isOutdated?: boolean
}

/** A stored session and the key the browser should hold. */
export interface KeyedSession extends StoredSession {
  readonly sessionKey: string
}

/** Where sessions are kept; one factory per medium in `engines/`. */
export interface SessionEngine {
  /** Whether the key itself is the data (signed_cookies): nothing is kept, so no session can be missing. */
  readonly keepsNothing?: boolean
  /**
   * The live session under this key, or null when there is none. Never writes: a row per unknown cookie is a DoS.
   * `client` is who asks, where that is known.
   * @throws {UnreadableSession} when there is one that does not verify.
   */
  load(sessionKey: string, client?: SessionClient): Promise<StoredSession | null>
  /** Whether the key is taken, by a live session or an expired one. */
  exists(sessionKey: string): Promise<boolean>
  /**
   * Stores a new session. What it gives is what is there now: some engines add to the data.
   * @throws {CreateError} when the key is taken.
   * @throws {SessionTooLarge} when the medium has no room for a session of this size; likewise `update`.
   */
  create(sessionKey: string, session: NewSession): Promise<KeyedSession>
  /**
   * Replaces the session that `revision` saw.
   * @throws {UpdateError} when it is gone.
   * @throws {ConflictError} when somebody else has written it since.
   */
  update(sessionKey: string, session: NewSession, revision: string): Promise<KeyedSession>
  /**
   * Removes the session; without `revision`, one that is not there is fine.
   * @throws {UpdateError} when the session that `revision` saw is gone.
   * @throws {ConflictError} when somebody else has written it since.
   */
  delete(sessionKey: string, revision?: string): Promise<void>
  /** Removes every expired session and gives their number. Source: `manage.py clearsessions`. */
  clearExpired(): Promise<number>
}

/** The key is taken. Source: django/contrib/sessions/backends/base.py, CreateError. */
export class CreateError extends Error {
  override name = 'CreateError'
  readonly code: string = 'ERR_SESSION_CREATE'
}

/** The session is gone. Source: django/contrib/sessions/backends/base.py, UpdateError. */
export class UpdateError extends Error {
  override name = 'UpdateError'
  readonly code: string = 'ERR_SESSION_UPDATE'
}

/** The session is not what was loaded: another request has saved it meanwhile. Django has no such check. */
export class ConflictError extends Error {
  override name = 'ConflictError'
  readonly code: string = 'ERR_SESSION_CONFLICT'
}
