import test, { type ExecutionContext } from 'ava'
import { readSettings, type Settings, SettingsError } from '../../../src/service/settings/settings.ts'

const DJANGO = 'django.core.cache.backends.'
const REDIS = `${DJANGO}redis.RedisCache`
const ENGINES = ['django.contrib.sessions.backends.cache', 'django.contrib.sessions.backends.cached_db']

test('an engine with a cache reads CACHES in the shape that Django has', (t) => {
  for (const SESSION_ENGINE of ENGINES) {
    const settings = read({
      SESSION_ENGINE,
      CACHES: json({ BACKEND: REDIS, LOCATION: 'redis://host:6379/1' }),
    })
    t.deepEqual(settings.cache, {
      backend: REDIS,
      location: ['redis://host:6379/1'],
      keyPrefix: '',
      version: 1,
      options: {},
    })
    t.true(Object.isFrozen(settings.cache?.options))
  }
  const entry = {
    BACKEND: 'django_redis.cache.RedisCache',
    LOCATION: ['redis://a', 'redis://b'],
    KEY_PREFIX: 'library',
    VERSION: 2,
    TIMEOUT: null,
    OPTIONS: { db: 3, nested: { CERT: '/a' } },
    KEY_FUNCTION: null,
  }
  const CACHES = JSON.stringify({ default: { BACKEND: 'unused' }, sessions: entry })
  t.deepEqual(read({ CACHES, SESSION_CACHE_ALIAS: 'sessions' }).cache, {
    backend: entry.BACKEND,
    location: entry.LOCATION,
    keyPrefix: 'library',
    version: 2,
    options: entry.OPTIONS,
  })
})

test('an engine without a cache ignores CACHES, whatever it holds', (t) => {
  const settings = read({
    SESSION_ENGINE: 'django.contrib.sessions.backends.db',
    CACHES: '{',
    SESSION_CACHE_ALIAS: 'x',
  })
  t.is(settings.cache, null)
  t.deepEqual(settings.warnings, [])
})

test('a LOCATION that is one string is split where Django splits it', (t) => {
  const location = (BACKEND: string, LOCATION: string | string[]) =>
    read({ CACHES: json({ BACKEND, LOCATION }) }).cache?.location
  t.deepEqual(location(REDIS, 'redis://a;redis://b,redis://c'), ['redis://a', 'redis://b', 'redis://c'])
  t.deepEqual(location(`${DJANGO}memcached.PyLibMCCache`, 'a:1;b:2'), ['a:1', 'b:2'])
  t.deepEqual(location('django_redis.cache.RedisCache', 'redis://a,redis://:p;w@b'), [
    'redis://a',
    'redis://:p;w@b',
  ])
  t.deepEqual(location(REDIS, ['redis://a,b']), ['redis://a,b'])
  t.deepEqual(location(`${DJANGO}db.DatabaseCache`, 'my,table'), ['my,table'])
  t.deepEqual(location(`${DJANGO}filebased.FileBasedCache`, '/var/tmp/a;b, c'), ['/var/tmp/a;b, c'])
})

test('a cache that this Django does not have is refused', (t) => {
  const memcached = (name: string) => ({ BACKEND: `${DJANGO}memcached.${name}`, LOCATION: 'a:11211' })
  const redis = { BACKEND: REDIS, LOCATION: 'redis://a' }
  const isKnown = (DJANGO_VERSION: string, entry: object) => {
    try {
      return read({ DJANGO_VERSION, CACHES: json(entry) }).cache !== null
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error
      t.is(error.problems.length, 1)
      t.regex(error.message, new RegExp(`^CACHES\\["default"\\]: Django ${DJANGO_VERSION} has no django`))
      return false
    }
  }
  t.deepEqual(
    ['2.2', '3.1', '3.2', '4.0', '6.1'].map((version) => isKnown(version, redis)),
    [false, false, false, true, true],
  )
  t.deepEqual(
    ['2.2', '3.1', '3.2', '6.1'].map((version) => isKnown(version, memcached('PyMemcacheCache'))),
    [false, false, true, true],
  )
  t.deepEqual(
    ['2.2', '4.0', '4.1'].map((version) => isKnown(version, memcached('MemcachedCache'))),
    [true, true, false],
  )
  t.deepEqual(
    ['2.2', '6.1'].map((version) => isKnown(version, memcached('PyLibMCCache'))),
    [true, true],
  )
})

