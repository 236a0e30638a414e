/**
 * Django projects as people have them: versions, engines, databases and user models. For each, `init` writes a .env with
 * which the number of visits is shared at once, or it says why it cannot.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { takeTurn } from '../../interop/sites.ts'
import { createVisitor } from '../../interop/visitor.ts'
import {
  createTestDatabase,
  runScript,
  type TestDatabaseName,
  testDatabases,
} from '../../support/databases.ts'
import { djangoVersions } from '../../support/django.ts'
import { startRedis } from '../../support/redis.ts'
import { runCommand, startService, temporaryFolder } from '../../support/service.ts'
import {
  type GeneratedProject,
  generateProject,
  type ProjectOptions,
  projectKey,
  pythonText,
} from './generated-project.ts'

interface Place {
  /** The test database. */
  readonly url: string
  /** Python text: Django's entry for it, without OPTIONS. */
  readonly entry: string
}

interface Project {
  readonly name: string
  readonly version: string
  readonly database: TestDatabaseName
  /** Whether Django makes its own tables; false: those of LocalLibrary are there. */
  readonly migrate?: boolean
  readonly make?: (
    t: ExecutionContext,
    place: Place,
  ) => Promise<Partial<ProjectOptions>> | Partial<ProjectOptions>
  /** After the migration. */
  readonly prepare?: (project: GeneratedProject) => Promise<void>
  /** What the .env must hold. */
  readonly holds?: readonly RegExp[]
}

/** Django 2.2 fails with PyMySQL where DEBUG is on. */
const WITHOUT_DEBUG = `DEBUG = False\nALLOWED_HOSTS = ['*']`

const DB = 'django.contrib.sessions.backends.db'

