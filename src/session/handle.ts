import type { ExpiryRules } from '../django/expiry.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { isValidSessionKey, newSessionKey as randomSessionKey } from '../django/session-key.ts'
import { jsonValues, type SessionValues } from '../django/session-values.ts'
import { createSessionCommits } from './commit.ts'
import type { SessionClient, SessionEngine, StoredSession } from './engine.ts'
import { Session } from './session.ts'

/** What became of a request's session, for a log line. */
export type SessionOutcome = 'none' | 'loaded' | 'new' | 'saved' | 'merged' | 'interrupted' | 'unreadable'

/**
 * A request's session before anyone has looked at it: what `ctx.session` is. Nothing is loaded until `load`.
 * Source: django/contrib/sessions/middleware.py, process_request.
 */
export interface SessionHandle {
  /** Loads the session, once; the same object each time. */
  load<T extends object = Record<string, unknown>>(): Promise<Session<T>>
  /** Whether the session was looked at; then the response varies on the cookie. */
  readonly accessed: boolean
  readonly modified: boolean
  /** The key that the browser sent, or the session's own once it is loaded; null for none. */
  readonly sessionKey: string | null
  /** No key and no data, without loading anything. Source: base.py, is_empty. */
  readonly isEmpty: boolean
  /** Whether the row of the browser's key is there but does not verify; it is never written over. */
  readonly isUnreadable: boolean
  readonly outcome: SessionOutcome
  /** The session if it was loaded, else null. */
  readonly loaded: Session | null
}

export interface SessionsOptions {
  readonly engine: SessionEngine
  readonly rules: ExpiryRules
  /** What sessions may hold; JSON's values unless given. */
  readonly values?: SessionValues
  readonly now?: () => Date
  readonly newSessionKey?: () => string
  readonly conflictTimeout?: number
  /** Called for a row that does not verify, with the reason. The key is a secret: log a hash of it. */
  readonly onUnreadable?: (sessionKey: string, error: UnreadableSession) => void
  /** Called each time a write finds that another request has written first. */
  readonly onConflict?: () => void
}

/** Everything that requests share: the engine, and the queue of commits of each session. */
export interface Sessions {
  /**
   * The session of the browser that sent this key; a key that Django would not accept counts as none. `client` is for
   * engines that keep it, and is looked at by them only.
   */
  open(sessionKey: string | undefined, options?: { client?: SessionClient | undefined }): SessionHandle
}

export function createSessions({
  engine,
  rules,
  values = jsonValues,
  now = () => new Date(),
  newSessionKey = randomSessionKey,
  onUnreadable = () => {},
  ...options
}: SessionsOptions): Sessions {
  const commits = createSessionCommits({ engine, rules, values, now, newSessionKey, ...options })

  function open(
    sent: string | undefined,
    { client }: { client?: SessionClient | undefined } = {},
  ): SessionHandle {
    const sentKey = sent !== undefined && isValidSessionKey(sent) ? sent : null
    let loading: Promise<Session> | null = null
    let session: Session | null = null
    let isUnreadable = false

    async function read(): Promise<Session> {
      const stored = sentKey === null ? null : await loadOrNull(sentKey)
      // An unknown or expired key is never adopted, so nobody can choose another visitor's key.
      const sessionKey = stored === null ? null : sentKey
      session = new Session({ stored, sessionKey, client, commits, rules, now, values })
      return session
    }

    async function loadOrNull(sessionKey: string): Promise<StoredSession | null> {
      try {
        return await engine.load(sessionKey, client)
      } catch (error) {
        if (!(error instanceof UnreadableSession)) throw error
        // Unlike Django, which empties such a row and writes over it: it may be readable with another key.
        isUnreadable = true
        onUnreadable(sessionKey, error)
        return null
      }
    }

    return {
      load<T extends object>() {
        loading ??= read()
        return loading as Promise<unknown> as Promise<Session<T>>
      },
      get accessed() {
        return session?.accessed ?? false
      },
      get modified() {
        return session?.modified ?? false
      },
      get sessionKey() {
        return session === null ? sentKey : session.sessionKey
      },
      get isEmpty() {
        return session === null ? sentKey === null : session.isEmpty
      },
      get isUnreadable() {
        return isUnreadable
      },
      get outcome() {
        if (session === null) return 'none'
        if (isUnreadable) return 'unreadable'
        return session.outcome
      },
      get loaded() {
        return session
      },
    }
  }

  return { open }
}
