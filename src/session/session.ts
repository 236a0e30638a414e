import {
  type ExpiryRules,
  expiryToStore,
  getExpireAtBrowserClose,
  getExpiryAge,
  getExpiryDate,
} from '../django/expiry.ts'
import { NotSerializable, type SessionData } from '../django/json.ts'
import type { PickledValue } from '../django/pickle/javascript.ts'
import { jsonValues, type SessionValues } from '../django/session-values.ts'
import { assigned, type Change, computed } from './changes.ts'
import { type SessionCommits, SessionInterrupted } from './commit.ts'
import type { Committed } from './commit-queue.ts'
import type { SessionClient, StoredSession } from './engine.ts'
import type { SessionEvents } from './events.ts'
import { savedSession } from './saved-session.ts'
import type { DeclaredSession, StoredValue } from './session-types.ts'

/** The key is not in the session. Source: Python's KeyError, which Django's `del session[key]` raises. */
export class KeyError extends Error {
  override name = 'KeyError'
  readonly code: string = 'ERR_SESSION_KEY'
}

export interface SessionOptions {
  /** What is stored under `sessionKey`; null for a new session. */
  readonly stored: StoredSession | null
  readonly sessionKey: string | null
  /** The client that makes the request, for engines that store it. */
  readonly client?: SessionClient | undefined
  readonly commits: SessionCommits
  readonly rules: ExpiryRules
  readonly now: () => Date
  /** Which values it may hold; default: those of JSON. */
  readonly values?: SessionValues
  /** Called after each save; default: null, and what changed is not looked for. */
  readonly onSave?: SessionEvents['save']
}

/** What `set` takes: JSON values; with the PickleSerializer `PickledValue`s. Undefined properties of objects are left out. */
export type Settable = unknown

/** A session, whichever type its keys were given. */
// biome-ignore lint/suspicious/noExplicitAny: nothing else takes a session of each type.
export type AnySession = Session<any>

const NO_DATA: SessionData = new Map()

const EXPIRY_KEY = '_session_expiry'
const TEST_COOKIE_KEY = 'testcookie'
const TEST_COOKIE_VALUE = 'worked'

/**
 * One visitor's session: Django's dictionary in camelCase, synchronous, with a log of the changes of this request.
 * `save` applies that log to what is stored then, so that concurrent requests lose nothing.
 * Source: django/contrib/sessions/backends/base.py, SessionBase.
 */
export class Session<T extends object = DeclaredSession> {
  /** Whether this request read the session. */
  accessed = true
  /** Whether this request changed it; set it to true after a change inside a stored object. */
  modified: boolean

  readonly #client: SessionClient | undefined
  readonly #commits: SessionCommits
  readonly #rules: ExpiryRules
  readonly #now: () => Date
  readonly #text: SessionValues
  readonly #onSave: SessionEvents['save']
  #stored: StoredSession | null
  #sessionKey: string | null
  #data: Map<string, string>
  /** Values that `get` returned or `set` took, with their text at that time. */
  readonly #values = new Map<string, { text: string; value: PickledValue }>()
  #changes: Change[] = []
  /** Whether this request has written; if so, only a later change needs another write. */
  #isSaved: boolean = false
  /** Whether that write ended in this turn of the event loop, so that no other request ran since. */
  #isFresh: boolean = false
  #outcome: 'loaded' | 'new' | 'saved' | 'merged' | 'interrupted' = 'loaded'
  /** Rises with each flush: a write that began before a flush must not restore the session. */
  #generation = 0
  #writes: Promise<void> = Promise.resolve()
  readonly #removals: Promise<void>[] = []

  constructor({
    stored,
    sessionKey,
    client,
    commits,
    rules,
    now,
    values = jsonValues,
    onSave = null,
  }: SessionOptions) {
    this.modified = stored?.isOutdated ?? false
    this.#client = client
    this.#stored = stored
    this.#sessionKey = sessionKey
    this.#data = new Map(stored?.data)
    this.#commits = commits
    this.#rules = rules
    this.#now = now
    this.#text = values
    this.#onSave = onSave
  }

