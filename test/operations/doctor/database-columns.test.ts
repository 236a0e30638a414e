import test from 'ava'
import { takeTurn } from '../../interop/sites.ts'
import {
  createTestDatabase,
  runScript,
  runSql,
  type TestDatabaseName,
  testDatabases,
} from '../../support/databases.ts'
import { djangoShell, djangoVersions } from '../../support/django.ts'
import { examined, firstProblem, problemsIn, secretKey, siteEnvironment } from './examined.ts'

for (const name of testDatabases)
  test(`on ${name}, the tables that Django makes have no problem, whatever its version`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url } = await createTestDatabase(t, name, { tables: 'library' })
    for (const DJANGO_VERSION of djangoVersions) {
      const findings = await examined(siteEnvironment(url, { DJANGO_VERSION }))
      t.deepEqual(problemsIn(findings), [], DJANGO_VERSION)
      t.deepEqual(
        findings.flatMap(({ id, result }) =>
          result.outcome === 'skipped' && result.because.startsWith('it could not') ? [id] : [],
        ),
        [],
      )
    }
  })

type Kind = 'mysql' | 'postgresql' | 'sqlite'
const kindOf = (name: TestDatabaseName): Kind => (name === 'mariadb' ? 'mysql' : name)

interface Fault {
  readonly what: string
  readonly id: string
  /** What is read, and part of what to do. */
  readonly says: RegExp
  /** The statement that plants it, on the databases that can have it. */
  readonly plant: Partial<Record<Kind, string>>
}

const SQLITE_COPY = `
  INSERT INTO django_session SELECT session_key, session_data, expire_date FROM old;
  DROP TABLE old;`

/** Each planted alone. Its hint is a statement, which is run as it stands. */
const faults: readonly Fault[] = [
  {
    what: 'a session_data that cuts or refuses larger sessions',
    id: 'database.E004',
    says: /session_data (?:text|character varying\(5000\)|varchar\(5000\)); run ALTER TABLE django_session /,
    plant: {
      mysql: 'ALTER TABLE django_session MODIFY session_data text NOT NULL',
      postgresql: 'ALTER TABLE django_session ALTER COLUMN session_data TYPE varchar(5000)',
    },
  },
  {
    what: 'a session_data of bytes',
    id: 'database.E004',
    says: /session_data longblob; run ALTER TABLE/,
    plant: { mysql: 'ALTER TABLE django_session MODIFY session_data longblob NOT NULL' },
  },
  {
    what: 'a session_key of bytes',
    id: 'database.E004',
    says: /session_key varbinary\(40\), session_data longtext; run ALTER TABLE/,
    plant: { mysql: 'ALTER TABLE django_session MODIFY session_key varbinary(40) NOT NULL' },
  },
  {
    what: 'an expire_date whose meaning depends on the connection',
    id: 'database.E005',
    says: /expire_date timestamp(?:\(6\)| without time zone)?; run ALTER TABLE/,
    plant: {
      mysql:
        'ALTER TABLE django_session MODIFY expire_date timestamp(6) NOT NULL DEFAULT current_timestamp(6)',
      postgresql: 'ALTER TABLE django_session ALTER COLUMN expire_date TYPE timestamp',
    },
  },
  {
    what: 'a table without a primary key',
    id: 'database.E006',
    says: /no primary key or unique index on session_key alone; run ALTER TABLE django_session ADD PRIMARY KEY/,
    plant: {
      mysql: 'ALTER TABLE django_session DROP PRIMARY KEY',
      postgresql: 'ALTER TABLE django_session DROP CONSTRAINT django_session_pkey',
    },
  },
  {
    what: 'a table of MyISAM',
    id: 'database.W001',
    says: /MyISAM; run ALTER TABLE django_session ENGINE=InnoDB/,
    plant: { mysql: 'ALTER TABLE django_session ENGINE=MyISAM' },
  },
  {
    what: 'no index on expire_date',
    id: 'database.W002',
    says: /no index .* begins with expire_date; run CREATE INDEX/,
    plant: {
      mysql: 'DROP INDEX django_session_expire_date_a5c62663 ON django_session',
      postgresql: 'DROP INDEX django_session_expire_date_a5c62663',
      sqlite: 'DROP INDEX django_session_expire_date_a5c62663',
    },
  },
  {
    what: 'an expire_date without microseconds',
    id: 'database.W003',
    says: /datetime; run ALTER TABLE/,
    plant: { mysql: 'ALTER TABLE django_session MODIFY expire_date datetime NOT NULL' },
  },
  {
    what: 'a session_key in latin1',
    id: 'database.W004',
    says: /latin1, latin1_\w+; run ALTER TABLE .* utf8mb4/,
    plant: { mysql: 'ALTER TABLE django_session CONVERT TO CHARACTER SET latin1' },
  },
]

for (const name of testDatabases)
  for (const { what, id, says, plant } of faults) {
    const statement = plant[kindOf(name)]
    if (statement === undefined) continue
    test(`on ${name}, ${what} is named first, and its hint mends it`, async (t) => {
      await takeTurn(t)
      t.timeout(110_000)
      const { url } = await createTestDatabase(t, name, { tables: 'library' })
      await runScript(url, statement)
      const found = firstProblem(await examined(siteEnvironment(url)))
      t.regex(found, says)
      t.true(found.startsWith(`${id}: `), found)
      const [, mend = ''] = /; run (ALTER TABLE .*?|CREATE INDEX .*?)(?:, after .*)?$/.exec(found) ?? []
      await runScript(url, mend)
      t.deepEqual(problemsIn(await examined(siteEnvironment(url))), [])
    })
  }

