import { isAbsolute, resolve } from 'node:path'
import { MODEL_BACKEND } from '../../auth/backends.ts'
import { userModel } from '../../auth/user-model.ts'
import { passwordHashers } from '../../django/password-hashers.ts'
import { SESSION_ENGINES, type SessionEngineNeeds } from '../../django/session-engines.ts'
import { UnknownDjangoVersion, versionProfile } from '../../django/versions.ts'
import { CACHE_KEY_PREFIX } from '../../engines/cache.ts'
import { copyPrefixOf } from '../../engines/cached-db.ts'
import {
  type NamedSetting,
  SETTINGS,
  type SettingName,
  settingDefinitions,
} from '../../service/settings/definitions.ts'
import { HOST_PATTERN } from '../../service/settings/settings.ts'
import { MERGE_POLICIES } from '../../session/merge-policies.ts'
import type { Failure, ProjectFacts, StoreFacts, UserFacts } from './ask-django.ts'
import { databaseAsUrl } from './django-database.ts'
import { isPythonObject, type PlainValue, recordOf } from './plain-value.ts'

/** The settings of a Django project, as this service reads them. */
export interface TakenOver {
  /** In the order of the documents. Defaults that both sides share are left out, but for the settings that matter most. */
  readonly values: ReadonlyMap<SettingName, string>
  /** What cannot be carried over, so that sessions would not be shared. */
  readonly refused: readonly Note[]
  /** What cannot be carried over, and does not keep sessions from being shared. */
  readonly warnings: readonly Note[]
}

/** A setting of Django that is not carried over. */
export interface Note {
  /** Django's name. */
  readonly setting: string
  /** What it is, why it cannot be carried over, and what to do. */
  readonly reason: string
}

/** Written even if Django has the default: a reader of the file looks for them. */
const ALWAYS: ReadonlySet<SettingName> = new Set([
  'DATABASE_URL',
  'DJANGO_SECRET_KEY',
  'DJANGO_VERSION',
  'USE_TZ',
  'TIME_ZONE',
  'AUTH_USER_MODEL',
  'SESSION_ENGINE',
  'SESSION_COOKIE_NAME',
])

/** What a project says, as settings of this service. Nothing is thrown: what is not supported is named. */
export function takeOver(facts: ProjectFacts): TakenOver {
  const found = new Map<SettingName, string>()
  const refused: Note[] = []
  const warnings: Note[] = []
  const context: Context = {
    facts,
    set: (name, value) => void (value !== null && found.set(name, value)),
    refuse: (setting, reason) => void refused.push({ setting, reason }),
    warn: (setting, reason) => void warnings.push({ setting, reason }),
  }
  for (const definition of settingDefinitions())
    if (definition.django === definition.name) takeByName(definition, context)
  for (const take of PARTS) take(context)
  const values = settingDefinitions().flatMap(({ name, default: byDefault }) => {
    const value = found.get(name)
    const isNeeded = value !== undefined && (value !== byDefault || ALWAYS.has(name))
    return isNeeded ? [[name, value] as const] : []
  })
  return { values: new Map(values), refused, warnings }
}

interface Context {
  readonly facts: ProjectFacts
  /** Null: nothing is said, and the default holds. */
  readonly set: (name: SettingName, value: string | null) => void
  readonly refuse: (setting: string, reason: string) => void
  readonly warn: (setting: string, reason: string) => void
}

/** Settings that have a part of their own below. */
const BY_PART: ReadonlySet<SettingName> = new Set([
  'SESSION_ENGINE',
  'SESSION_MERGE',
  'SESSION_FILE_PATH',
  'SESSION_COOKIE_AGE',
  'CACHES',
  'SESSION_CACHE_ALIAS',
  'TIME_ZONE',
  'AUTHENTICATION_BACKENDS',
  'PASSWORD_HASHERS',
  'MESSAGE_STORAGE',
  'LOGIN_URL',
  'LOGIN_REDIRECT_URL',
  'LOGOUT_REDIRECT_URL',
  'ALLOWED_HOSTS',
])

const PARTS: readonly ((context: Context) => void)[] = [
  takeVersion,
  takeSecretKeys,
  takeTimeZone,
  takeStore,
  takeMerge,
  takeDatabases,
  takeCaches,
  takeUsers,
  takePasswords,
  takeMessages,
  takeUrls,
  takeHosts,
  takeProxy,
]

