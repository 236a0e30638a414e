import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { readSettings, type Settings, SettingsError } from '../../../src/service/settings/settings.ts'

const MYSQL = { DATABASE_URL: 'mysql://user:password@host/library', DJANGO_SECRET_KEY: 'the key' }

test('without any variable the embedded demo is served on 127.0.0.1:3000', (t) => {
  const cwd = folder(t)
  t.deepEqual(readSettings({}, { cwd }), {
    database: {
      kind: 'sqlite',
      filename: join(cwd, 'var/demo.sqlite3'),
      embedded: true,
      poolSize: 10,
      timeout: 2,
    },
    sessionDatabase: null,
    secretKeys: null,
    profile: null,
    defaultHashingAlgorithm: 'sha256',
    useTz: null,
    timeZone: 'UTC',
    databaseTimeZone: 'UTC',
    sessionDatabaseTimeZone: 'UTC',
    session: {
      engine: 'django.contrib.sessions.backends.db',
      filePath: null,
      table: null,
      storeClass: null,
      serializer: 'django.contrib.sessions.serializers.JSONSerializer',
      cookieAge: 1_209_600,
      expireAtBrowserClose: false,
      saveEveryRequest: false,
      merge: {},
      cookie: {
        name: 'sessionid',
        domain: null,
        path: '/',
        secure: false,
        httpOnly: true,
        sameSite: 'Lax',
      },
      maxInflatedBytes: 16_777_216,
    },
    csrf: {
      useSessions: false,
      cookie: {
        name: 'csrftoken',
        domain: null,
        path: '/',
        secure: false,
        httpOnly: false,
        sameSite: 'Lax',
      },
      cookieAge: 31_449_600,
      headerName: 'HTTP_X_CSRFTOKEN',
      trustedOrigins: [],
    },
    messages: { storage: 'fallback', level: 20, tags: {} },
    cache: null,
    host: '127.0.0.1',
    port: 3000,
    sessionsPage: 'auto',
    shutdownDelay: 0,
    catalogCountsMaxAge: 0,
    logLevel: 'info',
    logFormat: null,
    logPaths: [],
    trustedProxy: [],
    auth: {
      userModel: {
        model: 'auth.User',
        idColumn: 'id',
        idType: 'integer',
        usernameField: 'username',
        columns: {},
      },
      sessionHash: 'django',
      backends: ['django.contrib.auth.backends.ModelBackend'],
      passwordHashers: null,
    },
    login: {
      isServed: true,
      loginUrl: '/accounts/login/',
      loginRedirectUrl: '/',
      logoutRedirectUrl: null,
      djangoBaseUrl: '',
      tries: { byName: 10, byAddress: 50, window: 900 },
    },
    upstream: null,
    allowedHosts: ['.localhost', '127.0.0.1', '[::1]'],
    hsts: null,
    metrics: { host: '127.0.0.1', port: 9464, isPortGiven: false },
    allowUnverifiedSessions: false,
    environment: 'development',
    warnings: [],
  })
})

test('the settings limit what is passed on to Django', (t) => {
  const upstream = { DJANGO_UPSTREAM: 'http://127.0.0.1:8000' }
  t.deepEqual(read({ ...MYSQL, ...upstream }).upstream, {
    url: 'http://127.0.0.1:8000',
    timeout: 60,
    connections: 100,
    keepAlive: 1,
    webSockets: 1000,
    buffer: 1024 ** 2,
    ca: null,
  })
  const bounds = { CONNECTIONS: '7', KEEPALIVE: '0', WEBSOCKETS: '0', BUFFER: '0' }
  const given = Object.entries(bounds).map(([name, value]) => [`DJANGO_UPSTREAM_${name}`, value])
  t.like(read({ ...MYSQL, ...upstream, ...Object.fromEntries(given) }).upstream, {
    connections: 7,
    keepAlive: 0,
    webSockets: 0,
    buffer: 0,
  })
})

