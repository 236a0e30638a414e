import { resolve } from 'node:path'
import type { CacheSettings } from '../../caches/cache-settings.ts'
import { quoted } from '../../checks/quoted.ts'
import { type CookieSettings, SESSION_COOKIE, SESSION_COOKIE_AGE } from '../../django/cookie.ts'
import { isTimeZone, TIME_DEFAULTS } from '../../django/datetime.ts'
import { LOCAL_HOSTS } from '../../django/hosts.ts'
import { pathPatternProblem } from '../../django/path-pattern.ts'
import { SESSION_ENGINES } from '../../django/session-engines.ts'
import { SESSION_SERIALIZERS } from '../../django/session-serializers.ts'
import {
  type HashAlgorithm,
  UnknownDjangoVersion,
  type VersionProfile,
  versionProfile,
} from '../../django/versions.ts'
import type { MergePolicies } from '../../session/merge-policies.ts'
import { type AuthSettings, readAuthSettings } from './auth-settings.ts'
import { readCache } from './caches.ts'
import { readCookieSettings } from './cookie-settings.ts'
import { type CsrfSettings, readCsrfSettings } from './csrf-settings.ts'
import { type DatabaseUrlContext, readDatabaseUrl } from './database-reader.ts'
import type { DatabaseSettings, Limits } from './database-settings.ts'
import type { SettingName } from './definitions.ts'
import { createEnvironment, type Environment, readEnvFile, readList } from './environment.ts'
import { type LoginSettings, readLoginSettings } from './login-settings.ts'
import { type MessagesSettings, readMessagesSettings } from './messages-settings.ts'
import { readTrustedProxy, type TrustedProxySetting } from './proxy-settings.ts'
import { readSessionMerge } from './session-merge.ts'
import { pythonTemporaryFolder } from './temporary-folder.ts'
import { readUpstream, type UpstreamSettings } from './upstream-settings.ts'

/** The whole configuration of the service, deeply frozen. A setting that Django has keeps Django's name and meaning. */
export interface Settings {
  readonly database: DatabaseSettings
  /** The database of the sessions; null when they are in `database`. */
  readonly sessionDatabase: DatabaseSettings | null
  /**
   * DJANGO_SECRET_KEY, then DJANGO_SECRET_KEY_FALLBACKS. Null only for the embedded demo, which creates a key of its own
   * beside its file (demo/secret.ts).
   */
  readonly secretKeys: readonly [string, ...string[]] | null
  /** The rules of DJANGO_VERSION; null when it is not set: the table django_migrations shows the version. */
  readonly profile: VersionProfile | null
  /** DEFAULT_HASHING_ALGORITHM, which only Django 3.1 and 3.2 have. */
  readonly defaultHashingAlgorithm: HashAlgorithm
  /** Null when it is not set. */
  readonly useTz: boolean | null
  readonly timeZone: string
  /** `DATABASES[…]['TIME_ZONE']` of the database, and of the database of the sessions; UTC when it is not set. */
  readonly databaseTimeZone: string
  readonly sessionDatabaseTimeZone: string
  readonly session: SessionSettings
  readonly csrf: CsrfSettings
  readonly messages: MessagesSettings
  readonly auth: AuthSettings
  readonly login: LoginSettings
  /** The entry of CACHES that SESSION_CACHE_ALIAS names; null for an engine without a cache. */
  readonly cache: CacheSettings | null
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  /** Seconds between SIGTERM and the end of listening. Meanwhile `/health/ready` answers 503. */
  readonly shutdownDelay: number
  /** The greatest age of the counts on the home page, in seconds; 0: counted after each request arrived. */
  readonly catalogCountsMaxAge: number
  readonly logLevel: LogLevel
  /** Null: `pretty` on a terminal, otherwise `json`. */
  readonly logFormat: LogFormat | null
  /** LOG_PATHS: patterns in the syntax of Django's `path()`; the log shows the pattern instead of a path that matches. */
  readonly logPaths: readonly string[]
  /** The `X-Forwarded-…` headers that are trusted, since a proxy in front sets them. */
  readonly trustedProxy: TrustedProxySetting
  readonly allowedHosts: readonly string[]
  /** The upstream Django, which gets the requests that this service does not serve; null for none. */
  readonly upstream: UpstreamSettings | null
  /** SESSIONS_PAGE: who sees the page about sessions. */
  readonly sessionsPage: 'auto' | 'staff' | 'off'
  /** SECURE_HSTS_…; null where SECURE_HSTS_SECONDS is 0. */
  readonly hsts: HstsSettings | null
  /** Where Prometheus finds the metrics; null to serve none. */
  readonly metrics: MetricsSettings | null
  /** Whether to start even if no recent session verifies with the secret keys. */
  readonly allowUnverifiedSessions: boolean
  readonly environment: 'development' | 'production'
  /** What the operator should know but need not fix; one sentence each, without secrets. */
  readonly warnings: readonly string[]
}

