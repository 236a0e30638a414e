import { DatabaseSync } from 'node:sqlite'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import knex from 'knex'
import type { Auth, GetUserOptions } from '../../src/auth/auth.ts'
import type { UnverifiedUser } from '../../src/auth/unverified.ts'
import type { UserIdType, UserModelOptions } from '../../src/auth/user-model.ts'
import { createAuthHashes } from '../../src/django/auth-hash.ts'
import { stringifyValue } from '../../src/django/json.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createSessions } from '../../src/session/handle.ts'
import type { Session } from '../../src/session/session.ts'
import { type DbUnderTest, openDb, secretKey } from '../engines/db-under-test.ts'
import { runSql, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { waitForTableLockWait } from '../support/lock-waits.ts'
import { addUser, authOf, hashed, MODEL_BACKEND } from './users.ts'

const RULES = {
  useTz: true,
  timeZone: 'UTC',
  cookieAge: 60,
  expireAtBrowserClose: false,
  storesIsoExpiry: true,
}
const ALLOW_ALL = 'django.contrib.auth.backends.AllowAllUsersModelBackend'
/** The version with the cheapest password hashes; authenticating a user who does not exist costs as much. */
const CHEAPEST = '2.2'
const REMOTE = 'django.contrib.auth.backends.RemoteUserBackend'

/** A new session with these values. */
async function sessionWith(db: DbUnderTest, values: Record<string, unknown> = {}): Promise<Session> {
  const sessions = createSessions({ engine: db.engine, rules: RULES })
  const session = await sessions.open(undefined).load()
  for (const [name, value] of Object.entries(values)) session.set(name, value)
  return session
}

function hashOf(db: DbUnderTest, password: string): string {
  const profile = versionProfile(db.djangoVersion)
  return createAuthHashes({ secretKeys: [secretKey], profile }).create(password)
}

async function openSite(t: ExecutionContext, djangoVersion = '5.2', name: TestDatabaseName = 'sqlite') {
  const db = await openDb(t, name, { tables: 'library', djangoVersion })
  const password = hashed('secret')
  const add = (username: string, more: object = {}) => addUser(db, { username, password, ...more })
  const sessionOf = (id: number, backend = MODEL_BACKEND) =>
    sessionWith(db, {
      _auth_user_id: String(id),
      _auth_user_backend: backend,
      _auth_user_hash: hashOf(db, password),
    })
  return { db, password, add, sessionOf }
}

for (const name of testDatabases) {
  test.serial(
    `usernames are bound as values, and the collation decides whether case matters, on ${name}`,
    async (t) => {
      const db = await openDb(t, name, { tables: 'library', djangoVersion: CHEAPEST })
      const auth = authOf(db)
      const names = ["o'hara", 'back\\slash', 'a" OR 1=1 -- ', '홍길동', '😀', 'ﬁne']
      for (const username of names.slice(0, 5))
        await addUser(db, { username: username.trim(), password: hashed('secret') })
      await addUser(db, { username: 'fine', password: hashed('secret') })
      const find = async (username: string) =>
        (await auth.authenticate({ username, password: 'secret' }))?.getUsername() ?? null
      for (const username of names) t.is(await find(username), username.trim().normalize('NFKC'), username)
      for (const username of [
        "' OR 1=1 -- ",
        "\\' OR 1=1 -- ",
        "o'hara' OR '1'='1",
        'nobody',
        '',
        'fine\0',
        'x'.repeat(1_000_000),
      ])
        t.is(await find(username), null)
      // Django's own query depends on the collation in the same way.
      t.is(await find('FINE'), db.database.kind === 'mysql' ? 'fine' : null)
      t.is(await auth.authenticate({ username: 'fine', password: 'Secret' }), null)
    },
  )

  test.serial(
    `a session with an impossible user id is anonymous, and not an error, on ${name}`,
    async (t) => {
      const db = await openDb(t, name, { tables: 'library', djangoVersion: CHEAPEST })
      const id = await addUser(db, { username: 'ann', password: 'x' })
      const about = { _auth_user_backend: MODEL_BACKEND, _auth_user_hash: hashOf(db, 'x') }
      const who = async (auth: Auth, value: unknown) => {
        const session = await sessionWith(db, { ...about, _auth_user_id: value })
        const { user } = await auth.identify(session)
        return user.id
      }
      const integers = authOf(db)
      t.is(await who(integers, String(id)), String(id))
      t.is(await who(integers, id), String(id))
      for (const value of HOSTILE_IDS) t.is(await who(integers, value), null, String(value))

      const texts = authOf(db, { userModel: { idColumn: 'username', idType: 'text' } })
      t.is(await who(texts, 'ann'), 'ann')
      for (const value of HOSTILE_IDS) t.is(await who(texts, value), null, String(value))
    },
  )

  test.serial(`a user is found by the primary key, also an inactive one, on ${name}`, async (t) => {
    const db = await openDb(t, name, { tables: 'library', djangoVersion: CHEAPEST })
    const auth = authOf(db, { backends: [ALLOW_ALL, MODEL_BACKEND] })
    const id = await addUser(db, { username: 'ann', is_active: false })
    for (const given of [id, String(id), BigInt(id)]) {
      const user = await auth.findUser(given)
      t.is(user?.getUsername(), 'ann')
      t.false(user?.isActive)
      t.is(user?.backend, ALLOW_ALL)
    }
    t.is(await auth.findUser(id + 1), null)
    for (const value of HOSTILE_IDS) t.is(await auth.findUser(value as never), null, String(value))
    const byName = authOf(db, { userModel: { idColumn: 'username', idType: 'text' } })
    t.is((await byName.findUser('ann'))?.id, 'ann')
  })

  test.serial(
    `a user has every column except the password, and booleans are booleans, on ${name}`,
    async (t) => {
      const db = await openDb(t, name, { tables: 'library', djangoVersion: CHEAPEST })
      const auth = authOf(db)
      const password = hashed('secret')
      await addUser(db, {
        username: 'ann',
        password,
        is_staff: true,
        first_name: 'Ann',
        last_name: ' Lee ',
      })
      const user = await auth.authenticate({ username: 'ann', password: 'secret' })
      t.like(user, { isAuthenticated: true, isActive: true, isStaff: true, isSuperuser: false })
      t.is(user?.getFullName(), 'Ann  Lee')
      t.is(user?.columns.email, 'ann@example.com')
      t.is(typeof user?.pk, 'number')
      for (const shown of [inspect(user, { depth: null, showHidden: true }), JSON.stringify(user)])
        t.false(shown.includes(password.slice(-20)))
      t.is(user?.columns.password, undefined)
    },
  )
}

/** The account that `authenticate` reports for each spelling, and the number of statements that this took. */
async function accountsOf(
  db: DbUnderTest,
  usernames: readonly string[],
): Promise<{ accounts: string[]; statements: number }> {
  const accounts: string[] = []
  let statements = 0
  const count = () => {
    statements += 1
  }
  db.db.on('query', count)
  const ended = new Error('stopped before the password check')
  for (const username of usernames) {
    const onAccount = (account: string) => {
      accounts.push(account)
      throw ended
    }
    await authOf(db)
      .authenticate({ username, password: 'x' }, { onAccount })
      .catch((error: unknown) => {
        if (error !== ended) throw error
      })
  }
  db.db.off('query', count)
  return { accounts, statements }
}

/** Spellings of a name: `same` on every database, and `insensitive` on those that ignore case and accents. */
const spellingsOf = (name: string) => ({
  same: [
    ...[name, ` ${name} `, `${' '.repeat(300)}${name}`, `\x1c\x1d\x1e\x1f${name}`, `${name}\x85\xa0`],
    ...[`\u2028\t${name}`, name.replace('fi', 'ﬁ'), name.replace('r', 'ｒ')],
  ],
  insensitive: [
    name.toUpperCase(),
    name.replace('e', 'é'),
    name.replace('a', 'Ä'),
    name.replace('e', 'e\u0301'),
  ],
})

for (const name of testDatabases) {
  test.serial(
    `all spellings that the database treats as one name are one account, existing or not, on ${name}`,
    async (t) => {
      const db = await openDb(t, name, { tables: 'library' })
      await addUser(db, { username: 'filareader' })
      const ofUser = spellingsOf('filareader')
      const ofNoUser = spellingsOf('finareader')
      for (const { same, insensitive } of [ofUser, ofNoUser]) {
        const [plain = ''] = same
        const one = await accountsOf(db, same)
        t.deepEqual([...new Set(one.accounts)], one.accounts.slice(0, 1), plain)
        t.is(one.statements, same.length)
        const others = await accountsOf(db, insensitive)
        t.is(others.statements, insensitive.length)
        // One account per name, if the database distinguishes them (NFKC makes the third and the last equal).
        const expected = db.database.kind === 'mysql' ? [one.accounts[0]] : others.accounts
        t.deepEqual([...new Set(others.accounts)], [...new Set(expected)], plain)
        t.is(others.accounts.includes(one.accounts[0] ?? ''), db.database.kind === 'mysql', plain)
      }
      const { accounts } = await accountsOf(db, ['filareader', 'finareader', 'x\0', 'x', 'x'.repeat(600)])
      t.is(new Set(accounts).size, accounts.length)
    },
  )
}

for (const name of testDatabases.filter((one) => one === 'mariadb' || one === 'mysql'))
  for (const charset of ['utf8mb3', 'latin1', 'latin1 COLLATE latin1_general_cs', 'ascii'])
    test.serial(`names that ${charset} cannot represent belong to no user on ${name}`, async (t) => {
      const db = await openDb(t, name, { tables: 'library' })
      await db.db.raw(`ALTER TABLE auth_user MODIFY username varchar(150) CHARACTER SET ${charset} NOT NULL`)
      const id = await addUser(db, { username: 'ann' })
      const { accounts, statements } = await accountsOf(db, ['ann', '😀', 'ann😀', '홍길동', 'é', 'nobody'])
      t.is(accounts[0], `id ${id}`)
      for (const account of accounts.slice(1)) t.regex(account, /^name /)
      t.is(new Set(accounts).size, 6)
      t.is(statements, 6)
    })

test.serial(
  'two users whose names differ only in case are two accounts, if the database allows both',
  async (t) => {
    const db = await openDb(t, testDatabases.includes('postgresql') ? 'postgresql' : 'sqlite', {
      tables: 'library',
    })
    const ids = [await addUser(db, { username: 'admin' }), await addUser(db, { username: 'Admin' })]
    const { accounts } = await accountsOf(db, ['admin', 'Admin', 'ADMIN'])
    t.deepEqual(
      accounts.slice(0, 2),
      ids.map((id) => `id ${id}`),
    )
    t.is(new Set(accounts).size, 3)
  },
)

const COLLATIONS: Readonly<Record<string, readonly string[]>> = {
  'a nondeterministic collation': [
    "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
    'DROP INDEX IF EXISTS auth_user_username_6821ab7c_like',
    'ALTER TABLE auth_user ALTER COLUMN username TYPE varchar(150) COLLATE loose',
  ],
  citext: [
    'CREATE EXTENSION citext',
    'DROP INDEX IF EXISTS auth_user_username_6821ab7c_like',
    'ALTER TABLE auth_user ALTER COLUMN username TYPE citext',
  ],
}

if (testDatabases.includes('postgresql'))
  for (const [kind, statements] of Object.entries(COLLATIONS))
    test.serial(
      `names that differ only in case are one account under ${kind}, existing or not`,
      async (t) => {
        const db = await openDb(t, 'postgresql', { tables: 'library' })
        for (const statement of statements) await db.db.raw(statement)
        const id = await addUser(db, { username: 'reader' })
        const { accounts } = await accountsOf(db, [
          'reader',
          'READER',
          'nobody',
          'Nobody',
          'NOBODY',
          'somebody',
        ])
        const [, , nobody, , , somebody] = accounts
        t.deepEqual(accounts, [`id ${id}`, `id ${id}`, nobody, nobody, nobody, somebody])
        t.not(nobody, somebody)
      },
    )

const HOSTILE_IDS = [
  ...['1.0', 'abc', '', ' ', '1 OR 1=1', "1' OR '1'='1", '\0', '1\0', '9'.repeat(19), '9'.repeat(400)],
  ...['-1', '0', '99999999999', 1.5, 1e30, -1, null, true, [], {}, [1], 2n ** 63n],
]

const UUID = '12345678-9abc-def0-1234-56789abcdef0'

test('UUIDs are accepted in every form that Python accepts', async (t) => {
  const { userId } = await import('../../src/auth/user-id.ts')
  const read = (value: unknown, type: UserIdType = 'uuid') => userId(value, type)
  for (const text of [UUID, UUID.toUpperCase(), UUID.replaceAll('-', ''), `{${UUID}}`, `urn:uuid:${UUID}`])
    t.is(read(text), UUID)
  for (const text of ['', UUID.slice(1), `${UUID}0`, UUID.replace('1', 'g'), 1, null]) t.is(read(text), null)
  t.is(read('007', 'integer'), '7')
  t.is(read('-0', 'integer'), '0')
})

test('ModelBackend rejects an inactive user, AllowAllUsersModelBackend accepts it without permissions', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const id = await add('eve', { is_active: false, is_superuser: true })
  const auth = authOf(db, { backends: [MODEL_BACKEND, ALLOW_ALL] })
  t.false((await auth.getUser(await sessionOf(id))).isAuthenticated)
  const user = await auth.getUser(await sessionOf(id, ALLOW_ALL))
  t.true(user.isAuthenticated)
  t.false(await user.hasPerm('catalog.can_mark_returned'))
  t.false(await user.hasModulePerms('catalog'))
  t.deepEqual([...(await user.getAllPermissions())], [])

  // Both backends accept the password; only the second accepts an inactive user.
  t.is((await auth.authenticate({ username: 'eve', password: 'secret' }))?.backend, ALLOW_ALL)
  t.is(await authOf(db).authenticate({ username: 'eve', password: 'secret' }), null)
})

