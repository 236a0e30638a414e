import test from 'ava'
import type { ProjectFacts } from '../../../src/operations/import-settings/ask-django.ts'
import { type TakenOver, takeOver } from '../../../src/operations/import-settings/take-over.ts'

const DB = 'django.contrib.sessions.backends.db'

/** A project as startproject makes it. */
const plainFacts: ProjectFacts = {
  django: '5.2.19',
  python: '3.12.1',
  module: 'mysite.settings',
  settings: {
    SECRET_KEY: 'secret',
    SECRET_KEY_FALLBACKS: [],
    USE_TZ: true,
    TIME_ZONE: 'UTC',
    AUTH_USER_MODEL: 'auth.User',
    SESSION_ENGINE: DB,
    SESSION_COOKIE_AGE: 1209600,
    SESSION_COOKIE_NAME: 'sessionid',
    SESSION_COOKIE_SAMESITE: 'Lax',
    SESSION_CACHE_ALIAS: 'default',
    CACHES: {},
    ALLOWED_HOSTS: ['example.com'],
    SECURE_PROXY_SSL_HEADER: null,
  },
  changed: [],
  middleware: ['django.contrib.sessions.middleware.SessionMiddleware'],
  debug: false,
  folder: '/srv/site',
  temporaryFolder: '/tmp',
  user: {
    table: 'auth_user',
    alias: 'default',
    idColumn: 'id',
    idType: 'AutoField',
    usernameField: 'username',
    fields: {
      username: { is: 'column', column: 'username' },
      password: { is: 'column', column: 'password' },
      is_active: { is: 'column', column: 'is_active' },
    },
    relations: { groups: { table: 'auth_user_groups', column: 'user_id' }, user_permissions: null },
    sessionHash: 'django.contrib.auth.base_user.AbstractBaseUser',
  },
  store: {
    name: 'SessionStore',
    qualifiedName: 'SessionStore',
    classes: [{ module: DB, name: 'SessionStore', defines: ['encode', 'save'] }],
    keySalt: 'django.contrib.sessions.SessionStore',
    cacheKeyPrefix: null,
    serializer: null,
    cookieAge: 1209600,
    model: {
      table: 'django_session',
      alias: 'default',
      columns: { session_key: 'session_key', session_data: 'session_data', expire_date: 'expire_date' },
      required: [],
    },
  },
  cacheAlias: null,
  databases: {
    default: {
      vendor: 'sqlite',
      driver: 'sqlite3.dbapi2',
      ENGINE: 'django.db.backends.sqlite3',
      NAME: '/srv/site/db.sqlite3',
      USER: '',
      PASSWORD: '',
      HOST: '',
      PORT: '',
      OPTIONS: {},
      TIME_ZONE: null,
    },
  },
  urls: {
    LOGIN_URL: '/accounts/login/',
    LOGIN_REDIRECT_URL: '/accounts/profile/',
    LOGOUT_REDIRECT_URL: null,
  },
  account: 'www-data',
  environment: {},
}

type Change = (facts: typeof plainFacts) => Partial<ProjectFacts>

const changed = (change: Change): TakenOver => takeOver({ ...plainFacts, ...change(plainFacts) })
const settings =
  (more: ProjectFacts['settings']): Change =>
  (facts) => ({ settings: { ...facts.settings, ...more } })

const user =
  (more: object): Change =>
  (facts) => ({ user: { ...facts.user, ...more } as ProjectFacts['user'] })

const store =
  (more: object): Change =>
  (facts) => ({ store: { ...facts.store, ...more } as ProjectFacts['store'] })

test('of a project as startproject makes it, what matters most is written, and what differs from our defaults', (t) => {
  const { values, refused, warnings } = takeOver(plainFacts)
  t.deepEqual(
    [...values],
    [
      ['DATABASE_URL', 'sqlite:////srv/site/db.sqlite3'],
      ['DJANGO_SECRET_KEY', 'secret'],
      ['DJANGO_VERSION', '5.2.19'],
      ['USE_TZ', 'True'],
      ['TIME_ZONE', 'UTC'],
      ['AUTH_USER_MODEL', 'auth.User'],
      ['SESSION_ENGINE', DB],
      ['SESSION_COOKIE_NAME', 'sessionid'],
      ['LOGIN_REDIRECT_URL', '/accounts/profile/'],
      ['ALLOWED_HOSTS', '["example.com"]'],
    ],
  )
  t.deepEqual([refused, warnings], [[], []])
})

const ownClass = (defines: readonly string[]) =>
  store({
    qualifiedName: 'Ours',
    keySalt: 'django.contrib.sessions.Ours',
    classes: [
      { module: 'mysite.sessions', name: 'Ours', defines },
      { module: DB, name: 'SessionStore', defines: [] },
    ],
  })