const refusals: Record<string, [NodeJS.ProcessEnv, RegExp]> = {
  'no CACHES at all': [
    {},
    /^CACHES is empty, and django\.contrib\.sessions\.backends\.cache needs it; set it/,
  ],
  'a Python dictionary': [{ CACHES: "{'default': {}}" }, /^CACHES is not a JSON object; write \{"default"/],
  'a JSON list': [{ CACHES: '[]' }, /^CACHES is not a JSON object/],
  'an alias that does not exist': [
    { CACHES: '{"a": {}, "b": {}}' },
    /^CACHES has no entry "default"; set SESSION_CACHE_ALIAS to one of its names \("a", "b"\)/,
  ],
  'an entry that is not an object': [
    { CACHES: '{"default": "redis://x"}' },
    /^CACHES has no entry "default"/,
  ],
  'no BACKEND': [{ CACHES: json({ LOCATION: 'x' }) }, /: BACKEND is empty; set BACKEND to one of django/],
  'an unknown BACKEND': [
    { CACHES: json({ BACKEND: 'redis_cache.RedisCache', LOCATION: 'x' }) },
    /: its BACKEND "redis_cache\.RedisCache" is unknown; set BACKEND to one of django/,
  ],
  'a cache in memory': [
    { CACHES: json({ BACKEND: `${DJANGO}locmem.LocMemCache`, LOCATION: 'x' }) },
    /LocMemCache keeps sessions in the memory of one process, .* do not see; set BACKEND to one of/,
  ],
  'a cache that stores nothing': [
    { CACHES: json({ BACKEND: `${DJANGO}dummy.DummyCache`, LOCATION: 'x' }) },
    /DummyCache keeps sessions nowhere; set BACKEND/,
  ],
  'no LOCATION': [{ CACHES: json({ BACKEND: REDIS }) }, /: LOCATION is empty, or one of its servers is/],
  'an empty server in LOCATION': [
    { CACHES: json({ BACKEND: REDIS, LOCATION: 'redis://a,' }) },
    /: LOCATION is empty, or/,
  ],
  'a number as LOCATION': [
    { CACHES: json({ BACKEND: REDIS, LOCATION: 6379 }) },
    /: LOCATION is neither a string/,
  ],
  'a relative folder': [
    { CACHES: json({ BACKEND: `${DJANGO}filebased.FileBasedCache`, LOCATION: 'cache' }) },
    /: LOCATION is a relative folder/,
  ],
  'two tables': [
    { CACHES: json({ BACKEND: `${DJANGO}db.DatabaseCache`, LOCATION: ['a', 'b'] }) },
    /: LOCATION is not one table/,
  ],
  'a KEY_FUNCTION': [
    { CACHES: json({ BACKEND: REDIS, LOCATION: 'redis://a', KEY_FUNCTION: 'site.keys.make' }) },
    /: KEY_FUNCTION is not supported: it is Python code; remove it, in Django too/,
  ],
  'a KEY_PREFIX that is a list': [
    { CACHES: json({ BACKEND: REDIS, LOCATION: 'redis://a', KEY_PREFIX: [5] }) },
    /: KEY_PREFIX is neither a string nor a number/,
  ],
  'a VERSION that is an object': [
    { CACHES: json({ BACKEND: REDIS, LOCATION: 'redis://a', VERSION: {} }) },
    /: VERSION is neither a number nor a string/,
  ],
  'OPTIONS that are not an object': [
    { CACHES: json({ BACKEND: REDIS, LOCATION: 'redis://a', OPTIONS: [] }) },
    /: OPTIONS is not a JSON object/,
  ],
}

for (const [name, [env, expected]] of Object.entries(refusals)) {
  test(`${name} is refused`, (t) => {
    const found = problems(t, env)
    t.is(found.length, 1, found.join('\n'))
    t.regex(found[0] ?? '', expected)
  })
}

test('all problems of an entry are reported at once, and none quotes a possible password', (t) => {
  const secret = 'Sup3rS3cret'
  const entry = {
    BACKEND: 'unknown.Cache',
    LOCATION: [`redis://:${secret}@host`, 5],
    KEY_PREFIX: [secret],
    VERSION: { secret },
    OPTIONS: `PASSWORD=${secret}`,
    KEY_FUNCTION: 'x.y',
    PASSWORD: secret,
  }
  const found = problems(t, { CACHES: json(entry) })
  t.is(found.length, 6)
  t.notRegex(found.join('\n'), /Sup3r/)
  t.notRegex(problems(t, { CACHES: `{"default": {"LOCATION": "redis://:${secret}@` }).join('\n'), /Sup3r/)
})

test('a warning names what Django would ignore in an entry', (t) => {
  const { warnings } = read({
    CACHES: json({ BACKEND: REDIS, LOCATION: 'redis://a', PASSWORD: 'x', TIMEOUT: 60 }),
  })
  t.deepEqual(warnings, ['CACHES["default"]: PASSWORD is unknown and ignored'])
})

test('a warning names OPTIONS that the backend does not read, and does not quote their values', (t) => {
  const OPTIONS = { MAX_ENTRIES: 'x', db: '10', PASSWORD: 'Sup3rS3cret' }
  const warnings = (BACKEND: string, LOCATION: string) =>
    read({ CACHES: json({ BACKEND, LOCATION, OPTIONS }) }).warnings
  const ignored = ['db', 'PASSWORD'].map(
    (name) => `CACHES["default"]: OPTIONS.${name} is ignored, as in Django`,
  )
  t.deepEqual(warnings(`${DJANGO}db.DatabaseCache`, 'table'), ignored)
  t.deepEqual(warnings(`${DJANGO}filebased.FileBasedCache`, '/var/cache'), ignored)
  t.deepEqual(warnings('django_redis.cache.RedisCache', 'redis://a'), ignored.slice(0, 1))
  t.deepEqual(warnings(REDIS, 'redis://a'), [], 'redis-py refuses what it does not know')
})

test('KEY_PREFIX and VERSION become the text that Python makes of them', (t) => {
  const parts = (text: string) => {
    const { keyPrefix, version } =
      read({ CACHES: `{"default": {"BACKEND": "${REDIS}", "LOCATION": "redis://a", ${text}}}` }).cache ?? {}
    return `${keyPrefix}:${version}:`
  }
  t.is(parts('"KEY_PREFIX": "site", "VERSION": "7"'), 'site:7:')
  t.is(parts('"KEY_PREFIX": 5, "VERSION": 1.0'), '5:1.0:')
  t.is(parts('"KEY_PREFIX": null, "VERSION": true'), 'None:True:')
  t.is(parts('"KEY_PREFIX": 1e-7, "VERSION": 12345678901234567890'), '1e-07:12345678901234567890:')
  t.is(parts('"KEY_PREFIX": false, "VERSION": "07"'), 'False:07:')
  t.is(parts('"VERSION": ""'), '::')
})

function json(entry: object): string {
  return JSON.stringify({ default: entry })
}

function read(env: NodeJS.ProcessEnv): Settings {
  const SESSION_ENGINE = 'django.contrib.sessions.backends.cache'
  return readSettings({ SESSION_ENGINE, ...env }, { cwd: '/nowhere' })
}

function problems(t: ExecutionContext, env: NodeJS.ProcessEnv): readonly string[] {
  const error = t.throws(() => read(env), { instanceOf: SettingsError, code: 'ERR_SETTINGS' })
  return error?.problems ?? []
}
