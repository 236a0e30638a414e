import { mapFailures } from '../concurrency/map-failures.ts'
import type { ExpiryRules } from '../django/expiry.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { isValidSessionKey, newSessionKey as randomSessionKey } from '../django/session-key.ts'
import { jsonValues, type SessionValues } from '../django/session-values.ts'
import { type CheckedSession, checkSession, type MisfitPolicy } from './checked-session.ts'
import { createSessionCommits, type SessionCommits } from './commit.ts'
import type { SessionClient, SessionEngine, StoredSession } from './engine.ts'
import { guardEvents, type SessionEvents } from './events.ts'
import type { MergePolicies } from './merge-policies.ts'
import { Session } from './session.ts'
import type { DeclaredSession } from './session-types.ts'
import type { StandardSchema } from './standard-schema.ts'
import { tracedCommits } from './traced-commits.ts'
import { tracedLoad } from './tracing.ts'

/** What happened to a request's session, for a log line. */
export type SessionOutcome = 'none' | 'loaded' | 'new' | 'saved' | 'merged' | 'interrupted' | 'unreadable'

/**
 * A request's session before it is loaded: `ctx.session`. Nothing is loaded until `load`.
 * Source: django/contrib/sessions/middleware.py, process_request.
 */
export interface SessionHandle {
  /** Loads the session once; returns the same object each time. */
  load<T extends object = DeclaredSession>(): Promise<Session<T>>
  /**
   * Loads the session and checks its data by a schema, which may be asynchronous. Returns the session, what the schema made
   * of it (`values`), and by key what does not fit (`misfits`). Default: `throw`.
   * @throws {SessionMisfit}
   */
  load<S extends StandardSchema, Policy extends MisfitPolicy = 'throw'>(
    schema: S,
    options?: { readonly misfits?: Policy },
  ): Promise<CheckedSession<S, Policy>>
  /** Whether the request read the session; if so, the response has `Vary: Cookie`. */
  readonly accessed: boolean
  readonly modified: boolean
  /** The key that the browser sent; once loaded, the session's own. Null without one. */
  readonly sessionKey: string | null
  /** Whether there is neither a key nor data. Loads nothing. Source: base.py, is_empty. */
  readonly isEmpty: boolean
  /** Whether the stored session of the browser's key cannot be read; it is never overwritten. */
  readonly isUnreadable: boolean
  readonly outcome: SessionOutcome
  /** The session if it is loaded, else null. */
  readonly loaded: Session | null
}

/** The options of `createSessions`. */
export interface SessionsOptions {
  readonly engine: SessionEngine
  readonly rules: ExpiryRules
  /** Which values sessions may hold; default: those of JSON. */
  readonly values?: SessionValues
  /**
   * What becomes of a key that a request set and that another request changed meanwhile, as SESSION_MERGE of the Django
   * engine merging_sessions: `{ num_visits: 'add', cart: 'union', '*': 'last' }`.
   */
  readonly merge?: MergePolicies | undefined
  readonly now?: () => Date
  readonly newSessionKey?: () => string
  readonly conflictTimeout?: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
  /** Listeners: `unreadable` and `conflict` happen here. */
  readonly events?: Partial<SessionEvents>
  /** Replaces an error of the engine, or of a save, before the request gets it. */
  readonly mapFailure?: (error: unknown) => unknown
}

/** What all requests share: the engine, and the commit queue of each session. */
export interface Sessions {
  /**
   * The session of the browser that sent this key; a key that Django would reject counts as none. Only engines that
   * store the client read `client`.
   */
  open(sessionKey: string | undefined, options?: { client?: SessionClient | undefined }): SessionHandle
}

/** Opens sessions on any engine, for a server or a script without a framework. */
export function createSessions({
  engine,
  rules,
  values = jsonValues,
  now = () => new Date(),
  newSessionKey = randomSessionKey,
  events: listeners,
  mapFailure = (error) => error,
  merge: policies,
  ...options
}: SessionsOptions): Sessions {
  const events = guardEvents(listeners)
  const own = createSessionCommits({
    engine,
    rules,
    values,
    policies,
    now,
    newSessionKey,
    events,
    ...options,
  })
  const commits = mapFailures(tracedCommits(own), mapFailure)
  const shared = { engine, commits, rules, values, now, events, mapFailure }
  return { open: (sent, { client } = {}) => new LazySession(sent, client, shared) }
}

/** What the sessions of all requests share. */
type Shared = Pick<Required<SessionsOptions>, 'engine' | 'rules' | 'values' | 'now' | 'mapFailure'> & {
  readonly commits: SessionCommits
  readonly events: SessionEvents
}

/** A class: V8 makes a hidden class for each object literal with getters, and keeps it long after the request. */
class LazySession implements SessionHandle {
  readonly #sentKey: string | null
  readonly #client: SessionClient | undefined
  readonly #shared: Shared
  #loading: Promise<Session> | null = null
  #session: Session | null = null
  #isUnreadable: boolean = false

  constructor(sent: string | undefined, client: SessionClient | undefined, shared: Shared) {
    this.#sentKey = sent !== undefined && isValidSessionKey(sent) ? sent : null
    this.#client = client
    this.#shared = shared
  }

  load<T extends object>(): Promise<Session<T>>
  load<S extends StandardSchema, Policy extends MisfitPolicy>(
    schema: S,
    options?: { readonly misfits?: Policy },
  ): Promise<CheckedSession<S, Policy>>
  load(
    ...[schema, { misfits = 'throw' } = {}]: [schema?: StandardSchema, options?: { misfits?: MisfitPolicy }]
  ): Promise<unknown> {
    this.#loading ??= this.#read()
    if (schema === undefined) return this.#loading
    const { values: texts } = this.#shared
    return this.#loading.then((session) => checkSession(session, schema, { policy: misfits, texts }))
  }

  get accessed(): boolean {
    return this.#session?.accessed ?? false
  }

  get modified(): boolean {
    return this.#session?.modified ?? false
  }

  get sessionKey(): string | null {
    return this.#session === null ? this.#sentKey : this.#session.sessionKey
  }

  get isEmpty(): boolean {
    return this.#session === null ? this.#sentKey === null : this.#session.isEmpty
  }

  get isUnreadable(): boolean {
    return this.#isUnreadable
  }

  get outcome(): SessionOutcome {
    if (this.#session === null) return 'none'
    if (this.#isUnreadable) return 'unreadable'
    return this.#session.outcome
  }

  get loaded(): Session | null {
    return this.#session
  }

  async #read(): Promise<Session> {
    const stored = this.#sentKey === null ? null : await this.#loadOrNull(this.#sentKey)
    // An unknown or expired key is never adopted: an attacker could choose the key of another visitor.
    const sessionKey = stored === null ? null : this.#sentKey
    this.#session = new Session({
      ...this.#shared,
      stored,
      sessionKey,
      client: this.#client,
      onSave: this.#shared.events.save,
    })
    return this.#session
  }

  async #loadOrNull(sessionKey: string): Promise<StoredSession | null> {
    const { engine, events, mapFailure } = this.#shared
    try {
      return await tracedLoad(engine, sessionKey, this.#client)
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw mapFailure(error)
      // Unlike Django, which treats such a session as empty and overwrites it: another SECRET_KEY may verify it.
      this.#isUnreadable = true
      events.unreadable(sessionKey, error)
      return null
    }
  }
}
