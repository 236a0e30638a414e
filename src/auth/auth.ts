import type { Knex } from 'knex'
import { mapFailures } from '../concurrency/map-failures.ts'
import { createAuthHashes, type SessionHashRule } from '../django/auth-hash.ts'
import type { DatabaseKind, DateColumn } from '../django/datetime.ts'
import { createPasswords, type PasswordRefusal } from '../django/passwords.ts'
import { constantTimeCompare, type SecretKey } from '../django/signing.ts'
import type { VersionProfile } from '../django/versions.ts'
import { SessionInterrupted } from '../session/commit.ts'
import type { Session } from '../session/session.ts'
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
import { createUserRows, type UserRow } from './user-rows.ts'
import { normalizeUsername } from './username.ts'

export interface AuthOptions {
  readonly db: Knex
  readonly database: DatabaseKind
  /** How this site writes dates, `last_login` among them. */
  readonly dates: DateColumn
  /** SECRET_KEY, then SECRET_KEY_FALLBACKS. */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  readonly profile: VersionProfile
  /** AUTHENTICATION_BACKENDS; ModelBackend unless given. */
  readonly backends?: readonly string[]
  readonly userModel?: UserModelOptions
  /**
   * How the model makes `_auth_user_hash`; `django` unless given. With `none` every session of a user counts, with
   * `custom` none does, and `login` throws.
   */
  readonly sessionHash?: SessionHashRule
  /** PASSWORD_HASHERS; those of Django's own settings unless given. */
  readonly passwordHashers?: readonly string[]
  readonly now?: () => Date
  /** Called for a password that is stored in a way that is not verified here: that user cannot log in here. */
  readonly onPasswordRefused?: (userId: string, refusal: PasswordRefusal) => void
  /**
   * Called for a session whose user cannot be verified and so is nobody here, at most once a minute for each reason;
   * `process.emitWarning` unless given.
   */
  readonly onUnverified?: (problem: UnverifiedUser) => void
  /** What an error of the database becomes before a request meets it. */
  readonly mapFailure?: (error: unknown) => unknown
}

export interface Credentials {
  /** As the visitor typed it. */
  readonly username: string
  readonly password: string
}

/** None of AUTHENTICATION_BACKENDS takes a name and a password here. */
export class NoPasswordBackend extends Error {
  override name = 'NoPasswordBackend'
  readonly code: string = 'ERR_NO_PASSWORD_BACKEND'
}

/** AUTH_SESSION_HASH is custom: what Django would accept is not known here. */
export class UnknownSessionHash extends Error {
  override name = 'UnknownSessionHash'
  readonly code: string = 'ERR_UNKNOWN_SESSION_HASH'
}

export interface AuthenticateOptions {
  /**
   * Called once the name was looked up and before the password is looked at, with a text that is the same for all
   * spellings that find this user, or would find one. What it throws ends the try: this is where tries are counted.
   */
  readonly onAccount?: (account: string) => void
}

/**
 * Who a session says its visitor is, and whether its `_auth_user_hash` bears that out: `wrong` where the session is to be
 * flushed, `unverified` where nothing shows yet that our rule and key are Django's, and it is to stay.
 */
export type Identity =
  | { readonly user: User; readonly verdict: 'current' | 'fallback' }
  | { readonly user: AnonymousUser; readonly verdict: 'nobody' | 'unverified' | 'wrong' }

/** Django's `django.contrib.auth` on the sessions and the user table that both sides share. */
export interface Auth {
  /** Who the visitor is, without a change to the session: for where no cookie can be set, as on a WebSocket. */
  identify(session: Session): Promise<Identity>
  /**
   * Who the visitor is. A session whose hash does not verify is flushed (the password was changed), once another has
   * verified; one whose hash was made with a fallback key gets a new key and a new hash. An unknown, inactive or
   * unverified user is nobody, and the session stays.
   * @throws {UnusableUserTable}
   */
  getUser(session: Session): Promise<User | AnonymousUser>
  /**
   * The user with this name and password, or null; it takes as long where there is no such user. The name is what
   * Django's login form makes of it (no blanks around it, NFKC); whether its case counts is for the database to say.
   * @throws {NoPasswordBackend} {PasswordsBusy} {UnusableUserTable}
   */
  authenticate(credentials: Credentials, options?: AuthenticateOptions): Promise<User | null>
  /**
   * Makes the session this user's: a new key, where nobody was logged in; a new, empty session, where somebody else was.
   * `rotateToken` is called in Django's order, after the session has changed.
   * @throws {UnknownSessionHash}
   */
  login(session: Session, user: User, options?: LoginOptions): Promise<void>
  /**
   * Keeps this session logged in after its user's password was changed in the database; all others of the user end.
   * @throws {UnknownSessionHash}
   */
  updateSessionAuthHash(session: Session, user: User): Promise<void>
  /** Flushes the session. */
  logout(session: Session): Promise<void>
}