const REFUSED: readonly (readonly [title: string, change: Change, says: RegExp])[] = [
  ['a key that is not text', settings({ SECRET_KEY: { __python__: 'bytes' } }), /^SECRET_KEY is not text/],
  [
    'the time zone of the operating system',
    settings({ USE_TZ: false, TIME_ZONE: null }),
    /^TIME_ZONE is None, which is the time zone of the operating system/,
  ],
  [
    'a store with its own key_salt',
    ownClass(['key_salt']),
    /defines key_salt, so sessions are not stored as/,
  ],
  [
    'a key_salt that comes from elsewhere',
    (facts) => ({
      ...store({ ...ownClass([])(facts).store, keySalt: 'other' })(facts),
    }),
    /key_salt is not the one that Django derives/,
  ],
  [
    'columns of the session table with other names',
    store({
      model: {
        table: 't',
        alias: 'default',
        columns: { session_key: 'k', session_data: 'session_data' },
        required: [],
      },
    }),
    /columns of its table t have other names: k for session_key/,
  ],
  [
    'a column that each session must fill',
    store({ model: { table: 't', alias: 'default', columns: {}, required: ['tenant'] } }),
    /columns that each new session must fill: tenant/,
  ],
  [
    'a store that cannot be loaded',
    () => ({ store: { error: 'ImportError: x' } }),
    /cannot be loaded: ImportError/,
  ],
  [
    'a user in two tables',
    user({ fields: { username: { is: 'inherited', column: 'username' } } }),
    /auth\.User extends another model, whose table has username/,
  ],
  [
    'a primary key of another type',
    user({ idType: 'DateField' }),
    /the primary key of auth\.User is a DateField/,
  ],
  [
    'no users',
    () => ({ user: { error: 'ImproperlyConfigured: x' } }),
    /^AUTH_USER_MODEL auth\.User cannot be loaded: ImproperlyConfigured/,
  ],
  [
    'is_active as a constant that is False',
    user({ fields: { is_active: { is: 'constant', value: false } } }),
    /is_active is not a field but Python code/,
  ],
  [
    'a database that cannot be loaded',
    () => ({ databases: { default: { error: 'ImproperlyConfigured: no driver' } } }),
    /^DATABASES\['default'\] cannot be loaded: ImproperlyConfigured: no driver/,
  ],
  [
    'a cache with a Python object',
    (facts) => ({
      ...store({
        classes: [{ module: 'django.contrib.sessions.backends.cache', name: 'SessionStore', defines: [] }],
      })(facts),
      settings: {
        ...facts.settings,
        CACHES: { default: { BACKEND: 'x', OPTIONS: { pool: { __python__: 'redis.Pool' } } } },
      },
    }),
    /^CACHES\['default'\] its OPTIONS\.pool is a Python object \(redis\.Pool\)/,
  ],
  [
    'a table of the cache in another database than the sessions',
    (facts) => ({
      ...store({
        classes: [
          { module: 'django.contrib.sessions.backends.cached_db', name: 'SessionStore', defines: [] },
        ],
      })(facts),
      cacheAlias: 'caches',
    }),
    /keeps the table of the cache in the database 'caches', but the sessions are in 'default'/,
  ],
]

for (const [title, change, says] of REFUSED) {
  test(`refused: ${title}`, (t) => {
    const { refused } = changed(change)
    t.regex(refused.map(({ setting, reason }) => `${setting} ${reason}`).join('\n'), says)
  })
}

for (const [engine, cacheKeyPrefix] of [
  ['django.contrib.sessions.backends.cache', 'django.contrib.sessions.cache'],
  ['django.contrib.sessions.backends.cached_db', 'django.contrib.sessions.cached_db'],
  ['merging_sessions.cached_db', 'django.contrib.sessions.cached_db'],
  ['qsessions.backends.cached_db', 'qsessions.q_cached_db'],
] as const) {
  test(`a subclass of ${engine} is taken over, unless it has cache keys of its own`, (t) => {
    const of = (prefix: string) =>
      changed((facts) => ({
        ...store({
          qualifiedName: 'Ours',
          keySalt: 'django.contrib.sessions.Ours',
          cacheKeyPrefix: prefix,
          classes: ['mysite.sessions', engine].map((module) => ({ module, name: 'Ours', defines: [] })),
        })(facts),
        settings: {
          ...facts.settings,
          CACHES: {
            default: {
              BACKEND: 'django.core.cache.backends.redis.RedisCache',
              LOCATION: 'redis://127.0.0.1',
            },
          },
        },
      })).refused.map(({ reason }) => reason)
    t.deepEqual(of(cacheKeyPrefix), [])
    t.deepEqual(of('ours'), [
      `its cache_key_prefix is not ${cacheKeyPrefix}, so other keys are used in the cache`,
    ])
  })
}