test("each variable sets what Django's setting of that name means", (t) => {
  const settings = read({
    ...MYSQL,
    DATABASE_POOL_SIZE: '3',
    DATABASE_TIMEOUT: '0.5',
    DJANGO_SECRET_KEY_FALLBACKS: 'older oldest',
    DJANGO_VERSION: '3.2',
    DEFAULT_HASHING_ALGORITHM: 'sha1',
    USE_TZ: 'False',
    TIME_ZONE: 'Asia/Seoul',
    SESSION_ENGINE: 'django.contrib.sessions.backends.db',
    SESSION_DB_TABLE: 'library_session',
    SESSION_STORE_CLASS: 'LibrarySessions',
    SESSION_DATABASE_URL: 'postgres://user:password@other/sessions',
    SESSION_SERIALIZER: 'django.contrib.sessions.serializers.JSONSerializer',
    SESSION_COOKIE_NAME: '__Secure-library',
    SESSION_COOKIE_AGE: '60',
    SESSION_COOKIE_DOMAIN: '.example.com',
    SESSION_COOKIE_PATH: '/catalog',
    SESSION_COOKIE_SECURE: 'yes',
    SESSION_COOKIE_HTTPONLY: 'off',
    SESSION_COOKIE_SAMESITE: 'None',
    SESSION_EXPIRE_AT_BROWSER_CLOSE: 'TRUE',
    SESSION_SAVE_EVERY_REQUEST: '1',
    SESSION_MERGE: '{"num_visits": "add", "*": "union"}',
    SESSION_MAX_INFLATED_BYTES: '2048',
    HOST: '0.0.0.0',
    PORT: '0',
    LOG_LEVEL: 'silent',
    TRUSTED_PROXY: 'on',
    ALLOWED_HOSTS: 'library.example.com',
    SECURE_HSTS_SECONDS: '3600',
    SECURE_HSTS_INCLUDE_SUBDOMAINS: 'True',
    SECURE_HSTS_PRELOAD: 'True',
    METRICS_HOST: '::',
    METRICS_PORT: '9465',
    ALLOW_UNVERIFIED_SESSIONS: 'true',
    NODE_ENV: 'production',
  })
  t.like(settings, {
    database: { kind: 'mysql', poolSize: 3, timeout: 0.5 },
    sessionDatabase: { kind: 'postgresql', database: 'sessions', poolSize: 3, timeout: 0.5 },
    profile: { version: '3.2', hashAlgorithm: 'sha1' },
    defaultHashingAlgorithm: 'sha1',
    useTz: false,
    timeZone: 'Asia/Seoul',
    host: '0.0.0.0',
    port: 0,
    logLevel: 'silent',
    trustedProxy: ['host', 'proto', 'for'],
    allowedHosts: ['library.example.com'],
    hsts: { maxAge: 3600, includeSubDomains: true, preload: true },
    metrics: { host: '::', port: 9465, isPortGiven: true },
    allowUnverifiedSessions: true,
    environment: 'production',
  })
  t.deepEqual(settings.secretKeys, ['the key', 'older', 'oldest'])
  t.deepEqual(settings.session, {
    engine: 'django.contrib.sessions.backends.db',
    filePath: null,
    table: 'library_session',
    storeClass: 'LibrarySessions',
    serializer: 'django.contrib.sessions.serializers.JSONSerializer',
    cookieAge: 60,
    expireAtBrowserClose: true,
    saveEveryRequest: true,
    merge: { num_visits: 'add', '*': 'union' },
    cookie: {
      name: '__Secure-library',
      domain: '.example.com',
      path: '/catalog',
      secure: true,
      httpOnly: false,
      sameSite: 'None',
    },
    maxInflatedBytes: 2048,
  })
})

test('the settings are deeply frozen', (t) => {
  const { session, database, warnings, secretKeys } = read(MYSQL)
  for (const part of [session, session.cookie, database, warnings, secretKeys]) t.true(Object.isFrozen(part))
})

test('fallback keys are a JSON array, or words', (t) => {
  const fallbacks = (text: string) =>
    read({ ...MYSQL, DJANGO_SECRET_KEY_FALLBACKS: text }).secretKeys?.slice(1)
  t.deepEqual(fallbacks('a\n  c#$\t'), ['a', 'c#$'])
  t.deepEqual(fallbacks('["with blank", "a,b"]'), ['with blank', 'a,b'])
  t.deepEqual(fallbacks(''), [])
  for (const DJANGO_SECRET_KEY_FALLBACKS of ['["a", 5]', '[unquoted]', '[""]', 'a,b']) {
    t.is(problems(t, { ...MYSQL, DJANGO_SECRET_KEY_FALLBACKS }).length, 1)
  }
})

test('ALLOWED_HOSTS is a JSON array, or separated by commas or blanks', (t) => {
  const hosts = (ALLOWED_HOSTS: string) => [...read({ ALLOWED_HOSTS }).allowedHosts]
  t.deepEqual(hosts('example.com, .example.org\n[::1]'), ['example.com', '.example.org', '[::1]'])
  t.deepEqual(hosts('[::1],*'), ['[::1]', '*'])
  t.deepEqual(hosts('["example.com", "[2001:db8::1]"]'), ['example.com', '[2001:db8::1]'])
  t.deepEqual(hosts('[]'), ['.localhost', '127.0.0.1', '[::1]'])
})

test('TRUSTED_PROXY trusts all, none or some of the headers of a proxy', (t) => {
  const trusted = (TRUSTED_PROXY: string) => read({ TRUSTED_PROXY }).trustedProxy
  t.deepEqual(trusted(''), [])
  for (const all of [
    'True',
    '1',
    'on',
    'yes',
    'host,proto,for',
    'for host proto',
    '["for", "proto", "host"]',
  ])
    t.deepEqual(trusted(all), ['host', 'proto', 'for'], all)
  for (const none of ['False', '0', 'off', 'no', '[]']) t.deepEqual(trusted(none), [], none)
  t.deepEqual(trusted('proto'), ['proto'])
  t.deepEqual(trusted('FOR, Host'), ['host', 'for'])
  for (const wrong of ['port', 'host,port', 'True,host', 'host;proto', 'X-Forwarded-For'])
    t.regex(
      problems(t, { TRUSTED_PROXY: wrong })[0] ?? '',
      /^TRUSTED_PROXY is ".*"; set it to True, False, or/,
    )
})