test('only backends of Django accept passwords here; sessions of any other listed backend are accepted', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const id = await add('ann')
  const own = authOf(db, { backends: ['accounts.backends.EmailBackend', REMOTE] })
  await t.throwsAsync(own.authenticate({ username: 'ann', password: 'secret' }), {
    code: 'ERR_NO_PASSWORD_BACKEND',
  })
  for (const backend of ['accounts.backends.EmailBackend', REMOTE])
    t.is((await own.getUser(await sessionOf(id, backend))).backend, backend)
  t.is((await own.getUser(await sessionOf(id))).backend, null)

  const session = await sessionWith(db)
  const user = await own.getUser(await sessionOf(id, REMOTE))
  if (!user.isAuthenticated) return t.fail()
  await own.login(session, user)
  t.is(session.get('_auth_user_backend'), REMOTE)
  await own.login(session, user, { backend: 'accounts.backends.EmailBackend' })
  t.is(session.get('_auth_user_backend'), 'accounts.backends.EmailBackend')
})

test('a login changes the session first, then the CSRF token, then last_login', async (t) => {
  const { db, add } = await openSite(t)
  await add('ann')
  const auth = authOf(db)
  const user = await auth.authenticate({ username: 'ann', password: 'secret' })
  if (user === null) return t.fail()
  const lastLogin = async () => (await db.db('auth_user').first('last_login')).last_login
  const session = await sessionWith(db, { cart: [1] })
  await auth.login(session, user, {
    async rotateToken() {
      t.is(session.get('_auth_user_id'), user.id)
      t.is(await lastLogin(), null)
    },
  })
  t.is(await lastLogin(), db.dates.toColumn(db.clock.now))
  t.deepEqual(session.get('cart'), [1])
})

