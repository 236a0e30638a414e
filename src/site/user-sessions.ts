import { SESSION_KEY } from '../auth/hash-proofs.ts'
import { userId } from '../auth/user-id.ts'
import { type UserIdType, userModel } from '../auth/user-model.ts'
import { createUserRows } from '../auth/user-rows.ts'
import { checkObject } from '../checks/check-values.ts'
import { createDateColumn, TIME_DEFAULTS } from '../django/datetime.ts'
import type { SessionData } from '../django/json.ts'
import type { UnreadableReason } from '../django/session-data.ts'
import { DEFAULT_SESSION_ENGINE } from '../django/session-engines.ts'
import { isStorableKey } from '../django/session-key.ts'
import { type SessionValues, sessionValues } from '../django/session-values.ts'
import { saltedHmac } from '../django/signing.ts'
import { unlessUnreadable } from '../django/unreadable-session.ts'
import type { PagesOptions, SessionFacts, SessionInventory, UserIdText } from '../engines/inventory.ts'
import { ConflictError, UpdateError } from '../session/engine.ts'
import { guardEvents } from '../session/events.ts'
import { databaseKindOf } from '../sql/dialect.ts'
import { checkDatabase } from './check-database.ts'
import { checkOptions } from './check-options.ts'
import { type WithProfile, withProfile } from './django-version.ts'
import { openSiteEngine } from './site-engine.ts'
import type { DjangoAuthOptions, DjangoSessionsOptions } from './site-options.ts'

/**
 * A user: by the column of USERNAME_FIELD in the database of the sessions, or by primary key, also of a user that was
 * deleted.
 */
export type UserChoice = { readonly username: string } | { readonly id: string | number | bigint }

/** A live session of a user. Its key, which is a secret, is not part of it. */
export interface UserSession extends SessionFacts {
  /** A short hash of the session key with SECRET_KEY: the same session has the same id in each list. */
  readonly id: string
  readonly expires: Date
}

/** How much of the sessions is read by one call. */
export interface ScanOptions {
  /** The `next` of an earlier call, to go on from there. */
  readonly after?: string
  /** The most sessions that are read, of any user; default for `userSessions`: 10,000, for `logoutUser`: all. */
  readonly limit?: number
  /** Ends the work after the running step. */
  readonly signal?: AbortSignal
  /** Called after each step. `scanned`: sessions read so far, live or expired, of any user. */
  readonly onProgress?: (progress: { readonly scanned: number; readonly found: number }) => void
}

/** What was read. */
export interface Scanned {
  readonly scanned: number
  /** Live sessions that cannot be read, by reason: whose sessions they are is not known. */
  readonly unreadable: Readonly<Partial<Record<UnreadableReason, number>>>
  /** Where to go on; null when everything was read. It is not a session key. */
  readonly next: string | null
}

/** Some sessions of a user, as `userSessions` returns them. */
export interface UserSessionPage extends Scanned {
  readonly sessions: readonly UserSession[]
}

/** The options of `logoutUser`. */
export interface LogoutOptions extends ScanOptions {
  /** The key of a session that stays, such as the one of the visitor who asks. */
  readonly exceptKey?: string
}

/** What `logoutUser` and `logoutEverybody` did. */
export interface LoggedOut extends Scanned {
  readonly deleted: number
  /** Sessions that stay, because they became another user's or were logged out while the work ran. */
  readonly changed: number
  /** Copies in the cache of `cached_db` that could not be removed: Django serves them until they expire. */
  readonly copiesLeft: number
}

/** No row of the user table has this name, or the id does not fit the type of the primary key. */
export class UnknownUser extends Error {
  override name = 'UnknownUser'
  readonly code: string = 'ERR_UNKNOWN_USER'
}

/** The sessions of this engine cannot be listed. */
export class SessionsNotListed extends Error {
  override name = 'SessionsNotListed'
  readonly code: string = 'ERR_SESSIONS_NOT_LISTED'
}

/** The session that is to stay is not a live session of this user. */
export class UnknownSessionToKeep extends Error {
  override name = 'UnknownSessionToKeep'
  readonly code: string = 'ERR_SESSION_TO_KEEP'
}