test('LOG_PATHS has patterns in the syntax of path()', (t) => {
  const paths = (LOG_PATHS: string) => read({ LOG_PATHS }).logPaths
  t.deepEqual(paths(''), [])
  t.deepEqual(paths('/accounts/reset/<uidb64>/<token>/, /books/<int:pk>/'), [
    '/accounts/reset/<uidb64>/<token>/',
    '/books/<int:pk>/',
  ])
  t.deepEqual(paths('["/a,b/<slug:c>"]'), ['/a,b/<slug:c>'])
  t.regex(
    problems(t, { LOG_PATHS: 'reset/<token>/' })[0] ?? '',
    /^LOG_PATHS "reset\/<token>\/": it does not begin/,
  )
})

test('a login page is served only at a path that all servers read alike', (t) => {
  for (const LOGIN_URL of [
    '//evil.example/login/',
    '/accounts//login/',
    '/accounts/./login/',
    '/../login/',
    '/a/..',
  ])
    t.regex(
      problems(t, { LOGIN_URL, SERVE_LOGIN: 'True' })[0] ?? '',
      /^LOGIN_URL is not a plain path/,
      LOGIN_URL,
    )
  for (const LOGIN_URL of ['/login', '/~login/', '/login.html', '/'])
    t.true(read({ LOGIN_URL, SERVE_LOGIN: 'True' }).login.isServed, LOGIN_URL)
})

for (const text of [
  'https://user:hunter2@example.com/x y',
  'https://hunter2@example.com/x y',
  'https:/user:hunter2@example.com',
  'user:hunter2@example.com',
  'mysql://user:hunter2@db/name',
  'https://user:hun@ter2@example.com',
  'https://user:p/hunter2@example.com',
  'https://user:p?hunter2#x@example.com',
  'https://user:hunter2',
  'https://user:hunter2/path',
  'https://example.com/?token=hunter2',
  'https://example.com/#hunter2',
  `https://user:hunter2@${'x'.repeat(1000)}`,
]) {
  test(`no problem quotes the secret in ${text.slice(0, 50)}`, (t) => {
    const names = [
      ...['DJANGO_BASE_URL', 'LOGIN_URL', 'LOGIN_REDIRECT_URL', 'LOGOUT_REDIRECT_URL', 'ALLOWED_HOSTS'],
      ...['TRUSTED_PROXY', 'LOG_PATHS', 'LOG_LEVEL', 'PORT', 'USE_TZ', 'TIME_ZONE', 'DJANGO_VERSION'],
      ...[
        'SESSION_ENGINE',
        'SESSION_SERIALIZER',
        'SESSION_COOKIE_NAME',
        'SESSION_COOKIE_DOMAIN',
        'CSRF_HEADER_NAME',
      ],
      ...[
        'SESSION_COOKIE_PATH',
        'CSRF_TRUSTED_ORIGINS',
        'AUTH_USER_MODEL',
        'DJANGO_UPSTREAM',
        'MESSAGE_STORAGE',
      ],
      ...[
        'MESSAGE_TAGS',
        'MESSAGE_LEVEL',
        'CACHES',
        'SESSION_CACHE_ALIAS',
        'SESSION_MERGE',
        'DATABASE_URL',
        'SESSION_DATABASE_URL',
      ],
      ...['NODE_ENV', 'AUTH_USER_ID_TYPE', 'AUTHENTICATION_BACKENDS', 'PASSWORD_HASHERS', 'METRICS_PORT'],
    ]
    for (const name of names) {
      for (const more of [{}, CACHED]) {
        try {
          const { warnings } = readSettings({ ...more, [name]: text }, { cwd: folder(t) })
          t.notRegex(warnings.join('\n'), /hunter2|ter2/, name)
        } catch (error) {
          t.true(error instanceof SettingsError, name)
          t.notRegex(String(error), /hunter2|ter2/, name)
        }
      }
    }
  })
}

/** With settings that ask for a cache. */
const CACHED = {
  ...MYSQL,
  SESSION_ENGINE: 'django.contrib.sessions.backends.cache',
  CACHES:
    '{"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1"}}',
}

test('METRICS=False turns the metrics off', (t) => {
  t.is(read({ METRICS: 'False', METRICS_PORT: '9465' }).metrics, null)
})

test("the file engine's folder is SESSION_FILE_PATH, or Python's folder for temporary files", (t) => {
  const SESSION_ENGINE = 'django.contrib.sessions.backends.file'
  const cwd = folder(t)
  const filePath = (env: NodeJS.ProcessEnv) =>
    readSettings({ SESSION_ENGINE, ...env }, { cwd }).session.filePath
  t.is(filePath({ SESSION_FILE_PATH: '/var/sessions', TMPDIR: cwd }), '/var/sessions')
  t.is(filePath({ SESSION_FILE_PATH: 'sessions' }), join(cwd, 'sessions'))
  t.is(filePath({ TMP: '/tmp', TEMP: '/var/tmp', TMPDIR: cwd }), cwd)
  t.is(filePath({ TMP: '/tmp', TEMP: '/var/tmp', TMPDIR: '/nowhere' }), '/var/tmp')
  t.is(filePath({}), '/tmp')
})

test('SESSION_DATABASE_URL needs DATABASE_URL, and its problems carry its own name', (t) => {
  const [needed] = problems(t, { SESSION_DATABASE_URL: 'sqlite:///sessions.sqlite3' })
  t.regex(needed ?? '', /^SESSION_DATABASE_URL is set, but DATABASE_URL is empty/)
  t.deepEqual(
    problems(t, { ...MYSQL, SESSION_DATABASE_URL: 'oracle://host/x' }).map((text) => text.slice(0, 22)),
    ['SESSION_DATABASE_URL: '],
  )
})

