import { deepStrictEqual } from 'node:assert'
import { text } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import Koa from 'koa'
import { createAuthMiddleware } from '../../src/adapters/koa/auth.ts'
import { djangoSessions } from '../../src/adapters/koa/django-sessions.ts'
import type { UserModelOptions } from '../../src/auth/user-model.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { djangoAuth } from '../../src/site/django-auth.ts'
import { connect } from '../engines/db-under-test.ts'
import { createTestDatabase, runSql, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'
import { inCi } from '../support/places.ts'
import { secretKey, takeTurn } from './sites.ts'
import { createVisitor, type Visitor } from './visitor.ts'

/** A user model of test/django-site, with Django's settings and ours. */
interface Model {
  readonly env: Readonly<Record<string, string>>
  readonly options: UserModelOptions
  readonly table: string
}

const MODELS = {
  'auth.User': { env: {}, options: {}, table: 'auth_user' },
  'accounts.Member': {
    env: { AUTH_USER_MODEL: 'accounts.Member' },
    options: {
      model: 'accounts.Member',
      idColumn: 'member_id',
      idType: 'uuid',
      usernameField: 'email',
      columns: { isActive: null },
    },
    table: 'accounts_member',
  },
  'accounts.Account': {
    env: { AUTH_USER_MODEL: 'accounts.Account' },
    options: { model: 'accounts.Account', table: 'People of ours' },
    table: 'People of ours',
  },
} as const satisfies Record<string, Model>

interface Meeting {
  readonly version: string
  readonly database: TestDatabaseName
  readonly model: keyof typeof MODELS
  /** USE_TZ=False with this TIME_ZONE. */
  readonly timeZone?: string
}

/** Each Django with auth.User; custom users on each database, with UUIDs as each Django stores them there. */
const wanted: readonly Meeting[] = [
  ...djangoVersions.map((version) => ({ version, database: 'sqlite', model: 'auth.User' }) as const),
  { version: '2.2', database: 'mariadb', model: 'auth.User', timeZone: 'Asia/Seoul' },
  { version: '4.2', database: 'mariadb', model: 'accounts.Member' },
  { version: '6.1', database: 'mariadb', model: 'accounts.Member', timeZone: 'Asia/Seoul' },
  { version: '5.2', database: 'mysql', model: 'accounts.Member' },
  { version: '3.2', database: 'postgresql', model: 'accounts.Member', timeZone: 'Asia/Seoul' },
  { version: '2.2', database: 'sqlite', model: 'accounts.Member' },
  { version: '5.2', database: 'mariadb', model: 'accounts.Account' },
  { version: '6.1', database: 'postgresql', model: 'accounts.Account' },
  { version: '3.2', database: 'sqlite', model: 'accounts.Account', timeZone: 'Asia/Seoul' },
]

const meetings = wanted.filter(
  ({ version, database }) => djangoVersions.includes(version) && testDatabases.includes(database),
)

const PASSWORD = 'correct 비밀번호'
const PERMISSIONS = ['catalog.can_mark_returned']
const GROUP = ['catalog.add_book', 'auth.view_group']

for (const meeting of meetings) {
  const { version, database, model, timeZone } = meeting
  test(`Django ${version} and ours recognize the same ${model} on ${database}${timeZone ? ` in ${timeZone}` : ''}`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const sites = await startSites(t, meeting)
    const { django, ours } = sites
    const send = (method: string, body: unknown) =>
      fetch(`${django}/_test/people`, { method, body: JSON.stringify(body) }).then((response) =>
        t.is(response.status, 200),
      )
    const [ann, bob, eve] = ['ann', 'bob', 'eve'].map((name) => sites.nameOf(name))
    const password = PASSWORD
    await send('POST', [
      // Beyond the range of a double, if the model has such keys.
      { username: ann, password, permissions: PERMISSIONS, group: GROUP, ...sites.bigKey },
      { username: bob, password, is_superuser: true, ...sites.fields({ is_staff: true, first_name: 'Bob' }) },
      { username: eve, password, ...sites.fields({ is_active: false }) },
    ])

    // Login at Django, recognized here with the same permissions; logout here.
    const one = createVisitor()
    const atDjango = await post(one, django, { username: ann, password })
    t.is(atDjango.status, 200)
    const known = await who(one, ours)
    t.deepEqual(known, await who(one, django))
    t.deepEqual(known?.permissions, [...GROUP, ...PERMISSIONS].toSorted())
    t.true(known?.returns)
    if (model === 'accounts.Account') t.is(known?.id, '9007199254740993')
    t.is(await logOut(one, ours), null)
    t.is(one.cookie(), undefined)
    t.is(await who(one, django), null)

    // Login here, recognized there; logout there.
    const wrong = await post(one, ours, { username: ann, password: 'wrong' })
    t.is(wrong.status, 403)
    const before = Date.now()
    const atOurs = await post(one, ours, { username: ` ${ann} `, password })
    t.is(atOurs.status, 200)
    const there = await who(one, django)
    t.deepEqual(there, await who(one, ours))
    t.is(there?.username, ann)
    t.true(Math.abs(Number(there?.lastLogin) - before) < 60_000, `${there?.lastLogin}`)
    t.is(await logOut(one, django), null)
    t.is(await who(one, ours), null)

    // Another user logs in: none of the old session data is left, on either side.
    await one.fetch(`${django}/_test/session`, { method: 'POST', body: '{"cart": [1]}' })
    await post(one, ours, { username: ann, password })
    t.regex(await sessionOf(one, django), /"cart"/)
    await post(one, ours, { username: bob, password })
    t.notRegex(await sessionOf(one, django), /"cart"/)
    const superuser = await who(one, ours)
    t.deepEqual(superuser, await who(one, django))
    t.true(superuser?.superuser)
    t.true((superuser?.permissions.length ?? 0) > 30)
    t.deepEqual(superuser?.modules, ['auth', 'catalog', 'nowhere'])
    await post(one, django, { username: ann, password })
    t.is((await who(one, ours))?.username, ann)

    // A password changed in Django ends the session here at once, and its row.
    await send('PUT', { username: ann, password: 'another' })
    t.is(await who(one, ours), null)
    t.is(one.cookie(), undefined)
    t.deepEqual(await runSql(sites.databaseUrl, 'SELECT session_key FROM django_session'), [])

    // An inactive user cannot log in on either side.
    if (model !== 'accounts.Member')
      for (const site of [django, ours])
        t.is((await post(createVisitor(), site, { username: eve, password })).status, 403)

    if (model !== 'auth.User' || database !== 'sqlite') return
    await checkHashers(t, sites)
    if (versionProfile(version).usesFallbackAuthHashes) await checkRotation(t, sites)
  })
}