test('on sqlite, a table without a primary key is named first', async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  await runScript(
    url,
    `ALTER TABLE django_session RENAME TO old;
    CREATE TABLE django_session (session_key varchar(40) NOT NULL, session_data text NOT NULL, expire_date datetime NOT NULL);
    ${SQLITE_COPY}
    CREATE INDEX expiry ON django_session (expire_date);`,
  )
  t.regex(firstProblem(await examined(siteEnvironment(url))), /^database\.E006: /)
})

for (const name of testDatabases) {
  test(`on ${name}, a missing column, and one that needs a value, are named first`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url } = await createTestDatabase(t, name, { tables: 'library' })
    const drops = kindOf(name) === 'sqlite' ? 'DROP INDEX django_session_expire_date_a5c62663;' : ''
    await runScript(url, `${drops} ALTER TABLE django_session DROP COLUMN expire_date`)
    t.regex(
      firstProblem(await examined(siteEnvironment(url))),
      /^database\.E003: the table django_session has no column expire_date; run `manage\.py migrate`/,
    )
    // SQLite adds no NOT NULL column to a table without a default.
    const other = await createTestDatabase(t, name, { tables: 'library' })
    await runScript(
      other.url,
      kindOf(name) === 'sqlite'
        ? `ALTER TABLE django_session RENAME TO old;
          CREATE TABLE django_session (session_key varchar(40) NOT NULL PRIMARY KEY, session_data text NOT NULL,
            expire_date datetime NOT NULL, tenant integer NOT NULL);
          DROP TABLE old; CREATE INDEX expiry ON django_session (expire_date);`
        : 'ALTER TABLE django_session ADD COLUMN tenant integer NOT NULL',
    )
    t.regex(
      firstProblem(await examined(siteEnvironment(other.url))),
      /^database\.E003: the table django_session has the NOT NULL column tenant without a default; give tenant a default/,
    )
    if (kindOf(name) === 'sqlite') return // Its ALTER TABLE sets no default.
    await runScript(other.url, 'ALTER TABLE django_session ALTER COLUMN tenant SET DEFAULT 1')
    t.deepEqual(problemsIn(await examined(siteEnvironment(other.url))), [])
  })
}

/** Tables of packages and of a site's own, with further columns. */
const otherTables = (
  [
    ['qsessions', { SESSION_ENGINE: 'qsessions.backends.db' }, '5.2'],
    ['user_sessions', { SESSION_ENGINE: 'user_sessions.backends.db' }, '4.2'],
    ['account_sessions', { SESSION_DB_TABLE: 'library_session' }, '6.1'],
  ] as const
).filter(([, , version]) => djangoVersions.includes(version))

for (const name of testDatabases)
  for (const [app, settings, version] of otherTables)
    test(`on ${name}, the table of ${app} has no problem`, async (t) => {
      await takeTurn(t)
      t.timeout(110_000)
      const { url } = await createTestDatabase(t, name, { tables: 'library' })
      await djangoShell(version, {
        env: { SECRET_KEY: secretKey, DATABASE_URL: url, EXTRA_APPS: JSON.stringify([app]) },
        script:
          'from django.core.management import call_command; call_command("migrate", run_syncdb=True, verbosity=0)',
      })
      t.deepEqual(
        problemsIn(await examined(siteEnvironment(url, { DJANGO_VERSION: version, ...settings }))),
        [],
      )
    })

// What the warnings say of Django is measured.
const server = testDatabases.find((one) => one === 'mariadb' || one === 'mysql')
for (const version of server === undefined ? [] : djangoVersions) {
  test(`Django ${version} fails as W004 and E004 say: by a cookie that latin1 lacks, and by a session that is cut`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url } = await createTestDatabase(t, server ?? 'mysql', { tables: 'library' })
    await runScript(
      url,
      'ALTER TABLE django_session CONVERT TO CHARACTER SET latin1; ALTER TABLE django_session MODIFY session_data text NOT NULL',
    )
    const said = await djangoShell(version, {
      env: { SECRET_KEY: secretKey, DATABASE_URL: url },
      script: `
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
try:
    SessionStore('Жжжжжжжж').load()
    print('loaded')
except Exception as error:
    print(type(error).__name__)
connection.close()
with connection.cursor() as cursor:
    cursor.execute("SET SESSION sql_mode = ''")
import random
one = SessionStore()
one['text'] = ''.join(random.choice('0123456789abcdefghijklmnopqrstuvwxyz') for _ in range(200000))
one.save()
try:
    print(len(SessionStore(one.session_key).load()))
except Exception as error:
    print(type(error).__name__)
`,
    })
    const [cookie, cut] = said.trim().split('\n')
    t.regex(String(cookie), /OperationalError/)
    t.regex(String(cut), /^(?:0|\w*Error)$/, 'nothing of it is read')
    t.is((await runSql(url, 'SELECT session_key FROM django_session')).length, 1)
  })
}