test('on SQLite, last_login waits for the writer of another program', async (t) => {
  const { db, add } = await openSite(t)
  await add('ann')
  const auth = authOf(db)
  const user = await auth.authenticate({ username: 'ann', password: 'secret' })
  if (user === null) return t.fail()
  const session = await sessionWith(db, { cart: [1] })
  await db.db.raw('PRAGMA busy_timeout = 0')
  const other = new DatabaseSync(decodeURIComponent(db.database.url.slice('sqlite:///'.length)))
  t.teardown(() => other.close())
  let refused = 0
  db.db.on('query-error', () => {
    refused += 1
    if (refused === 2) other.exec('ROLLBACK')
  })
  await auth.login(session, user, { rotateToken: async () => other.exec('BEGIN IMMEDIATE') })
  t.is(refused, 2)
  t.is((await db.db('auth_user').first('last_login')).last_login, db.dates.toColumn(db.clock.now))
})

for (const name of testDatabases.filter((one) => one !== 'sqlite')) {
  test(`a user is looked up again when the connection is lost, on ${name}`, async (t) => {
    const db = await openDb(t, name, { tables: 'library' })
    const id = await addUser(db, { username: 'ann' })
    const blocker = await db.db.client.acquireConnection()
    t.teardown(() => db.db.client.releaseConnection(blocker))
    const isPostgresql = name === 'postgresql'
    const lock = isPostgresql
      ? 'begin; lock table auth_user in access exclusive mode'
      : 'lock tables auth_user write'
    await db.db.raw(lock).connection(blocker)
    const lookup = authOf(db).findUser(String(id))
    const victim = await waitForTableLockWait(db.database.url)
    await runSql(db.database.url, isPostgresql ? `select pg_terminate_backend(${victim})` : `kill ${victim}`)
    await db.db.raw(isPostgresql ? 'rollback' : 'unlock tables').connection(blocker)
    t.is((await lookup)?.getUsername(), 'ann')
  })
}

