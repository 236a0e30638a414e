import { backendOf } from '../../auth/backends.ts'
import { createUser, passwordIn, type User } from '../../auth/user.ts'
import { userId } from '../../auth/user-id.ts'
import { userModel } from '../../auth/user-model.ts'
import { createUserRows } from '../../auth/user-rows.ts'
import { UnusableUserTable } from '../../auth/user-table.ts'
import { createAuthHashes } from '../../django/auth-hash.ts'
import { createDateColumn } from '../../django/datetime.ts'
import type { SessionData } from '../../django/json.ts'
import type { PickledValue } from '../../django/pickle/javascript.ts'
import { pickledValues } from '../../django/session-values.ts'
import { versionProfile } from '../../django/versions.ts'
import type { Project } from '../open-project.ts'
import type { Fact, Finding } from './causes.ts'

/** Whom a session names. */
export interface UserReading {
  /** The user, whether or not the login is accepted; null for none. */
  readonly user: User | null
  /** Whether both sides take the visitor for this user. */
  readonly isLoggedIn: boolean
  readonly findings: readonly Finding[]
  readonly facts: readonly Fact[]
}

const NOBODY: UserReading = { user: null, isLoggedIn: false, findings: [], facts: [] }

/**
 * Whom a session names, and why the visitor is not logged in as that user.
 * Source: django/contrib/auth/__init__.py, get_user; backends.py, ModelBackend.get_user.
 * @throws {CannotStart} when the database of the users fails.
 */
export async function readSessionUser(data: SessionData, project: Project): Promise<UserReading> {
  if (!data.has('_auth_user_id')) return { ...NOBODY, facts: [['user', 'none is logged in']] }
  try {
    return await project.onUserDatabase(() => readUser(data, project))
  } catch (error) {
    if (!(error instanceof UnusableUserTable)) throw error
    const [problem = ''] = error.message.split('\n')
    return { ...NOBODY, facts: [['user', `could not be read: ${problem}`]] }
  }
}

async function readUser(data: SessionData, project: Project): Promise<UserReading> {
  const { auth } = project.settings
  const model = userModel(auth.userModel)
  const storedValue = (key: string): PickledValue | undefined => {
    const text = data.get(key)
    return text === undefined ? undefined : pickledValues.parse(text)
  }
  const id = userId(storedValue('_auth_user_id'), model.idType)
  if (id === null)
    return found(
      { cause: 'user-id-type', django: 'fails', here: 'anonymous' },
      `its id is not ${model.idType}`,
    )
  const backend = backendProblem(storedValue('_auth_user_backend'), auth.backends)
  if (backend !== null) return found(backend, 'not looked up')
  const rows = createUserRows({
    db: project.db,
    database: project.settings.database.kind,
    dates: userDates(project),
    model,
  })
  const row = await rows.findById(id)
  if (row === null) return found({ cause: 'user-deleted', ...ANONYMOUS }, 'does not exist')
  const path = String(storedValue('_auth_user_backend'))
  const user = createUser(row, { backend: path, model, rows })
  const known = user.isActive ? 'exists and is active' : 'exists and is not active'
  if (!user.isActive && backendOf(path).rejectsInactive)
    return { ...found({ cause: 'user-inactive', ...ANONYMOUS }, known), user }
  const hash = hashProblem(storedValue('_auth_user_hash'), passwordIn(row, model), project)
  return {
    user,
    isLoggedIn: hash === null || hash.cause === 'secret-rotated',
    findings: hash === null ? [] : [hash],
    facts: [['user', known]],
  }
}

const ANONYMOUS = { django: 'anonymous', here: 'anonymous' } as const

/** This service deletes such a session, too, but not before it has seen a hash of Django that matches. */
const LOGGED_OUT = { django: 'logs-out', here: 'anonymous' } as const

function found(finding: Finding, text: string): UserReading {
  return { ...NOBODY, findings: [finding], facts: [['user', text]] }
}

/** Where dates of the users are kept; only a login writes one. */
function userDates({ settings, useTz }: Project): ReturnType<typeof createDateColumn> {
  const { database, timeZone, databaseTimeZone } = settings
  return createDateColumn({ database: database.kind, useTz, timeZone, databaseTimeZone })
}

const DJANGO_BACKENDS = 'django.contrib.auth.backends.'
const BACKENDS_OF_DJANGO: ReadonlySet<string> = new Set([
  'ModelBackend',
  'AllowAllUsersModelBackend',
  'RemoteUserBackend',
  'AllowAllUsersRemoteUserBackend',
])

function backendProblem(path: PickledValue | undefined, allowed: readonly string[]): Finding | null {
  if (path === undefined) return { cause: 'backend-missing', ...ANONYMOUS }
  const name = dottedPath(path)
  const isAllowed = allowed.includes(name)
  const isUnknown =
    name.startsWith(DJANGO_BACKENDS) && !BACKENDS_OF_DJANGO.has(name.slice(DJANGO_BACKENDS.length))
  // Django imports only what AUTHENTICATION_BACKENDS allows, and fails if that does not exist. Here it is not needed.
  if (isUnknown)
    return {
      cause: 'backend-unknown',
      detail: name,
      ...(isAllowed ? { django: 'fails' } : ANONYMOUS),
    }
  if (isAllowed) return null
  return {
    cause: 'backend-not-allowed',
    detail: name === '' ? 'it is not a dotted path' : name,
    ...ANONYMOUS,
  }
}

/** '' for a value that is not a dotted path; only such a path is shown. */
function dottedPath(value: PickledValue): string {
  return typeof value === 'string' && /^[\w.]{1,200}$/.test(value) ? value : ''
}

function hashProblem(
  stored: PickledValue | undefined,
  password: string | null,
  { settings, secretKeys, profile }: Project,
): Finding | null {
  const { sessionHash } = settings.auth
  if (sessionHash === 'none') return null
  if (sessionHash === 'custom') return { cause: 'own-session-hash', here: 'anonymous' }
  const verdict = createAuthHashes({ secretKeys, profile }).verify(password, stored)
  if (verdict === 'current') return null
  if (verdict === 'fallback') return { cause: 'secret-rotated', detail: 'the session hash of the user' }
  if (typeof stored !== 'string' || stored === '') return { cause: 'hash-missing', ...LOGGED_OUT }
  const isOfOther = OTHER_VERSIONS.some(
    (version) =>
      createAuthHashes({ secretKeys, profile: versionProfile(version) }).verify(password, stored) !== 'wrong',
  )
  return { cause: isOfOther ? 'hash-other-algorithm' : 'password-changed', ...LOGGED_OUT }
}

/** One with SHA-1, and one with SHA-256 and fallback keys. */
const OTHER_VERSIONS = ['2.2', '6.1'] as const
