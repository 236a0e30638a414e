import type { Auth, SessionReader } from '../auth/auth.ts'
import { SESSION_KEY } from '../auth/hash-proofs.ts'
import { userId } from '../auth/user-id.ts'
import type { UserIdType } from '../auth/user-model.ts'
import { withDeadline } from '../concurrency/deadline.ts'
import type { SessionData } from '../django/json.ts'
import type { SessionValues } from '../django/session-values.ts'
import { createListenerWarning, createWatchWarning } from '../session/warnings.ts'
import type { WatchedStates, WatchSource } from './watch-source.ts'

/**
 * Why a watched connection must end. `logout`: the session is gone, or no user is logged in on it any more. `expired`: it
 * has expired. `deactivated`, `deleted`: its user was. `password`: its hash does not match the user's password any more.
 * `login`: another user is logged in on it. `unverified`: it or its user cannot be verified here any more. `unknown`: the
 * storage has not answered for too long.
 */
export type WatchEnd =
  | 'logout'
  | 'expired'
  | 'deactivated'
  | 'deleted'
  | 'password'
  | 'login'
  | 'unverified'
  | 'unknown'

/** A connection that is watched. */
export interface Watch {
  /** Ends the watch, without a call of `onEnd`. Call it when the connection closes by itself. */
  stop(): void
}

/** How often a site looks at the sessions that it watches, and how long it waits for a database that is away. */
export interface WatchOptions {
  /** Milliseconds between two reads; default: 1000. */
  readonly interval?: number
  /** Milliseconds for which connections stay open while the storage does not answer; default: 60,000. */
  readonly unknownAfter?: number
}

/** Who was let in: the session, and its user (null: an anonymous visitor). */
export interface WatchedVisitor {
  readonly sessionKey: string | null
  readonly userId: string | null
}