test('logging out keeps the language in Django 2.2, and nothing in later versions', async (t) => {
  for (const [version, kept] of [
    ['2.2', ['_language']],
    ['3.2', []],
  ] as const) {
    const { db } = await openSite(t, version)
    const session = await sessionWith(db, { _language: 'ko', cart: [1] })
    await authOf(db).logout(session)
    t.deepEqual(session.keys(), kept)
  }
})

test('permissions are queried once, and never for a superuser', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const [ann, bob] = [await add('ann'), await add('bob', { is_superuser: true })]
  const auth = authOf(db)
  const queries: string[] = []
  db.db.on('query', ({ sql }) => void queries.push(sql))
  const user = await auth.getUser(await sessionOf(ann))
  t.is(queries.length, 1)
  t.false(await user.hasPerm('catalog.can_mark_returned'))
  t.false(await user.hasPerms(['catalog.can_mark_returned', 'catalog.add_book']))
  t.true(await user.hasPerms([]))
  t.false(await user.hasModulePerms('catalog'))
  t.is(queries.length, 2)
  const superuser = await auth.getUser(await sessionOf(bob))
  t.true(await superuser.hasPerm('nowhere.nothing'))
  t.true(await superuser.hasPerms(['nowhere.nothing']))
  t.is(queries.length, 3)
})