/** A setting that both sides write in the same way. */
function takeByName({ name, type, choices = [] }: NamedSetting, { facts, set, refuse }: Context): void {
  const value = facts.settings[name]
  if (value === undefined || BY_PART.has(name)) return
  if (isPythonObject(value)) {
    refuse(name, `is a Python object (${value.__python__}), which cannot be carried over`)
    return
  }
  if (name.endsWith('_SAMESITE')) set(name, sameSite(value))
  else if (value === null) set(name, name === 'CSRF_COOKIE_AGE' ? 'None' : null)
  else if (type === 'boolean') set(name, asBoolean(value))
  else if (type === 'list' || type === 'JSON') set(name, isEmpty(value) ? null : JSON.stringify(value))
  else set(name, choices.find((choice) => choice === value) ?? (String(value) || null))
}

function isEmpty(value: PlainValue): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/** Python's truth: an empty string, list or dictionary and zero are false. */
function asBoolean(value: PlainValue): string {
  return value && !isEmpty(value) ? 'True' : 'False'
}

/** Django sends the text as it stands; browsers ignore its case. */
function sameSite(value: PlainValue): string {
  const word = typeof value === 'string' ? value.toLowerCase() : ''
  return word === '' ? 'False' : `${word.charAt(0).toUpperCase()}${word.slice(1)}`
}

function takeVersion({ facts, set }: Context): void {
  set('DJANGO_VERSION', facts.django)
}

function takeSecretKeys({ facts, set, refuse }: Context): void {
  const { SECRET_KEY, SECRET_KEY_FALLBACKS = [] } = facts.settings
  if (typeof SECRET_KEY !== 'string')
    refuse('SECRET_KEY', 'is not text; set it to a text, or to bytes that are UTF-8')
  else set('DJANGO_SECRET_KEY', SECRET_KEY)
  if (!Array.isArray(SECRET_KEY_FALLBACKS) || SECRET_KEY_FALLBACKS.some((key) => typeof key !== 'string'))
    refuse('SECRET_KEY_FALLBACKS', 'is not a list of texts; set it to a list of texts')
  else if (SECRET_KEY_FALLBACKS.length > 0)
    set('DJANGO_SECRET_KEY_FALLBACKS', JSON.stringify(SECRET_KEY_FALLBACKS))
}

function takeTimeZone({ facts, set, refuse }: Context): void {
  const { TIME_ZONE, USE_TZ } = facts.settings
  if (typeof TIME_ZONE === 'string') set('TIME_ZONE', TIME_ZONE)
  else if (!USE_TZ)
    refuse(
      'TIME_ZONE',
      'is None, which is the time zone of the operating system, and USE_TZ is False: expiry dates depend on it; set TIME_ZONE to its name',
    )
}

/** Methods and attributes of a store that decide how a session is stored. */
const STORED = new Set(
  'encode decode _hash key_salt serializer cache_key_prefix cache_key _key_to_file file_prefix'.split(' '),
)

/** Methods of a store that may do more than Django's. */
const BEHAVIOUR = new Set(
  (
    '__init__ load save create create_model_instance exists delete flush cycle_key _get_session _get_session_from_db ' +
    'get_expiry_age get_expiry_date get_expire_at_browser_close _get_new_session_key'
  ).split(' '),
)

function takeStore({ facts, set, refuse, warn }: Context): void {
  const { store, settings } = facts
  const named = String(settings.SESSION_ENGINE ?? '')
  if (isFailure(store)) {
    refuse('SESSION_ENGINE', `${named} cannot be loaded: ${store.error}`)
    return
  }
  takeSessionMiddleware({ facts, refuse, warn })
  const at = store.classes.findIndex(({ module }) => SESSION_ENGINES.has(module))
  const engine = store.classes[at]?.module
  const needs = SESSION_ENGINES.get(engine ?? '')
  if (engine === undefined || needs === undefined) {
    refuse(
      'SESSION_ENGINE',
      `${named} is not supported: its SessionStore is not derived from one of ${[...SESSION_ENGINES.keys()].join(', ')}`,
    )
    return
  }
  set('SESSION_ENGINE', engine)
  const own = store.classes.slice(0, at)
  takeOwnStore(store, { own, needs, facts, set, refuse, warn })
  if (needs.keptIn === 'folder') {
    const path = settings.SESSION_FILE_PATH
    set(
      'SESSION_FILE_PATH',
      resolve(facts.folder, typeof path === 'string' && path !== '' ? path : facts.temporaryFolder),
    )
  }
  if (needs.keptIn === 'table' && store.model !== null) takeModel(store.model, { needs, set, refuse })
}

