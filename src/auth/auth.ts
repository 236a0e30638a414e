import { mapFailures } from '../concurrency/map-failures.ts'
import { createAuthHashes, type SessionHashRule } from '../django/auth-hash.ts'
import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import { createPasswords, type PasswordRefusal } from '../django/passwords.ts'
import { constantTimeCompare, type SecretKey } from '../django/signing.ts'
import type { VersionProfile } from '../django/versions.ts'
import { SessionInterrupted } from '../session/commit.ts'
import type { AnySession, Session } from '../session/session.ts'
import { traced, traces } from '../session/tracing.ts'
import type { SqlDatabase } from '../sql/executor.ts'
import { type Backend, backendOf, MODEL_BACKEND, whyNoPasswords } from './backends.ts'
import { createHashProofs, HASH_SESSION_KEY, SESSION_KEY } from './hash-proofs.ts'
import { createUnverifiedLog, type UnverifiedUser } from './unverified.ts'
import {
  type AnonymousUser,
  anonymousUser,
  createUser,
  encodedPasswordOf,
  passwordIn,
  type User,
} from './user.ts'
import { userId } from './user-id.ts'
import { type UserModelOptions, userModel } from './user-model.ts'
import { createUserRows, type UserRow, type UserRows } from './user-rows.ts'
import { normalizeUsername } from './username.ts'

/** The options of `createAuth`. */
export interface AuthOptions {
  readonly db: SqlDatabase
  readonly database: DatabaseKind
  /** How this site stores dates, including `last_login`. */
  readonly dates: DateColumn
  /** SECRET_KEY, then SECRET_KEY_FALLBACKS. */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  readonly profile: VersionProfile
  /** AUTHENTICATION_BACKENDS, as dotted paths; default: ModelBackend. */
  readonly backends?: readonly string[]
  readonly userModel?: UserModelOptions
  /**
   * How the user model computes `_auth_user_hash`; default: `django`. With `none` no hash is checked, so every session
   * that names a user is accepted. With `custom` the hash cannot be checked here: visitors are anonymous, and `login`
   * throws.
   */
  readonly sessionHash?: SessionHashRule
  /** PASSWORD_HASHERS, as dotted paths; default: Django's default list. */
  readonly passwordHashers?: readonly string[]
  readonly now?: () => Date
  /** Called when a stored password uses a format that cannot be verified here: that user cannot log in here. */
  readonly onPasswordRefused?: (userId: string, refusal: PasswordRefusal) => void
  /**
   * Called when a session's user cannot be verified and the visitor is therefore anonymous here; at most once a minute
   * for each reason. Default: `process.emitWarning`.
   */
  readonly onUnverified?: (problem: UnverifiedUser) => void
  /** Converts an error of the database before it reaches the caller; default: unchanged. */
  readonly mapFailure?: (error: unknown) => unknown
}

/** What a visitor typed into a login form. */
export interface Credentials {
  /** As the visitor typed it; `authenticate` normalizes it. */
  readonly username: string
  readonly password: string
}

/** No backend in AUTHENTICATION_BACKENDS supports login by name and password here. */
export class NoPasswordBackend extends Error {
  override name = 'NoPasswordBackend'
  readonly code: string = 'ERR_NO_PASSWORD_BACKEND'
}

/** AUTH_SESSION_HASH is `custom`: the hash that Django would accept is not known here. */
export class UnknownSessionHash extends Error {
  override name = 'UnknownSessionHash'
  readonly code: string = 'ERR_UNKNOWN_SESSION_HASH'
}

/** The options of `authenticate`, beside the credentials. */
export interface AuthenticateOptions {
  /**
   * Called after the name was looked up and before the password is checked, so that login attempts can be counted. The
   * text is the same for every spelling that the database treats as this name, whether such a user exists or not. An
   * error that it throws ends the attempt.
   */
  readonly onAccount?: (account: string) => void
}

/**
 * The user that a session names, and the result of checking its `_auth_user_hash`. `current` and `fallback`: it matches
 * with SECRET_KEY or with one of SECRET_KEY_FALLBACKS. `wrong`: the session must be flushed. `unverified`: the session
 * must stay, because it is not yet proven that this process uses Django's hash rule and key.
 */
export type Identity =
  | { readonly user: User; readonly verdict: 'current' | 'fallback' }
  | { readonly user: AnonymousUser; readonly verdict: 'nobody' | 'unverified' | 'wrong' }

/** The options of `getUser`. */
export interface GetUserOptions {
  /**
   * Whether the permissions are read with the user, for a page that will ask for them: one statement less for a visitor
   * who comes alone. Default: false; the first question for a permission reads them.
   */
  readonly prefetchPermissions?: boolean
}

/** As much of a session as says who is logged in on it. */
export interface SessionReader {
  has(key: string): boolean
  get(key: string): unknown
  keys(): string[]
}

