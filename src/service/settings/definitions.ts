/**
 * Every setting: what it decides, and how it is written. The one source of `SettingName`, docs/settings.md and
 * .env.example, which `npm run docs` writes.
 */

/** How one setting is written, and what it decides. */
export interface SettingDefinition {
  readonly section: keyof typeof SETTING_SECTIONS
  /** Plain sentences in Markdown. */
  readonly description: string
  readonly type: SettingType
  /** For `choice`. */
  readonly choices?: readonly string[]
  /** For `integer` and `number`: the smallest and the largest value. */
  readonly range?: readonly [min: number, max: number]
  readonly unit?: 'seconds' | 'bytes'
  /** As it is written; null where nothing is the default. */
  readonly default: string | null
  /** What holds where the default is null. */
  readonly unset?: string
  /** A value as one would write it. */
  readonly example?: string
  /** Further forms of the value, a line each. */
  readonly forms?: readonly string[]
  /** The Django setting with the same meaning, or where Django keeps it; null for a setting of this service alone. */
  readonly django: string | null
}

/** `list`: with commas or blanks between, or a JSON array. */
export type SettingType =
  | 'text'
  | 'boolean'
  | 'integer'
  | 'number'
  | 'choice'
  | 'list'
  | 'JSON'
  | 'URL'
  | 'path'
  | 'dotted path'

export type SettingName = keyof typeof SETTINGS

/** The settings that have a range. */
export type NumericSetting = {
  [Name in SettingName]: (typeof SETTINGS)[Name] extends { readonly range: readonly [number, number] }
    ? Name
    : never
}[SettingName]

/** The sections of the table, and the page of docs/ that explains each. */
export const SETTING_SECTIONS = {
  database: { title: 'The database', page: 'databases.md' },
  project: { title: 'The Django project', page: 'beside-django.md' },
  users: { title: 'Users and passwords', page: 'login-and-permissions.md' },
  sessions: { title: 'Sessions', page: 'engines.md' },
  csrf: { title: 'CSRF protection', page: 'forms-and-messages.md' },
  messages: { title: 'Messages', page: 'forms-and-messages.md' },
  login: { title: 'Login and logout pages', page: 'login-and-permissions.md' },
  upstream: { title: 'In front of Django', page: 'in-front-of-django.md' },
  http: { title: 'HTTP', page: 'beside-django.md' },
  operations: { title: 'Operations', page: 'operations.md' },
} as const