/** SESSION_MERGE of the engines of merging_sessions. A policy that is a function is Python code. */
function takeMerge({ facts, set, warn }: Context): void {
  const policies = Object.entries(recordOf(facts.settings.SESSION_MERGE ?? null))
  const names = policies.filter(([, policy]) => MERGE_POLICIES.some((name) => name === policy))
  for (const [key, policy] of policies)
    if (typeof policy === 'string' && policy.includes('.'))
      warn(
        'SESSION_MERGE',
        `its policy of ${key}, ${policy}, is Python code, which does not run here: the later value wins`,
      )
  if (names.length > 0) set('SESSION_MERGE', JSON.stringify(Object.fromEntries(names)))
}

const SESSION_MIDDLEWARE = [
  'django.contrib.sessions.middleware.SessionMiddleware',
  'qsessions.middleware.SessionMiddleware',
  'user_sessions.middleware.SessionMiddleware',
]

function takeSessionMiddleware({ facts, refuse, warn }: Pick<Context, 'facts' | 'refuse' | 'warn'>): void {
  const paths = Array.isArray(facts.middleware) ? facts.middleware.map(String) : []
  if (paths.some((path) => SESSION_MIDDLEWARE.includes(path))) return
  const own = paths.find((path) => /session/i.test(path))
  if (own === undefined)
    refuse(
      'MIDDLEWARE',
      `has no session middleware, so the project has no sessions; add ${SESSION_MIDDLEWARE[0]}`,
    )
  else warn('MIDDLEWARE', `has its own session middleware ${own}, whose code does not run here`)
}

interface OwnStore extends Context {
  /** The project's own classes, above the engine's. */
  readonly own: StoreFacts['classes']
  readonly needs: SessionEngineNeeds
}

function takeOwnStore(store: StoreFacts, { own, needs, facts, set, refuse, warn }: OwnStore): void {
  // Before 3.1, the salt is made of __name__, and there is no key_salt (backends/base.py, _hash).
  const name = store.keySalt === null ? store.name : store.qualifiedName
  if (name !== 'SessionStore') set('SESSION_STORE_CLASS', name)
  for (const { module, name: ownName, defines } of own) {
    const stored = defines.filter((one) => STORED.has(one))
    const behaviour = defines.filter((one) => BEHAVIOUR.has(one))
    if (stored.length > 0)
      refuse(
        'SESSION_ENGINE',
        `its class ${module}.${ownName} defines ${stored.join(', ')}, so sessions are not stored as Django stores them; only its own Python can read them`,
      )
    if (behaviour.length > 0)
      warn(
        'SESSION_ENGINE',
        `its class ${module}.${ownName} defines ${behaviour.join(', ')}, which does not run here`,
      )
  }
  if (own.length > 0) checkSalts(store, { needs, refuse })
  set('SESSION_COOKIE_AGE', String(store.cookieAge))
  if (store.cookieAge !== facts.settings.SESSION_COOKIE_AGE)
    warn(
      'SESSION_COOKIE_AGE',
      `the store's get_session_cookie_age() returns ${store.cookieAge}; if it is not always the same, sessions last longer or shorter here`,
    )
}

/** A class between the project's and the engine's may come from a package, too. */
function checkSalts(
  { keySalt, qualifiedName, cacheKeyPrefix }: StoreFacts,
  { needs, refuse }: { needs: SessionEngineNeeds; refuse: Context['refuse'] },
): void {
  if (keySalt !== null && keySalt !== `django.contrib.sessions.${qualifiedName}`)
    refuse('SESSION_ENGINE', 'its key_salt is not the one that Django derives from the name of the class')
  const prefix = needs.keptIn === 'cache' ? CACHE_KEY_PREFIX : copyPrefixOf(needs)
  if (needs.needsCache && cacheKeyPrefix !== null && cacheKeyPrefix !== prefix)
    refuse('SESSION_ENGINE', `its cache_key_prefix is not ${prefix}, so other keys are used in the cache`)
}