const PROJECTS: readonly Project[] = [
  {
    name: 'SQLite, its NAME by os.path.join',
    version: '2.2',
    database: 'sqlite',
    make: (_, { url }) => ({
      databases: `{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': os.path.join(${pythonText(folderOf(url))}, 'db.sqlite3')}}`,
    }),
  },
  {
    name: 'SQLite, its NAME a relative Path, made by its own migrate',
    version: '6.1',
    database: 'sqlite',
    migrate: true,
    make: () => ({
      databases: `{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': Path('my #1 db.sqlite3')}}`,
    }),
    holds: [/^DATABASE_URL=sqlite:\/{4}.*%20%231%20db\.sqlite3$/m],
  },
  {
    name: 'MariaDB, a user with a password of odd characters, and options',
    version: '5.2',
    database: 'mariadb',
    make: async (t, place) => ({
      databases: entryWith(
        await withAccount(t, place),
        `'charset': 'utf8mb4', 'init_command': "SET sql_mode='STRICT_TRANS_TABLES'", 'isolation_level': 'repeatable read'`,
      ),
    }),
    holds: [/^DATABASE_URL=.*isolation_level=repeatable\+read/m],
  },
  {
    name: 'MySQL by an option file',
    version: '4.2',
    database: 'mysql',
    make: (t, { url }) => {
      const { hostname, port, pathname } = new URL(url)
      const file = join(temporaryFolder(t), 'my.cnf')
      writeFileSync(
        file,
        `# of the site\n[mysqld]\nport = 1\n[client]\nhost = "${hostname}"\nport=${port}\nuser = root\ndatabase = ${pathname.slice(1)}\ndefault-character-set = utf8mb4\n`,
      )
      return {
        databases: `{'default': {'ENGINE': 'django.db.backends.mysql', 'OPTIONS': {'read_default_file': ${pythonText(file)}}}}`,
      }
    },
  },
  {
    name: 'PostgreSQL, its tables in another schema',
    version: '3.2',
    database: 'postgresql',
    migrate: true,
    make: async (_, { url, entry }) => {
      await runScript(url, 'CREATE SCHEMA library')
      return { databases: entryWith(entry, `'options': '-c search_path=library', 'sslmode': 'prefer'`) }
    },
  },
  {
    name: 'PostgreSQL by a service and a password file',
    version: '6.1',
    database: 'postgresql',
    make: (t, { url }) => {
      const { hostname, port, pathname } = new URL(url)
      const folder = temporaryFolder(t)
      const files = { service: join(folder, 'services'), password: join(folder, 'passwords') }
      const service = `[other]\nhost=nowhere\n[library]\nhost=${hostname}\nport=${port}\ndbname=${pathname.slice(1)}\nuser=postgres\n`
      writeFileSync(files.service, service)
      writeFileSync(files.password, '*:*:*:postgres:pass\\:word\n', { mode: 0o600 })
      return {
        settings: `os.environ['PGSERVICEFILE'] = ${pythonText(files.service)}`,
        databases: `{'default': {'ENGINE': 'django.db.backends.postgresql', 'OPTIONS': {'service': 'library', 'passfile': ${pythonText(files.password)}}}}`,
      }
    },
    holds: [/^DATABASE_URL=postgres:\/\/postgres:pass%3Aword@/m],
  },
  {
    name: 'a user model whose columns have other names',
    version: '2.2',
    database: 'mariadb',
    migrate: true,
    make: () => ({ apps: ['accounts'], settings: `AUTH_USER_MODEL = 'accounts.Renamed'\n${WITHOUT_DEBUG}` }),
    holds: [/^AUTH_USER_ACTIVE_COLUMN=enabled$/m, /^AUTH_USER_LAST_NAME_COLUMN=None$/m],
  },
  {
    name: 'a user model with a UUID, known by address',
    version: '4.2',
    database: 'sqlite',
    migrate: true,
    make: () => ({ apps: ['accounts'], settings: `AUTH_USER_MODEL = 'accounts.Member'` }),
    holds: [/^AUTH_USER_ID_TYPE=uuid$/m, /^AUTH_USER_ID_COLUMN=member_id$/m, /^AUTH_USERNAME_FIELD=email$/m],
  },
  {
    name: 'a session store of its own, with its own table and name',
    version: '6.1',
    database: 'sqlite',
    migrate: true,
    make: () => ({ apps: ['account_sessions'], settings: `SESSION_ENGINE = 'account_sessions.store'` }),
    holds: [/^SESSION_STORE_CLASS=AccountStore$/m, /^SESSION_DB_TABLE=library_session$/m],
  },
  {
    name: 'a router that keeps sessions in PostgreSQL',
    version: '5.2',
    database: 'sqlite',
    make: async (t, { entry }) => {
      const other = placeOf((await createTestDatabase(t, 'postgresql')).url)
      return {
        databases: `{'default': ${entry}, 'sessions': ${other.entry}}`,
        settings: `DATABASE_ROUTERS = ['mysite.routers.SessionsElsewhere']`,
        files: { 'mysite/routers.py': ROUTER },
      }
    },
    holds: [/^SESSION_DATABASE_URL=postgres:/m],
  },
  {
    name: 'sessions in files',
    version: '5.2',
    database: 'sqlite',
    make: (t) => ({
      settings: `SESSION_ENGINE = 'django.contrib.sessions.backends.file'\nSESSION_FILE_PATH = ${pythonText(temporaryFolder(t))}`,
    }),
  },
  {
    name: 'sessions in signed cookies',
    version: '3.2',
    database: 'sqlite',
    make: () => ({ settings: `SESSION_ENGINE = 'django.contrib.sessions.backends.signed_cookies'` }),
  },
  {
    name: 'cached_db on a cache in the database',
    version: '4.2',
    database: 'mariadb',
    make: () => ({
      settings: `SESSION_ENGINE = 'django.contrib.sessions.backends.cached_db'
CACHES = {'default': {'BACKEND': 'django.core.cache.backends.db.DatabaseCache', 'LOCATION': 'cache_table'}}`,
    }),
    prepare: (project) => project.manage('createcachetable'),
  },
  {
    name: 'sessions in Redis, under an alias and a prefix of their own',
    version: '6.1',
    database: 'sqlite',
    make: async (t) => {
      const redis = await startRedis()
      t.teardown(() => redis.stop())
      return {
        settings: `SESSION_ENGINE = 'django.contrib.sessions.backends.cache'
SESSION_CACHE_ALIAS = 'visitors'
CACHES = {
    'default': {'BACKEND': 'django.core.cache.backends.locmem.LocMemCache', 'KEY_FUNCTION': lambda *parts: ':'.join(parts)},
    'visitors': {'BACKEND': 'django.core.cache.backends.redis.RedisCache', 'LOCATION': ('${redis.location}',), 'KEY_PREFIX': 'site'},
}`,
      }
    },
    holds: [/^SESSION_CACHE_ALIAS=visitors$/m],
  },
  {
    name: 'USE_TZ off, in Seoul',
    version: '5.2',
    database: 'mariadb',
    make: () => ({ settings: `USE_TZ = False\nTIME_ZONE = 'Asia/Seoul'` }),
    holds: [/^USE_TZ=False$/m, /^TIME_ZONE=Asia\/Seoul$/m],
  },
  {
    name: 'the PickleSerializer, fallback keys and a cookie of its own',
    version: '4.2',
    database: 'sqlite',
    make: () => ({
      settings: `SESSION_SERIALIZER = 'django.contrib.sessions.serializers.PickleSerializer'
SECRET_KEY_FALLBACKS = ['older, one', "ol'd\\"est"]
SESSION_COOKIE_NAME = 'library'
SESSION_COOKIE_AGE = 60 * 60
SESSION_COOKIE_PATH = '/catalog/'
SESSION_COOKIE_SAMESITE = None
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_COOKIE_AGE = None
ALLOWED_HOSTS = ['127.0.0.1', '.example.com', 'localhost:8000']`,
    }),
    holds: [/^SESSION_COOKIE_SAMESITE=False$/m, /^CSRF_COOKIE_AGE=None$/m, /^SESSION_COOKIE_AGE=3600$/m],
  },
  {
    name: 'SHA-1 signatures, and a time zone of the database',
    version: '3.2',
    database: 'mysql',
    make: (_, { entry }) => ({
      databases: `{'default': dict(${entry}, TIME_ZONE='Europe/Berlin')}`,
      settings: `DEFAULT_HASHING_ALGORITHM = 'sha1'`,
    }),
    holds: [/^DATABASE_TIME_ZONE=Europe\/Berlin$/m, /^DEFAULT_HASHING_ALGORITHM=sha1$/m],
  },
  {
    name: 'django-qsessions',
    version: '5.2',
    database: 'postgresql',
    migrate: true,
    make: () => ({
      apps: ['qsessions'],
      sessionMiddleware: 'qsessions.middleware.SessionMiddleware',
      settings: `SESSION_ENGINE = 'qsessions.backends.db'`,
    }),
    holds: [/^SESSION_ENGINE=qsessions\.backends\.db$/m],
  },
  {
    name: 'django-user-sessions',
    version: '2.2',
    database: 'sqlite',
    migrate: true,
    make: () => ({
      apps: ['user_sessions'],
      sessionMiddleware: 'user_sessions.middleware.SessionMiddleware',
      settings: `SESSION_ENGINE = 'user_sessions.backends.db'`,
    }),
    holds: [/^SESSION_ENGINE=user_sessions\.backends\.db$/m],
  },
  {
    name: 'a user model with its own session hash, and much that is not the default',
    version: '5.2',
    database: 'sqlite',
    migrate: true,
    make: () => ({
      apps: ['accounts'],
      settings: `AUTH_USER_MODEL = 'accounts.Stamped'
AUTHENTICATION_BACKENDS = ['mysite.backends.Ours', 'django.contrib.auth.backends.AllowAllUsersModelBackend']
PASSWORD_HASHERS = ['django.contrib.auth.hashers.Argon2PasswordHasher', 'mysite.hashers.Ours']
CSRF_USE_SESSIONS = True
CSRF_TRUSTED_ORIGINS = ['https://*.example.com']
MESSAGE_STORAGE = 'django.contrib.messages.storage.session.SessionStorage'
MESSAGE_TAGS = {40: 'danger'}
LOGIN_URL = 'login'
LOGOUT_REDIRECT_URL = 'index'
USE_X_FORWARDED_HOST = True
SECURE_PROXY_SSL_HEADER = ('HTTP_X_FORWARDED_PROTO', 'https')
SECURE_HSTS_SECONDS = 3600`,
    }),
    holds: [
      /^AUTH_SESSION_HASH=custom$/m,
      /^LOGOUT_REDIRECT_URL=\/catalog\/$/m,
      /^TRUSTED_PROXY=host,proto$/m,
      /^MESSAGE_TAGS='{"40":"danger"}'$/m,
      /^CSRF_USE_SESSIONS=True$/m,
      /^SECURE_HSTS_SECONDS=3600$/m,
    ],
  },
]

