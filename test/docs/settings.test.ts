/** The table of settings says of each setting what the reader does with it. */
import test from 'ava'
import {
  type NamedSetting,
  type SettingName,
  settingDefinitions,
} from '../../src/service/settings/definitions.ts'
import { readSettings, SettingsError } from '../../src/service/settings/settings.ts'

const CACHE = { BACKEND: 'django.core.cache.backends.redis.RedisCache', LOCATION: 'redis://one' }
const CACHES = JSON.stringify({ default: CACHE, sessions: { ...CACHE, LOCATION: 'redis://two' } })

const site = {
  DATABASE_URL: 'mysql://user:password@host/library',
  DJANGO_SECRET_KEY: 'the key',
  DJANGO_VERSION: '4.2',
  USE_TZ: 'True',
  TIME_ZONE: 'UTC',
} as const

/** What else must be set for a setting to count. */
const CONTEXTS: Readonly<Partial<Record<SettingName, Readonly<Record<string, string>>>>> = {
  SESSION_DATABASE_TIME_ZONE: { SESSION_DATABASE_URL: 'mysql://host/sessions' },
  SESSION_FILE_PATH: { SESSION_ENGINE: 'django.contrib.sessions.backends.file' },
  CACHES: { SESSION_ENGINE: 'django.contrib.sessions.backends.cache', CACHES },
  SESSION_CACHE_ALIAS: { SESSION_ENGINE: 'django.contrib.sessions.backends.cache', CACHES },
  SESSION_ENGINE: { CACHES },
  SESSION_COOKIE_SAMESITE: { SESSION_COOKIE_SECURE: 'True' },
  CSRF_COOKIE_SAMESITE: { CSRF_COOKIE_SECURE: 'True' },
  DJANGO_UPSTREAM_TIMEOUT: { DJANGO_UPSTREAM: 'http://127.0.0.1:8000' },
  DJANGO_UPSTREAM_CONNECTIONS: { DJANGO_UPSTREAM: 'http://127.0.0.1:8000' },
  DJANGO_UPSTREAM_KEEPALIVE: { DJANGO_UPSTREAM: 'http://127.0.0.1:8000' },
  DJANGO_UPSTREAM_WEBSOCKETS: { DJANGO_UPSTREAM: 'http://127.0.0.1:8000' },
  DJANGO_UPSTREAM_BUFFER: { DJANGO_UPSTREAM: 'http://127.0.0.1:8000' },
  SECURE_HSTS_INCLUDE_SUBDOMAINS: { SECURE_HSTS_SECONDS: '60' },
  SECURE_HSTS_PRELOAD: { SECURE_HSTS_SECONDS: '60' },
  NODE_ENV: { ALLOWED_HOSTS: 'library.example.com' },
}

for (const setting of settingDefinitions()) {
  const { name, type, choices, range, default: byDefault } = setting
  const others: Readonly<Record<string, string>> = { ...site, ...CONTEXTS[name] }
  const problemsWith = (value: string) => {
    const { problems } = outcome({ ...others, [name]: value })
    return problems.filter((problem) => problem.startsWith(name))
  }

  test(`${name} changes what the service is told`, (t) => {
    t.notDeepEqual(outcome({ ...others, [name]: anotherValue(setting) }), outcome({ ...others, [name]: '' }))
  })

  if (byDefault !== null) {
    test(`${name} has the default ${byDefault}`, (t) => {
      t.deepEqual(outcome({ ...others, [name]: byDefault }), outcome({ ...others, [name]: '' }))
    })
  }

  if (range !== undefined) {
    test(`${name} is a ${type} from ${range.join(' to ')}`, (t) => {
      const [min, max] = range
      for (const value of [min, max]) t.deepEqual(problemsWith(String(value)), [])
      for (const value of [min - (type === 'integer' ? 1 : min / 2 || 1), max + 1])
        t.is(problemsWith(String(value)).length, 1, String(value))
      t.is(problemsWith(String(min + 0.5)).length, type === 'integer' ? 1 : 0)
    })
  }

  if (choices !== undefined) {
    test(`${name} is one of ${choices.length} choices`, (t) => {
      for (const choice of choices) t.deepEqual(problemsWith(choice), [])
      t.is(problemsWith('another').length, 1)
    })
  }

  if (type === 'boolean') {
    test(`${name} is True or False`, (t) => {
      for (const value of ['True', 'False']) t.deepEqual(problemsWith(value), [])
      t.is(problemsWith('perhaps').length, 1)
    })
  }
}

/** A value that is not the default. */
function anotherValue({ type, choices, range, example, default: byDefault }: NamedSetting): string {
  if (example !== undefined) return example
  if (type === 'boolean') return byDefault === 'True' ? 'False' : 'True'
  const values = [...(choices ?? []), ...(range ?? []).map(String)]
  return values.find((value) => value !== byDefault && value !== 'test') ?? 'another'
}

function outcome(env: Readonly<Record<string, string>>): { settings: unknown; problems: readonly string[] } {
  try {
    // As JSON: the rules of a Django version hold functions, which no two readings share.
    return { settings: JSON.parse(JSON.stringify(readSettings(env, { cwd: '/nowhere' }))), problems: [] }
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    return { settings: null, problems: error.problems }
  }
}