/** Django's `django.contrib.auth`, on the sessions and the user table that are shared with Django. */
export interface Auth {
  /**
   * Returns the visitor and leaves the session unchanged: for connections that cannot set a cookie, such as a WebSocket.
   * `findById` finds the user's row; default: in the database.
   */
  identify(session: SessionReader, findById?: UserRows['findById']): Promise<Identity>
  /**
   * Returns the visitor. A session whose hash does not match is flushed (the password was changed), provided that the
   * hash of another session has matched before. A session whose hash was made with a fallback key gets a new session
   * key and a new hash. For an unknown, inactive or unverified user the visitor is anonymous, and the session stays.
   * @throws {UnusableUserTable}
   */
  getUser(session: AnySession, options?: GetUserOptions): Promise<User | AnonymousUser>
  /**
   * Returns the user with this name and password, or null. Takes the same time when the user does not exist. The name is
   * normalized as in Django's login form (stripped, NFKC); the database's collation decides whether case matters.
   * @throws {NoPasswordBackend} {PasswordsBusy} {UnusableUserTable}
   */
  authenticate(credentials: Credentials, options?: AuthenticateOptions): Promise<User | null>
  /**
   * Returns the user with this primary key, also an inactive one, or null. No password is checked: for scripts and tests.
   * @throws {UnusableUserTable}
   */
  findUser(id: string | number | bigint): Promise<User | null>
  /**
   * Logs the user in. If no user was logged in, the session gets a new key and keeps its data; if another user was logged
   * in, it is flushed. `rotateToken` is called in Django's order, after the session has changed.
   * @throws {UnknownSessionHash}
   */
  login(session: AnySession, user: User, options?: LoginOptions): Promise<void>
  /**
   * Keeps this session logged in after its user's password was changed in the database; all other sessions of the user
   * end.
   * @throws {UnknownSessionHash}
   */
  updateSessionAuthHash(session: AnySession, user: User): Promise<void>
  /** Flushes the session. */
  logout(session: AnySession): Promise<void>
}

/** The options of `login`. */
export interface LoginOptions {
  /** One of AUTHENTICATION_BACKENDS; default: the backend that authenticated the user. */
  readonly backend?: string
  /** Issues a new CSRF token. Source: django/middleware/csrf.py, rotate_token. */
  readonly rotateToken?: (() => unknown) | undefined
}

const BACKEND_SESSION_KEY = '_auth_user_backend'
const LANGUAGE_SESSION_KEY = '_language'

const anonymous: Identity = { user: anonymousUser, verdict: 'nobody' }
const unverified: Identity = { user: anonymousUser, verdict: 'unverified' }

/**
 * Creates the functions of `django.contrib.auth` for one site.
 * Source: django/contrib/auth/__init__.py; backends.py, ModelBackend.
 * @throws {InvalidUserModel}
 */