for (const project of PROJECTS.filter(canRun)) {
  test(`the count is shared at once: ${project.name} (Django ${project.version}, ${project.database})`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { migrate = false } = project
    const made = await makeProject(t, project)
    const django = await made.serve({ migrate })
    await project.prepare?.(made)

    const cwd = temporaryFolder(t)
    const { status, stdout, stderr } = await runCommand(t, ['init', made.managePy, '--python', made.python], {
      cwd,
    })
    t.is(status, 0, stdout + stderr)
    const file = readFileSync(join(cwd, '.env'), 'utf8')
    t.is(statSync(join(cwd, '.env')).mode & 0o777, 0o600)
    for (const line of project.holds ?? []) t.regex(file, line)
    for (const secret of [projectKey, 'pass:word']) t.false((stdout + stderr).includes(secret))

    const service = await startService(t, { cwd })
    const visitor = createVisitor()
    t.deepEqual(
      [
        await visitor.visit(django),
        await visitor.visit(service.url),
        await visitor.visit(django),
        await visitor.visit(service.url),
      ],
      [1, 2, 3, 4],
    )
    t.is(service.stderr(), '')
  })
}

interface Refusal {
  readonly name: string
  readonly version: string
  readonly make: Partial<ProjectOptions>
  readonly says: RegExp
}

