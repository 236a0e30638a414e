import test, { type ExecutionContext } from 'ava'
import { fieldOf } from '../service/pages/login-site.ts'
import { createTestDatabase, runSql, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import { startRedis } from '../support/redis.ts'
import { freePorts, type RunningService, startCommand, startService } from '../support/service.ts'
import { secretKey, serviceEnvironment, takeTurn } from './sites.ts'
import { createVisitor, type Visitor } from './visitor.ts'

const PASSWORD = 'correct 비밀번호'
const UNVERIFIED = 'auth.unverified'

/** The oldest Django, one in the middle and the newest, each on another database. */
const meetings = (
  [
    ['2.2', 'mariadb'],
    ['4.2', 'sqlite'],
    ['6.1', 'postgresql'],
  ] as const
).filter(([version, database]) => djangoVersions.includes(version) && testDatabases.includes(database))

interface Site {
  readonly version: string
  readonly databaseUrl: string
  readonly env: Readonly<Record<string, string>>
  readonly django: string
}

/** A Django site with a user model of test/django-site/accounts, which creates its own tables. */
async function startSite(
  t: ExecutionContext,
  { version, database, model }: { version: string; database: TestDatabaseName; model: string },
): Promise<Site> {
  await takeTurn(t)
  t.timeout(110_000)
  const settings: Record<string, string> = { AUTH_USER_MODEL: `accounts.${model}` }
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'none' })
  const django = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true })
  const env = serviceEnvironment({ version, databaseUrl, settings })
  return { version, databaseUrl, env, django: django.url }
}

const serve = (t: ExecutionContext, { env }: Site, more: Readonly<Record<string, string>>) =>
  startService(t, { env: { ...env, ...more } })

/** Returns the error with which the service fails to start. */
async function refusal(
  t: ExecutionContext,
  { env }: Site,
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const command = startCommand(t, ['serve'], {
    env: { ...freePorts, DATABASE_TIMEOUT: '30', ...env, ...more },
  })
  t.is(await command.ended, 1)
  return command.stdout() + command.stderr()
}