export interface LoginOptions {
  /** Of AUTHENTICATION_BACKENDS; the one that let the user in unless given. */
  readonly backend?: string
  /** Gives the visitor a new CSRF token. Source: django/middleware/csrf.py, rotate_token. */
  readonly rotateToken?: (() => unknown) | undefined
}

const BACKEND_SESSION_KEY = '_auth_user_backend'
const LANGUAGE_SESSION_KEY = '_language'

const nobody: Identity = { user: anonymousUser, verdict: 'nobody' }
const unverified: Identity = { user: anonymousUser, verdict: 'unverified' }

/** Source: django/contrib/auth/__init__.py; backends.py, ModelBackend. @throws {InvalidUserModel} */
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
  const willing = [...backends.values()].filter(({ takesPasswords }) => takesPasswords)
  const noPasswords = whyNoPasswords(paths, { password: model.columns.password, sessionHash })
  const proofs = createHashProofs()
  const tellUnverified = createUnverifiedLog(onUnverified)

  /** Source: backends.py, user_can_authenticate. */
  function admitted(row: UserRow | null, { path, rejectsInactive }: Backend): User | null {
    if (row === null) return null
    const user = createUser(row, { backend: path, model, rows })
    return user.isActive || !rejectsInactive ? user : null
  }

  async function identify(session: Session): Promise<Identity> {
    if (!session.has(SESSION_KEY)) return nobody
    if (sessionHash === 'custom') return unverified
    const id = userId(session.get(SESSION_KEY), model.idType)
    const backend = backends.get(String(session.get(BACKEND_SESSION_KEY)))
    if (id === null) tellUnverified('id')
    else if (backend === undefined) tellUnverified('backend')
    if (id === null || backend === undefined) return nobody
    const user = admitted(await rows.findById(id), backend)
    if (user === null) return nobody
    if (sessionHash === 'none') return { user, verdict: 'current' }
    const verdict = hashes.verify(encodedPasswordOf(user), session.get(HASH_SESSION_KEY))
    if (verdict !== 'wrong') {
      proofs.add(session)
      return { user, verdict }
    }
    if (proofs.vouchFor(session)) return { user: anonymousUser, verdict }
    tellUnverified('hash')
    return unverified
  }

  /** '' where Django, too, writes no hash. */
  function hashOf(password: string | null): string {
    if (sessionHash === 'custom')
      throw new UnknownSessionHash(
        'AUTH_SESSION_HASH is custom: Django would throw away a session that was logged in here; log in there',
      )
    return sessionHash === 'none' ? '' : hashes.create(password)
  }

  /** A session in which `login` may write; the visitor keeps what is in it unless it is another user's. */
  async function makeRoom(session: Session, user: User, hash: string): Promise<void> {
    if (!session.has(SESSION_KEY)) return session.cycleKey()
    const isTheirs = userId(session.get(SESSION_KEY), model.idType) === user.id
    const stored = session.get(HASH_SESSION_KEY, '')
    if (isTheirs && (hash === '' || (typeof stored === 'string' && constantTimeCompare(stored, hash)))) return
    if (!isTheirs || proofs.vouchFor(session)) return session.flush()
    // Unlike Django: its hash may be right, and our rule or key wrong.
    await session.cycleKey()
    for (const key of [SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY]) session.pop(key, null)
  }

  /**
   * Django's requests at once each make a session of their own of it. Here the first gets the new key, which its browser
   * holds from then on, and one that comes too late goes on with what it has read.
   */
  async function renew(session: Session, hash: string): Promise<void> {
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

  return {
    identify,

    async getUser(session) {
      const { user, verdict } = await identify(session)
      if (verdict === 'wrong') await session.flush()
      if (verdict === 'fallback') await renew(session, hashes.create(encodedPasswordOf(user)))
      return user
    },

    async authenticate({ username, password }, { onAccount = () => {} } = {}) {
      if (noPasswords !== null) throw new NoPasswordBackend(noPasswords)
      const name = normalizeUsername(username)
      const { row, nameKey } = name === null ? { row: null, nameKey: '' } : await rows.findByUsername(name)
      onAccount(row === null ? `name ${nameKey}` : `id ${row.id}`)
      if (row === null) {
        await passwords.pretend(password)
        return null
      }
      const { isCorrect, refusal } = await passwords.check(password, passwordIn(row, model) ?? '')
      if (refusal !== null) onPasswordRefused(row.id, refusal)
      if (!isCorrect) return null
      return willing.map((backend) => admitted(row, backend)).find((user) => user !== null) ?? null
    },

    async login(session, user, { backend = user.backend, rotateToken } = {}) {
      const hash = hashOf(encodedPasswordOf(user))
      await makeRoom(session, user, hash)
      session.set(HASH_SESSION_KEY, hash) // first: see createHashProofs
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