const REFUSALS: readonly Refusal[] = [
  {
    name: 'a store with its own encode',
    version: '5.2',
    make: {
      settings: `SESSION_ENGINE = 'mysite.sessions'`,
      files: {
        'mysite/sessions.py': `from ${DB} import SessionStore as Base\n\nclass SessionStore(Base):\n    def encode(self, data):\n        return super().encode(data)\n`,
      },
    },
    says: /SESSION_ENGINE: its class mysite\.sessions\.SessionStore defines encode/,
  },
  {
    name: 'an engine of another kind',
    version: '2.2',
    make: {
      settings: `SESSION_ENGINE = 'mysite.sessions'`,
      files: {
        'mysite/sessions.py':
          'from django.contrib.sessions.backends.base import SessionBase\n\nclass SessionStore(SessionBase):\n    pass\n',
      },
    },
    says: /SESSION_ENGINE: mysite\.sessions is not supported: its SessionStore is not derived from/,
  },
  {
    name: 'a database in memory',
    version: '6.1',
    make: { databases: `{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}` },
    says: /DATABASES\['default'\]: is an SQLite database in memory/,
  },
  {
    name: 'a cache in the memory of one process',
    version: '4.2',
    make: { settings: `SESSION_ENGINE = 'django.contrib.sessions.backends.cache'` },
    says: /CACHES\["default"\]: .*LocMemCache keeps sessions in the memory of one process/,
  },
  {
    name: 'a KEY_FUNCTION',
    version: '5.2',
    make: {
      settings: `SESSION_ENGINE = 'django.contrib.sessions.backends.cache'
CACHES = {'default': {'BACKEND': 'django.core.cache.backends.redis.RedisCache', 'LOCATION': 'redis://127.0.0.1:1', 'KEY_FUNCTION': 'mysite.keys.make'}}`,
      files: { 'mysite/keys.py': 'def make(key, prefix, version):\n    return key\n' },
    },
    says: /CACHES\['default'\]: has a KEY_FUNCTION, which is Python code/,
  },
  {
    name: 'a user whose is_active is Python code',
    version: '4.2',
    make: { apps: ['accounts'], settings: `AUTH_USER_MODEL = 'accounts.Computed'` },
    says: /AUTH_USER_MODEL: accounts\.Computed\.is_active is not a field but Python code/,
  },
  {
    name: 'a serializer of its own',
    version: '3.2',
    make: {
      settings: `SESSION_SERIALIZER = 'mysite.serializers.Ours'`,
      files: { 'mysite/serializers.py': 'class Ours:\n    pass\n' },
    },
    says: /SESSION_SERIALIZER: "mysite\.serializers\.Ours" is unknown/,
  },
  {
    name: 'no session middleware',
    version: '5.2',
    make: { sessionMiddleware: 'django.middleware.gzip.GZipMiddleware' },
    says: /MIDDLEWARE: has no session middleware, so the project has no sessions/,
  },
]