for (const name of testDatabases) {
  test.serial(`visitors of one turn share the look-ups of users and permissions on ${name}`, async (t) => {
    const db = await openDb(t, name, { tables: 'library' })
    const password = hashed('secret')
    const ids: number[] = []
    for (const username of ['ann', 'bob', 'eve']) ids.push(await addUser(db, { username, password }))
    const [ann, bob] = ids
    const permission = await db.db('auth_permission').where('codename', 'can_mark_returned').first('id')
    await db.db('auth_user_user_permissions').insert({ user_id: ann, permission_id: permission.id })
    const group = { id: 1, name: 'Readers' }
    await db.db('auth_group').insert(group)
    const view = await db.db('auth_permission').where('codename', 'view_book').first('id')
    await db.db('auth_group_permissions').insert({ group_id: group.id, permission_id: view.id })
    for (const user_id of [ann, bob]) await db.db('auth_user_groups').insert({ user_id, group_id: group.id })
    const nobody = 1 + Math.max(...ids)
    const sessions = await Promise.all(
      [...ids, ann, nobody].map((id) =>
        sessionWith(db, {
          _auth_user_id: String(id),
          _auth_user_backend: MODEL_BACKEND,
          _auth_user_hash: hashOf(db, password),
        }),
      ),
    )
    const auth = authOf(db)
    const queries: string[] = []
    db.db.on('query', ({ sql }) => void queries.push(sql))

    const users = await Promise.all(sessions.map((session) => auth.getUser(session)))
    t.deepEqual(
      users.map((user) => (user.isAuthenticated ? user.getUsername() : null)),
      ['ann', 'bob', 'eve', 'ann', null],
    )
    t.is(queries.length, 1)
    t.not(users[0], users[3], 'each request has a user of its own')

    const permissions = await Promise.all(users.map((user) => user.getAllPermissions()))
    t.deepEqual(
      permissions.map((names) => [...names].sort()),
      [
        ['catalog.can_mark_returned', 'catalog.view_book'],
        ['catalog.view_book'],
        [],
        ['catalog.can_mark_returned', 'catalog.view_book'],
        [],
      ],
    )
    t.is(queries.length, 2)
  })
}

for (const name of testDatabases) {
  test.serial(`permissions that are prefetched take no statement of their own on ${name}`, async (t) => {
    const { auth, getUser, grant, ids, queries } = await openPermissionSite(t, name)
    const long = Array.from({ length: 60 }, (_, at) => `can_do_something_with_a_long_name_${at}`)
    for (const codename of long) await grant(ids.ann, codename)
    for (const codename of ['can_lend', 'Can_lend', 'prêter "à côté", 貸す']) await grant(ids.ann, codename)
    await grant(ids.eve, 'two\nlines')
    await grant(ids.root, 'of_root')
    const prefetched = async (id: number) => {
      queries.length = 0
      const user = await getUser(id, { prefetchPermissions: true })
      const permissions = [...(await user.getAllPermissions())].sort()
      const statements = queries.length
      const apart = await (await auth.findUser(id))?.getAllPermissions()
      t.deepEqual(permissions, [...(apart ?? [])].sort())
      return { permissions, statements }
    }

    const ann = await prefetched(ids.ann)
    t.is(ann.statements, 1)
    t.deepEqual(
      ann.permissions.filter((permission) => !permission.includes('something')),
      ['library.Can_lend', 'library.can_lend', 'library.of_group', 'library.prêter "à côté", 貸す'],
    )
    t.is(ann.permissions.length, long.length + 4)
    t.deepEqual(await prefetched(ids.bob), { permissions: [], statements: 1 })
    t.deepEqual(await prefetched(ids.eve), { permissions: ['library.two\nlines'], statements: 2 })

    queries.length = 0
    const [root, nobody, all] = await Promise.all([
      getUser(ids.root, { prefetchPermissions: true }),
      getUser(9999, { prefetchPermissions: true }),
      getUser(ids.ann, { prefetchPermissions: true }).then((user) => user.getAllPermissions()),
    ])
    t.is(queries.length, 2, 'those who come together share the statements')
    t.true(await root.hasPerm('nowhere.nothing'))
    t.false(nobody.isAuthenticated)
    t.is(all.size, ann.permissions.length)
  })

  test.serial(`without the tables of permissions, a user is still found on ${name}`, async (t) => {
    const { db, getUser, ids, queries } = await openPermissionSite(t, name)
    await db.db.schema.dropTable('auth_user_user_permissions')
    // The first time, the permissions are tried, and the user table is checked.
    for (const statements of [3, 1]) {
      queries.length = 0
      const user = await getUser(ids.ann, { prefetchPermissions: true })
      t.is(user.getUsername(), 'ann')
      t.is(queries.length, statements)
      await t.throwsAsync(user.hasPerm('library.can_lend'))
    }
  })
}

