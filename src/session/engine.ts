import type { SessionData } from '../django/json.ts'

/** A session to be stored: its data, and when it expires. */
export interface NewSession {
  readonly data: SessionData
  readonly expireDate: Date
}

export interface StoredSession extends NewSession {
  /** What a later `update` compares with; opaque. */
  readonly revision: string
}

/** A stored session and the key the browser should hold. */
export interface KeyedSession extends StoredSession {
  readonly sessionKey: string
}

/** Where sessions are kept; one factory per medium in `engines/`. */
export interface SessionEngine {
  /**
   * The live session under this key, or null when there is none. Never writes: a row per unknown cookie is a DoS.
   * @throws {UnreadableSession} when there is one that does not verify.
   */
  load(sessionKey: string): Promise<StoredSession | null>
  /** Whether the key is taken, by a live session or an expired one. */
  exists(sessionKey: string): Promise<boolean>
  /** Stores a new session. @throws {CreateError} when the key is taken. */
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