/** `after` is not a value that `next` had. */
export class InvalidCursor extends Error {
  override name = 'InvalidCursor'
  readonly code: string = 'ERR_CURSOR'
}

/** The options of a site: those of its sessions, and its user model. */
export type UserSessionsSite = DjangoSessionsOptions & Pick<DjangoAuthOptions, 'userModel'>

/**
 * The live sessions of a user, in the order of their keys. Django's tables do not say whose session a row is, so every live
 * session is read, a page at a time and without locks; the tables of django-qsessions and django-user-sessions have a
 * column for it.
 * @throws {UnknownUser} {SessionsNotListed} {InvalidCursor}, and as `djangoSessions`.
 */
export async function userSessions(
  site: UserSessionsSite,
  user: UserChoice,
  options: ScanOptions = {},
): Promise<UserSessionPage> {
  const { checked, id } = await chosen('userSessions', site, user)
  const opened = openUserSessions(checked)
  try {
    return await opened.list(id, options)
  } finally {
    await opened.close()
  }
}

/**
 * Deletes the live sessions of a user, on whatever side they began, and their copies in the cache of `cached_db`. A session
 * is deleted only while it is this user's; sessions that cannot be read stay. A login while the work runs may stay, too:
 * where a password is known to others, change the password first, which ends the user's sessions as well.
 * @throws {UnknownUser} {SessionsNotListed} {InvalidCursor} {UnknownSessionToKeep}, and as `djangoSessions`.
 */
export async function logoutUser(
  site: UserSessionsSite,
  user: UserChoice,
  options: LogoutOptions = {},
): Promise<LoggedOut> {
  const { checked, id } = await chosen('logoutUser', site, user)
  return closing(openUserSessions(checked), (opened) => opened.logOut(id, options))
}

/**
 * Deletes every session, also those of visitors without a login, in batches as `clearSessions` does.
 * @throws {SessionsNotListed}, and as `djangoSessions`.
 */
export async function logoutEverybody(
  site: DjangoSessionsOptions,
  options: EverybodyOptions = {},
): Promise<{ readonly deleted: number; readonly copiesLeft: number }> {
  checkOptions('logoutEverybody', site)
  return closing(openUserSessions(withProfile(site)), (opened) => opened.logOutAll(options))
}

/** The options of `logoutEverybody`. */
export interface EverybodyOptions {
  /** The most rows of one statement; default: 1000. */
  readonly batchSize?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly deleted: number }) => void
}

/** The sessions of a site by user, opened. */
export interface UserSessions {
  /** The table or the folder. */
  readonly place: string
  /** How many sessions there are, live or expired. */
  count(options?: { signal?: AbortSignal }): Promise<number>
  list(user: UserIdText, options?: ScanOptions): Promise<UserSessionPage>
  logOut(user: UserIdText, options?: LogoutOptions): Promise<Omit<LoggedOut, 'copiesLeft'>>
  logOutAll(options?: EverybodyOptions): Promise<{ readonly deleted: number }>
  /** Removes the remaining copies from the cache, and closes what was opened. Returns how many copies are left. */
  close(): Promise<{ readonly copiesLeft: number }>
}