export function createAuth({
  db,
  database,
  dates,
  secretKeys,
  profile,
  backends: paths = [MODEL_BACKEND],
  userModel: modelOptions,
  sessionHash = 'django',
  passwordHashers,
  now = () => new Date(),
  onPasswordRefused = () => {},
  onUnverified,
  mapFailure = (error) => error,
}: AuthOptions): Auth {
  const model = userModel(modelOptions)
  const rows = mapFailures(createUserRows({ db, database, dates, model }), mapFailure)
  const hashes = createAuthHashes({ secretKeys, profile })
  const passwords = createPasswords({
    profile,
    ...(passwordHashers !== undefined && { hashers: passwordHashers }),
  })
  const backends = new Map(paths.map((path) => [path, backendOf(path)]))
  const passwordBackends = [...backends.values()].filter(({ takesPasswords }) => takesPasswords)
  const noPasswords = whyNoPasswords(paths, { password: model.columns.password, sessionHash })
  const proofs = createHashProofs()
  const reportUnverified = createUnverifiedLog(onUnverified)

  /** Source: backends.py, user_can_authenticate. */
  function acceptedUser(row: UserRow | null, { path, rejectsInactive }: Backend): User | null {
    if (row === null) return null
    const user = createUser(row, { backend: path, model, rows })
    return user.isActive || !rejectsInactive ? user : null
  }

  async function identify(
    session: SessionReader,
    findById: UserRows['findById'] = rows.findById,
  ): Promise<Identity> {
    if (!session.has(SESSION_KEY)) return anonymous
    if (sessionHash === 'custom') return unverified
    const id = userId(session.get(SESSION_KEY), model.idType)
    const backend = backends.get(String(session.get(BACKEND_SESSION_KEY)))
    if (id === null) reportUnverified('id')
    else if (backend === undefined) reportUnverified('backend')
    if (id === null || backend === undefined) return anonymous
    const user = acceptedUser(await findById(id), backend)
    if (user === null) return anonymous
    if (sessionHash === 'none') return { user, verdict: 'current' }
    const verdict = hashes.verify(encodedPasswordOf(user), session.get(HASH_SESSION_KEY))
    if (verdict !== 'wrong') {
      proofs.add(session)
      return { user, verdict }
    }
    if (proofs.isMismatchConclusive(session)) return { user: anonymousUser, verdict }
    reportUnverified('hash')
    return unverified
  }

  /** '' when the user model has no `get_session_auth_hash`: Django's login stores '' then, too. */
  function hashOf(password: string | null): string {
    if (sessionHash === 'custom')
      throw new UnknownSessionHash(
        'AUTH_SESSION_HASH is custom: Django would flush a session that was logged in here; send the visitor to the login page of Django',
      )
    return sessionHash === 'none' ? '' : hashes.create(password)
  }

  /** Makes the session ready for `login`. Its data stays, unless it belongs to another user. */
  async function prepareForLogin(session: Session, user: User, hash: string): Promise<void> {
    if (!session.has(SESSION_KEY)) return session.cycleKey()
    const isSameUser = userId(session.get(SESSION_KEY), model.idType) === user.id
    const stored = session.get(HASH_SESSION_KEY, '')
    if (isSameUser && (hash === '' || (typeof stored === 'string' && constantTimeCompare(stored, hash))))
      return
    if (!isSameUser || proofs.isMismatchConclusive(session)) return session.flush()
    // Unlike Django: the stored hash may be right, and our rule or key wrong.
    await session.cycleKey()
    for (const key of [SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY]) session.pop(key, null)
  }

  /**
   * Writes a new hash under a new session key. When several requests of one session do this at the same time, Django
   * creates a session for each of them. Here only the first creates one, and its browser gets that key; the others
   * continue with the session that they have read.
   */
  async function renewHash(session: Session, hash: string): Promise<void> {
    const isUntouched = !session.modified
    try {
      await session.cycleKey()
    } catch (error) {
      if (!(error instanceof SessionInterrupted && isUntouched)) throw error
      session.discardChanges()
      return
    }
    session.set(HASH_SESSION_KEY, hash)
  }

  async function userWith(
    { username, password }: Credentials,
    { onAccount = () => {} }: AuthenticateOptions = {},
  ): Promise<User | null> {
    if (noPasswords !== null) throw new NoPasswordBackend(noPasswords)
    const name = normalizeUsername(username)
    const { row, nameKey } = name === null ? { row: null, nameKey: '' } : await rows.findByUsername(name)
    onAccount(row === null ? `name ${nameKey}` : `id ${row.id}`)
    if (row === null) {
      await passwords.simulateCheck(password)
      return null
    }
    const { isCorrect, refusal } = await passwords.check(password, passwordIn(row, model) ?? '')
    if (refusal !== null) onPasswordRefused(row.id, refusal)
    if (!isCorrect) return null
    return passwordBackends.map((backend) => acceptedUser(row, backend)).find((user) => user !== null) ?? null
  }

  const tracedIdentify = (session: SessionReader, findById?: UserRows['findById']): Promise<Identity> =>
    traced(
      traces.authenticate,
      () => ({ operation: 'session' }),
      () => identify(session, findById),
      ({ verdict }) => verdict,
    )

  return {
    // With rows that were read already, by a watch, it belongs to no request.
    identify: (session, findById) =>
      findById === undefined ? tracedIdentify(session) : identify(session, findById),

    async getUser(session, { prefetchPermissions = false } = {}) {
      const { user, verdict } = await tracedIdentify(
        session,
        prefetchPermissions ? rows.findWithPermissions : rows.findById,
      )
      if (verdict === 'wrong') await session.flush()
      if (verdict === 'fallback') await renewHash(session, hashes.create(encodedPasswordOf(user)))
      return user
    },

    authenticate: (credentials, options) =>
      traced(
        traces.authenticate,
        () => ({ operation: 'password' }),
        () => userWith(credentials, options),
        (user) => (user === null ? 'refused' : 'accepted'),
      ),

    async findUser(id) {
      const known = userId(id, model.idType)
      const row = known === null ? null : await rows.findById(known)
      const [backend = MODEL_BACKEND] = paths
      return row === null ? null : createUser(row, { backend, model, rows })
    },

    async login(session, user, { backend = user.backend, rotateToken } = {}) {
      const hash = hashOf(encodedPasswordOf(user))
      await prepareForLogin(session, user, hash)
      session.set(HASH_SESSION_KEY, hash) // before the id: createHashProofs tells by the order who logged in
      session.set(SESSION_KEY, user.id)
      session.set(BACKEND_SESSION_KEY, backend)
      proofs.add(session)
      await rotateToken?.()
      await rows.setLastLogin(user, now())
    },

    async updateSessionAuthHash(session, { id }) {
      const row = await rows.findById(id)
      const hash = row === null ? null : hashOf(passwordIn(row, model))
      await session.cycleKey()
      if (hash) session.set(HASH_SESSION_KEY, hash)
    },

    async logout(session) {
      const language = session.get(LANGUAGE_SESSION_KEY, null)
      await session.flush()
      if (profile.keepsLanguageAtLogout && language !== null) session.set(LANGUAGE_SESSION_KEY, language)
    },
  }
}