for (const name of testDatabases.filter((one) => one === 'mariadb' || one === 'mysql'))
  test.serial(`names that ${name} has cut are read again`, async (t) => {
    const { db, sessionOf, grant, ids } = await openPermissionSite(t, name)
    for (const codename of ['can_lend', 'can_return']) await grant(ids.ann, codename)
    const session = await sessionOf(ids.ann)
    const lone = knex({ client: 'mysql2', connection: db.database.url, pool: { min: 1, max: 1 } })
    t.teardown(() => lone.destroy())
    const queries: string[] = []
    lone.on('query', ({ sql }) => void queries.push(sql))
    const auth = authOf({ ...db, db: lone })
    // The names take 36 bytes with their line feeds. On MySQL, the hint in the statement counts more.
    for (const length of [4, 16, 17, 25, 35, 36]) {
      const isCut = name === 'mariadb' && length < 36
      await lone.raw(`SET SESSION group_concat_max_len = ${length}`)
      queries.length = 0
      const user = await auth.getUser(session, { prefetchPermissions: true })
      t.deepEqual([...(await user.getAllPermissions())].sort(), [
        'library.can_lend',
        'library.can_return',
        'library.of_group',
      ])
      t.is(queries.length, isCut ? 2 : 1, `${length}`)
    }
  })

/** Users `ann` (of a group that has a permission), `bob`, `eve` and the superuser `root`. */
async function openPermissionSite(t: ExecutionContext, name: TestDatabaseName) {
  const { db, add, sessionOf } = await openSite(t, '5.2', name)
  const ids = {
    ann: await add('ann'),
    bob: await add('bob'),
    eve: await add('eve'),
    root: await add('root', { is_superuser: true }),
  }
  async function addPermission(codename: string): Promise<number> {
    // A content type for each, since a collation may take two names for the same.
    const values = { app_label: 'library', model: codename.replaceAll('C', 'big') }
    await db.db('django_content_type').insert(values)
    const type = await db.db('django_content_type').where(values).first('id')
    await db.db('auth_permission').insert({ name: '-', content_type_id: type.id, codename })
    return (await db.db('auth_permission').where('content_type_id', type.id).first('id')).id
  }
  const grant = async (user_id: number, codename: string) =>
    db.db('auth_user_user_permissions').insert({ user_id, permission_id: await addPermission(codename) })
  await db.db('auth_group').insert({ id: 1, name: 'Readers' })
  await db
    .db('auth_group_permissions')
    .insert({ group_id: 1, permission_id: await addPermission('of_group') })
  await db.db('auth_user_groups').insert({ user_id: ids.ann, group_id: 1 })
  const auth = authOf(db)
  const queries: string[] = []
  db.db.on('query', ({ sql }) => void queries.push(sql))
  const getUser = async (id: number, options?: GetUserOptions) => auth.getUser(await sessionOf(id), options)
  return { db, auth, ids, grant, sessionOf, getUser, queries }
}

test('a password in an unsupported format is reported with the user id, without the hash', async (t) => {
  const { db, add } = await openSite(t)
  const id = await add('ann', { password: 'md5$salt$0123456789abcdef0123456789abcdef' })
  const refused: unknown[] = []
  const auth = authOf(db, { onPasswordRefused: (...one) => void refused.push(one) })
  t.is(await auth.authenticate({ username: 'ann', password: 'secret' }), null)
  t.deepEqual(refused, [[String(id), { reason: 'unknown algorithm', algorithm: 'md5' }]])
})

test('identify leaves the session unchanged, whatever its hash', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const id = await add('ann')
  const session = await sessionOf(id)
  session.set('_auth_user_hash', 'wrong')
  session.modified = false
  const before = session.items().map(([name, value]) => [name, stringifyValue(value)])
  const auth = authOf(db)
  t.is((await auth.identify(session)).verdict, 'unverified')
  t.is((await auth.identify(await sessionOf(id))).verdict, 'current')
  t.is((await auth.identify(session)).verdict, 'wrong')
  t.deepEqual(
    session.items().map(([name, value]) => [name, stringifyValue(value)]),
    before,
  )
  t.false(session.modified)
})