/** Opens the sessions of a site whose options are checked already. @throws {SessionsNotListed} {TypeError} */
export function openUserSessions(site: WithProfile<DjangoSessionsOptions>): UserSessions {
  let copiesLeft = 0
  const events = guardEvents({
    cacheFailure({ givenUp }) {
      copiesLeft += givenUp
    },
  })
  const { opened, serializer } = openSiteEngine(site, events)
  const values = sessionValues(serializer)
  const idOf = createSessionId(site.secretKeys[0])
  if (opened.inventory === null) {
    void opened.close()
    throw notListed(site.engine ?? DEFAULT_SESSION_ENGINE)
  }
  const inventory: SessionInventory = opened.inventory

  /** Calls `visit` for each live session of the user. */
  async function scan(
    user: UserIdText,
    { after, limit = Number.MAX_SAFE_INTEGER, signal, onProgress = () => {} }: ScanOptions,
    visit: (session: Found) => Promise<void> | void,
  ): Promise<Scanned> {
    const unreadable: Partial<Record<UnreadableReason, number>> = {}
    const start = after === undefined ? null : await startOf(inventory, after, idOf)
    let [scanned, found] = [0, 0]
    let next: string | null = null
    for await (const { entries, last, ...page } of inventory.pages({ start, limit, userId: user })) {
      for (const { sessionKey, stored, facts } of entries) {
        if ('unreadable' in stored) unreadable[stored.unreadable] = (unreadable[stored.unreadable] ?? 0) + 1
        else if (isOf(user, stored.data, values)) {
          found += 1
          await visit({ sessionKey, ...stored, facts })
        }
      }
      scanned += page.scanned
      onProgress({ scanned, found })
      next = cursorAt(last, idOf)
      if (signal?.aborted === true) return { scanned, unreadable, next }
    }
    return { scanned, unreadable, next: scanned < limit ? null : next }
  }

  /** Deletes the session while it is the user's; it may be saved meanwhile. Returns what became of it. */
  async function remove(user: UserIdText, { sessionKey, ...session }: Found): Promise<'deleted' | 'changed'> {
    let { revision } = session
    for (;;) {
      try {
        await opened.engine.delete(sessionKey, revision)
        return 'deleted'
      } catch (error) {
        if (error instanceof UpdateError) return 'changed'
        if (!(error instanceof ConflictError)) throw error
      }
      const stored = await opened.engine.load(sessionKey).catch(unlessUnreadable)
      if (stored === null || !isOf(user, stored.data, values)) return 'changed'
      revision = stored.revision
    }
  }

  async function checkKept(user: UserIdText, exceptKey: string): Promise<void> {
    const stored = await opened.engine.load(exceptKey).catch(unlessUnreadable)
    if (stored !== null && isOf(user, stored.data, values)) return
    throw new UnknownSessionToKeep(
      'the session that is to stay is not a live session of this user, so nothing was deleted; pass the value of its cookie',
    )
  }

  return {
    place: inventory.place,
    count: (options) => inventory.count(options),

    async list(user, { limit = 10_000, ...options } = {}) {
      const sessions: UserSession[] = []
      const scanned = await scan(user, { limit, ...options }, ({ sessionKey, expireDate, facts }) => {
        sessions.push({ id: idOf(sessionKey), ...facts, expires: expireDate })
      })
      return { sessions, ...scanned }
    },

    async logOut(user, { exceptKey, ...options } = {}) {
      if (exceptKey !== undefined) await checkKept(user, exceptKey)
      const counts = { deleted: 0, changed: 0 }
      const scanned = await scan(user, options, async (session) => {
        if (session.sessionKey !== exceptKey) counts[await remove(user, session)] += 1
      })
      return { ...counts, ...scanned }
    },

    async logOutAll({ onProgress = () => {}, ...options } = {}) {
      const report = (deleted: number) => onProgress({ deleted })
      return { deleted: await inventory.clear({ before: null, ...options, onProgress: report }) }
    },

    async close() {
      // A request of Django that has read a session before may still set its copy.
      await opened.settle?.()
      await opened.close()
      return { copiesLeft }
    },
  }
}

/** Finds the user. @throws {UnknownUser} */
export async function findUser(
  choice: UserChoice,
  {
    db,
    userModel: options,
    useTz,
    timeZone,
    databaseTimeZone,
  }: Pick<DjangoAuthOptions, 'userModel'> & UserDatabase,
): Promise<UserIdText> {
  const model = userModel(options)
  if ('id' in choice) return idText(choice.id, model.idType)
  checkDatabase('userSessions', db)
  const database = databaseKindOf(db)
  const dates = createDateColumn({
    database,
    useTz: useTz ?? TIME_DEFAULTS.useTz,
    timeZone: timeZone ?? TIME_DEFAULTS.timeZone,
    databaseTimeZone,
  })
  const { row } = await createUserRows({ db, database, dates, model }).findByUsername(choice.username)
  if (row !== null) return { id: row.id, type: model.idType }
  throw new UnknownUser(
    `the table ${model.table} has no user of this name; pass the ${model.columns.username} as it is in the table, or the id`,
  )
}

