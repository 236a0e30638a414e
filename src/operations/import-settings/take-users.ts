import { MODEL_BACKEND } from '../../auth/backends.ts'
import { userModel } from '../../auth/user-model.ts'
import { passwordHashers } from '../../django/password-hashers.ts'
import { UnknownDjangoVersion, versionProfile } from '../../django/versions.ts'
import type { SettingName } from '../../service/settings/definitions.ts'
import type { UserFacts } from './ask-django.ts'
import { listOf } from './plain-value.ts'
import { type Context, isFailure } from './take-context.ts'

/** The fields of a user, and the settings for their columns. */
const USER_COLUMNS: readonly (readonly [field: string, setting: SettingName])[] = [
  ['password', 'AUTH_USER_PASSWORD_COLUMN'],
  ['last_login', 'AUTH_USER_LAST_LOGIN_COLUMN'],
  ['is_active', 'AUTH_USER_ACTIVE_COLUMN'],
  ['is_staff', 'AUTH_USER_STAFF_COLUMN'],
  ['is_superuser', 'AUTH_USER_SUPERUSER_COLUMN'],
  ['first_name', 'AUTH_USER_FIRST_NAME_COLUMN'],
  ['last_name', 'AUTH_USER_LAST_NAME_COLUMN'],
]

/** The user model, its table and its columns. */
export function takeUsers(context: Context): void {
  const { facts, set, refuse } = context
  const { user } = facts
  const model = String(facts.settings.AUTH_USER_MODEL ?? 'auth.User')
  if (isFailure(user)) {
    refuse('AUTH_USER_MODEL', `${model} cannot be loaded: ${user.error}`)
    return
  }
  const byName = /^\w+\.\w+$/.test(model) ? userModel({ model }).table : ''
  if (user.table !== byName) set('AUTH_USER_TABLE', user.table)
  set('AUTH_USER_ID_COLUMN', user.idColumn)
  const idType = idTypeOf(user.idType)
  if (idType === null)
    refuse('AUTH_USER_MODEL', `the primary key of ${model} is a ${user.idType}, which is not supported`)
  else set('AUTH_USER_ID_TYPE', idType)
  set('AUTH_USERNAME_FIELD', user.usernameField)
  const username = user.fields[user.usernameField]
  if (username?.is === 'column' && username.column !== user.usernameField)
    set('AUTH_USERNAME_COLUMN', username.column)
  set('AUTH_SESSION_HASH', sessionHashOf(user))
  if (sessionHashOf(user) === 'custom')
    context.warn(
      'AUTH_USER_MODEL',
      `${String(user.sessionHash)} has its own get_session_auth_hash, which cannot be followed: sessions are shared, but every visitor is anonymous here`,
    )
  for (const [field, setting] of USER_COLUMNS) takeUserColumn({ model, user, field, setting }, context)
  takeRelations(user, { model, context })
  const inherited = Object.entries(user.fields).filter(([, { is }]) => is === 'inherited')
  if (inherited.length > 0)
    refuse(
      'AUTH_USER_MODEL',
      `${model} extends another model, whose table has ${inherited.map(([name]) => name).join(', ')}: a user in two tables is not supported`,
    )
}

function idTypeOf(type: string): string | null {
  if (/(?:Auto|Integer)Field$/.test(type)) return 'integer'
  if (type === 'UUIDField') return 'uuid'
  return /^(?:Char|Text|Slug|Email)Field$/.test(type) ? 'text' : null
}

function sessionHashOf({ sessionHash }: UserFacts): string {
  if (sessionHash === null) return 'none'
  return sessionHash === 'django.contrib.auth.base_user.AbstractBaseUser' ? 'django' : 'custom'
}

function takeUserColumn(
  { model, user, field, setting }: { model: string; user: UserFacts; field: string; setting: SettingName },
  { set, refuse, warn }: Context,
): void {
  const found = user.fields[field]
  if (found === undefined || found.is === 'inherited') return
  if (found.is === 'column') set(setting, found.column === field ? null : found.column)
  else if (field === 'is_active' && found.is !== 'missing' && !(found.is === 'constant' && found.value))
    refuse(
      'AUTH_USER_MODEL',
      `${model}.is_active is not a field but Python code: who is active cannot be seen in the table`,
    )
  else {
    set(setting, 'None')
    if (found.is === 'computed' || (found.is === 'constant' && field !== 'is_active' && found.value))
      warn('AUTH_USER_MODEL', `${model}.${field} is not a field but Python code; no user has it here`)
  }
}

/** The tables from which permissions are read. */
function takeRelations(user: UserFacts, { model, context }: { model: string; context: Context }): void {
  const expected = userModel({ model: /^\w+\.\w+$/.test(model) ? model : 'auth.User', table: user.table })
  const tables = { groups: expected.groupsTable, user_permissions: expected.permissionsTable }
  for (const [name, table] of Object.entries(tables)) {
    const found = user.relations[name]
    if (!found || (found.table === table && found.column === expected.userColumn)) continue
    context.warn(
      'AUTH_USER_MODEL',
      `${model}.${name} is kept in ${found.table} (${found.column}) and not in ${table} (${expected.userColumn}); permissions that come from there are not seen here`,
    )
  }
}

/** The backends of logins, and the password hashers. */
export function takePasswords({ facts, set, warn }: Context): void {
  const { AUTHENTICATION_BACKENDS = [], PASSWORD_HASHERS = [] } = facts.settings
  const backends = listOf(AUTHENTICATION_BACKENDS)
  if (facts.changed.includes('AUTHENTICATION_BACKENDS') && backends.length > 0)
    set('AUTHENTICATION_BACKENDS', JSON.stringify(backends))
  const foreign = backends.filter((path) => !path.startsWith('django.contrib.auth.backends.'))
  if (foreign.length > 0)
    warn(
      'AUTHENTICATION_BACKENDS',
      `${foreign.join(', ')}: its visitors are known here as those of ${MODEL_BACKEND}, but its code does not run here, nor does it check passwords`,
    )
  if (!facts.changed.includes('PASSWORD_HASHERS')) return
  const hashers = listOf(PASSWORD_HASHERS)
  if (hashers.length > 0) set('PASSWORD_HASHERS', JSON.stringify(hashers))
  const unknown = hashers.filter((path) => !isKnownHasher(path, facts.django))
  if (unknown.length > 0)
    warn(
      'PASSWORD_HASHERS',
      `${unknown.join(', ')}: not supported; a user with such a password cannot log in on this side`,
    )
}

function isKnownHasher(path: string, version: string): boolean {
  try {
    const known = passwordHashers(versionProfile(version).hashingCost)
    return path.startsWith('django.contrib.auth.hashers.') && known.has(path.slice(path.lastIndexOf('.') + 1))
  } catch (error) {
    if (error instanceof UnknownDjangoVersion) return true // It is refused for its version.
    throw error
  }
}