/** Users can log in here with passwords of each hasher of this Django, at the hasher's own cost. */
async function checkHashers(t: ExecutionContext, { version, django, ours }: Sites): Promise<void> {
  const users = versionProfile(version).passwordHashers.map((hasher) => ({
    username: hasher,
    password: `of ${hasher}`,
    hasher: ALGORITHMS[hasher],
    cost: 'own',
  }))
  await fetch(`${django}/_test/people`, { method: 'POST', body: JSON.stringify(users) })
  for (const { username, password } of users) {
    const visitor = createVisitor()
    t.is((await post(visitor, ours, { username, password })).status, 200, username)
    t.is((await who(visitor, django))?.username, username)
  }
}

const ALGORITHMS: Readonly<Record<string, string>> = {
  PBKDF2PasswordHasher: 'pbkdf2_sha256',
  PBKDF2SHA1PasswordHasher: 'pbkdf2_sha1',
  Argon2PasswordHasher: 'argon2',
  BCryptSHA256PasswordHasher: 'bcrypt_sha256',
  ScryptPasswordHasher: 'scrypt',
}

/** A visitor stays logged in while SECRET_KEY rotates: ours writes the new hash, which Django with the new key accepts. */
async function checkRotation(t: ExecutionContext, { version, databaseUrl, django }: Sites): Promise<void> {
  const before = await serveOurs(t, { databaseUrl, version, secretKeys: ['the key that goes'] })
  const secretKeys = [secretKey, 'the key that goes'] as const
  const rotated = await serveOurs(t, { databaseUrl, version, secretKeys })
  const visitor = createVisitor()
  await post(visitor, before, { username: 'bob', password: PASSWORD })
  const cookie = visitor.cookie()
  t.is((await who(visitor, rotated))?.username, 'bob')
  t.not(visitor.cookie(), cookie)
  t.is((await who(visitor, django))?.username, 'bob')
}

test('users are tested on every database of this run, and in CI on all databases', (t) => {
  for (const database of testDatabases) t.true(meetings.some((meeting) => meeting.database === database))
  if (inCi) t.is(meetings.length, wanted.length)
})

interface Person {
  id: string
  username: string
  name: string
  superuser: boolean
  permissions: string[]
  returns: boolean
  modules: string[]
  lastLogin: number | null
}