function takeModel(
  model: NonNullable<StoreFacts['model']>,
  { needs, set, refuse }: { needs: SessionEngineNeeds } & Pick<Context, 'set' | 'refuse'>,
): void {
  if (model.table !== needs.table) set('SESSION_DB_TABLE', model.table)
  const renamed = Object.entries(model.columns).filter(([name, column]) => name !== column)
  if (renamed.length > 0)
    refuse(
      'SESSION_ENGINE',
      `the columns of its table ${model.table} have other names: ${renamed.map(([name, column]) => `${column} for ${name}`).join(', ')}`,
    )
  if (needs.package === 'django' && model.required.length > 0)
    refuse(
      'SESSION_ENGINE',
      `its table ${model.table} has columns that each new session must fill: ${model.required.join(', ')}; allow NULL there, or give them a default in the database`,
    )
}

function takeDatabases(context: Context): void {
  const { facts, set, refuse, warn } = context
  const { user, store, cacheAlias } = facts
  const main = isFailure(user) ? 'default' : user.alias
  const url = takeDatabase(main, context)
  set('DATABASE_URL', url)
  set('DATABASE_TIME_ZONE', zoneOf(main, facts))
  if (main !== 'default')
    warn(
      'DATABASES',
      `a router keeps the users in ${quote(main)}; the other tables are looked for there, too`,
    )
  const model = isFailure(store) ? null : store.model
  const sessions = model === null ? main : model.alias
  if (sessions !== main) {
    const own = takeDatabase(sessions, context)
    if (own !== url) {
      set('SESSION_DATABASE_URL', own)
      set('SESSION_DATABASE_TIME_ZONE', zoneOf(sessions, facts))
    }
  }
  if (typeof cacheAlias === 'string' && usesCache(store) && cacheAlias !== sessions)
    refuse(
      'CACHES',
      `a router keeps the table of the cache in the database ${quote(cacheAlias)}, but the sessions are in ${quote(sessions)}; keep both in one database`,
    )
}

function takeDatabase(alias: string, { facts, refuse, warn }: Context): string | null {
  const entry = facts.databases[alias]
  const setting = `DATABASES[${quote(alias)}]`
  if (entry === undefined) {
    refuse(setting, 'is missing, though a router names it')
    return null
  }
  if (isFailure(entry)) {
    refuse(setting, `cannot be loaded: ${entry.error}`)
    return null
  }
  const { url, refused, warnings } = databaseAsUrl(entry, facts)
  for (const reason of refused) refuse(setting, reason)
  for (const reason of warnings) warn(setting, reason)
  return url
}

/** Only where it has an effect: with USE_TZ, and not on PostgreSQL, which keeps instants. */
function zoneOf(alias: string, { databases, settings }: ProjectFacts): string | null {
  const entry = databases[alias]
  if (entry === undefined || isFailure(entry)) return null
  const { TIME_ZONE, vendor } = entry
  return typeof TIME_ZONE === 'string' && settings.USE_TZ && vendor !== 'postgresql' ? TIME_ZONE : null
}

function usesCache(store: StoreFacts | Failure): boolean {
  if (isFailure(store)) return false
  const engine = store.classes.find(({ module }) => SESSION_ENGINES.has(module))
  return SESSION_ENGINES.get(engine?.module ?? '')?.needsCache === true
}

/** The one entry that keeps sessions: the others may hold further passwords. */
function takeCaches({ facts, set, refuse }: Context): void {
  if (!usesCache(facts.store)) return
  const { CACHES = null, SESSION_CACHE_ALIAS = 'default' } = facts.settings
  const alias = String(SESSION_CACHE_ALIAS)
  const entry = recordOf(recordOf(CACHES)[alias] ?? null)
  set('SESSION_CACHE_ALIAS', alias)
  const setting = `CACHES[${quote(alias)}]`
  const objects = [...pythonObjects(entry, '')].filter(({ path }) => path !== '.KEY_FUNCTION')
  for (const { path, type } of objects)
    refuse(setting, `its ${path.slice(1)} is a Python object (${type}), which cannot be carried over`)
  if (objects.length > 0) return
  const { KEY_FUNCTION = null, LOCATION = '', ...rest } = entry
  const isOwnFunction =
    KEY_FUNCTION !== null && KEY_FUNCTION !== 'django.core.cache.backends.base.default_key_func'
  if (isOwnFunction)
    refuse(
      setting,
      'has a KEY_FUNCTION, which is Python code; remove it, or use a cache of its own for sessions',
    )
  const isFolder = String(rest.BACKEND).endsWith('.FileBasedCache') && typeof LOCATION === 'string'
  const location = isFolder && !isAbsolute(LOCATION) ? resolve(facts.folder, LOCATION) : LOCATION
  set('CACHES', JSON.stringify({ [alias]: { ...rest, LOCATION: location } }))
}

