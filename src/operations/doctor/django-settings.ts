import { realpathSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { baseEngineOf, sessionTableOf } from '../../django/session-engines.ts'
import type { DatabaseSettings } from '../../service/settings/database-settings.ts'
import { SETTINGS } from '../../service/settings/definitions.ts'
import type { Settings } from '../../service/settings/settings.ts'
import type { Check, CheckId, Result } from './check.ts'

/** One setting, compared on both sides. */
interface Comparison {
  /** The name of the setting here, and in the words of a person where it stands for several. */
  readonly setting: string
  readonly of: (settings: Settings) => unknown
  /** Whether the two sides agree; default: whether the values are equal. */
  readonly agrees?: (here: Settings, there: Settings) => boolean
  /** Its values are never shown. */
  readonly isSecret?: boolean
}

/** A group of settings, which one check compares. */
interface Group {
  readonly id: CheckId
  /** What the group is, e.g. `the secret key`. */
  readonly what: string
  /** What goes wrong where the two sides differ. */
  readonly effect: string
  readonly comparisons: readonly Comparison[]
}

const profileOf = ({ profile }: Settings) => profile

const GROUPS: readonly Group[] = [
  {
    id: 'django.E002',
    what: 'the database',
    effect: 'Each side has sessions of its own: the number of visits stays 1, or counts on one side only.',
    comparisons: [
      { setting: 'DATABASE_URL', of: ({ database }) => placeOf(database) },
      {
        setting: 'SESSION_DATABASE_URL',
        of: ({ sessionDatabase }) => sessionDatabase && placeOf(sessionDatabase),
      },
    ],
  },
  {
    id: 'django.E003',
    what: 'the secret key',
    effect: 'Neither side can read the sessions of the other.',
    comparisons: [
      { setting: 'DJANGO_SECRET_KEY', of: ({ secretKeys }) => secretKeys?.[0], isSecret: true },
      {
        setting: 'DJANGO_SECRET_KEY_FALLBACKS',
        of: ({ secretKeys }) => secretKeys?.slice(1),
        isSecret: true,
      },
    ],
  },
  {
    id: 'django.E004',
    what: 'the format of sessions',
    effect: 'Sessions of one side do not verify on the other.',
    comparisons: [
      { setting: 'DJANGO_VERSION', of: (settings) => formatOf(settings) },
      { setting: 'DEFAULT_HASHING_ALGORITHM', of: (settings) => profileOf(settings)?.hashAlgorithm },
      { setting: 'SESSION_SERIALIZER', of: ({ session }) => session.serializer },
      { setting: 'SESSION_STORE_CLASS', of: ({ session }) => session.storeClass ?? 'SessionStore' },
    ],
  },
  {
    id: 'django.E005',
    what: 'the place of sessions',
    effect: 'Each side has sessions of its own.',
    comparisons: [
      { setting: 'SESSION_ENGINE', of: ({ session }) => baseEngineOf(session.engine) },
      { setting: 'SESSION_DB_TABLE', of: ({ session }) => session.table ?? sessionTableOf(session.engine) },
      { setting: 'SESSION_FILE_PATH', of: ({ session }) => session.filePath },
      { setting: 'CACHES', of: ({ cache }) => cache, isSecret: true },
    ],
  },
  {
    id: 'django.E006',
    what: 'the time zone of expiry dates',
    effect: 'Sessions end hours too early or too late, or are deleted while visitors use them.',
    comparisons: [
      { setting: 'USE_TZ', of: ({ useTz }) => useTz },
      { setting: 'TIME_ZONE', of: ({ useTz, timeZone }) => (useTz === false ? timeZone : 'of no effect') },
      { setting: 'DATABASE_TIME_ZONE', of: ({ databaseTimeZone }) => databaseTimeZone },
      { setting: 'SESSION_DATABASE_TIME_ZONE', of: ({ sessionDatabaseTimeZone }) => sessionDatabaseTimeZone },
    ],
  },
  {
    id: 'django.E007',
    what: 'the session cookie',
    effect: 'The browser holds two session cookies, or one side deletes or replaces that of the other.',
    comparisons: [
      { setting: 'SESSION_COOKIE_NAME', of: ({ session }) => session.cookie.name },
      { setting: 'SESSION_COOKIE_DOMAIN', of: ({ session }) => session.cookie.domain },
      { setting: 'SESSION_COOKIE_PATH', of: ({ session }) => session.cookie.path },
      { setting: 'SESSION_COOKIE_SECURE', of: ({ session }) => session.cookie.secure },
    ],
  },
  {
    id: 'django.W008',
    what: 'the lifetime of sessions, and who may read their cookie',
    effect:
      'A session lasts longer or shorter after a visit to one side, or browsers send its cookie less often.',
    comparisons: [
      { setting: 'SESSION_COOKIE_AGE', of: ({ session }) => session.cookieAge },
      { setting: 'SESSION_COOKIE_HTTPONLY', of: ({ session }) => session.cookie.httpOnly },
      { setting: 'SESSION_COOKIE_SAMESITE', of: ({ session }) => session.cookie.sameSite },
      { setting: 'SESSION_EXPIRE_AT_BROWSER_CLOSE', of: ({ session }) => session.expireAtBrowserClose },
      { setting: 'SESSION_SAVE_EVERY_REQUEST', of: ({ session }) => session.saveEveryRequest },
    ],
  },
  {
    id: 'django.E009',
    what: 'the user model',
    effect: 'Visitors who are logged in are anonymous here, or a login here is not one there.',
    comparisons: [
      { setting: 'AUTH_USER_MODEL', of: ({ auth }) => auth.userModel.model },
      { setting: 'AUTH_USER_TABLE', of: ({ auth }) => auth.userModel.table },
      { setting: 'AUTH_USER_ID_COLUMN', of: ({ auth }) => auth.userModel.idColumn },
      { setting: 'AUTH_USER_ID_TYPE', of: ({ auth }) => auth.userModel.idType },
      { setting: 'AUTH_USERNAME_FIELD', of: ({ auth }) => auth.userModel.usernameField },
      { setting: 'AUTH_…_COLUMN', of: ({ auth }) => auth.userModel.columns },
      { setting: 'AUTH_SESSION_HASH', of: ({ auth }) => auth.sessionHash },
      { setting: 'AUTHENTICATION_BACKENDS', of: ({ auth }) => auth.backends },
    ],
  },
  {
    id: 'django.W010',
    what: 'the password hashers',
    effect: 'Some users cannot log in here, or a login here changes how their password is stored.',
    comparisons: [
      {
        setting: 'PASSWORD_HASHERS',
        of: ({ auth, profile }) =>
          (auth.passwordHashers ?? profile?.passwordHashers ?? []).map((path) => path.split('.').at(-1)),
      },
    ],
  },
  {
    id: 'django.W011',
    what: 'the protection of forms',
    effect: 'A form of one side is refused by the other with 403.',
    comparisons: [
      { setting: 'CSRF_USE_SESSIONS', of: ({ csrf }) => csrf.useSessions },
      { setting: 'CSRF_COOKIE_NAME', of: ({ csrf }) => csrf.cookie.name },
      { setting: 'CSRF_COOKIE_AGE', of: ({ csrf }) => csrf.cookieAge },
      { setting: 'CSRF_COOKIE_DOMAIN', of: ({ csrf }) => csrf.cookie.domain },
      { setting: 'CSRF_COOKIE_PATH', of: ({ csrf }) => csrf.cookie.path },
      { setting: 'CSRF_COOKIE_SECURE', of: ({ csrf }) => csrf.cookie.secure },
      { setting: 'CSRF_COOKIE_HTTPONLY', of: ({ csrf }) => csrf.cookie.httpOnly },
      { setting: 'CSRF_COOKIE_SAMESITE', of: ({ csrf }) => csrf.cookie.sameSite },
      { setting: 'CSRF_HEADER_NAME', of: ({ csrf }) => csrf.headerName },
      { setting: 'CSRF_TRUSTED_ORIGINS', of: ({ csrf }) => csrf.trustedOrigins },
    ],
  },
  {
    id: 'django.W012',
    what: 'messages',
    effect: 'Messages of one side are not seen on the other, or look different.',
    comparisons: [
      { setting: 'MESSAGE_STORAGE', of: ({ messages }) => messages.storage },
      { setting: 'MESSAGE_LEVEL', of: ({ messages }) => messages.level },
      { setting: 'MESSAGE_TAGS', of: ({ messages }) => messages.tags },
    ],
  },
  {
    id: 'django.W013',
    what: 'hosts, login and HTTPS',
    effect: 'One side refuses a host, or sends visitors to another page than the other.',
    comparisons: [
      { setting: 'ALLOWED_HOSTS', of: ({ allowedHosts }) => [...allowedHosts].sort() },
      { setting: 'LOGIN_URL', of: ({ login }) => login.loginUrl },
      { setting: 'LOGIN_REDIRECT_URL', of: ({ login }) => login.loginRedirectUrl },
      { setting: 'LOGOUT_REDIRECT_URL', of: ({ login }) => login.logoutRedirectUrl },
      { setting: 'TRUSTED_PROXY', of: ({ trustedProxy }) => trustedProxy.filter((name) => name !== 'for') },
      { setting: 'SECURE_HSTS_…', of: ({ hsts }) => hsts },
    ],
  },
  {
    id: 'django.W014',
    what: 'the exact version of Django',
    effect: 'Small rules differ between releases, e.g. which status saves a session.',
    comparisons: [{ setting: 'DJANGO_VERSION', of: ({ profile }) => releaseOf(profile?.version) }],
  },
  {
    id: 'django.W015',
    what: 'the server of the database',
    effect: 'If the two names are not those of one server, each side has sessions of its own.',
    comparisons: [
      { setting: 'DATABASE_URL', of: ({ database }) => serverOf(database) },
      {
        setting: 'SESSION_DATABASE_URL',
        of: ({ sessionDatabase }) => sessionDatabase && serverOf(sessionDatabase),
      },
    ],
  },
  {
    id: 'django.W016',
    what: 'what becomes of a key that two requests change',
    effect: 'One of two changes is lost, or counts alone, where it is saved on one of the two sides.',
    comparisons: [{ setting: 'SESSION_MERGE', of: ({ session }) => session.merge, agrees: hasPoliciesOf }],
  },
]

/** Whether each policy of Django is set here, too. A function of Django's needs a policy here that cannot be compared. */
function hasPoliciesOf(here: Settings, there: Settings): boolean {
  const { merge } = here.session
  return Object.entries(there.session.merge).every(
    ([key, policy]) => Object.hasOwn(merge, key) && merge[key] === policy,
  )
}

/** Whether the settings are those of the running project. Only with `--django`. */
export const DJANGO_CHECKS: readonly Check[] = [
  {
    id: 'django.E001',
    title: 'all that the Django project is set to can be carried over',
    meaning:
      'The checks of this group run with `--django path/to/manage.py` only. Asks the project for its settings, by its own Python. A part of it that is Python code, e.g. a store with its own `encode`, cannot be followed here, and sessions cannot be shared then.',
    remedy:
      'The message names the setting, why it cannot be carried over, and what to change in the project.',
    isCheap: false,
    async run({ django }) {
      if (django === null) return WITHOUT_DJANGO
      if (django.refused.length === 0) return { outcome: 'ok', read: 'all settings were read' }
      return {
        outcome: 'failed',
        read: django.refused.map(({ setting, reason }) => `${setting}: ${reason}`).join('; '),
        hint: 'change it in the Django project, then run the doctor again',
      }
    },
  },
  ...GROUPS.map(checkOf),
]

const WITHOUT_DJANGO: Result = {
  outcome: 'skipped',
  because: 'no project was named; add --django with the path of its manage.py',
}

function checkOf({ id, what, effect, comparisons }: Group): Check {
  const names = [...new Set(comparisons.map(({ setting }) => `\`${setting}\``))].join(', ')
  return {
    id,
    title: `${what}: as in the Django project`,
    meaning: `Compares ${names} with the running project. Where they differ: ${effect}`,
    remedy:
      'Set each named setting to the value of the Django project. `koa-django-sessions init path/to/manage.py` writes all of them.',
    after: ['django.E001'],
    isCheap: false,
    async run({ django, project }) {
      if (django === null) return WITHOUT_DJANGO
      const { settings } = django
      if (settings === null)
        return { outcome: 'skipped', because: 'the settings of the project are not valid here' }
      // Without DJANGO_VERSION, the version that the migrations show is used.
      const ours = { ...project.settings, profile: project.profile, useTz: project.useTz }
      const differences = comparisons.flatMap((comparison) => differenceOf(comparison, ours, settings))
      if (differences.length === 0)
        return { outcome: 'ok', read: `${comparisons.length} of ${comparisons.length} agree` }
      return {
        outcome: 'failed',
        read: differences.map(({ text }) => text).join('; '),
        hint: `${[...new Set(differences.map(({ remedy }) => remedy(django.values)))].join(', ')}; or run \`koa-django-sessions init\``,
      }
    },
  }
}

function differenceOf(
  { setting, of, agrees, isSecret = false }: Comparison,
  ours: Settings,
  theirs: Settings,
): Difference[] {
  const [here, there] = [of(ours), of(theirs)]
  if (agrees?.(ours, theirs) ?? isDeepStrictEqual(here, there)) return []
  const text = isSecret
    ? `${setting} differs`
    : `${setting} is ${shown(here)} here and ${shown(there)} in Django`
  return [{ text, remedy: (values) => remedyOf(setting, isSecret ? new Map() : values) }]
}

interface Difference {
  readonly text: string
  readonly remedy: (values: ReadonlyMap<string, string>) => string
}

/** The right value, unless it may hold a password or stands for several settings. */
function remedyOf(setting: string, values: ReadonlyMap<string, string>): string {
  const value = values.get(setting)
  if (setting.endsWith('DATABASE_URL') || !(setting in SETTINGS) || values.size === 0)
    return `set ${setting} as in Django`
  return value === undefined ? `remove ${setting}` : `set ${setting}=${value}`
}

function shown(value: unknown): string {
  return value === undefined || value === null ? 'not set' : JSON.stringify(value)
}

/** What decides whether a session of one version verifies under the other. */
function formatOf({ profile }: Settings): unknown {
  if (profile === null) return null
  const { writes, reads } = profile
  return `${writes} (reads ${reads.join(', ')})`
}

/** Of `5.2.19` and `5.2`, the second does not contradict the first. */
function releaseOf(version: string | undefined): string {
  return (version ?? '').split('.').slice(0, 2).join('.')
}

/** Which database it is, without its server: its name, or the file. */
function placeOf(database: DatabaseSettings): string {
  if (database.kind !== 'sqlite') return `${database.kind} ${database.database}`
  return `sqlite ${realPath(database.filename)}`
}

/** The server, where `localhost`, its addresses and a socket are one. */
function serverOf(database: DatabaseSettings): string {
  if (database.kind === 'sqlite') return 'a file'
  const usual = DEFAULT_PORTS[database.kind]
  return database.hosts
    .map(({ host, port }) => {
      const name = host.startsWith('/') || LOCAL.has(host) ? 'localhost' : host
      return port === usual || host.startsWith('/') ? name : `${name}:${port}`
    })
    .join()
}

const DEFAULT_PORTS = { mysql: 3306, postgresql: 5432 } as const

const LOCAL: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])

function realPath(filename: string): string {
  try {
    return realpathSync(filename)
  } catch (error) {
    if (error instanceof Error && 'code' in error) return filename
    throw error
  }
}