test('SESSION_COOKIE_SAMESITE=False means no attribute', (t) => {
  t.is(read({ SESSION_COOKIE_SAMESITE: 'False' }).session.cookie.sameSite, null)
})

test('a file .env is read, and the environment wins over it', (t) => {
  const cwd = folder(t)
  writeFileSync(join(cwd, '.env'), "# a comment\nPORT=4000 # another\nHOST=::1\nDJANGO_SECRET_KEY='a#b'\n")
  t.like(readSettings({ HOST: 'localhost' }, { cwd }), { port: 4000, host: 'localhost', secretKeys: ['a#b'] })
})

test('a value of .env that Node would cut at a # is a problem', (t) => {
  for (const line of ['DJANGO_SECRET_KEY=abc#def', 'export DJANGO_SECRET_KEY =#abc']) {
    const cwd = folder(t)
    writeFileSync(join(cwd, '.env'), `${line}\n`)
    const error = t.throws(() => readSettings({}, { cwd }), { instanceOf: SettingsError })
    t.deepEqual(error?.problems, [
      "DJANGO_SECRET_KEY in .env holds a # outside quotes; put the value into quotes: '…'",
    ])
  }
})

test('.env.example names every setting, and shows the defaults', (t) => {
  const example = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8').replace(
    /^#(?=[A-Z_]+=)/gm,
    '',
  )
  t.deepEqual(read(parseEnv(example)), read({}))
  const folder = new URL('../../../src/service/settings/', import.meta.url)
  const source = readdirSync(folder)
    .map((name) => readFileSync(new URL(name, folder), 'utf8'))
    .join('\n')
  const documented = Object.keys(parseEnv(example))
  for (const [, name = ''] of source.matchAll(/(?:environment\.\w+|\b(?:url|count))\('([A-Z_]+)'/g))
    t.true(documented.includes(name), name)
  for (const [name] of source.matchAll(/\bAUTH_USER_[A-Z_]+_COLUMN\b/g))
    t.true(documented.includes(name), name)
})

test('all problems are reported at once', (t) => {
  t.deepEqual(
    problems(t, {
      DATABASE_URL: 'oracle://user:secret@host/library',
      DATABASE_TIMEOUT: '0',
      DJANGO_VERSION: '1.11',
      USE_TZ: 'no',
      SESSION_COOKIE_AGE: '2 weeks',
      SESSION_COOKIE_SECURE: 'perhaps',
      SESSION_ENGINE: 'django.contrib.sessions.backends.cached_db',
      SESSION_SERIALIZER: 'myapp.Serializer',
      PORT: '65536',
      LOG_LEVEL: 'loud',
    }),
    [
      'DATABASE_TIMEOUT is "0"; set it to a number from 0.001 to 3600',
      'DATABASE_URL: its scheme oracle:// is not supported; use one of mysql, mysql2, mysqlgis, mysql-connector, postgres, postgresql, pgsql, psql, postgis, timescale, timescalegis, sqlite, spatialite',
      'DJANGO_SECRET_KEY is empty; set it to the SECRET_KEY of the Django project',
      'TIME_ZONE is empty, and USE_TZ is False; set TIME_ZONE as in the Django project',
      'DJANGO_VERSION: Django 1.11 is not supported; the oldest supported version is 2.2',
      'SESSION_SERIALIZER: "myapp.Serializer" is unknown; set SESSION_SERIALIZER to django.contrib.sessions.serializers.JSONSerializer or django.contrib.sessions.serializers.PickleSerializer, here and in Django',
      'SESSION_COOKIE_AGE is "2 weeks"; set it to an integer from 1 to 3155760000',
      'SESSION_COOKIE_SECURE is "perhaps"; set it to True or False',
      'CACHES is empty, and django.contrib.sessions.backends.cached_db needs it; set it to the CACHES of the Django project, as JSON',
      'PORT is "65536"; set it to an integer from 0 to 65535',
      'LOG_LEVEL is "loud"; set it to fatal, error, warn, info, debug, trace, silent',
    ],
  )
})

test('SESSION_MERGE: each policy that cannot be used is named', (t) => {
  const merge = (text: string) => problems(t, { ...MYSQL, SESSION_MERGE: text })
  const notJson =
    'SESSION_MERGE is not a JSON object; write {"num_visits": "add", "cart": "union"}, as in Django'
  t.deepEqual(merge("{'n': 'add'}"), [notJson])
  t.deepEqual(merge('["add"]'), [notJson])
  t.deepEqual(merge('{"n": "sum", "cart": "site.merge.cart", "ok": "fail", "_session_expiry": "add"}'), [
    'SESSION_MERGE["n"] must be last, add, union or fail (in the library, also a function)',
    'SESSION_MERGE["cart"] is Python code, which does not run here; choose last, add, union or fail',
    'SESSION_MERGE["_session_expiry"] is a key of Django, whose value cannot be merged; remove it',
  ])
})