function* pythonObjects(value: PlainValue, path: string): Generator<{ path: string; type: string }> {
  if (isPythonObject(value)) yield { path, type: value.__python__ }
  else if (typeof value === 'object' && value !== null)
    for (const [key, part] of Object.entries(value)) yield* pythonObjects(part, `${path}.${key}`)
}

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

function takeUsers(context: Context): void {
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

function takePasswords({ facts, set, warn }: Context): void {
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

function takeMessages({ facts, set, warn }: Context): void {
  const storage = facts.settings.MESSAGE_STORAGE
  if (typeof storage !== 'string') return
  const { choices } = SETTINGS.MESSAGE_STORAGE
  if (choices.some((choice) => choice === storage)) set('MESSAGE_STORAGE', storage)
  else
    warn(
      'MESSAGE_STORAGE',
      `${storage} is Python code of the project; messages of one side are not seen on the other`,
    )
}

function takeUrls({ facts, set, warn }: Context): void {
  for (const name of ['LOGIN_URL', 'LOGIN_REDIRECT_URL', 'LOGOUT_REDIRECT_URL'] as const) {
    const url = facts.urls[name]
    if (url === undefined || url === null) continue
    if (isFailure(url))
      warn(
        name,
        `is the name of a URL pattern, which could not be looked up (${url.error}); set it to the path`,
      )
    // As Django sends it: iri_to_uri.
    else set(name, encodeURI(url.toWellFormed()).replaceAll('%25', '%'))
  }
}

function takeHosts({ facts, set, warn }: Context): void {
  const hosts = listOf(facts.settings.ALLOWED_HOSTS ?? [])
  const [valid, others] = [
    hosts.filter((host) => HOST_PATTERN.test(host)),
    hosts.filter((host) => !HOST_PATTERN.test(host)),
  ]
  if (others.length > 0)
    warn('ALLOWED_HOSTS', `${others.join(', ')}: not a host without scheme and port; it fits no request`)
  if (valid.length > 0) set('ALLOWED_HOSTS', JSON.stringify(valid))
  else if (!facts.debug)
    warn('ALLOWED_HOSTS', 'is empty, and DEBUG is False: Django answers 400 to each request')
}

function takeProxy({ facts, set, warn }: Context): void {
  const { USE_X_FORWARDED_HOST, SECURE_PROXY_SSL_HEADER = null, SECURE_SSL_REDIRECT } = facts.settings
  const header = listOf(SECURE_PROXY_SSL_HEADER)
  const isUsual = header[0] === 'HTTP_X_FORWARDED_PROTO' && header[1] === 'https'
  const trusted = [...(USE_X_FORWARDED_HOST ? ['host'] : []), ...(isUsual ? ['proto'] : [])]
  if (trusted.length > 0) {
    set('TRUSTED_PROXY', trusted.join())
    warn(
      'SECURE_PROXY_SSL_HEADER, USE_X_FORWARDED_HOST',
      `became TRUSTED_PROXY=${trusted.join()}; add for if the proxy also sets X-Forwarded-For`,
    )
  }
  if (header.length > 0 && !isUsual)
    warn(
      'SECURE_PROXY_SSL_HEADER',
      `is ${header.join(', ')}; only X-Forwarded-Proto with the value https is supported; let the proxy set it, and TRUSTED_PROXY=proto`,
    )
  if (SECURE_SSL_REDIRECT)
    warn('SECURE_SSL_REDIRECT', 'this service does not redirect to HTTPS; let the proxy in front do it')
}

function listOf(value: PlainValue): string[] {
  return Array.isArray(value) ? value.map(String) : []
}

function isFailure(value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && 'error' in value
}

function quote(alias: string): string {
  return `'${alias}'`
}