  /** The key in the browser's cookie, or null for a session that was never saved. */
  get sessionKey(): string | null {
    return this.#sessionKey
  }

  /** Whether there is neither a key nor data. Source: base.py, is_empty. */
  get isEmpty(): boolean {
    return this.#sessionKey === null && this.#data.size === 0
  }

  get size(): number {
    return this.#entries().size
  }

  /** What this request did with the session, for a log line. `merged`: changes of another request were found and kept. */
  get outcome(): 'loaded' | 'new' | 'saved' | 'merged' | 'interrupted' {
    return this.#outcome
  }

  /** Returns the same object each time. A change inside an object is saved only after `modified = true`. */
  get<K extends keyof T & string>(key: K): T[K] | undefined
  get<K extends keyof T & string, D>(key: K, fallback: D): T[K] | D
  get(key: string, fallback?: unknown): unknown {
    const value = this.#read(key)
    return value === undefined ? fallback : value
  }

  /** @throws {KeyError} when the key is absent. */
  require<K extends keyof T & string>(key: K): T[K]
  require(key: string): unknown {
    const value = this.#read(key)
    if (value === undefined) throw missing(key)
    return value
  }

  has(key: string): boolean {
    return this.#entries().has(key)
  }

  /** @throws {NotSerializable} for a value that the serializer cannot store; Django throws when it saves. */
  set<K extends keyof T & string>(key: K, value: T[K]): void
  set(key: string, value: Settable): void {
    this.#write(key, value)
  }

  /** @throws {KeyError} when the key is absent. */
  delete(key: keyof T & string): void {
    if (!this.has(key)) throw missing(key)
    this.#remove(key)
  }

  /** Removes the key and returns its value. @throws {KeyError} when the key is absent and there is no fallback. */
  pop<K extends keyof T & string>(key: K): T[K]
  pop<K extends keyof T & string, D>(key: K, ...fallback: [D]): T[K] | D
  pop(key: string, ...fallback: [unknown?]): unknown {
    const value = this.#read(key)
    if (value === undefined) {
      if (fallback.length === 0) throw missing(key)
      return fallback[0]
    }
    this.#remove(key)
    return value
  }