for (const refusal of REFUSALS.filter(({ version }) => djangoVersions.includes(version))) {
  test(`refused, with the reason: ${refusal.name} (Django ${refusal.version})`, async (t) => {
    await takeTurn(t)
    const databases = `{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '/nowhere/db.sqlite3'}}`
    const project = generateProject(t, { databases, ...refusal.make, version: refusal.version })
    const cwd = temporaryFolder(t)
    const { status, stdout } = await runCommand(t, ['init', project.managePy, '--python', project.python], {
      cwd,
    })
    t.is(status, 1, stdout)
    t.regex(stdout, refusal.says)
    t.throws(() => statSync(join(cwd, '.env')), { code: 'ENOENT' })
  })
}

function canRun({ version, database, name }: Project): boolean {
  const needsPostgresql = name.includes('PostgreSQL')
  return (
    djangoVersions.includes(version) &&
    testDatabases.includes(database) &&
    (!needsPostgresql || testDatabases.includes('postgresql'))
  )
}

async function makeProject(
  t: ExecutionContext,
  { version, database, migrate = false, make }: Project,
): Promise<GeneratedProject> {
  const { url } = await createTestDatabase(t, database, { tables: migrate ? 'none' : 'library' })
  const place = placeOf(url)
  return generateProject(t, {
    databases: `{'default': ${place.entry}}`,
    ...(await make?.(t, place)),
    version,
  })
}

/** Django's entry for a test database. */
function placeOf(url: string): Place {
  if (url.startsWith('sqlite:'))
    return {
      url,
      entry: `{'ENGINE': 'django.db.backends.sqlite3', 'NAME': ${pythonText(join(folderOf(url), 'db.sqlite3'))}}`,
    }
  const { protocol, hostname, port, pathname, username } = new URL(url)
  const engine = protocol === 'mysql:' ? 'mysql' : 'postgresql'
  return {
    url,
    entry: `{'ENGINE': 'django.db.backends.${engine}', 'NAME': '${pathname.slice(1)}', 'HOST': '${hostname}', 'PORT': ${port}, 'USER': '${username}'}`,
  }
}

function folderOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname)
    .replace(/^\/+/, '/')
    .replace(/\/[^/]*$/, '')
}

/** DATABASES with one entry, which has these options. */
function entryWith(entry: string, options: string): string {
  return `{'default': dict(${entry}, OPTIONS={${options}})}`
}

/** The entry of a user whose password has every character with a meaning in URLs, files and shells. */
async function withAccount(t: ExecutionContext, { url, entry }: Place): Promise<string> {
  const user = `of:site@${new URL(url).pathname.slice(-6)}`
  const password = `p@ss:w/o?r#d%41 '"\`$x \\`
  const quoted = password.replace(/['\\]/g, '\\$&')
  await runScript(
    url,
    `CREATE USER '${user}'@'%' IDENTIFIED BY '${quoted}'; GRANT ALL ON *.* TO '${user}'@'%'`,
  )
  t.teardown(() => runScript(url, `DROP USER '${user}'@'%'`))
  return `dict(${entry}, USER=${pythonText(user)}, PASSWORD=${pythonText(password)})`
}

const ROUTER = `class SessionsElsewhere:
    def db_for_read(self, model, **hints):
        return 'sessions' if model._meta.app_label == 'sessions' else None

    db_for_write = db_for_read
`