test('of two simultaneous requests after a new SECRET_KEY, one renews the session, and both have the user', async (t) => {
  const { db, add, password } = await openSite(t)
  const id = await add('ann')
  const old = 'the secret key of yesterday'
  const profile = versionProfile(db.djangoVersion)
  const made = await sessionWith(db, {
    _auth_user_id: String(id),
    _auth_user_backend: MODEL_BACKEND,
    _auth_user_hash: createAuthHashes({ secretKeys: [old], profile }).create(password),
  })
  await made.save()
  const sessions = createSessions({ engine: db.engine, rules: RULES })
  const auth = authOf(db, { secretKeys: [secretKey, old] })
  const open = () => sessions.open(made.sessionKey ?? '').load()
  const [first, second, third] = [await open(), await open(), await open()]
  third.set('cart', [1])
  for (const session of [first, second]) t.true((await auth.getUser(session)).isAuthenticated)
  t.true(first.modified)
  await first.save()
  t.false(second.modified, 'the slower one has nothing to save, and no key to send')
  await second.settled()
  t.is(await db.count(), 1)
  // Changes that a request made before are never dropped silently.
  await t.throwsAsync(auth.getUser(third), { code: 'ERR_SESSION_INTERRUPTED' })
})

test('a session whose hash does not match stays until a hash made by the same side has matched', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const id = await add('ann')
  const problems: UnverifiedUser[] = []
  const auth = authOf(db, { onUnverified: (problem) => void problems.push(problem) })
  const anotherProcess = authOf(db)
  /** Stores the session; returns how its user was judged, and whether it stayed. */
  const visit = async (session: Session) => {
    await session.save()
    const key = session.sessionKey ?? ''
    const verdict = (await auth.identify(session)).verdict
    const user = await auth.getUser(session)
    await session.settled()
    return { verdict, isKnown: user.isAuthenticated, stays: await db.engine.exists(key) }
  }
  const outdated = async () => {
    const session = await sessionOf(id)
    session.set('_auth_user_hash', '0'.repeat(64))
    return session
  }
  const ours = async () => {
    const session = await sessionWith(db)
    const user = await anotherProcess.authenticate({ username: 'ann', password: 'secret' })
    if (user !== null) await anotherProcess.login(session, user)
    return session
  }
  const oursOutdated = async () => {
    const session = await ours()
    session.set('_auth_user_hash', '0'.repeat(64))
    return session
  }
  const unverified = { verdict: 'unverified', isKnown: false, stays: true } as const
  const flushed = { verdict: 'wrong', isKnown: false, stays: false } as const
  const known = { verdict: 'current', isKnown: true, stays: true } as const
  const steps = [
    outdated,
    oursOutdated,
    ours,
    outdated,
    oursOutdated,
    () => sessionOf(id),
    outdated,
    oursOutdated,
  ]
  const seen: unknown[] = []
  for (const make of steps) seen.push(await visit(await make()))
  t.deepEqual(seen, [unverified, unverified, known, unverified, flushed, known, flushed, flushed])
  t.deepEqual(
    problems.map(({ reason }) => reason),
    ['hash'],
    'once a minute',
  )
  t.false(JSON.stringify(problems).includes('000000'))
})

test('a login over an unproven hash keeps the session data, if the session names the same user', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const [ann, bob] = [await add('ann'), await add('bob')]
  const auth = authOf(db)
  const user = await auth.authenticate({ username: 'ann', password: 'secret' })
  if (user === null) return t.fail()
  const cartAfterLogin = async (id: number) => {
    const session = await sessionOf(id)
    session.set('_auth_user_hash', '0'.repeat(64))
    session.set('cart', [1])
    await session.save()
    const key = session.sessionKey
    await auth.login(session, user)
    t.not(session.sessionKey, key)
    t.true((await auth.identify(session)).user.isAuthenticated)
    return session.get('cart', null)
  }
  t.deepEqual(await cartAfterLogin(ann), [1])
  t.is(await cartAfterLogin(bob), null)
  t.is((await auth.identify(await sessionOf(ann))).verdict, 'current')
  t.is(await cartAfterLogin(ann), null, 'as in Django, once the rule is known to be the same')
})