export interface SessionSettings {
  /** Django's dotted path. */
  readonly engine: string
  /** SESSION_FILE_PATH, absolute; null for an engine without files. */
  readonly filePath: string | null
  /** The table of sessions; null for the table of the engine. */
  readonly table: string | null
  /** The name of the site's own session store, if it has one; it is part of the salt. */
  readonly storeClass: string | null
  /** Django's dotted path. */
  readonly serializer: string
  /** Seconds. */
  readonly cookieAge: number
  readonly expireAtBrowserClose: boolean
  readonly saveEveryRequest: boolean
  /** SESSION_MERGE: what becomes of a key that two requests change. */
  readonly merge: MergePolicies
  readonly cookie: CookieSettings
  /** Bytes. Stored data that inflates to more is rejected. */
  readonly maxInflatedBytes: number
}

export interface HstsSettings {
  /** Seconds. */
  readonly maxAge: number
  readonly includeSubDomains: boolean
  readonly preload: boolean
}

export interface MetricsSettings {
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  /** Whether METRICS_PORT was set. If not, the service starts even if the default port is taken. */
  readonly isPortGiven: boolean
}

/** `pretty`: lines for people. `json`: lines for programs. */
export type LogFormat = 'pretty' | 'json'

export type LogLevel = (typeof LOG_LEVELS)[number]