  /** Returns the value; without one, stores `value` and returns it. A value that another request stored meanwhile stays. */
  setDefault<K extends keyof T & string>(key: K, value: T[K]): T[K]
  setDefault(key: string, value: Settable): unknown {
    const stored = this.#read(key)
    if (stored !== undefined) return stored
    const text = this.#text.stringify(value)
    this.#change((data) => {
      if (!data.has(key)) data.set(key, text)
    })
    this.#values.set(key, { text, value: value as PickledValue })
    return value
  }

  update(values: Partial<T>): void {
    this.accessed = true
    this.modified = true
    for (const [key, value] of Object.entries(values)) if (value !== undefined) this.#write(key, value)
  }

  /**
   * Sets a value that depends on the old one, such as a counter. When `next` returns undefined, the key is removed.
   * `next` is called now, and again at the save with what is stored then, so that nothing is lost or counted twice; its
   * result must depend on its argument alone. After `save`, `get(key)` returns the value that was stored.
   */
  compute<K extends keyof T & string>(key: K, next: (stored: StoredValue<T[K]> | undefined) => T[K]): T[K]
  compute(key: string, next: (stored: PickledValue | undefined) => Settable): unknown {
    if (this.#isChangedInside(key)) this.#rewrite(key)
    this.#change(computed(key, next, this.#text))
    return this.#read(key)
  }

  clear(): void {
    this.#change((data) => data.clear())
    this.#values.clear()
  }

  keys(): (keyof T & string)[] {
    return [...this.#entries().keys()] as (keyof T & string)[]
  }

  values(): T[keyof T & string][] {
    return this.keys().map((key) => this.require(key))
  }

  items(): [keyof T & string, T[keyof T & string]][] {
    return this.keys().map((key) => [key, this.require(key)])
  }

  [Symbol.iterator](): Iterator<[keyof T & string, T[keyof T & string]]> {
    return this.items()[Symbol.iterator]()
  }

  setTestCookie(): void {
    this.#write(TEST_COOKIE_KEY, TEST_COOKIE_VALUE)
  }

  testCookieWorked(): boolean {
    return this.#read(TEST_COOKIE_KEY) === TEST_COOKIE_VALUE
  }

  /** @throws {KeyError} when there is no test cookie. */
  deleteTestCookie(): void {
    this.delete(TEST_COOKIE_KEY as keyof T & string)
  }

  /**
   * When this session expires. A number: seconds after each save; 0: when the browser closes. A Date, or `{ seconds }`
   * from now: a fixed time. Null: the site's default. Source: base.py, set_expiry.
   */
  setExpiry(value: number | Date | { seconds: number } | null): void {
    const stored = expiryToStore(value, this.#rules, this.#now())
    if (stored === undefined) {
      if (this.has(EXPIRY_KEY)) this.delete(EXPIRY_KEY as keyof T & string)
    } else this.#write(EXPIRY_KEY, stored)
  }

  /** Seconds until this session expires. Source: base.py, get_expiry_age. */
  getExpiryAge(): number {
    return getExpiryAge(this.#read(EXPIRY_KEY), this.#rules, this.#now())
  }

  getExpiryDate(): Date {
    return getExpiryDate(this.#read(EXPIRY_KEY), this.#rules, this.#now())
  }

  getExpireAtBrowserClose(): boolean {
    return getExpireAtBrowserClose(this.#read(EXPIRY_KEY), this.#rules)
  }

  /**
   * Removes the data, the stored session and the key: logging out. The stored session is removed at once, as in Django.
   * The middleware waits for the promise if the caller does not. Source: base.py, flush.
   */
  flush(): Promise<void> {
    const sessionKey = this.#sessionKey
    this.clear()
    this.#sessionKey = null
    this.#stored = null
    this.#changes = []
    this.#generation += 1
    const removal = this.#enqueue(async () => {
      if (sessionKey !== null) await this.#commits.remove(sessionKey)
    })
    this.#removals.push(removal)
    return removal
  }

  /**
   * Moves the data to a new key: logging in. The new session is stored and the old one deleted at once, as in Django.
   * What another request saved under the old key meanwhile is kept.
   * Source: base.py, cycle_key.
   */
  cycleKey(): Promise<void> {
    this.accessed = true
    this.modified = true
    return this.#commit((changes) =>
      this.#commits.move(this.#sessionKey, this.#stored, changes, this.#client),
    )
  }

  /**
   * Writes the session now; a new session gets a new key. Without a change since the last save, only checks that the
   * session still exists.
   * @throws {SessionInterrupted} when the session was deleted meanwhile.
   */
  save(): Promise<void> {
    this.accessed = true
    return this.#commit(async (changes) => {
      if (this.#sessionKey === null || this.#stored === null) {
        this.modified = true // django/contrib/sessions/backends/db.py, create
        return this.#commits.create(new Map(this.#data), this.#client) // a copy: the data may change while this is written
      }
      if (this.#isSaved && changes.length === 0) {
        if (!this.#isFresh) await this.#commits.confirm(this.#sessionKey)
        return null
      }
      // The browser needs the new cookie: django/contrib/sessions/backends/signed_cookies.py, save.
      if (this.#commits.keepsNothing) this.modified = true
      return this.#commits.update(this.#sessionKey, this.#stored, changes, this.#client)
    })
  }

  /** Discards the changes since the load or the last save, and the errors of failed writes. */
  discardChanges(): void {
    this.#data = new Map(this.#stored?.data)
    this.#values.clear()
    this.#changes = []
    this.#writes = Promise.resolve()
    this.#outcome = 'loaded'
    this.modified = false
  }

  /**
   * Waits for the writes that the caller did not await.
   * @throws the error of the last write, or of a `flush` before it: a later write replaces a failed write, but it does not
   * remove the session that a failed flush left.
   */
  async settled(): Promise<void> {
    await this.#writes
    await Promise.all(this.#removals)
  }

  /** The keys whose values were changed inside since `get` returned them. */
  nestedChanges(): string[] {
    return [...this.#values.keys()].filter((key) => this.#isChangedInside(key))
  }

  #isChangedInside(key: string): boolean {
    const known = this.#values.get(key)
    if (known === undefined || typeof known.value !== 'object' || known.value === null) return false
    return this.#textOf(known.value) !== this.#textOf(this.#text.parse(known.text))
  }

  /** The value's text, to compare; null for a value that cannot be stored, which `save` refuses. */
  #textOf(value: PickledValue): string | null {
    try {
      return this.#text.stringify(value)
    } catch (error) {
      if (error instanceof NotSerializable) return null
      throw error
    }
  }

  #rewrite(key: string): void {
    const known = this.#values.get(key)
    if (known !== undefined) this.#write(key, known.value)
  }

  /** The data; reading it sets `accessed`, as Django's `_session` does. Source: base.py, _get_session. */
  #entries(): ReadonlyMap<string, string> {
    this.accessed = true
    return this.#data
  }

  #read(key: string): PickledValue | undefined {
    const text = this.#entries().get(key)
    if (text === undefined) return undefined
    const known = this.#values.get(key)
    if (known !== undefined && known.text === text) return known.value
    const value = this.#text.parse(text)
    this.#values.set(key, { text, value })
    return value
  }

  #write(key: string, value: Settable): void {
    const text = this.#text.stringify(value)
    this.#change(assigned(key, this.#data.get(key), text))
    // Django keeps the object itself, and writes its content at the save.
    this.#values.set(key, { text, value: value as PickledValue })
  }

  #remove(key: string): void {
    this.#change(assigned(key, this.#data.get(key), undefined))
    this.#values.delete(key)
  }

  #change(change: Change): void {
    change(this.#data)
    this.#changes.push(change)
    this.accessed = true
    this.modified = true
  }

  #commit(write: (changes: readonly Change[]) => Promise<Committed | null>): Promise<void> {
    const generation = this.#generation
    return this.#enqueue(async () => {
      if (generation !== this.#generation) return // flushed before this write began
      const { modified } = this
      for (const key of this.nestedChanges()) this.#rewrite(key)
      this.modified = modified // Django's save does not change it
      const changes = this.#changes
      const before = { sessionKey: this.#sessionKey, data: this.#stored?.data ?? NO_DATA }
      this.#changes = []
      try {
        const committed = await write(changes)
        if (committed === null) return
        if (generation === this.#generation) {
          this.#adopt(committed)
          this.#onSave?.(savedSession(before, changes, committed))
        } else await this.#commits.remove(committed.sessionKey) // flushed while this write was in flight
      } catch (error) {
        if (generation === this.#generation) this.#changes.unshift(...changes)
        if (error instanceof SessionInterrupted) this.#outcome = 'interrupted'
        throw error
      }
    })
  }

  #adopt({ sessionKey, stored, data, merged, isNew }: Committed): void {
    this.#sessionKey = sessionKey
    this.#stored = stored
    this.#data = new Map(data)
    for (const change of this.#changes) change(this.#data) // made while the write was in flight
    this.#isSaved = true
    this.#isFresh = stored.expireDate > this.#now() // a cache drops an expired session at once
    setImmediate(() => {
      this.#isFresh = false
    })
    if (merged) this.#outcome = 'merged'
    else if (this.#outcome === 'loaded') this.#outcome = isNew ? 'new' : 'saved'
  }

  /** Runs writes one after another, whether the caller awaits them or not. */
  #enqueue(write: () => Promise<void>): Promise<void> {
    const result = this.#writes.catch(() => {}).then(write)
    this.#writes = result
    result.catch(() => {}) // `settled` reports the error if the caller does not await this.
    return result
  }
}

function missing(key: string): KeyError {
  return new KeyError(`the session has no key ${JSON.stringify(key)}`)
}