test('a backend or id that does not fit the settings is reported once a minute, without session data', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const id = await add('ann')
  const problems: UnverifiedUser[] = []
  const auth = authOf(db, { onUnverified: (problem) => void problems.push(problem) })
  const odd = await sessionOf(id)
  odd.set('_auth_user_id', 'an-id-of-text')
  for (const session of [await sessionOf(id, 'own.Backend'), odd, odd, await sessionOf(id, 'own.Backend')])
    t.is((await auth.identify(session)).verdict, 'nobody')
  t.is((await auth.identify(await sessionWith(db))).verdict, 'nobody')
  t.deepEqual(
    problems.map(({ reason }) => reason),
    ['backend', 'id'],
  )
  t.notRegex(JSON.stringify(problems), /an-id-of-text|own\.Backend/)
})

test('with a custom session hash, login is refused and no statement is sent', async (t) => {
  const { db, add, sessionOf } = await openSite(t)
  const id = await add('ann')
  const user = await authOf(db).authenticate({ username: 'ann', password: 'secret' })
  if (user === null) return t.fail()
  let statements = 0
  db.db.on('query', () => {
    statements += 1
  })
  const auth = authOf(db, { sessionHash: 'custom' })
  const session = await sessionOf(id)
  t.is((await auth.identify(session)).verdict, 'unverified')
  t.is(statements, 0)
  await t.throwsAsync(auth.login(session, user), {
    code: 'ERR_UNKNOWN_SESSION_HASH',
    message: /the login page of Django/,
  })
  await t.throwsAsync(auth.updateSessionAuthHash(session, user), { code: 'ERR_UNKNOWN_SESSION_HASH' })
  await t.throwsAsync(auth.authenticate({ username: 'ann', password: 'secret' }), {
    code: 'ERR_NO_PASSWORD_BACKEND',
    message: /AUTH_SESSION_HASH is custom/,
  })
  t.is(session.get('_auth_user_id'), String(id))
})

for (const name of testDatabases) {
  test.serial(
    `a user table that does not match the options is an error at its first use on ${name}`,
    async (t) => {
      const db = await openDb(t, name, { tables: 'library' })
      const id = await addUser(db, { username: 'ann', password: hashed('secret') })
      const logIn = (userModel: UserModelOptions) =>
        authOf(db, { userModel }).authenticate({ username: 'ann', password: 'secret' })
      const session = await sessionWith(db, { _auth_user_id: String(id), _auth_user_backend: MODEL_BACKEND })
      const wrong: readonly [UserModelOptions, RegExp][] = [
        [
          { columns: { isActive: 'enabled' } },
          /no column enabled for is_active; set AUTH_USER_ACTIVE_COLUMN/,
        ],
        [{ columns: { password: 'pw' } }, /no column pw for password; set AUTH_USER_PASSWORD_COLUMN/],
        [{ columns: { isStaff: 'crew' } }, /no column crew for is_staff/],
        [{ columns: { username: 'login' } }, /no column login for USERNAME_FIELD; set AUTH_USERNAME_COLUMN/],
        [{ idColumn: 'key' }, /no column key; set AUTH_USER_ID_COLUMN/],
        [
          { table: 'people' },
          /no user table people, or this database user may not read it; set AUTH_USER_MODEL/,
        ],
      ]
      for (const [userModel, message] of wrong) {
        await t.throwsAsync(logIn(userModel), { code: 'ERR_USER_TABLE', message })
        if (userModel.columns?.username !== undefined) continue
        await t.throwsAsync(authOf(db, { userModel }).getUser(session), { code: 'ERR_USER_TABLE', message })
      }
      t.regex(
        String(await logIn({ columns: { isActive: 'enabled' } }).catch(String)),
        /the columns of the table: .*is_active/,
      )
      t.is((await logIn({}))?.isActive, true)

      const column = db.db.ref('is_active')
      await db.db.raw('ALTER TABLE auth_user DROP COLUMN ??', [column])
      await t.throwsAsync(logIn({}), { code: 'ERR_USER_TABLE', message: /None if .* every user is active/ })
      t.is((await logIn({ columns: { isActive: null } }))?.isActive, true)
    },
  )
}

test('a password in a column of another name is hidden from the user object, too', async (t) => {
  const { db, add, password } = await openSite(t)
  await add('ann')
  await db.db.raw('ALTER TABLE auth_user RENAME COLUMN password TO pw')
  const auth = authOf(db, { userModel: { columns: { password: 'pw' } } })
  const user = await auth.authenticate({ username: 'ann', password: 'secret' })
  t.is(user?.getUsername(), 'ann')
  t.is(user?.columns.pw, undefined)
  t.false(inspect(user, { depth: null, showHidden: true }).includes(password.slice(-20)))
})

test('an AUTH_USER_MODEL that is not app_label.ModelName is an error', async (t) => {
  const { db } = await openSite(t)
  for (const model of ['User', 'a.b.C', '.User', ''])
    t.throws(() => authOf(db, { userModel: { model } }), { code: 'ERR_AUTH_USER_MODEL' })
})
