import test, { type ExecutionContext } from 'ava'
import { takeTurn } from '../../interop/sites.ts'
import { createVisitor } from '../../interop/visitor.ts'
import {
  createTestDatabase,
  runScript,
  runSql,
  type TestDatabaseName,
  testDatabases,
} from '../../support/databases.ts'
import { djangoVersions, startDjango } from '../../support/django.ts'
import { examined, firstProblem, problemsIn, secretKey, siteEnvironment } from './examined.ts'

/** Each Django on another database. */
const meetings = (
  [
    ['2.2', 'mariadb'],
    ['4.2', 'sqlite'],
    ['5.2', 'mysql'],
    ['6.1', 'postgresql'],
  ] as const
).filter(([version, database]) => djangoVersions.includes(version) && testDatabases.includes(database))

interface Site {
  readonly databaseUrl: string
  /** What the doctor finds, with further settings. */
  examine(more?: Readonly<Record<string, string>>): ReturnType<typeof examined>
  /** Makes users at Django; each logs in there, without a password, and visits the page. */
  logIn(users: readonly Readonly<Record<string, unknown>>[]): Promise<void>
  /** What Django's page says of the users who logged in: their names, null for an anonymous visitor. */
  known(): Promise<(string | null)[]>
}

/** A site of real Django, which makes its own tables. */
async function startSite(
  t: ExecutionContext,
  {
    version,
    database,
    settings = {},
  }: { version: string; database: TestDatabaseName; settings?: Readonly<Record<string, string>> },
): Promise<Site> {
  await takeTurn(t)
  t.timeout(170_000)
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'none' })
  const { url } = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true })
  const visitors: ReturnType<typeof createVisitor>[] = []
  const post = async (path: string, method: string, body: unknown, from = createVisitor()) => {
    const answer = await from.fetch(`${url}${path}`, { method, body: JSON.stringify(body) })
    t.is(answer.status, 200, `${method} ${path}`)
    return answer.json() as Promise<{ username?: string } | null>
  }
  return {
    databaseUrl,
    examine: (more = {}) => examined(siteEnvironment(databaseUrl, { DJANGO_VERSION: version, ...more })),
    async logIn(users) {
      await post(
        '/_test/people',
        'POST',
        users.map(({ backend: _, ...user }) => user),
      )
      const field = settings.AUTH_USER_MODEL === 'accounts.Member' ? 'email' : 'username'
      for (const { username, backend } of users) {
        const visitor = createVisitor()
        await post('/_test/user', 'PUT', { [field]: username, backend }, visitor)
        await visitor.visit(url)
        visitors.push(visitor)
      }
    },
    known: async () =>
      Promise.all(
        visitors.map(async (visitor) => {
          const answer = await visitor.fetch(`${url}/_test/user`)
          return ((await answer.json()) as { username: string } | null)?.username ?? null
        }),
      ),
  }
}

const TWO = ['ann', 'bob'].map((username) => ({ username, password: 'correct' }))