export interface SessionWatchOptions extends WatchOptions {
  readonly source: WatchSource
  readonly auth: Pick<Auth, 'identify'>
  /** The type of the user's primary key. */
  readonly idType: UserIdType
  readonly values: Pick<SessionValues, 'parse'>
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

export interface SessionWatch {
  /** Watches the session of the visitor, as soon as it is known who that is. */
  watch(identify: () => WatchedVisitor | Promise<WatchedVisitor>, onEnd: (reason: WatchEnd) => void): Watch
  /** Ends all watches, without a call of their `onEnd`. */
  close(): void
}

/** Sessions, with a user each, that one statement reads, and the characters of their keys and ids. */
const STATEMENT = { sessions: 10_000, characters: 1024 * 1024 } as const

/** Sessions whose data one statement reads, and the characters of it. The others have their turn in the next round. */
const DATA = { sessions: 1000, characters: 4 * 1024 * 1024 } as const

/** The listener's name in a warning. */
const LISTENER = 'onEnd of site.watch'

/** One session, for all of its connections. */
interface Entry {
  readonly sessionKey: string
  readonly watchers: Set<Watcher>
  /** The user whom the session names, verified or not. */
  named: string | null
  /** What was stored at the last round; null before the first. */
  version: string | null
  size: number
  expires: string
  /** What the user's row showed; null before the first round, or without a row. */
  userVersion: string | null
  /** Whether this version of the session and of its user was verified. */
  isVerified: boolean
}

/** Who is logged in on a session now; and, for a connection of another visitor, what has happened. */
interface Judgement {
  readonly userId: string | null
  readonly reason: WatchEnd
}

/**
 * Watches the sessions of open connections, which send no further requests that could find out that their session ended.
 * A round reads all of them: not their data, but whether each row is there, live and unchanged. Only the data of a session
 * that was changed is read, in the next round, and its user is verified anew, as at each request. No round runs while
 * nothing is watched.
 */
export function createSessionWatch({
  source,
  auth,
  idType,
  values,
  interval = 1000,
  unknownAfter = 60_000,
  monotonic = () => performance.now(),
}: SessionWatchOptions): SessionWatch {
  const entries = new Map<string, Entry>()
  /** Watches whose visitor is not known yet. */
  const starting = new Set<Starting>()
  let timer: NodeJS.Timeout | null = null
  let isReading = false
  /** When the first of the rounds began that have had no answer since; null after an answer. */
  let unansweredSince: number | null = null

  const warnOfFailure = createWatchWarning(monotonic)
  const warnOfListener = createListenerWarning()
  function end(watcher: Watcher, reason: WatchEnd): void {
    const { onEnd } = watcher
    watcher.stop()
    try {
      const returned: unknown = onEnd(reason)
      if (returned instanceof Promise) returned.catch((error) => warnOfListener(LISTENER, error))
    } catch (error) {
      warnOfListener(LISTENER, error)
    }
  }

  function endAll(watchers: Iterable<Watcher>, reason: WatchEnd): void {
    for (const watcher of [...watchers]) end(watcher, reason)
  }

  const isIdle = () => entries.size === 0 && starting.size === 0

  function startTimer(): void {
    timer ??= setInterval(tick, interval).unref()
  }

  function stopTimer(): void {
    if (timer !== null) clearInterval(timer)
    timer = null
    unansweredSince = null
  }

  function tick(): void {
    if (isIdle()) {
      stopTimer()
      return
    }
    const now = monotonic()
    for (const one of [...starting]) {
      if (now - one.since > unknownAfter) end(one.watcher, 'unknown')
      else if (!one.isAsking) void begin(one)
    }
    if (unansweredSince !== null && now - unansweredSince > unknownAfter) {
      unansweredSince = null
      for (const { watchers } of [...entries.values()]) endAll(watchers, 'unknown')
    }
    if (!isReading && entries.size > 0) void round()
  }

  async function begin(one: Starting): Promise<void> {
    one.isAsking = true
    try {
      const visitor = await one.identify()
      if (!starting.delete(one)) return
      if (visitor.sessionKey === null) return end(one.watcher, 'logout')
      join(visitor.sessionKey, visitor.userId, one.watcher)
    } catch (error) {
      warnOfFailure(error)
    } finally {
      one.isAsking = false
    }
  }

  function join(sessionKey: string, visitor: string | null, watcher: Watcher): void {
    let entry = entries.get(sessionKey)
    if (entry === undefined) {
      entry = {
        sessionKey,
        watchers: new Set(),
        named: visitor,
        version: null,
        size: 0,
        expires: '',
        userVersion: null,
        isVerified: false,
      }
      entries.set(sessionKey, entry)
    }
    entry.isVerified = false
    entry.watchers.add(watcher)
    watcher.userId = visitor
    watcher.leave = () => {
      entry.watchers.delete(watcher)
      if (entry.watchers.size === 0 && entries.get(sessionKey) === entry) entries.delete(sessionKey)
    }
  }

  async function round(): Promise<void> {
    isReading = true
    unansweredSince ??= monotonic()
    try {
      for (const asked of statementsOf([...entries.values()])) {
        const userIds = new Set(asked.map(({ named }) => named).filter((id) => id !== null))
        const found = await withDeadline(
          source.read({
            sessionKeys: asked.map(({ sessionKey }) => sessionKey),
            dataOf: unverifiedOf(asked).map(({ sessionKey }) => sessionKey),
            userIds: [...userIds],
          }),
          unknownAfter,
          { onLate: late },
        )
        for (const entry of asked)
          if (entries.get(entry.sessionKey) === entry) await judge(entry, found, userIds)
      }
      unansweredSince = null
    } catch (error) {
      warnOfFailure(error)
    } finally {
      isReading = false
    }
  }

  async function judge(entry: Entry, found: WatchedStates, asked: ReadonlySet<string>): Promise<void> {
    const state = found.sessions.get(entry.sessionKey)
    if (state === undefined)
      return endAll(entry.watchers, source.hasExpired(entry.expires) ? 'expired' : 'logout')
    if (!state.isLive) return endAll(entry.watchers, 'expired')
    const user = entry.named === null ? undefined : found.users.get(entry.named)
    const userVersion = user?.version ?? null
    // The texts of the last round are kept where nothing has changed, so that those of this one can go.
    if (state.version !== entry.version) {
      entry.version = state.version
      entry.isVerified = false
    }
    if (userVersion !== entry.userVersion) {
      entry.userVersion = userVersion
      entry.isVerified = false
    }
    if (state.expires !== entry.expires) entry.expires = state.expires
    entry.size = state.size
    if (entry.isVerified) return
    if (user === undefined && entry.named !== null && asked.has(entry.named))
      for (const watcher of [...entry.watchers]) if (watcher.userId === entry.named) end(watcher, 'deleted')
    if (state.data === undefined) return
    const judgement = await judgementOf(entry, state.data, found, asked).catch(() => UNVERIFIED)
    if (judgement === null) return
    entry.isVerified = true
    // To the end: where more sessions change than a round reads, each has its turn.
    entries.delete(entry.sessionKey)
    entries.set(entry.sessionKey, entry)
    for (const watcher of [...entry.watchers])
      if (watcher.userId !== judgement.userId) end(watcher, judgement.reason)
  }

  /** Null if the session names a user whose row was not asked for: the next round asks. */
  async function judgementOf(
    entry: Entry,
    data: SessionData | null,
    found: WatchedStates,
    asked: ReadonlySet<string>,
  ): Promise<Judgement | null> {
    if (data === null) return UNVERIFIED
    const session = readerOf(data, values)
    const before = entry.named
    entry.named = userId(session.get(SESSION_KEY), idType)
    if (entry.named === null) return { userId: null, reason: 'logout' }
    if (!asked.has(entry.named)) return null
    const user = found.users.get(entry.named)
    const identity = await auth.identify(session, async () => user?.row ?? null)
    if (identity.user.isAuthenticated) return { userId: entry.named, reason: 'login' }
    if (entry.named !== before) return { userId: null, reason: 'login' }
    if (user === undefined) return { userId: null, reason: 'deleted' }
    if (identity.verdict !== 'nobody') return { userId: null, reason: 'password' }
    return { userId: null, reason: user.isActive ? 'unverified' : 'deactivated' }
  }

  return {
    watch(identify, onEnd) {
      const watcher: Watcher = new Watcher(onEnd)
      const one: Starting = { watcher, identify, since: monotonic(), isAsking: false }
      starting.add(one)
      watcher.leave = () => void starting.delete(one)
      startTimer()
      void begin(one)
      return watcher
    },

    close() {
      stopTimer()
      for (const { watcher } of [...starting]) watcher.stop()
      for (const { watchers } of [...entries.values()]) for (const watcher of [...watchers]) watcher.stop()
    },
  }
}

const UNVERIFIED: Judgement = { userId: null, reason: 'unverified' }

/** A class, since there is one for each connection: a closure for each method would need more memory. */
class Watcher implements Watch {
  onEnd: (reason: WatchEnd) => unknown
  /** The user who was logged in when the connection was let in. */
  userId: string | null = null
  leave: () => void = nothing