test('an engine that merges is taken over as itself, with its policies', (t) => {
  for (const [name, cacheKeyPrefix] of [
    ['db', null],
    ['cached_db', 'django.contrib.sessions.cached_db'],
  ] as const) {
    const SESSION_ENGINE = `merging_sessions.${name}`
    const { values, refused, warnings } = changed((facts) => ({
      ...store({
        classes: [SESSION_ENGINE, `django.contrib.sessions.backends.${name}`].map((module) => ({
          module,
          name: 'SessionStore',
          defines: ['load', 'save', 'cycle_key'],
        })),
        cacheKeyPrefix,
      })(facts),
      settings: {
        ...facts.settings,
        SESSION_ENGINE,
        SESSION_MERGE: { num_visits: 'add', '*': 'union' },
        CACHES: { default: { BACKEND: 'django.core.cache.backends.db.DatabaseCache', LOCATION: 'copies' } },
      },
    }))
    t.deepEqual([refused, warnings], [[], []])
    t.is(values.get('SESSION_ENGINE'), SESSION_ENGINE)
    t.is(values.get('SESSION_MERGE'), '{"num_visits":"add","*":"union"}')
  }
})

test('the policies that are Python code are left out', (t) => {
  const of = (SESSION_MERGE: ProjectFacts['settings'][string]) =>
    changed(settings({ SESSION_MERGE })).values.get('SESSION_MERGE')
  t.is(of({ cart: 'site.merge.cart', n: 'add' }), '{"n":"add"}')
  t.is(of({ cart: 'site.merge.cart' }), undefined)
  t.is(of({}), undefined)
  t.is(of(null), undefined)
})

const WARNED: readonly (readonly [title: string, change: Change, says: RegExp])[] = [
  ['a store that saves in its own way', ownClass(['save']), /Ours defines save, which does not run here/],
  ['an age that the store computes', store({ cookieAge: 60 }), /get_session_cookie_age\(\) returns 60/],
  [
    'a session middleware of its own',
    () => ({ middleware: ['mysite.middleware.OurSessionMiddleware'] }),
    /its own session middleware mysite\.middleware\.OurSessionMiddleware/,
  ],
  [
    'a session hash of its own',
    user({ sessionHash: 'mysite.models.User' }),
    /every visitor is anonymous here/,
  ],
  [
    'is_staff as Python code',
    user({ fields: { is_staff: { is: 'computed' } } }),
    /auth\.User\.is_staff is not a field but Python code/,
  ],
  [
    'groups in another table',
    user({ relations: { groups: { table: 'memberships', column: 'user_id' } } }),
    /auth\.User\.groups is kept in memberships \(user_id\) and not in auth_user_groups \(user_id\)/,
  ],
  [
    'a backend of its own',
    settings({ AUTHENTICATION_BACKENDS: ['mysite.Ours'] }),
    /mysite\.Ours: its visitors are known here/,
  ],
  [
    'another header for HTTPS',
    settings({ SECURE_PROXY_SSL_HEADER: ['HTTP_X_SCHEME', 'https'] }),
    /is HTTP_X_SCHEME, https; only X-Forwarded-Proto/,
  ],
  ['a redirect to HTTPS', settings({ SECURE_SSL_REDIRECT: true }), /does not redirect to HTTPS/],
  ['no hosts without DEBUG', settings({ ALLOWED_HOSTS: [] }), /Django answers 400 to each request/],
  [
    'hosts that fit nothing',
    settings({ ALLOWED_HOSTS: ['https://a.org', 'b.org'] }),
    /https:\/\/a\.org: not a host/,
  ],
  [
    'a policy that is Python code',
    settings({ SESSION_MERGE: { cart: 'mysite.merge.cart' } }),
    /its policy of cart, mysite\.merge\.cart, is Python code, which does not run here: the later value wins/,
  ],
  [
    'messages kept by Python code',
    settings({ MESSAGE_STORAGE: 'mysite.Messages' }),
    /mysite\.Messages is Python code of the project/,
  ],
]

for (const [title, change, says] of WARNED) {
  test(`not carried over, and not refused: ${title}`, (t) => {
    const { warnings, refused } = changed(change)
    t.deepEqual(refused, [])
    t.regex(warnings.map(({ reason }) => reason).join('\n'), says)
  })
}

test('what Python counts as false is False, and no attribute is False', (t) => {
  const { values } = changed(
    settings({
      SESSION_COOKIE_SECURE: 1,
      USE_TZ: '',
      SESSION_COOKIE_SAMESITE: null,
      CSRF_COOKIE_SAMESITE: 'strict',
    }),
  )
  t.is(values.get('SESSION_COOKIE_SECURE'), 'True')
  t.is(values.get('USE_TZ'), 'False')
  t.is(values.get('SESSION_COOKIE_SAMESITE'), 'False')
  t.is(values.get('CSRF_COOKIE_SAMESITE'), 'Strict')
})

test('a time zone of the database matters only with USE_TZ, and not on PostgreSQL', (t) => {
  const of = (vendor: string, useTz: boolean) =>
    changed((facts) => ({
      settings: { ...facts.settings, USE_TZ: useTz },
      databases: {
        default: { ...facts.databases.default, vendor, TIME_ZONE: 'Asia/Seoul' } as never,
      },
    })).values.get('DATABASE_TIME_ZONE')
  t.deepEqual(
    [of('mysql', true), of('mysql', false), of('postgresql', true)],
    ['Asia/Seoul', undefined, undefined],
  )
})