/** All problems of the settings, each with what to do. It quotes no secret. */
export class SettingsError extends Error {
  override name = 'SettingsError'
  readonly code: string = 'ERR_SETTINGS'
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/**
 * Reads the settings from these variables; a variable that is not set may be in the file `.env` of the folder `cwd`, unless
 * `readsFile` is false. An empty variable counts as not set.
 * @throws {SettingsError} naming every problem at once.
 */
export function readSettings(
  env: NodeJS.ProcessEnv,
  { cwd = process.cwd(), readsFile = true }: { cwd?: string; readsFile?: boolean } = {},
): Settings {
  const problems: string[] = []
  const warnings: string[] = []
  const environment = createEnvironment({ ...(readsFile && readEnvFile(cwd, problems)), ...env }, problems)
  const limits = readLimits(environment)
  const database = readDatabase(environment, limits, { cwd, problems, warnings })
  const sessionDatabase = readSessionDatabase(environment, limits, { cwd, problems, warnings })
  const secretKeys = readSecretKeys(environment, problems)
  const django = readDjango(environment, problems)
  const zones = readDatabaseZones(environment, { database, sessionDatabase, ...django, problems, warnings })
  const profile = readProfile(environment, { ...django, problems })
  const session = readSession(environment, profile, { cwd, problems })
  const settings = {
    secretKeys,
    profile,
    ...django,
    ...zones,
    session,
    cache:
      SESSION_ENGINES.get(session.engine)?.needsCache === true
        ? readCache(environment, { engine: session.engine, profile, problems, warnings })
        : null,
    csrf: readCsrfSettings(environment, { profile, problems, warnings }),
    messages: readMessagesSettings(environment, problems),
    auth: readAuthSettings(environment, problems),
    login: readLoginSettings(environment, problems),
    host: environment.text('HOST') ?? '127.0.0.1',
    port: environment.number('PORT', 3000),
    shutdownDelay: environment.number('SHUTDOWN_DELAY', 0),
    catalogCountsMaxAge: environment.number('CATALOG_COUNTS_MAX_AGE', 0),
    logLevel: environment.oneOf('LOG_LEVEL', LOG_LEVELS, 'info'),
    logFormat:
      environment.text('LOG_FORMAT') === null
        ? null
        : environment.oneOf('LOG_FORMAT', ['pretty', 'json'], 'json'),
    logPaths: readLogPaths(environment, problems),
    trustedProxy: readTrustedProxy(environment, problems),
    allowedHosts: readAllowedHosts(environment, problems),
    upstream: readUpstream(environment, problems),
    sessionsPage: environment.oneOf('SESSIONS_PAGE', ['auto', 'staff', 'off'], 'auto'),
    hsts: readHsts(environment),
    metrics: readMetrics(environment),
    allowUnverifiedSessions: environment.boolean('ALLOW_UNVERIFIED_SESSIONS', false),
    environment: environment.oneOf('NODE_ENV', ['development', 'production', 'test'], 'development'),
    warnings,
  }
  warnings.push(...ignoredNames(environment))
  if (problems.length > 0 || database === null) throw new SettingsError(problems)
  return deepFreeze({
    ...settings,
    database,
    sessionDatabase,
    environment: settings.environment === 'production' ? 'production' : 'development',
  })
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

const DEMO_FILE = 'var/demo.sqlite3'

function readLimits(environment: Environment): Limits {
  return {
    poolSize: environment.number('DATABASE_POOL_SIZE', 10),
    timeout: environment.number('DATABASE_TIMEOUT', 2),
  }
}

function readDatabase(
  environment: Environment,
  limits: Limits,
  context: DatabaseUrlContext,
): DatabaseSettings | null {
  const url = environment.text('DATABASE_URL')
  if (url !== null) return readDatabaseUrl(url, limits, context)
  return { kind: 'sqlite', filename: resolve(context.cwd, DEMO_FILE), embedded: true, ...limits }
}

/** The separate database of the sessions, for a site whose database router has one. */
function readSessionDatabase(
  environment: Environment,
  limits: Limits,
  context: DatabaseUrlContext,
): DatabaseSettings | null {
  const url = environment.text('SESSION_DATABASE_URL')
  if (url === null || isWithoutTable(environment.text('SESSION_ENGINE'))) return null
  if (environment.text('DATABASE_URL') === null) {
    context.problems.push(
      "SESSION_DATABASE_URL is set, but DATABASE_URL is empty; set it to the Django site's other database",
    )
  }
  return readDatabaseUrl(url, limits, { ...context, name: 'SESSION_DATABASE_URL' })
}

function readSecretKeys(environment: Environment, problems: string[]): Settings['secretKeys'] {
  const fallbacks = readFallbacks(environment.text('DJANGO_SECRET_KEY_FALLBACKS') ?? '')
  if (fallbacks === null) {
    problems.push(
      'DJANGO_SECRET_KEY_FALLBACKS is not a JSON array of strings; write ["key", …], or keys without commas, separated by blanks',
    )
  }
  const secretKey = environment.text('DJANGO_SECRET_KEY')
  if (secretKey !== null) return [secretKey, ...(fallbacks ?? [])]
  if (environment.text('DATABASE_URL') !== null) {
    problems.push('DJANGO_SECRET_KEY is empty; set it to the SECRET_KEY of the Django project')
  }
  return null
}

/** A JSON array, or words; null when it is neither. Words have no commas: one might separate two keys or be part of a key. */
function readFallbacks(text: string): string[] | null {
  if (!/^\s*\[|,/.test(text)) return text.split(/\s+/).filter((key) => key !== '')
  try {
    const keys: unknown = JSON.parse(text)
    return Array.isArray(keys) && keys.every((key) => typeof key === 'string' && key !== '') ? keys : null
  } catch {
    return null
  }
}

function readDjango(
  environment: Environment,
  problems: string[],
): Pick<Settings, 'defaultHashingAlgorithm' | 'useTz' | 'timeZone'> {
  const useTz = environment.text('USE_TZ') === null ? null : environment.boolean('USE_TZ', true)
  const timeZone = environment.text('TIME_ZONE')
  if (timeZone !== null && !isTimeZone(timeZone)) {
    problems.push(
      `TIME_ZONE ${quoted(timeZone)} is not a time zone; set it to the TIME_ZONE of the Django project, e.g. Asia/Seoul`,
    )
  }
  if (useTz === false && timeZone === null) {
    problems.push('TIME_ZONE is empty, and USE_TZ is False; set TIME_ZONE as in the Django project')
  }
  if (useTz === null && timeZone !== null) {
    // A wrong guess would move every expiry date by hours; the default depends on the Django version.
    problems.push('USE_TZ is empty, and TIME_ZONE needs it; set USE_TZ as in the Django project')
  }
  return {
    defaultHashingAlgorithm: environment.oneOf('DEFAULT_HASHING_ALGORITHM', ['sha1', 'sha256'], 'sha256'),
    useTz,
    timeZone: timeZone ?? TIME_DEFAULTS.timeZone,
  }
}

/** TIME_ZONE in Django's DATABASES. Source: django/db/backends/base/base.py, check_settings and timezone. */
function readDatabaseZones(
  environment: Environment,
  options: Pick<Settings, 'useTz'> & {
    database: DatabaseSettings | null
    sessionDatabase: DatabaseSettings | null
    problems: string[]
    warnings: string[]
  },
): Pick<Settings, 'databaseTimeZone' | 'sessionDatabaseTimeZone'> {
  const { database, sessionDatabase, useTz, problems, warnings } = options
  const read = (name: SettingName, kind: DatabaseSettings['kind'] | undefined): string => {
    const zone = environment.text(name)
    if (zone === null) return TIME_DEFAULTS.databaseTimeZone
    if (!isTimeZone(zone))
      problems.push(
        `${name} ${quoted(zone)} is not a time zone; set it to TIME_ZONE in the DATABASES of the Django project`,
      )
    else if (useTz !== true)
      problems.push(`${name} is set, but needs USE_TZ=True, as in Django; set USE_TZ to True`)
    else if (kind === 'postgresql') warnings.push(`${name} is ignored: PostgreSQL keeps instants`)
    return zone
  }
  const databaseTimeZone = read('DATABASE_TIME_ZONE', database?.kind)
  const own = read('SESSION_DATABASE_TIME_ZONE', sessionDatabase?.kind)
  if (sessionDatabase !== null) return { databaseTimeZone, sessionDatabaseTimeZone: own }
  if (environment.text('SESSION_DATABASE_TIME_ZONE') !== null)
    warnings.push('SESSION_DATABASE_TIME_ZONE is ignored: SESSION_DATABASE_URL is not used')
  return { databaseTimeZone, sessionDatabaseTimeZone: databaseTimeZone }
}

/** Null when DJANGO_VERSION is not set, or wrong. */
function readProfile(
  environment: Environment,
  { defaultHashingAlgorithm, problems }: Pick<Settings, 'defaultHashingAlgorithm'> & { problems: string[] },
): VersionProfile | null {
  const version = environment.text('DJANGO_VERSION')
  if (version === null) return null
  try {
    return versionProfile(version, { defaultHashingAlgorithm })
  } catch (error) {
    if (!(error instanceof UnknownDjangoVersion)) throw error
    problems.push(`DJANGO_VERSION: ${error.message.replace(JSON.stringify(version), () => quoted(version))}`)
    return null
  }
}

function readSession(
  environment: Environment,
  profile: VersionProfile | null,
  { cwd, problems }: { cwd: string; problems: string[] },
): SessionSettings {
  const engine = readDottedPath(environment, 'SESSION_ENGINE', { table: SESSION_ENGINES, problems })
  return {
    engine,
    filePath: isInFolder(engine) ? readFilePath(environment, cwd) : null,
    table: environment.text('SESSION_DB_TABLE'),
    storeClass: environment.text('SESSION_STORE_CLASS'),
    serializer: readSerializer(environment, profile, problems),
    cookieAge: environment.number('SESSION_COOKIE_AGE', SESSION_COOKIE_AGE),
    expireAtBrowserClose: environment.boolean('SESSION_EXPIRE_AT_BROWSER_CLOSE', false),
    saveEveryRequest: environment.boolean('SESSION_SAVE_EVERY_REQUEST', false),
    merge: readSessionMerge(environment, problems),
    cookie: readCookieSettings(environment, 'SESSION_COOKIE', {
      defaults: SESSION_COOKIE,
      profile,
      problems,
    }),
    maxInflatedBytes: environment.number('SESSION_MAX_INFLATED_BYTES', 16 * 1024 ** 2),
  }
}

/** Pickles are read only if the site is set up to write them, and its Django can. */
function readSerializer(
  environment: Environment,
  profile: VersionProfile | null,
  problems: string[],
): string {
  const path = readDottedPath(environment, 'SESSION_SERIALIZER', { table: SESSION_SERIALIZERS, problems })
  if (SESSION_SERIALIZERS.get(path) !== 'pickle' || profile?.hasPickleSerializer === true) return path
  problems.push(
    profile === null
      ? 'SESSION_SERIALIZER is the PickleSerializer, which only Django up to 4.2 has; set DJANGO_VERSION'
      : `SESSION_SERIALIZER is the PickleSerializer, which Django ${profile.version} does not have: Django 5.0 removed it; set SESSION_SERIALIZER as in settings.py`,
  )
  return path
}

function readFilePath(environment: Environment, cwd: string): string {
  const path = environment.text('SESSION_FILE_PATH')
  return path === null ? pythonTemporaryFolder(environment, cwd) : resolve(cwd, path)
}

/** A dotted path that this table has; its first entry is the default. */
function readDottedPath(
  environment: Environment,
  name: SettingName,
  { table, problems }: { table: ReadonlyMap<string, unknown>; problems: string[] },
): string {
  const supported = [...table.keys()]
  const [byDefault = ''] = supported
  const path = environment.text(name) ?? byDefault
  if (!table.has(path))
    problems.push(
      `${name}: ${quoted(path)} is unknown; set ${name} to ${either(supported)}, here and in Django`,
    )
  return path
}

/** `a`, `a or b`, `a, b or c` */
function either(choices: readonly string[]): string {
  return choices.join(', ').replace(/, (?=[^,]*$)/, ' or ')
}

/** Separated by blanks or commas, or a JSON array. An empty list means the same as in Django, without and with DEBUG. */
function readAllowedHosts(environment: Environment, problems: string[]): readonly string[] {
  const hosts = readList(environment.text('ALLOWED_HOSTS') ?? '')
  for (const host of hosts) {
    if (HOST_PATTERN.test(host)) continue
    problems.push(
      `ALLOWED_HOSTS ${quoted(host)} is not a host; write names or addresses without scheme and port, [::1] for IPv6, .example.com for a domain and its subdomains, * for any host`,
    )
  }
  if (hosts.length > 0) return hosts
  if (environment.text('NODE_ENV') === 'production') {
    // With that, Django answers 400 to each request, and its runserver does not start.
    problems.push(
      'ALLOWED_HOSTS is empty, and NODE_ENV is production; set it to the ALLOWED_HOSTS of the Django project',
    )
  }
  return [...LOCAL_HOSTS]
}

/** An entry of ALLOWED_HOSTS. */
export const HOST_PATTERN: RegExp = /^(?:\*|\.?[\w.-]+|\[[\da-f.:]+\])$/i

function readLogPaths(environment: Environment, problems: string[]): readonly string[] {
  const patterns = readList(environment.text('LOG_PATHS') ?? '')
  for (const pattern of patterns) {
    const problem: string | null = pathPatternProblem(pattern)
    if (problem !== null) problems.push(`LOG_PATHS ${quoted(pattern)}: ${problem}`)
  }
  return patterns
}

function readHsts(environment: Environment): HstsSettings | null {
  const hsts = {
    maxAge: environment.number('SECURE_HSTS_SECONDS', 0),
    includeSubDomains: environment.boolean('SECURE_HSTS_INCLUDE_SUBDOMAINS', false),
    preload: environment.boolean('SECURE_HSTS_PRELOAD', false),
  }
  return hsts.maxAge === 0 ? null : hsts
}

function readMetrics(environment: Environment): MetricsSettings | null {
  const metrics = {
    host: environment.text('METRICS_HOST') ?? '127.0.0.1',
    port: environment.number('METRICS_PORT', 9464),
    isPortGiven: environment.text('METRICS_PORT') !== null,
  }
  return environment.boolean('METRICS', true) ? metrics : null
}

function* ignoredNames(environment: Environment): Generator<string> {
  for (const name of environment.names()) {
    if (!isUsedBy(name, environment.text('SESSION_ENGINE')))
      yield `${name} is ignored: this SESSION_ENGINE does not use it`
    else if (/^(?:SESSION_COOKIE|CSRF|MESSAGE)_/.test(name) && !KNOWN.has(name))
      yield `${name} is unknown and ignored`
  }
  if (environment.text('DATABASE_URL') === null && environment.text('NODE_ENV') === 'production') {
    yield 'DATABASE_URL is empty: the embedded demo is served, although NODE_ENV is production'
  }
}

/** Whether this engine uses the setting: the first is for files, the others are for tables. */
function isUsedBy(name: string, engine: string | null): boolean {
  if (name === 'SESSION_FILE_PATH') return isInFolder(engine)
  if (name === 'SESSION_DB_TABLE' || name === 'SESSION_DATABASE_URL') return !isWithoutTable(engine)
  return true
}

function isInFolder(engine: string | null): boolean {
  return SESSION_ENGINES.get(engine ?? '')?.keptIn === 'folder'
}

function isWithoutTable(engine: string | null): boolean {
  return SESSION_ENGINES.get(engine ?? '')?.table === null
}

const KNOWN: ReadonlySet<string> = new Set([
  ...['NAME', 'AGE', 'DOMAIN', 'PATH', 'SECURE', 'HTTPONLY', 'SAMESITE'].flatMap((name) => [
    `SESSION_COOKIE_${name}`,
    `CSRF_COOKIE_${name}`,
  ]),
  ...['CSRF_USE_SESSIONS', 'CSRF_HEADER_NAME', 'CSRF_TRUSTED_ORIGINS'],
  ...['MESSAGE_STORAGE', 'MESSAGE_LEVEL', 'MESSAGE_TAGS'],
])

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) deepFreeze(part)
  return Object.freeze(value)
}