/** Every setting, in the order of the documents. */
export const SETTINGS = {
  DATABASE_URL: {
    section: 'database',
    description:
      'The database of the Django site, as dj-database-url or django-environ writes it. Several hosts: the first that answers and takes writes is used; when it fails, the next. Django takes one host only. Connections are encrypted where the server can, unless the options of the URL say otherwise.',
    type: 'URL',
    default: null,
    unset: 'the embedded demo, `var/demo.sqlite3`',
    example: 'mysql://user:password@127.0.0.1:3306/library',
    forms: [
      'mysql://user:password@host:3306/name',
      'mysql://user:password@%2Frun%2Fmysqld%2Fmysqld.sock/name',
      'mysql://user:password@db1:3306,db2:3306,db3/name',
      'postgres://user:password@host:5432/name',
      'sqlite:///relative/file',
      'sqlite:////absolute/file',
    ],
    django: "DATABASES['default']",
  },
  DATABASE_POOL_SIZE: {
    section: 'database',
    description: 'The largest number of connections that one process opens to each database.',
    type: 'integer',
    range: [1, 1000],
    default: '10',
    django: null,
  },
  DATABASE_TIMEOUT: {
    section: 'database',
    description: 'The longest wait for a connection, and the longest time of a statement.',
    type: 'number',
    range: [0.001, 3600],
    unit: 'seconds',
    default: '2',
    django: null,
  },
  DATABASE_TIME_ZONE: {
    section: 'database',
    description:
      'The time zone of the database, where the site sets one for it: with `USE_TZ=True`, on MySQL and SQLite.',
    type: 'text',
    default: null,
    unset: 'UTC',
    example: 'Asia/Seoul',
    django: "DATABASES['default']['TIME_ZONE']",
  },
  SESSION_DATABASE_URL: {
    section: 'database',
    description:
      'The database of the sessions, where a database router of the site keeps them in another one.',
    type: 'URL',
    default: null,
    unset: 'the database of `DATABASE_URL`',
    example: 'postgres://user:password@other/sessions',
    django: 'another entry of DATABASES',
  },
  SESSION_DATABASE_TIME_ZONE: {
    section: 'database',
    description: 'The time zone of the database that `SESSION_DATABASE_URL` names.',
    type: 'text',
    default: null,
    unset: 'UTC',
    example: 'Asia/Seoul',
    django: 'the TIME_ZONE of that entry of DATABASES',
  },

  DJANGO_SECRET_KEY: {
    section: 'project',
    description: 'The key that signs sessions, messages and tokens. It is required with `DATABASE_URL`.',
    type: 'text',
    default: null,
    unset: 'a key of its own for the embedded demo',
    example: 'the secret key of the Django project',
    django: 'SECRET_KEY',
  },
  DJANGO_SECRET_KEY_FALLBACKS: {
    section: 'project',
    description:
      'Older keys that are still accepted: a JSON array, or keys without commas and with blanks between them.',
    type: 'list',
    default: null,
    unset: 'none',
    example: '["older", "oldest"]',
    django: 'SECRET_KEY_FALLBACKS',
  },
  DJANGO_VERSION: {
    section: 'project',
    description:
      'What `python -m django --version` prints at the Django site. It decides the format of sessions and many small rules. The migrations tell 2.2–3.0 from 3.1–6.1 and no more, so set it where you can.',
    type: 'text',
    default: null,
    unset: 'a guess from the table `django_migrations`, with a warning',
    example: '5.2',
    django: null,
  },
  USE_TZ: {
    section: 'project',
    description:
      'Whether Django stores dates in UTC. It cannot be seen in the database, and a wrong value moves every expiry date.',
    type: 'boolean',
    default: null,
    unset: '`True`, with a warning',
    example: 'False',
    django: 'USE_TZ',
  },
  TIME_ZONE: {
    section: 'project',
    description: 'The time zone of the project. Set it together with `USE_TZ`.',
    type: 'text',
    default: null,
    unset: 'UTC',
    example: 'Asia/Seoul',
    django: 'TIME_ZONE',
  },
  DEFAULT_HASHING_ALGORITHM: {
    section: 'project',
    description: 'The hash of signatures. Only Django 3.1 and 3.2 have this setting.',
    type: 'choice',
    choices: ['sha1', 'sha256'],
    default: 'sha256',
    django: 'DEFAULT_HASHING_ALGORITHM',
  },

  AUTH_USER_MODEL: {
    section: 'users',
    description:
      'The user model. It decides the names of the tables: `accounts.Member` is kept in `accounts_member`, its groups in `accounts_member_groups`.',
    type: 'text',
    default: 'auth.User',
    example: 'accounts.Member',
    django: 'AUTH_USER_MODEL',
  },
  AUTH_USER_TABLE: {
    section: 'users',
    description: 'The table of the user model, where its `Meta` has a `db_table`.',
    type: 'text',
    default: null,
    unset: 'by `AUTH_USER_MODEL`',
    example: 'people',
    django: 'db_table of the model',
  },
  AUTH_USER_ID_COLUMN: {
    section: 'users',
    description: 'The column of the primary key of the user model.',
    type: 'text',
    default: 'id',
    example: 'member_id',
    django: 'primary key of the model',
  },
  AUTH_USER_ID_TYPE: {
    section: 'users',
    description: 'The type of that primary key. `integer` includes bigint.',
    type: 'choice',
    choices: ['integer', 'uuid', 'text'],
    default: 'integer',
    django: 'primary key of the model',
  },
  AUTH_USERNAME_FIELD: {
    section: 'users',
    description: 'The field by which a user logs in.',
    type: 'text',
    default: 'username',
    example: 'email',
    django: 'USERNAME_FIELD of the model',
  },
  AUTH_USERNAME_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field that `AUTH_USERNAME_FIELD` names, where its `db_column` differs.',
    type: 'text',
    default: null,
    unset: '`AUTH_USERNAME_FIELD`',
    example: 'e_mail',
    django: 'db_column of the field',
  },
  AUTH_USER_PASSWORD_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field `password`. `None`: the model has no such field.',
    type: 'text',
    default: null,
    unset: '`password`',
    example: 'pw',
    django: 'db_column of the field',
  },
  AUTH_USER_LAST_LOGIN_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field `last_login`. `None`: the model has no such field.',
    type: 'text',
    default: null,
    unset: '`last_login`',
    example: 'seen',
    django: 'db_column of the field',
  },
  AUTH_USER_ACTIVE_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field `is_active`, or the column that a property of this name reads. `None`: every user is active.',
    type: 'text',
    default: null,
    unset: '`is_active`',
    example: 'enabled',
    django: 'db_column of the field',
  },
  AUTH_USER_STAFF_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field `is_staff`. `None`: the model has no such field.',
    type: 'text',
    default: null,
    unset: '`is_staff`',
    example: 'crew',
    django: 'db_column of the field',
  },
  AUTH_USER_SUPERUSER_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field `is_superuser`. `None`: the model has no such field.',
    type: 'text',
    default: null,
    unset: '`is_superuser`',
    example: 'None',
    django: 'db_column of the field',
  },
  AUTH_USER_FIRST_NAME_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field `first_name`. `None`: the model has no such field.',
    type: 'text',
    default: null,
    unset: '`first_name`',
    example: 'given_name',
    django: 'db_column of the field',
  },
  AUTH_USER_LAST_NAME_COLUMN: {
    section: 'users',
    description:
      'The column of the user table for the field `last_name`. `None`: the model has no such field.',
    type: 'text',
    default: null,
    unset: '`last_name`',
    example: 'family_name',
    django: 'db_column of the field',
  },
  AUTH_SESSION_HASH: {
    section: 'users',
    description:
      'How the model makes the hash in its sessions. `django`: as AbstractBaseUser. `none`: the model has no `get_session_auth_hash`. `custom`: the model has its own, which cannot be followed; every visitor is anonymous here, and the sessions stay as they are.',
    type: 'choice',
    choices: ['django', 'none', 'custom'],
    default: 'django',
    django: 'get_session_auth_hash of the model',
  },
  AUTHENTICATION_BACKENDS: {
    section: 'users',
    description: 'The authentication backends, as dotted paths.',
    type: 'list',
    default: null,
    unset: "Django's `ModelBackend`",
    example: 'django.contrib.auth.backends.AllowAllUsersModelBackend',
    django: 'AUTHENTICATION_BACKENDS',
  },
  PASSWORD_HASHERS: {
    section: 'users',
    description: 'The password hashers, as dotted paths.',
    type: 'list',
    default: null,
    unset: 'those of this Django version',
    example: 'django.contrib.auth.hashers.Argon2PasswordHasher',
    django: 'PASSWORD_HASHERS',
  },

  SESSION_ENGINE: {
    section: 'sessions',
    description: 'Where sessions are kept.',
    type: 'dotted path',
    choices: [
      'django.contrib.sessions.backends.db',
      'django.contrib.sessions.backends.cached_db',
      'django.contrib.sessions.backends.cache',
      'django.contrib.sessions.backends.file',
      'django.contrib.sessions.backends.signed_cookies',
      'qsessions.backends.db',
      'qsessions.backends.cached_db',
      'user_sessions.backends.db',
      'merging_sessions.db',
      'merging_sessions.cached_db',
    ],
    default: 'django.contrib.sessions.backends.db',
    django: 'SESSION_ENGINE',
  },
  SESSION_SERIALIZER: {
    section: 'sessions',
    description:
      'How session data becomes text. The `PickleSerializer` is for Django up to 4.2, and needs `DJANGO_VERSION`. The engine `cache` pickles whatever this setting says.',
    type: 'dotted path',
    choices: [
      'django.contrib.sessions.serializers.JSONSerializer',
      'django.contrib.sessions.serializers.PickleSerializer',
    ],
    default: 'django.contrib.sessions.serializers.JSONSerializer',
    django: 'SESSION_SERIALIZER',
  },
  SESSION_MERGE: {
    section: 'sessions',
    description:
      'What becomes of a key of the session that two requests change at once: `last`, `add`, `union` or `fail` by key, as JSON. `fail` answers 409.',
    type: 'JSON',
    default: null,
    unset: '`last` for each key',
    example: '{"num_visits": "add", "cart": "union"}',
    django: 'SESSION_MERGE',
  },
  SESSION_FILE_PATH: {
    section: 'sessions',
    description: 'The folder of the file engine.',
    type: 'path',
    default: null,
    unset: "the folder of Python's temporary files",
    example: '/var/lib/library/sessions',
    django: 'SESSION_FILE_PATH',
  },
  SESSION_DB_TABLE: {
    section: 'sessions',
    description: 'The table of sessions, for a site with its own subclass of the `db` engine.',
    type: 'text',
    default: null,
    unset: 'the table of the engine',
    example: 'library_session',
    django: 'db_table of the session model',
  },
  SESSION_STORE_CLASS: {
    section: 'sessions',
    description:
      'The `__qualname__` of the session store class, for a site with its own subclass of the `db` engine. It is part of the salt.',
    type: 'text',
    default: null,
    unset: '`SessionStore`',
    example: 'LibrarySessions',
    django: 'name of the SessionStore class',
  },
  CACHES: {
    section: 'sessions',
    description: 'The caches, for the engines that use one, as JSON in the shape that Django gives them.',
    type: 'JSON',
    default: null,
    unset: 'none',
    example:
      '{"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:6379"}}',
    django: 'CACHES',
  },
  SESSION_CACHE_ALIAS: {
    section: 'sessions',
    description: 'The entry of `CACHES` that keeps the sessions.',
    type: 'text',
    default: 'default',
    example: 'sessions',
    django: 'SESSION_CACHE_ALIAS',
  },
  SESSION_COOKIE_NAME: {
    section: 'sessions',
    description:
      'The name of the session cookie. If it differs from that of Django, browsers hold two sessions.',
    type: 'text',
    default: 'sessionid',
    example: 'library_session',
    django: 'SESSION_COOKIE_NAME',
  },
  SESSION_COOKIE_AGE: {
    section: 'sessions',
    description: 'The lifetime of a session.',
    type: 'integer',
    range: [1, 3_155_760_000],
    unit: 'seconds',
    default: '1209600',
    django: 'SESSION_COOKIE_AGE',
  },
  SESSION_COOKIE_DOMAIN: {
    section: 'sessions',
    description: 'The domain of the session cookie.',
    type: 'text',
    default: null,
    unset: 'the host that was asked',
    example: '.example.com',
    django: 'SESSION_COOKIE_DOMAIN',
  },
  SESSION_COOKIE_PATH: {
    section: 'sessions',
    description: 'The path of the session cookie.',
    type: 'text',
    default: '/',
    example: '/catalog/',
    django: 'SESSION_COOKIE_PATH',
  },
  SESSION_COOKIE_SECURE: {
    section: 'sessions',
    description: 'Whether browsers send the session cookie over HTTPS only.',
    type: 'boolean',
    default: 'False',
    django: 'SESSION_COOKIE_SECURE',
  },
  SESSION_COOKIE_HTTPONLY: {
    section: 'sessions',
    description: 'Whether scripts in the page cannot read the session cookie.',
    type: 'boolean',
    default: 'True',
    django: 'SESSION_COOKIE_HTTPONLY',
  },
  SESSION_COOKIE_SAMESITE: {
    section: 'sessions',
    description: 'The `SameSite` attribute of the session cookie. `False`: no attribute.',
    type: 'choice',
    choices: ['Lax', 'Strict', 'None', 'False'],
    default: 'Lax',
    django: 'SESSION_COOKIE_SAMESITE',
  },
  SESSION_EXPIRE_AT_BROWSER_CLOSE: {
    section: 'sessions',
    description: 'Whether the session cookie ends with the browser.',
    type: 'boolean',
    default: 'False',
    django: 'SESSION_EXPIRE_AT_BROWSER_CLOSE',
  },
  SESSION_SAVE_EVERY_REQUEST: {
    section: 'sessions',
    description: 'Whether each request saves its session, changed or not.',
    type: 'boolean',
    default: 'False',
    django: 'SESSION_SAVE_EVERY_REQUEST',
  },
  SESSION_MAX_INFLATED_BYTES: {
    section: 'sessions',
    description:
      'Stored session data that is larger, also after it is inflated, is refused. It is never written over.',
    type: 'integer',
    range: [1024, 1_073_741_824],
    unit: 'bytes',
    default: '16777216',
    django: null,
  },
  ALLOW_UNVERIFIED_SESSIONS: {
    section: 'sessions',
    description: 'Whether to start although no recent session verifies under `DJANGO_SECRET_KEY`.',
    type: 'boolean',
    default: 'False',
    django: null,
  },

  CSRF_USE_SESSIONS: {
    section: 'csrf',
    description: 'Whether the token is kept in the session instead of a cookie.',
    type: 'boolean',
    default: 'False',
    django: 'CSRF_USE_SESSIONS',
  },
  CSRF_COOKIE_NAME: {
    section: 'csrf',
    description:
      'The name of the token cookie. If a `CSRF_…` setting differs from that of Django, forms of one side fail on the other.',
    type: 'text',
    default: 'csrftoken',
    example: 'xsrf',
    django: 'CSRF_COOKIE_NAME',
  },
  CSRF_COOKIE_AGE: {
    section: 'csrf',
    description: 'The lifetime of the token cookie. `None`: until the browser closes.',
    type: 'integer',
    range: [1, 3_155_760_000],
    unit: 'seconds',
    default: '31449600',
    django: 'CSRF_COOKIE_AGE',
  },
  CSRF_COOKIE_DOMAIN: {
    section: 'csrf',
    description: 'The domain of the token cookie.',
    type: 'text',
    default: null,
    unset: 'the host that was asked',
    example: '.example.com',
    django: 'CSRF_COOKIE_DOMAIN',
  },
  CSRF_COOKIE_PATH: {
    section: 'csrf',
    description: 'The path of the token cookie.',
    type: 'text',
    default: '/',
    example: '/catalog/',
    django: 'CSRF_COOKIE_PATH',
  },
  CSRF_COOKIE_SECURE: {
    section: 'csrf',
    description: 'Whether browsers send the token cookie over HTTPS only.',
    type: 'boolean',
    default: 'False',
    django: 'CSRF_COOKIE_SECURE',
  },
  CSRF_COOKIE_HTTPONLY: {
    section: 'csrf',
    description: 'Whether scripts in the page cannot read the token cookie.',
    type: 'boolean',
    default: 'False',
    django: 'CSRF_COOKIE_HTTPONLY',
  },
  CSRF_COOKIE_SAMESITE: {
    section: 'csrf',
    description: 'The `SameSite` attribute of the token cookie. `False`: no attribute.',
    type: 'choice',
    choices: ['Lax', 'Strict', 'None', 'False'],
    default: 'Lax',
    django: 'CSRF_COOKIE_SAMESITE',
  },
  CSRF_HEADER_NAME: {
    section: 'csrf',
    description:
      'The request header that may carry the token, as Django writes it: `HTTP_X_CSRFTOKEN` is `X-CSRFToken`.',
    type: 'text',
    default: 'HTTP_X_CSRFTOKEN',
    example: 'HTTP_X_XSRF_TOKEN',
    django: 'CSRF_HEADER_NAME',
  },
  CSRF_TRUSTED_ORIGINS: {
    section: 'csrf',
    description:
      'Other origins whose forms are accepted: `https://*.example.com`; before Django 4.0 hosts, `.example.com`.',
    type: 'list',
    default: null,
    unset: 'none',
    example: 'https://*.example.com',
    django: 'CSRF_TRUSTED_ORIGINS',
  },

  MESSAGE_STORAGE: {
    section: 'messages',
    description: 'Where messages are kept until they are shown.',
    type: 'dotted path',
    choices: [
      'django.contrib.messages.storage.fallback.FallbackStorage',
      'django.contrib.messages.storage.cookie.CookieStorage',
      'django.contrib.messages.storage.session.SessionStorage',
    ],
    default: 'django.contrib.messages.storage.fallback.FallbackStorage',
    django: 'MESSAGE_STORAGE',
  },
  MESSAGE_LEVEL: {
    section: 'messages',
    description:
      'Messages below this level are not kept: 10 is debug, 20 info, 25 success, 30 warning, 40 error.',
    type: 'integer',
    range: [0, 1_000_000],
    default: '20',
    django: 'MESSAGE_LEVEL',
  },
  MESSAGE_TAGS: {
    section: 'messages',
    description: 'CSS classes of levels, in addition to those of Django: a JSON object.',
    type: 'JSON',
    default: null,
    unset: 'none',
    example: '{"40": "danger"}',
    django: 'MESSAGE_TAGS',
  },

  SERVE_LOGIN: {
    section: 'login',
    description: 'Whether this service serves the login and logout pages.',
    type: 'boolean',
    default: null,
    unset: '`True` without `DJANGO_UPSTREAM`, else `False`',
    example: 'False',
    django: null,
  },
  LOGIN_URL: {
    section: 'login',
    description:
      'The login page, a path or a URL. A name of a URL pattern is not supported: only Django can look it up.',
    type: 'URL',
    default: '/accounts/login/',
    example: '/login/',
    django: 'LOGIN_URL',
  },
  LOGIN_REDIRECT_URL: {
    section: 'login',
    description: 'The path or URL to which a login without `next` leads.',
    type: 'URL',
    default: '/',
    example: '/catalog/',
    django: 'LOGIN_REDIRECT_URL',
  },
  LOGOUT_REDIRECT_URL: {
    section: 'login',
    description: 'The path or URL to which a logout leads.',
    type: 'URL',
    default: null,
    unset: 'a page that confirms the logout',
    example: '/',
    django: 'LOGOUT_REDIRECT_URL',
  },
  LOGIN_TRIES_BY_NAME: {
    section: 'login',
    description: 'How many logins under one user name may fail within `LOGIN_TRIES_WINDOW`, in each process.',
    type: 'integer',
    range: [1, 1_000_000],
    default: '10',
    django: null,
  },
  LOGIN_TRIES_BY_ADDRESS: {
    section: 'login',
    description:
      'How many logins from one address (in IPv6, from one /64 network) may fail within `LOGIN_TRIES_WINDOW`, in each process.',
    type: 'integer',
    range: [1, 1_000_000],
    default: '50',
    django: null,
  },
  LOGIN_TRIES_WINDOW: {
    section: 'login',
    description: 'The time over which failed logins are counted.',
    type: 'integer',
    range: [1, 1_000_000],
    unit: 'seconds',
    default: '900',
    django: null,
  },
  DJANGO_BASE_URL: {
    section: 'login',
    description: 'The site that links to pages of Django point to.',
    type: 'URL',
    default: null,
    unset: 'the same origin',
    example: 'https://django.example.com',
    django: null,
  },

  DJANGO_UPSTREAM: {
    section: 'upstream',
    description: 'Where Django listens. Paths and methods that this service does not serve go there.',
    type: 'URL',
    default: null,
    unset: 'a path that is not served here is a 404',
    example: 'http://127.0.0.1:8000',
    forms: ['http://host:port', 'https://host', 'unix:/path/to/socket'],
    django: null,
  },
  DJANGO_UPSTREAM_TIMEOUT: {
    section: 'upstream',
    description:
      'The longest silence of a request at Django, and the longest wait for a free connection. Opening a connection takes at most 5 seconds.',
    type: 'number',
    range: [0.001, 86_400],
    unit: 'seconds',
    default: '60',
    django: null,
  },
  DJANGO_UPSTREAM_CONNECTIONS: {
    section: 'upstream',
    description: 'How many requests may be at Django at once, in each process. Further requests wait.',
    type: 'integer',
    range: [1, 100_000],
    default: '100',
    django: null,
  },
  DJANGO_UPSTREAM_KEEPALIVE: {
    section: 'upstream',
    description:
      "How long a connection to Django is kept for the next request. It must be shorter than the keep-alive time of Django's server (gunicorn: 2 seconds, uvicorn: 5). 0: each request opens a connection.",
    type: 'number',
    range: [0, 3600],
    unit: 'seconds',
    default: '1',
    django: null,
  },
  DJANGO_UPSTREAM_WEBSOCKETS: {
    section: 'upstream',
    description:
      'How many WebSockets to Django may be open at once, in each process. Further ones get a 503.',
    type: 'integer',
    range: [0, 1_000_000],
    default: '1000',
    django: null,
  },
  DJANGO_UPSTREAM_BUFFER: {
    section: 'upstream',
    description: "How much of a request's body is read before Django is asked. 0: bodies stream.",
    type: 'integer',
    range: [0, 1_073_741_824],
    unit: 'bytes',
    default: '1048576',
    django: null,
  },
  DJANGO_UPSTREAM_CA: {
    section: 'upstream',
    description:
      'For `https://…`: a PEM file with the certificate authority that signed the certificate of Django.',
    type: 'path',
    default: null,
    unset: 'the authorities that Node trusts',
    example: '/etc/ssl/site-ca.pem',
    django: null,
  },

  HOST: {
    section: 'http',
    description: 'The address on which the service listens.',
    type: 'text',
    default: '127.0.0.1',
    example: '0.0.0.0',
    django: null,
  },
  PORT: {
    section: 'http',
    description: 'The port on which the service listens. 0: any free port.',
    type: 'integer',
    range: [0, 65_535],
    default: '3000',
    django: null,
  },
  ALLOWED_HOSTS: {
    section: 'http',
    description: 'The host names that the site answers to. It is required with `NODE_ENV=production`.',
    type: 'list',
    default: null,
    unset: '`.localhost`, `127.0.0.1`, `[::1]`',
    example: 'library.example.com',
    django: 'ALLOWED_HOSTS',
  },
  TRUSTED_PROXY: {
    section: 'http',
    description:
      'Whether the proxy in front tells by `X-Forwarded-…` headers who asked and how: `True`, or some of `host` (`X-Forwarded-Host`), `proto` (`X-Forwarded-Proto`) and `for` (`X-Forwarded-For`). The proxy must set these headers itself. Of several values the last one counts.',
    type: 'list',
    default: 'False',
    example: 'host,proto,for',
    django: 'USE_X_FORWARDED_HOST, SECURE_PROXY_SSL_HEADER',
  },
  SECURE_HSTS_SECONDS: {
    section: 'http',
    description:
      'The lifetime of `Strict-Transport-Security`, which is sent over HTTPS only. A browser keeps the last header it saw of a host. 0: no header.',
    type: 'integer',
    range: [0, 3_155_760_000],
    unit: 'seconds',
    default: '0',
    django: 'SECURE_HSTS_SECONDS',
  },
  SECURE_HSTS_INCLUDE_SUBDOMAINS: {
    section: 'http',
    description: 'Whether that header covers the subdomains, too.',
    type: 'boolean',
    default: 'False',
    django: 'SECURE_HSTS_INCLUDE_SUBDOMAINS',
  },
  SECURE_HSTS_PRELOAD: {
    section: 'http',
    description: 'Whether that header allows the preload lists of browsers.',
    type: 'boolean',
    default: 'False',
    django: 'SECURE_HSTS_PRELOAD',
  },

  NODE_ENV: {
    section: 'operations',
    description:
      'Whether the service runs for developers or for visitors. `test` is the same as `development`.',
    type: 'choice',
    choices: ['development', 'production', 'test'],
    default: 'development',
    django: null,
  },
  LOG_LEVEL: {
    section: 'operations',
    description: 'The least level that is logged.',
    type: 'choice',
    choices: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    default: 'info',
    django: null,
  },
  LOG_FORMAT: {
    section: 'operations',
    description: 'Log lines for a person or for a program. `NO_COLOR=1` and `TERM=dumb` turn colours off.',
    type: 'choice',
    choices: ['pretty', 'json'],
    default: null,
    unset: '`pretty` on a terminal, else `json`',
    django: null,
  },
  LOG_PATHS: {
    section: 'operations',
    description:
      "Patterns in the syntax of Django's `path()` that stand in the log for the paths that match. Of other paths that are not served here the log shows the first segment only, since the rest may be secret. At most one `<converter>` between two slashes.",
    type: 'list',
    default: null,
    unset: 'none',
    example: '/accounts/reset/<uidb64>/<token>/ /catalog/book/<int:pk>',
    django: null,
  },
  SESSIONS_PAGE: {
    section: 'operations',
    description:
      "Who sees the page `/_sessions/`, which shows a browser its session, and all sessions in numbers. `auto`: in development every request from this machine itself, and staff who logged in through Django's login; in production staff alone. `staff`: staff alone. `off`: the page is not served.",
    type: 'choice',
    choices: ['auto', 'staff', 'off'],
    default: 'auto',
    django: null,
  },
  METRICS: {
    section: 'operations',
    description:
      'Whether metrics for Prometheus are served, on a port of their own: http://127.0.0.1:9464/metrics.',
    type: 'boolean',
    default: 'True',
    django: null,
  },
  METRICS_HOST: {
    section: 'operations',
    description: 'The address on which metrics are served.',
    type: 'text',
    default: '127.0.0.1',
    example: '0.0.0.0',
    django: null,
  },
  METRICS_PORT: {
    section: 'operations',
    description:
      'The port on which metrics are served. 0: any free port. A port that is set and taken ends the start.',
    type: 'integer',
    range: [0, 65_535],
    default: null,
    unset: '9464; if it is taken there is a warning and no metrics',
    example: '9464',
    django: null,
  },
  SHUTDOWN_DELAY: {
    section: 'operations',
    description:
      'The time between SIGTERM, when `/health/ready` begins to answer 503, and the end of listening: as long as the load balancer in front takes to notice.',
    type: 'number',
    range: [0, 3600],
    unit: 'seconds',
    default: '0',
    django: null,
  },
  CATALOG_COUNTS_MAX_AGE: {
    section: 'operations',
    description:
      'How old the counts on the home page may be. 0: they are taken after each request came. For a library so large that counting is too slow.',
    type: 'number',
    range: [0, 86_400],
    unit: 'seconds',
    default: '0',
    django: null,
  },
} as const

/** One setting with its name. */
export interface NamedSetting extends SettingDefinition {
  readonly name: SettingName
}

/** Every setting, in the order of the documents. */
export function settingDefinitions(): NamedSetting[] {
  return Object.entries<SettingDefinition>(SETTINGS).map(([name, definition]) => ({
    name: name as SettingName,
    ...definition,
  }))
}