for (const [version, database] of meetings) {
  test(`a model with other column names works by its settings, as in Django ${version} (${database})`, async (t) => {
    const site = await startSite(t, { version, database, model: 'Renamed' })
    const { django, databaseUrl } = site
    const columns = {
      AUTH_USERNAME_COLUMN: 'login',
      AUTH_USER_PASSWORD_COLUMN: 'pw',
      AUTH_USER_ACTIVE_COLUMN: 'enabled',
      AUTH_USER_STAFF_COLUMN: 'crew',
      AUTH_USER_SUPERUSER_COLUMN: 'root',
      AUTH_USER_LAST_LOGIN_COLUMN: 'seen',
      AUTH_USER_FIRST_NAME_COLUMN: 'given',
    }
    const untold = await refusal(t, site)
    for (const setting of ['AUTH_USERNAME_COLUMN', 'AUTH_USER_PASSWORD_COLUMN', 'AUTH_USER_ACTIVE_COLUMN'])
      t.true(untold.includes(setting), untold)
    t.true(untold.includes('enabled'), 'the error lists the columns of the table')
    t.regex(
      await refusal(t, site, { ...columns, AUTH_USER_STAFF_COLUMN: 'kru' }),
      /no column kru for is_staff/,
    )

    const { url: ours } = await serve(t, site, columns)
    await people(t, site, 'POST', [
      { username: 'ann', password: PASSWORD, is_staff: true, is_superuser: true },
      { username: 'bob', password: PASSWORD },
      { username: 'eve', password: PASSWORD, is_active: false },
    ])
    const ann = createVisitor()
    t.is((await atDjango(ann, django, { username: 'ann', password: PASSWORD }))?.username, 'ann')
    t.deepEqual(await shown(ann, ours), { name: 'ann', isStaff: true, seesBorrowed: true })

    const bob = createVisitor()
    t.is(await logIn(bob, ours, 'bob'), 302)
    const there = await atDjango(bob, django)
    t.is(there?.username, 'bob')
    t.true(Math.abs(Number(there?.lastLogin) - Date.now()) < 60_000)
    t.deepEqual(await shown(bob, ours), { name: 'bob', isStaff: false, seesBorrowed: false })

    // Inactive users cannot log in, before and after.
    t.is(await logIn(createVisitor(), ours, 'eve'), 200)
    await people(t, site, 'PUT', { username: 'bob', is_active: false })
    t.is(await shown(bob, ours), null)
    t.is(await atDjango(bob, django), null)

    // And a new password ends the sessions.
    const key = ann.cookie()
    await people(t, site, 'PUT', { username: 'ann', password: 'another' })
    t.is(await shown(ann, ours), null)
    t.not(ann.cookie(), key)
    const rows = await runSql(databaseUrl, 'SELECT session_key FROM django_session')
    t.false(rows.some(({ session_key }) => session_key === key))
    t.is(rows.length, 2, "bob's, and the new anonymous one")
  })

  test(`a model without an is_active column needs a setting before users can log in, as in Django ${version} (${database})`, async (t) => {
    const site = await startSite(t, { version, database, model: 'Computed' })
    const { django } = site
    const untold = await refusal(t, site)
    t.regex(untold, /no column is_active for is_active; set AUTH_USER_ACTIVE_COLUMN/)
    t.notRegex(untold, /PASSWORD_COLUMN/)

    const service = await serve(t, site, { AUTH_USER_ACTIVE_COLUMN: 'level' })
    const { url: ours } = service
    const warnings = warningsOf(service)
    for (const setting of ['AUTH_USER_STAFF_COLUMN', 'AUTH_USER_SUPERUSER_COLUMN'])
      t.is(warnings.filter((warning) => warning.includes(setting)).length, 1, setting)
    await people(t, site, 'POST', [
      { username: 'ann', password: PASSWORD, is_admin: true },
      { username: 'eve', password: PASSWORD, level: 0 },
    ])
    t.is(await logIn(createVisitor(), ours, 'eve'), 200)
    const ann = createVisitor()
    t.is(await logIn(ann, ours, 'ann'), 302)
    t.is((await atDjango(ann, django))?.username, 'ann')
    t.like(await shown(ann, ours), { name: 'ann', isStaff: false })
    await people(t, site, 'PUT', { username: 'ann', level: 2 })
    for (const one of [await shown(ann, ours), await atDjango(ann, django)]) t.is(one, null)
    await people(t, site, 'PUT', { username: 'ann', level: 1 })

    // With the setting of the operator.
    const told = await serve(t, site, {
      AUTH_USER_ACTIVE_COLUMN: 'None',
      AUTH_USER_STAFF_COLUMN: 'is_admin',
      AUTH_USER_SUPERUSER_COLUMN: 'None',
    })
    t.deepEqual(warningsOf(told), [])
    t.like(await shown(ann, told.url), { name: 'ann', isStaff: true })
    t.is(await logIn(createVisitor(), told.url, 'eve'), 302)
  })

  test(`with a custom session hash sessions stay, and a warning says so, as in Django ${version} (${database})`, async (t) => {
    const site = await startSite(t, { version, database, model: 'Stamped' })
    const { django } = site
    const service = await serve(t, site, {})
    const { url: ours } = service
    await people(t, site, 'POST', [
      { username: 'ann', password: PASSWORD },
      { username: 'bob', password: PASSWORD },
    ])
    const ann = createVisitor()
    await atDjango(ann, django, { username: 'ann', password: PASSWORD })
    const cookie = ann.cookie()
    for (let page = 0; page < 3; page += 1) t.is(await shown(ann, ours), null)
    t.is((await atDjango(ann, django))?.username, 'ann', 'and Django still knows the visitor')
    t.is(ann.cookie(), cookie)

    // Django does not accept a login here, and it proves nothing here.
    const bob = createVisitor()
    t.is(await logIn(bob, ours, 'bob'), 302)
    t.is((await shown(bob, ours))?.name, 'bob')
    t.is(await shown(ann, ours), null)
    t.is((await atDjango(ann, django))?.username, 'ann')

    const lines = service.log().filter(({ event }) => event === UNVERIFIED)
    t.is(lines.length, 1, 'once a minute')
    t.is(lines[0]?.reason, 'hash')
    t.regex(String(lines[0]?.message), /AUTH_SESSION_HASH to custom/)
    for (const secret of [cookie, 'ann', secretKey]) t.false(JSON.stringify(lines).includes(String(secret)))

    // With the setting, the named password column is not required, and there is no login page.
    const told = await serve(t, site, { AUTH_SESSION_HASH: 'custom', AUTH_USER_PASSWORD_COLUMN: 'elsewhere' })
    const warnings = warningsOf(told).filter((warning) => warning.includes('AUTH_SESSION_HASH is custom'))
    t.is(warnings.length, 2, 'the users, the login page')
    t.is(await shown(ann, told.url), null)
    t.is((await ann.fetch(`${told.url}/accounts/login/`)).status, 404)
    t.is((await atDjango(ann, django))?.username, 'ann')
    t.is(told.log().filter(({ event }) => event === UNVERIFIED).length, 0)
  })

  test(`users of a model without a session hash are recognized as by Django ${version} (${database})`, async (t) => {
    const site = await startSite(t, { version, database, model: 'Bare' })
    const { django } = site
    const service = await serve(t, site, { AUTH_SESSION_HASH: 'none', AUTH_USER_SUPERUSER_COLUMN: 'None' })
    const { url: ours } = service
    await people(t, site, 'POST', [{ username: 'ann', password: PASSWORD }])
    const ann = createVisitor()
    t.is(await logIn(ann, ours, 'ann'), 302)
    t.is((await atDjango(ann, django))?.username, 'ann')
    t.like(JSON.parse(await (await ann.fetch(`${django}/_test/session`)).text()), { _auth_user_hash: '' })
    // Since Django 6.0 (measured with 6.1) its own login requires a hash of every model.
    if (version !== '6.1') {
      await atDjango(ann, django, null)
      t.is((await atDjango(ann, django, { username: 'ann', password: PASSWORD }))?.username, 'ann')
    }
    await people(t, site, 'PUT', { username: 'ann', password: 'another' })
    t.is((await shown(ann, ours))?.name, 'ann')
    t.is((await atDjango(ann, django))?.username, 'ann')
    await people(t, site, 'PUT', { username: 'ann', is_active: false })
    for (const one of [await shown(ann, ours), await atDjango(ann, django)]) t.is(one, null)

    // Without the setting, visitors are anonymous here, and their sessions stay.
    await people(t, site, 'PUT', { username: 'ann', is_active: true })
    const untold = await serve(t, site, {})
    t.is(await shown(ann, untold.url), null)
    t.regex(String((await untold.next(UNVERIFIED)).message), /AUTH_SESSION_HASH/)
    t.is((await atDjango(ann, django))?.username, 'ann')
  })

  test(`users of a model without passwords are recognized, without a login page, as by Django ${version} (${database})`, async (t) => {
    const site = await startSite(t, { version, database, model: 'Passwordless' })
    const { django } = site
    t.regex(
      await refusal(t, site, { AUTH_USER_ACTIVE_COLUMN: 'None' }),
      /set AUTH_USER_PASSWORD_COLUMN.*None/,
    )
    const service = await serve(t, site, {
      AUTH_USER_ACTIVE_COLUMN: 'None',
      AUTH_USER_PASSWORD_COLUMN: 'None',
    })
    await people(t, site, 'POST', [{ username: 'ann' }])
    const ann = createVisitor()
    const body = JSON.stringify({ username: 'ann' })
    await ann.fetch(`${django}/_test/user`, { method: 'PUT', body })
    t.is((await atDjango(ann, django))?.username, 'ann')
    t.is((await shown(ann, service.url))?.name, 'ann')
    t.is((await atDjango(ann, django))?.username, 'ann')
    t.is((await ann.fetch(`${service.url}/accounts/login/`)).status, 404)
    t.is(warningsOf(service).filter((warning) => warning.includes('login and logout pages')).length, 1)
  })

  test(`with a wrong SECRET_KEY the sessions of Django ${version} in a cache stay`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const CACHES = { default: { BACKEND: 'django_redis.cache.RedisCache', LOCATION: redis.location } }
    const settings = {
      CACHES: JSON.stringify(CACHES),
      SESSION_ENGINE: 'django.contrib.sessions.backends.cache',
    }
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'none' })
    const { url: django } = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true })
    const env = serviceEnvironment({ version, databaseUrl, settings })
    const site = { version, databaseUrl, env, django }
    await people(t, site, 'POST', [
      { username: 'ann', password: PASSWORD },
      { username: 'bob', password: PASSWORD },
    ])
    const ann = createVisitor()
    await atDjango(ann, django, { username: 'ann', password: PASSWORD })
    const wrong = { DJANGO_SECRET_KEY: 'a key of another site' }
    const services = [await serve(t, site, wrong), await serve(t, site, wrong)] as const
    for (const service of services) t.is(await shown(ann, service.url), null)

    // A login by another process with that key does not change that.
    const bob = createVisitor()
    t.is(await logIn(bob, services[0].url, 'bob'), 302)
    for (const service of services) {
      t.is((await shown(bob, service.url))?.name, 'bob')
      t.is(await shown(ann, service.url), null)
      t.regex(String((await service.next(UNVERIFIED)).message), /DJANGO_SECRET_KEY/)
    }
    t.is((await atDjango(ann, django))?.username, 'ann')
    const visits = JSON.parse(await (await ann.fetch(`${django}/_test/session`)).text()).num_visits
    t.is(visits, 4, 'visits here were counted in the same session')

    // With the right key, the first matching hash is the proof; then a new password ends the same sessions as in Django.
    const right = await serve(t, site, {})
    t.is((await shown(ann, right.url))?.name, 'ann')
    const key = ann.cookie()
    await people(t, site, 'PUT', { username: 'ann', password: 'another' })
    t.is(await shown(ann, right.url), null)
    t.not(ann.cookie(), key)
    t.false((await redis.command('KEYS', '*')).includes(String(key)))
  })
}