const post = (visitor: Visitor, site: string, credentials: object) =>
  visitor.fetch(`${site}/_test/user`, { method: 'POST', body: JSON.stringify(credentials) })

async function who(visitor: Visitor, site: string): Promise<Person | null> {
  return (await visitor.fetch(`${site}/_test/user`)).json() as Promise<Person | null>
}

async function logOut(visitor: Visitor, site: string): Promise<Person | null> {
  return (await visitor.fetch(`${site}/_test/user`, { method: 'DELETE' })).json() as Promise<Person | null>
}

async function sessionOf(visitor: Visitor, site: string): Promise<string> {
  return (await visitor.fetch(`${site}/_test/session`)).text()
}

interface Sites {
  readonly version: string
  readonly databaseUrl: string
  readonly django: string
  readonly ours: string
}

async function startSites(t: Scope, { version, database, model: name, timeZone }: Meeting) {
  const model: Model = MODELS[name]
  // Custom users have their own tables, and those of Django 2.2 differ.
  const migrate = name !== 'auth.User' || database !== 'sqlite' || version === '2.2'
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: migrate ? 'none' : 'library' })
  const settings = { ...model.env, ...(timeZone !== undefined && { USE_TZ: 'false', TIME_ZONE: timeZone }) }
  const django = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate })
  const ours = await serveOurs(t, { databaseUrl, version, secretKeys: [secretKey], model, timeZone })
  const isMember = name === 'accounts.Member'
  return {
    version,
    databaseUrl,
    django: django.url,
    ours,
    nameOf: (one: string) => (isMember ? `${one}@example.com` : one),
    /** Fields that Member does not have. */
    fields: (fields: object) => (isMember ? {} : fields),
    bigKey: name === 'accounts.Account' ? { id: '9007199254740993' } : {},
  }
}

/** Our side of test/django-site/tests_only/people.py. */
async function serveOurs(
  t: Scope,
  {
    databaseUrl,
    version,
    secretKeys,
    model = MODELS['auth.User'],
    timeZone,
  }: {
    databaseUrl: string
    version: string
    secretKeys: readonly [string, ...string[]]
    model?: Model
    timeZone?: string | undefined
  },
): Promise<string> {
  const db = connect(databaseUrl)
  t.teardown(() => db.destroy())
  const options = {
    db,
    secretKeys,
    djangoVersion: version,
    userModel: model.options,
    ...(timeZone !== undefined && { useTz: false, timeZone }),
  }
  const auth = djangoAuth(options)
  const app = new Koa()
  app.use(djangoSessions(options))
  app.use(createAuthMiddleware({ auth }))
  app.use(async function userView(ctx) {
    if (ctx.method === 'POST') {
      const found = await auth.authenticate(JSON.parse(await text(ctx.req)))
      if (found === null) return ctx.throw(403)
      await ctx.login(found)
    }
    if (ctx.method === 'DELETE') await ctx.logout()
    const user = await ctx.user({ prefetchPermissions: true })
    ctx.type = 'json'
    ctx.body = 'null'
    if (!user.isAuthenticated) return
    const permissions = [...(await user.getAllPermissions())].toSorted()
    const readApart = await (await auth.findUser(user.id))?.getAllPermissions()
    deepStrictEqual([...(readApart ?? [])].toSorted(), permissions)
    const condition = { [model.options.idColumn ?? 'id']: user.pk }
    const row = await db(model.table).where(condition).first('last_login')
    const zone = timeZone === undefined || databaseUrl.startsWith('postgresql') ? 'Z' : '+09:00'
    ctx.body = JSON.stringify({
      id: user.id,
      username: user.getUsername(),
      name: user.getFullName(),
      active: user.isActive,
      staff: user.isStaff,
      superuser: user.isSuperuser,
      permissions,
      returns: await user.hasPerm('catalog.can_mark_returned'),
      both: await user.hasPerms(['catalog.can_mark_returned', 'catalog.add_book']),
      modules: await modulesOf(['auth', 'catalog', 'nowhere'], user.hasModulePerms),
      lastLogin: Date.parse(String(row.last_login).replace(/\+00$/, '') + zone),
    })
  })
  return listen(t, app.callback())
}

async function modulesOf(
  names: readonly string[],
  has: (name: string) => Promise<boolean>,
): Promise<string[]> {
  const answers = await Promise.all(names.map(has))
  return names.filter((_, at) => answers[at])
}