  constructor(onEnd: (reason: WatchEnd) => unknown) {
    this.onEnd = onEnd
  }

  stop(): void {
    this.leave()
    this.leave = nothing
    this.onEnd = nothing
  }
}

interface Starting {
  readonly watcher: Watcher
  readonly identify: () => WatchedVisitor | Promise<WatchedVisitor>
  readonly since: number
  isAsking: boolean
}

function nothing(): void {}

function late(): never {
  throw new Error('the storage has not answered a watch in time')
}

/** The entries in groups of which each fits a statement. */
function* statementsOf(all: readonly Entry[]): Generator<readonly Entry[]> {
  let group: Entry[] = []
  let characters = 0
  for (const entry of all) {
    const length = entry.sessionKey.length + 2 * (entry.named?.length ?? 0)
    const isFull = group.length === STATEMENT.sessions || characters + length > STATEMENT.characters
    if (isFull && group.length > 0) {
      yield group
      group = []
      characters = 0
    }
    group.push(entry)
    characters += length
  }
  if (group.length > 0) yield group
}

/** The entries whose data the statement reads. Their size is known from an earlier round. */
function unverifiedOf(group: readonly Entry[]): Entry[] {
  const chosen: Entry[] = []
  let characters = 0
  for (const entry of group) {
    if (entry.isVerified || entry.version === null) continue
    if (chosen.length > 0 && characters + entry.size > DATA.characters) continue
    chosen.push(entry)
    characters += entry.size
    if (chosen.length === DATA.sessions) break
  }
  return chosen
}

function readerOf(data: SessionData, values: Pick<SessionValues, 'parse'>): SessionReader {
  return {
    has: (key) => data.has(key),
    get(key) {
      const text = data.get(key)
      return text === undefined ? undefined : values.parse(text)
    },
    keys: () => [...data.keys()],
  }
}