interface Person {
  readonly username: string
  readonly lastLogin: number | null
}

async function people(t: ExecutionContext, { django }: Site, method: string, body: unknown): Promise<void> {
  const answer = await fetch(`${django}/_test/people`, { method, body: JSON.stringify(body) })
  t.is(answer.status, 200)
}

/** Returns the visitor as Django sees it, after a login there (null: a logout). */
async function atDjango(
  visitor: Visitor,
  django: string,
  credentials?: { username: string; password: string } | null,
): Promise<Person | null> {
  const init: RequestInit =
    credentials === undefined
      ? {}
      : credentials === null
        ? { method: 'DELETE' }
        : { method: 'POST', body: JSON.stringify(credentials) }
  const answer = await visitor.fetch(`${django}/_test/user`, init)
  return answer.status === 200 ? ((await answer.json()) as Person | null) : null
}

/** Returns the user whom our home page greets; null for an anonymous visitor. */
async function shown(
  visitor: Visitor,
  ours: string,
): Promise<{ name: string; isStaff: boolean; seesBorrowed: boolean } | null> {
  const page = await (await visitor.fetch(`${ours}/catalog/`)).text()
  const [, name] = /User: <strong>([^<]*)</.exec(page) ?? []
  if (name === undefined) return null
  return { name, isStaff: page.includes('>Admin<'), seesBorrowed: page.includes('>All borrowed<') }
}

/** The status of the answer to our login form. */
async function logIn(visitor: Visitor, ours: string, username: string): Promise<number> {
  const page = await (await visitor.fetch(`${ours}/accounts/login/`)).text()
  const csrfmiddlewaretoken = fieldOf(page, 'csrfmiddlewaretoken')
  const body = new URLSearchParams({ csrfmiddlewaretoken, username, password: PASSWORD })
  return (await visitor.fetch(`${ours}/accounts/login/`, { method: 'POST', body })).status
}

function warningsOf(service: RunningService): string[] {
  return service
    .log()
    .filter(({ event }) => event === 'settings.warning')
    .map(({ warning }) => String(warning))
}
