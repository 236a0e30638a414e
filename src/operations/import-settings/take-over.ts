import {
  type NamedSetting,
  SETTINGS,
  type SettingName,
  settingDefinitions,
} from '../../service/settings/definitions.ts'
import { HOST_PATTERN } from '../../service/settings/settings.ts'
import type { ProjectFacts } from './ask-django.ts'
import { isPythonObject, listOf, type PlainValue } from './plain-value.ts'
import { type Context, isFailure } from './take-context.ts'
import { takeCaches, takeDatabases } from './take-databases.ts'
import { takeMerge, takeStore } from './take-sessions.ts'
import { takePasswords, takeUsers } from './take-users.ts'

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

/** Settings that have a part of their own. */
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