test('no message quotes a secret key or a password', (t) => {
  const secret = 'Sup3rS3cret'
  const urls = [
    `mysql://user:${secret}#@host/library`,
    `mysql://user:${secret}@host`,
    `nosuch://user:${secret}@host/library`,
    `postgres://user:${secret}@host/library?sslmode=${secret}&sslkey=${secret}`,
    `${secret}`,
  ]
  for (const DATABASE_URL of urls) {
    const found = problems(t, {
      DATABASE_URL,
      DJANGO_SECRET_KEY_FALLBACKS: `[${secret}]`,
      PORT: 'wrong',
    })
    t.true(found.length >= 3)
    t.notRegex(found.join('\n'), new RegExp(secret))
  }
})

const refusals: Record<string, [NodeJS.ProcessEnv, RegExp]> = {
  'a cookie name with a blank': [{ SESSION_COOKIE_NAME: 'session id' }, /is not a name for a cookie/],
  'a cookie named as an attribute': [{ SESSION_COOKIE_NAME: 'Path' }, /is not a name for a cookie/],
  'a relative cookie path': [{ SESSION_COOKIE_PATH: 'catalog' }, /is not a path/],
  'a cookie path with another attribute': [{ SESSION_COOKIE_PATH: '/; Domain=x' }, /is not a path/],
  'a cookie domain that is a URL': [{ SESSION_COOKIE_DOMAIN: 'https://example.com' }, /is not a domain/],
  'SameSite=None without Secure': [{ SESSION_COOKIE_SAMESITE: 'None' }, /set SESSION_COOKIE_SECURE=True/],
  'an unknown SameSite': [{ SESSION_COOKIE_SAMESITE: 'Loose' }, /set it to Lax, Strict, None, False/],
  'SameSite=None with a Django that cannot send it': [
    { SESSION_COOKIE_SAMESITE: 'None', SESSION_COOKIE_SECURE: '1', DJANGO_VERSION: '2.2' },
    /Django 2\.2 cannot send/,
  ],
  'a __Secure- cookie without Secure': [
    { SESSION_COOKIE_NAME: '__Secure-id' },
    /set SESSION_COOKIE_SECURE=True/,
  ],
  'a __Host- cookie with a domain': [
    { SESSION_COOKIE_NAME: '__Host-id', SESSION_COOKIE_SECURE: '1', SESSION_COOKIE_DOMAIN: 'example.com' },
    /allows neither SESSION_COOKIE_DOMAIN nor/,
  ],
  'a __Host- cookie with a path': [
    { SESSION_COOKIE_NAME: '__Host-id', SESSION_COOKIE_SECURE: '1', SESSION_COOKIE_PATH: '/catalog' },
    /nor a SESSION_COOKIE_PATH other than \//,
  ],
  'a CSRF cookie with a blank in its name': [
    { CSRF_COOKIE_NAME: 'csrf token' },
    /^CSRF_COOKIE_NAME .* is not a name/,
  ],
  'a CSRF cookie that browsers drop': [{ CSRF_COOKIE_SAMESITE: 'None' }, /set CSRF_COOKIE_SECURE=True/],
  'a header that is written as in HTTP': [{ CSRF_HEADER_NAME: 'X-CSRFToken' }, /e\.g\. HTTP_X_CSRFTOKEN/],
  'an unknown storage of messages': [
    { MESSAGE_STORAGE: 'own.Storage' },
    /set it to django\.contrib\.messages/,
  ],
  'a user model that is not a model': [{ AUTH_USER_MODEL: 'User' }, /^AUTH_USER_MODEL "User" is not a model/],
  'an unknown kind of session hash': [{ AUTH_SESSION_HASH: 'None' }, /set it to django, none, custom/],
  'a type that is not a type of primary keys': [
    { AUTH_USER_ID_TYPE: 'bigint' },
    /set it to integer, uuid, text/,
  ],
  'tags that are not JSON': [{ MESSAGE_TAGS: '40=danger' }, /^MESSAGE_TAGS is not a JSON object/],
  'tags whose keys are not levels': [
    { MESSAGE_TAGS: '{"error": "danger"}' },
    /^MESSAGE_TAGS is not a JSON object/,
  ],
  'an unknown time zone': [{ USE_TZ: 'True', TIME_ZONE: 'Asia/Soul' }, /is not a time zone/],
  "a database's time zone without USE_TZ": [
    { ...MYSQL, DATABASE_TIME_ZONE: 'Asia/Seoul' },
    /^DATABASE_TIME_ZONE is set, but needs USE_TZ=True/,
  ],
  "a database's time zone with USE_TZ=False": [
    { ...MYSQL, USE_TZ: 'False', TIME_ZONE: 'UTC', DATABASE_TIME_ZONE: 'Asia/Seoul' },
    /^DATABASE_TIME_ZONE is set, but needs USE_TZ=True/,
  ],
  "a database's time zone that is none": [
    { ...MYSQL, USE_TZ: 'True', DATABASE_TIME_ZONE: '+09:00' },
    /^DATABASE_TIME_ZONE "\+09:00" is not a time zone; set it to TIME_ZONE in the DATABASES of the Django project/,
  ],
  'a time zone without USE_TZ': [{ TIME_ZONE: 'Asia/Seoul' }, /^USE_TZ is empty/],
  'a text that is not a version': [{ DJANGO_VERSION: 'latest' }, /is not a Django version/],
  'an empty ALLOWED_HOSTS in production': [
    { NODE_ENV: 'production', ALLOWED_HOSTS: ' , ' },
    /set it to the ALLOWED_HOSTS of the Django project/,
  ],
  'a URL in ALLOWED_HOSTS': [
    { ALLOWED_HOSTS: 'https://example.com,b' },
    /^ALLOWED_HOSTS "https:\/\/example.com" is/,
  ],
  'a port in ALLOWED_HOSTS': [{ ALLOWED_HOSTS: 'example.com:80' }, /"example.com:80" is not a host/],
  'an asterisk within ALLOWED_HOSTS': [{ ALLOWED_HOSTS: '*.example.com' }, /\.example\.com for a domain/],
  'a Python list in ALLOWED_HOSTS': [{ ALLOWED_HOSTS: "['localhost']" }, /is not a host/],
  'a bare IPv6 address in ALLOWED_HOSTS': [{ ALLOWED_HOSTS: '::1' }, /\[::1\] for IPv6/],
  'the pickle serializer without DJANGO_VERSION': [
    { SESSION_SERIALIZER: 'django.contrib.sessions.serializers.PickleSerializer' },
    /^SESSION_SERIALIZER is the PickleSerializer, which only Django up to 4.2 has; set DJANGO_VERSION$/,
  ],
  'the pickle serializer with a Django without it': [
    { SESSION_SERIALIZER: 'django.contrib.sessions.serializers.PickleSerializer', DJANGO_VERSION: '5.2' },
    /^SESSION_SERIALIZER is the PickleSerializer, which Django 5.2 does not have: Django 5.0 removed it/,
  ],
  'a user model without its app': [{ AUTH_USER_MODEL: 'User' }, /^AUTH_USER_MODEL "User" is not a model/],
  'a CSRF cookie named as an attribute': [
    { CSRF_COOKIE_NAME: 'Path' },
    /^CSRF_COOKIE_NAME "Path" is not a name for a cookie/,
  ],
  'a login URL by name': [{ LOGIN_URL: 'login' }, /^LOGIN_URL "login" is neither a path nor a URL/],
  'a login page that this service serves at another site': [
    { LOGIN_URL: 'https://sso.example.com/', SERVE_LOGIN: 'True' },
    /^LOGIN_URL is not a plain path of this site/,
  ],
  'a base URL that is a path': [
    { DJANGO_BASE_URL: '/django' },
    /^DJANGO_BASE_URL "\/django" is not the URL of a site/,
  ],
  'an unknown engine': [{ SESSION_ENGINE: 'redis_sessions.session' }, /"redis_sessions.session" is unknown/],
}