type UserDatabase = Pick<DjangoAuthOptions, 'db' | 'useTz' | 'timeZone' | 'databaseTimeZone'>

interface Found {
  readonly sessionKey: string
  readonly data: SessionData
  readonly revision: string
  readonly expireDate: Date
  readonly facts: SessionFacts
}

async function chosen(
  caller: string,
  site: UserSessionsSite,
  user: UserChoice,
): Promise<{ checked: WithProfile<UserSessionsSite>; id: UserIdText }> {
  checkOptions(caller, site)
  checkObject(caller, 'the user', user)
  if (!('username' in user) && !('id' in user))
    throw new TypeError(`${caller}: the user must have a username or an id`)
  const id = await findUser(user, { ...site, db: site.db as DjangoAuthOptions['db'] })
  return { checked: withProfile(site), id }
}

async function closing<R extends object>(
  opened: UserSessions,
  work: (opened: UserSessions) => Promise<R>,
): Promise<R & { copiesLeft: number }> {
  let result: R
  try {
    result = await work(opened)
  } catch (error) {
    await opened.close()
    throw error
  }
  return { ...result, ...(await opened.close()) }
}

function idText(id: string | number | bigint, type: UserIdType): UserIdText {
  const text = userId(id, type)
  if (text !== null) return { id: text, type }
  throw new UnknownUser(`the id is not a primary key of the type ${type}; see AUTH_USER_ID_TYPE`)
}

/** Whether the session names this user, as Django reads it. Source: django/contrib/auth/__init__.py, _get_user_session_key. */
function isOf({ id, type }: UserIdText, data: SessionData, values: SessionValues): boolean {
  const text = data.get(SESSION_KEY)
  return text !== undefined && userId(values.parse(text), type) === id
}

function notListed(engine: unknown): SessionsNotListed {
  const name = typeof engine === 'string' ? engine : 'an engine of your own'
  return new SessionsNotListed(
    `the sessions of ${name} cannot be listed; change the password of the user, which ends the user's sessions, or, for everybody, SECRET_KEY or the cache`,
  )
}

/** Characters of a key that a cursor may contain: 20 of its 165 bits. */
const CURSOR_LENGTH = 4

/**
 * Names a place in the order of the keys: the first characters of a key, at most a quarter, and its id, which finds the key
 * among those that begin alike. The rest of the key cannot be derived from it.
 */
function cursorAt(sessionKey: string, idOf: (sessionKey: string) => string): string {
  const length = Math.min(CURSOR_LENGTH, Math.floor(sessionKey.length / 4))
  return Buffer.from(`${sessionKey.slice(0, length)}/${idOf(sessionKey)}`).toString('base64url')
}

/** Keys of one beginning that are searched at once. */
const SEARCHED = 1000

/** Where the cursor points to. If that session is gone, those that begin alike are read again. @throws {InvalidCursor} */
async function startOf(
  inventory: SessionInventory,
  cursor: string,
  idOf: (sessionKey: string) => string,
): Promise<PagesOptions['start']> {
  const [, beginning = '', id] =
    /^(.{0,4})\/([0-9a-f]{12})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (id === undefined || !isStorableKey(beginning))
    throw new InvalidCursor(
      'the place to go on from is not one that an earlier run has printed; leave it out to begin anew',
    )
  let from = beginning
  for (;;) {
    const keys = await inventory.keysFrom(from, SEARCHED)
    const key = keys.find((one) => idOf(one) === id)
    if (key !== undefined) return { key, isPassed: true }
    const last = keys.at(-1)
    if (last === undefined || last === from || !last.startsWith(beginning) || keys.length < SEARCHED)
      return { key: beginning, isPassed: false }
    from = last
  }
}

function createSessionId(
  secretKey: WithProfile<DjangoSessionsOptions>['secretKeys'][0],
): (sessionKey: string) => string {
  const hmac = saltedHmac('koa-django-sessions.session-id', secretKey, 'sha256')
  return (sessionKey) => hmac().update(sessionKey).digest('hex').slice(0, 12)
}