for (const [version, database] of meetings) {
  const on = `Django ${version}, ${database}`

  test(`a site with logged-in users has no problem (${on})`, async (t) => {
    const site = await startSite(t, { version, database })
    t.deepEqual(problemsIn(await site.examine()), [], 'no user yet')
    await site.logIn(TWO)
    const findings = await site.examine()
    t.deepEqual(problemsIn(findings), [])
    const read = (id: string) => {
      const result = findings.find((one) => one.id === id)?.result
      return result?.outcome === 'ok' ? result.read : result
    }
    t.is(read('users.E003'), '2 of 2 users found in auth_user')
    t.is(read('users.E004'), '2 of 2 sessions')
    t.is(read('users.E005'), '2 sessions match')

    // One user's password was changed since: that session has ended in Django, too.
    await runSql(site.databaseUrl, "UPDATE auth_user SET password = '!changed' WHERE username = 'ann'")
    t.deepEqual(problemsIn(await site.examine()), [])
  })

  test(`the right AUTH_USER_MODEL is named, where the table is another (${on})`, async (t) => {
    const settings = { AUTH_USER_MODEL: 'accounts.Member' }
    const site = await startSite(t, { version, database, settings })
    t.regex(
      firstProblem(await site.examine()),
      /^users\.E001: the database has no table auth_user, .*: accounts_member; set AUTH_USER_MODEL=accounts\.Member\b/,
    )
    const right = {
      ...settings,
      AUTH_USERNAME_FIELD: 'email',
      AUTH_USER_ID_COLUMN: 'member_id',
      AUTH_USER_ACTIVE_COLUMN: 'None',
      AUTH_USER_STAFF_COLUMN: 'None',
    }
    t.regex(
      firstProblem(await site.examine(settings)),
      /^users\.E002: .* no column member_id|no column id\b.* set AUTH_USER_ID_COLUMN.*AUTH_USER_ACTIVE_COLUMN/,
    )
    const { AUTH_USER_STAFF_COLUMN: _, ...withoutStaff } = right
    t.regex(
      firstProblem(await site.examine({ ...withoutStaff, AUTH_USER_ID_TYPE: 'uuid' })),
      /^users\.W001: .*is_staff.*; set AUTH_USER_STAFF_COLUMN/,
    )
    await site.logIn([{ username: 'a@b.example', password: 'correct' }])
    t.regex(
      firstProblem(await site.examine(right)),
      /^users\.E003: no user id in 1 sessions is of the type integer; set AUTH_USER_ID_TYPE=uuid\b/,
    )
    t.deepEqual(problemsIn(await site.examine({ ...right, AUTH_USER_ID_TYPE: 'uuid' })), [])
  })

  test(`a user table that was left behind is told from the right one by its ids and hashes (${on})`, async (t) => {
    const plain = await startSite(t, { version, database })
    await plain.logIn([...TWO, { username: 'eve', password: 'correct' }])
    const { databaseUrl } = plain
    // The table of the model before, with the ids of other people.
    await runScript(
      databaseUrl,
      `CREATE TABLE old_user AS SELECT * FROM auth_user;
      UPDATE old_user SET password = 'another';`,
    )
    t.deepEqual(problemsIn(await plain.examine()), [])
    t.regex(
      firstProblem(await plain.examine({ AUTH_USER_TABLE: 'old_user' })),
      /^users\.E005: no session of 3 users matches; set AUTH_USER_MODEL=auth\.User\b/,
    )
    await runScript(databaseUrl, 'UPDATE old_user SET id = id + 1000')
    t.regex(
      firstProblem(await plain.examine({ AUTH_USER_TABLE: 'old_user' })),
      /^users\.E003: 0 of 3 users found in old_user, but in auth_user; set AUTH_USER_MODEL=auth\.User\b/,
    )
  })

  test(`a session hash of the model's own is named (${on})`, async (t) => {
    const settings = { AUTH_USER_MODEL: 'accounts.Stamped' }
    const site = await startSite(t, { version, database, settings })
    await site.logIn(TWO.slice(0, 1))
    t.regex(
      firstProblem(await site.examine(settings)),
      /^users\.W003: no session of the one user matches; set AUTH_SESSION_HASH=custom if .* just changed/,
    )
    await site.logIn([{ username: 'eve', password: 'correct' }])
    t.regex(
      firstProblem(await site.examine(settings)),
      /^users\.E005: no session of 2 users matches; set AUTH_SESSION_HASH=custom if /,
    )
    t.deepEqual(problemsIn(await site.examine({ ...settings, AUTH_SESSION_HASH: 'custom' })), [])
    t.deepEqual(await site.known(), ['ann', 'eve'])
  })

  // Since Django 6.0 (measured with 6.1) its own login requires a hash of every model.
  if (version !== '6.1')
    test(`a model without a session hash is named (${on})`, async (t) => {
      const settings = { AUTH_USER_MODEL: 'accounts.Bare' }
      const site = await startSite(t, { version, database, settings })
      await site.logIn(TWO)
      const given = {
        ...settings,
        AUTH_USER_STAFF_COLUMN: 'None',
        AUTH_USER_SUPERUSER_COLUMN: 'None',
        AUTH_USER_LAST_LOGIN_COLUMN: 'None',
      }
      t.regex(
        firstProblem(await site.examine(given)),
        /^users\.E005: no session of 2 users matches; set AUTH_SESSION_HASH=none: /,
      )
      t.deepEqual(problemsIn(await site.examine({ ...given, AUTH_SESSION_HASH: 'none' })), [])
    })

  test(`a wrong password column, and a rule that is not Django's, are named (${on})`, async (t) => {
    const site = await startSite(t, { version, database })
    await site.logIn(TWO)
    t.regex(
      firstProblem(await site.examine({ AUTH_USER_PASSWORD_COLUMN: 'email' })),
      /^users\.E005: no session of 2 users matches; set AUTH_USER_PASSWORD_COLUMN=password\b/,
    )
    for (const AUTH_SESSION_HASH of ['none', 'custom'])
      t.regex(
        firstProblem(await site.examine({ AUTH_SESSION_HASH })),
        /^users\.E005: AUTH_SESSION_HASH is \w+, but the hashes of 2 sessions are Django's own; remove AUTH_SESSION_HASH\b/,
      )
  })

  test(`a backend that only Django has is named (${on})`, async (t) => {
    const MODEL = 'django.contrib.auth.backends.ModelBackend'
    const REMOTE = 'django.contrib.auth.backends.RemoteUserBackend'
    const backends = JSON.stringify([MODEL, REMOTE])
    const site = await startSite(t, { version, database, settings: { AUTHENTICATION_BACKENDS: backends } })
    await site.logIn(TWO)
    const given = { AUTHENTICATION_BACKENDS: REMOTE }
    t.regex(
      firstProblem(await site.examine(given)),
      /^users\.E004: all 2 sessions name django\.contrib\.auth\.backends\.ModelBackend; set AUTHENTICATION_BACKENDS .*RemoteUserBackend,django.*ModelBackend$/,
    )
    await site.logIn([{ username: 'eve', password: 'correct', backend: REMOTE }])
    t.regex(
      firstProblem(await site.examine()),
      /^users\.W002: 1 of 3 sessions name django\.contrib\.auth\.backends\.RemoteUserBackend; set AUTHENTICATION_BACKENDS /,
    )
    t.deepEqual(problemsIn(await site.examine({ AUTHENTICATION_BACKENDS: `${MODEL},${REMOTE}` })), [])
  })

  test(`passwords that cannot be checked here are named by their algorithm (${on})`, async (t) => {
    const own = ['PBKDF2PasswordHasher', 'MD5PasswordHasher'].map(
      (one) => `django.contrib.auth.hashers.${one}`,
    )
    const settings = { PASSWORD_HASHERS: JSON.stringify(own) }
    const site = await startSite(t, { version, database, settings })
    await site.logIn([...TWO, { username: 'eve', password: 'correct', hasher: 'md5', cost: 'usual' }])
    t.regex(
      firstProblem(await site.examine()),
      /^users\.W004: the passwords of 1 of 3 users cannot be checked: md5 \(unknown algorithm\); set SERVE_LOGIN=False /,
    )
    t.deepEqual(problemsIn(await site.examine({ SERVE_LOGIN: 'False' })), [])
    await runSql(site.databaseUrl, "DELETE FROM auth_user WHERE username = 'eve'")
    t.regex(
      firstProblem(
        await site.examine({ PASSWORD_HASHERS: 'django.contrib.auth.hashers.ScryptPasswordHasher' }),
      ),
      /^users\.W004: .* pbkdf2_sha256 \(not in PASSWORD_HASHERS\); set PASSWORD_HASHERS as in settings\.py/,
    )
  })
}