for (const [name, [env, expected]] of Object.entries(refusals)) {
  test(`${name} is refused`, (t) => {
    const found = problems(t, env)
    t.is(found.length, 1)
    t.regex(found[0] ?? '', expected)
  })
}

test('a warning names each setting of Django that is ignored here', (t) => {
  const { warnings } = read({
    ...MYSQL,
    DATABASE_URL: `${MYSQL.DATABASE_URL}?init_command=SET%20x&conn_max_age=60`,
    SESSION_FILE_PATH: '/tmp',
    SESSION_COOKIE_SAME_SITE: 'Lax',
    CSRF_FAILURE_VIEW: 'catalog.views.failure',
    SESSION_MANAGER: "the desktop's own",
  })
  t.deepEqual(warnings, [
    'DATABASE_URL: the option init_command is ignored: connections are set up by the service itself',
    'DATABASE_URL: the option conn_max_age is ignored',
    'SESSION_FILE_PATH is ignored: this SESSION_ENGINE does not use it',
    'SESSION_COOKIE_SAME_SITE is unknown and ignored',
    'CSRF_FAILURE_VIEW is unknown and ignored',
  ])
  t.deepEqual(read({ NODE_ENV: 'production', ALLOWED_HOSTS: '*' }).warnings, [
    'DATABASE_URL is empty: the embedded demo is served, although NODE_ENV is production',
  ])
})

test('AUTH… and PASSWORD_HASHERS mean what they mean in Django', (t) => {
  const { auth } = read({
    AUTH_USER_MODEL: 'accounts.Member',
    AUTH_USER_TABLE: 'people',
    AUTH_USER_ID_COLUMN: 'member_id',
    AUTH_USER_ID_TYPE: 'uuid',
    AUTH_USERNAME_FIELD: 'email',
    AUTH_USERNAME_COLUMN: 'e_mail',
    AUTH_USER_PASSWORD_COLUMN: 'pw',
    AUTH_USER_ACTIVE_COLUMN: 'None',
    AUTH_USER_STAFF_COLUMN: 'crew',
    AUTH_USER_SUPERUSER_COLUMN: 'None',
    AUTH_USER_LAST_LOGIN_COLUMN: 'seen',
    AUTH_USER_FIRST_NAME_COLUMN: 'given',
    AUTH_USER_LAST_NAME_COLUMN: '',
    AUTH_SESSION_HASH: 'none',
    AUTHENTICATION_BACKENDS: '["django.contrib.auth.backends.AllowAllUsersModelBackend"]',
    PASSWORD_HASHERS:
      'django.contrib.auth.hashers.Argon2PasswordHasher django.contrib.auth.hashers.ScryptPasswordHasher',
  })
  t.deepEqual(auth, {
    backends: ['django.contrib.auth.backends.AllowAllUsersModelBackend'],
    userModel: {
      model: 'accounts.Member',
      table: 'people',
      idColumn: 'member_id',
      idType: 'uuid',
      usernameField: 'email',
      columns: {
        username: 'e_mail',
        password: 'pw',
        isActive: null,
        isStaff: 'crew',
        isSuperuser: null,
        lastLogin: 'seen',
        firstName: 'given',
      },
    },
    sessionHash: 'none',
    passwordHashers: [
      'django.contrib.auth.hashers.Argon2PasswordHasher',
      'django.contrib.auth.hashers.ScryptPasswordHasher',
    ],
  })
})

