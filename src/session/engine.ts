import type { SessionData } from '../django/json.ts'

/** The client that makes the request; some sites store it with the session. */
export interface SessionClient {
  /** The User-Agent header; '' without one. */
  readonly userAgent: string
  /** Such as 192.0.2.1 or 2001:db8::1; null when unknown. */
  readonly ip: string | null
}

/** A session to be stored: its data, and when it expires. */
export interface NewSession {
  readonly data: SessionData
  readonly expireDate: Date
  /** The client whose request stores it; absent when unknown. */
  readonly client?: SessionClient | undefined
}

/** Who saved a session, as far as the storage shows it: Django, or this package in any process. */
export type SessionWriter = 'django' | 'here' | 'unknown'

/** A session that an engine has loaded. */
export interface StoredSession extends NewSession {
  /** Who saved it; absent where the engine cannot tell. */
  readonly writer?: SessionWriter
  /** Opaque; a later `update` compares it with what is stored then. */
  readonly revision: string
  /** Whether to save it even without a change: the engine stores the client, and another client loaded it now. */
  readonly isOutdated?: boolean
}

/** A stored session, and the key for the browser's cookie. */
export interface KeyedSession extends StoredSession {
  readonly sessionKey: string
}

/** Stores sessions; one factory per storage in `engines/`. */
export interface SessionEngine {
  /** Whether the key itself holds the data (signed_cookies). Nothing is stored, so no session can be missing. */
  readonly keepsNothing?: boolean
  /**
   * The live session under this key, or null when there is none. Never writes: otherwise requests with
   * unknown cookies could fill the table. `client` makes the request; absent when unknown.
   * @throws {UnreadableSession} when the stored session cannot be read.
   */
  load(sessionKey: string, client?: SessionClient): Promise<StoredSession | null>
  /** Whether there is a session under this key, live or expired. */
  exists(sessionKey: string): Promise<boolean>
  /**
   * Stores a new session. Returns what is stored now: some engines add to the data.
   * @throws {CreateError} when the key is taken.
   * @throws {SessionTooLarge} when the storage cannot hold a session of this size; `update` throws it too.
   */
  create(sessionKey: string, session: NewSession): Promise<KeyedSession>
  /**
   * Replaces the session, if it still has this revision.
   * @throws {UpdateError} when it is gone.
   * @throws {ConflictError} when another request has written it since.
   */
  update(sessionKey: string, session: NewSession, revision: string): Promise<KeyedSession>
  /**
   * Removes the session. With `revision`: only if it still has this revision. Without: also when there is none.
   * @throws {UpdateError} when `revision` is given and the session is gone.
   * @throws {ConflictError} when another request has written it since.
   */
  delete(sessionKey: string, revision?: string): Promise<void>
  /** Removes every expired session; returns how many. Source: `manage.py clearsessions`. */
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

/** Whether the change was stored is not known. It must not be repeated: it would count twice. */
export class UncertainWrite extends Error {
  override name = 'UncertainWrite'
  readonly code: string = 'ERR_SESSION_UNCERTAIN'
}

/** Another request has saved the session since it was loaded. Unlike Django, which does not check this. */
export class ConflictError extends Error {
  override name = 'ConflictError'
  readonly code: string = 'ERR_SESSION_CONFLICT'
}