test('CSRF_… and MESSAGE_… mean what they mean in Django', (t) => {
  const { csrf, messages, warnings } = read({
    ...MYSQL,
    DJANGO_VERSION: '5.2',
    CSRF_USE_SESSIONS: 'True',
    CSRF_COOKIE_NAME: 'xsrf',
    CSRF_COOKIE_AGE: 'None',
    CSRF_COOKIE_DOMAIN: '.example.com',
    CSRF_COOKIE_PATH: '/catalog/',
    CSRF_COOKIE_SECURE: 'True',
    CSRF_COOKIE_HTTPONLY: 'True',
    CSRF_COOKIE_SAMESITE: 'Strict',
    CSRF_HEADER_NAME: 'HTTP_X_XSRF_TOKEN',
    CSRF_TRUSTED_ORIGINS: '["https://example.com", "https://*.example.org"]',
    MESSAGE_STORAGE: 'django.contrib.messages.storage.session.SessionStorage',
    MESSAGE_LEVEL: '10',
    MESSAGE_TAGS: '{"40": "danger", "50": ""}',
  })
  t.deepEqual(csrf, {
    useSessions: true,
    cookie: {
      name: 'xsrf',
      domain: '.example.com',
      path: '/catalog/',
      secure: true,
      httpOnly: true,
      sameSite: 'Strict',
    },
    cookieAge: null,
    headerName: 'HTTP_X_XSRF_TOKEN',
    trustedOrigins: ['https://example.com', 'https://*.example.org'],
  })
  t.deepEqual(messages, { storage: 'session', level: 10, tags: { 40: 'danger', 50: '' } })
  t.deepEqual(warnings, [])
})

test('CSRF_TRUSTED_ORIGINS have schemes since Django 4.0, and not before', (t) => {
  const trusted = (DJANGO_VERSION: string, CSRF_TRUSTED_ORIGINS: string) => ({
    ...MYSQL,
    DJANGO_VERSION,
    CSRF_TRUSTED_ORIGINS,
  })
  for (const version of ['4.0', '6.1', '']) {
    t.deepEqual(problems(t, trusted(version, '.example.com,https://fine.org')), [
      'CSRF_TRUSTED_ORIGINS ".example.com" has no scheme, which it needs since Django 4.0; write https://*.example.com, or set DJANGO_VERSION to an older one',
    ])
  }
  const { csrf, warnings } = read(trusted('3.2', '.example.com https://useless.org'))
  t.deepEqual(csrf.trustedOrigins, ['.example.com', 'https://useless.org'])
  t.deepEqual(warnings, [
    'CSRF_TRUSTED_ORIGINS "https://useless.org" has a scheme, and Django 3.2 compares hosts: it matches nothing',
  ])
})

test('a MySQL URL holds everything that the connection needs', (t) => {
  t.deepEqual(database('mysql2://us%40er:p%23ss@host:3307/library?charset=latin1&ssl-ca=/etc/ca.pem'), {
    kind: 'mysql',
    hosts: [{ host: 'host', port: 3307 }],
    writableOnly: false,
    user: 'us@er',
    password: 'p#ss',
    database: 'library',
    charset: 'latin1',
    isolationLevel: null,
    tls: { ...TLS, use: 'required', ca: '/etc/ca.pem', verify: 'authority' },
    poolSize: 10,
    timeout: 2,
  })
  t.like(database('mysql:///library'), { charset: 'utf8mb4', tls: TLS })
  t.like(database('mysql:///library'), { hosts: [{ host: 'localhost', port: 3306 }] })
  t.like(database('mysql://%2Frun%2Fmysqld.sock/library'), {
    hosts: [{ host: '/run/mysqld.sock', port: 3306 }],
  })
  t.like(database('mysql://localhost/library?unix_socket=/run/mysqld.sock'), {
    hosts: [{ host: '/run/mysqld.sock', port: 3306 }],
  })
  t.like(database('mysql://host/library?ssl_mode=DISABLED'), { tls: null })
  t.like(database('mysql://host/library?ssl_mode=REQUIRED'), { tls: { ...TLS, use: 'required' } })
  t.like(database('mysql://host/library?ssl_mode=VERIFY_IDENTITY'), {
    tls: { ...TLS, use: 'required', verify: 'host' },
  })
})

/** Unless the URL says otherwise: encrypted where the server can. */
const TLS = {
  use: 'preferred',
  verify: 'nothing',
  ca: null,
  cert: null,
  key: null,
  passphrase: null,
  crl: null,
  minVersion: null,
  maxVersion: null,
  isDirect: false,
}

test('a PostgreSQL URL holds everything that the connection needs', (t) => {
  t.deepEqual(database('postgres://user:password@[::1]/library?currentSchema=site&sslmode=verify-full'), {
    kind: 'postgresql',
    hosts: [{ host: '::1', port: 5432 }],
    writableOnly: false,
    user: 'user',
    password: 'password',
    database: 'library',
    options: '-c search_path=site',
    applicationName: 'koa-django-sessions',
    authMethods: null,
    requiresChannelBinding: false,
    prepareThreshold: 5,
    tls: { ...TLS, use: 'required', verify: 'host' },
    poolSize: 10,
    timeout: 2,
  })
  t.like(database('pgsql://host/library?sslmode=require&sslrootcert=ca.pem'), {
    tls: { ...TLS, use: 'required', ca: 'ca.pem', verify: 'authority' },
  })
})

test('of several hosts, one that accepts writes is needed; of one host, only if an option asks for it', (t) => {
  t.like(database('mysql://db1,db2:3307/library'), {
    hosts: [
      { host: 'db1', port: 3306 },
      { host: 'db2', port: 3307 },
    ],
    writableOnly: true,
  })
  t.like(database('postgres://db1,db2/library'), { writableOnly: true })
  t.like(database('postgres://db/library?target_session_attrs=read-write'), { writableOnly: true })
})

test("each database has its own time zone, as in Django's DATABASES", (t) => {
  const zones = (env: NodeJS.ProcessEnv) => {
    const { databaseTimeZone, sessionDatabaseTimeZone, warnings } = read({ ...MYSQL, USE_TZ: 'True', ...env })
    return [databaseTimeZone, sessionDatabaseTimeZone, ...warnings]
  }
  const SESSION_DATABASE_URL = 'mysql://host/sessions'
  t.deepEqual(zones({}), ['UTC', 'UTC'])
  t.deepEqual(zones({ DATABASE_TIME_ZONE: 'Asia/Seoul' }), ['Asia/Seoul', 'Asia/Seoul'])
  t.deepEqual(zones({ DATABASE_TIME_ZONE: 'Asia/Seoul', SESSION_DATABASE_URL }), ['Asia/Seoul', 'UTC'])
  t.deepEqual(zones({ SESSION_DATABASE_TIME_ZONE: 'Asia/Seoul', SESSION_DATABASE_URL }), [
    'UTC',
    'Asia/Seoul',
  ])
  t.deepEqual(zones({ SESSION_DATABASE_TIME_ZONE: 'Asia/Seoul' }), [
    ...['UTC', 'UTC'],
    'SESSION_DATABASE_TIME_ZONE is ignored: SESSION_DATABASE_URL is not used',
  ])
  t.deepEqual(zones({ DATABASE_URL: 'postgres://host/library', DATABASE_TIME_ZONE: 'Asia/Seoul' }), [
    ...['Asia/Seoul', 'Asia/Seoul'],
    'DATABASE_TIME_ZONE is ignored: PostgreSQL keeps instants',
  ])
})

test('an SQLite file is relative to the working directory, or absolute', (t) => {
  const cwd = folder(t)
  const filename = (DATABASE_URL: string) =>
    readSettings({ DATABASE_URL, DJANGO_SECRET_KEY: 'x' }, { cwd }).database
  t.like(filename('sqlite:///db.sqlite3'), { filename: join(cwd, 'db.sqlite3'), embedded: false })
  t.like(filename('sqlite:////srv/db.sqlite3'), { filename: '/srv/db.sqlite3', embedded: false })
})

const wrongUrls: Record<string, RegExp> = {
  'sqlite://': /in memory/,
  'sqlite://:memory:': /in memory/,
  'sqlite://db.sqlite3': /two slashes.*sqlite:\/\/\/db\.sqlite3/,
  'mysql://host': /names no database/,
  'mysql://user:p#ss@host/library': /percent-escaped/,
  'postgres://host/library?sslmode=preferred':
    /sslmode is not one of disable, allow, prefer, require, verify-ca, verify-full/,
  'mysql://host/library?ssl_mode=always': /ssl_mode is not one of DISABLED, PREFERRED, REQUIRED/,
  'postgres://host/library?sslcert=me.pem': /one of sslcert and sslkey; write both/,
  'mysql://db1,db2/library?unix_socket=/run/mysqld.sock': /unix_socket contradicts its hosts/,
  'postgres://host/library?target_session_attrs=standby': /target_session_attrs is not read-write/,
  'postgres://host/library?service=main': /service is not supported/,
  'mysql://host/library?read_default_file=my.cnf': /read_default_file is not supported/,
}

for (const [DATABASE_URL, expected] of Object.entries(wrongUrls)) {
  test(`DATABASE_URL=${DATABASE_URL} is refused`, (t) => {
    const found = problems(t, { DATABASE_URL, DJANGO_SECRET_KEY: 'x' })
    t.is(found.length, 1)
    t.regex(found[0] ?? '', expected)
  })
}

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'settings-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  return path
}

function read(env: NodeJS.ProcessEnv): Settings {
  return readSettings(env, { cwd: '/nowhere' })
}

function database(DATABASE_URL: string): Settings['database'] {
  return read({ DATABASE_URL, DJANGO_SECRET_KEY: 'x' }).database
}

function problems(t: ExecutionContext, env: NodeJS.ProcessEnv): readonly string[] {
  const error = t.throws(() => read(env), { instanceOf: SettingsError, code: 'ERR_SETTINGS' })
  return error?.problems ?? []
}
