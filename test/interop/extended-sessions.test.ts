import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Session } from '../../src/session/session.ts'
import { createTestDatabase, runSql, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions, startDjango } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { inCi } from '../support/places.ts'
import { startService } from '../support/service.ts'
import { secretKey, serviceEnvironment, startKoa, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

/** The user with the id 1, to which sessions refer. */
const READER = `INSERT INTO auth_user
  (username, password, first_name, last_name, email, is_staff, is_active, is_superuser, date_joined)
  VALUES ('reader', '', '', '', '', '0', '1', '0', '2026-11-23 08:00:00')`

/** User agents of the tests: one that would end an SQL string, and one that is too long for the column. */
const FIREFOX = `Fire'fox "5\\0" \\' -- é`
const ENDLESS = `Endless/${'x'.repeat(400)}`

interface Package {
  readonly app: string
  readonly engine: string
  readonly versions: readonly string[]
  readonly agentLength: number
  /** Its date columns: the last save, and the creation. */
  readonly savedAt: string
  readonly createdAt: string | null
}

const packages: readonly Package[] = [
  {
    app: 'qsessions',
    engine: 'qsessions.backends.db',
    versions: djangoVersions.filter((version) => version !== '2.2'), // the package does not support it
    agentLength: 300,
    savedAt: 'updated_at',
    createdAt: 'created_at',
  },
  {
    app: 'user_sessions',
    engine: 'user_sessions.backends.db',
    versions: djangoVersions.filter((version) => version !== '6.1'), // needs pkg_resources, removed in Python 3.12
    agentLength: 200,
    savedAt: 'last_activity',
    createdAt: null,
  },
]

for (const [at, pack] of packages.entries()) {
  for (const [turn, version] of pack.versions.entries()) {
    // The databases rotate, including SQLite: each Django once, each database with each package.
    const database = testDatabases[(at + turn) % testDatabases.length] ?? 'sqlite'
    test(`${pack.app} of Django ${version} and ours accept each other's rows, on ${database}`, (t) =>
      meet(t, { pack, version, database }))
  }
}

async function meet(
  t: ExecutionContext,
  { pack, version, database }: { pack: Package; version: string; database: TestDatabaseName },
): Promise<void> {
  await takeTurn(t)
  t.timeout(110_000)
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'none' })
  const settings = {
    EXTRA_APPS: JSON.stringify([pack.app]),
    SESSION_ENGINE: pack.engine,
    SESSION_MIDDLEWARE: `${pack.app}.middleware.SessionMiddleware`,
  }
  const { url: django } = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true })
  await runSql(databaseUrl, READER)
  const koa = await startKoa(t, { databaseUrl, version, engine: pack.engine, during: cycleIfAsked })
  const visitor = createVisitor()
  const key = () => visitor.cookie() ?? ''
  const post = (site: string, body: object, agent = FIREFOX) =>
    visitor.fetch(site, { method: 'POST', body: JSON.stringify(body), headers: { 'User-Agent': agent } })
  const get = (site: string, agent = FIREFOX) => visitor.fetch(site, { headers: { 'User-Agent': agent } })
  const theirs = `${django}/_test/session`
  const ours = `${koa}/`
  const expected = { user_id: 1, user_agent: FIREFOX, ip: '127.0.0.1' }

  // Their model shows our saved columns, and finds nothing to change.
  const start = Date.now()
  await post(ours, { _auth_user_id: '1', a: 1 })
  let row = await sessionOf(key())
  t.like(row, { ...expected, data: { _auth_user_id: '1', a: 1 } })
  const createdAt = row[pack.createdAt ?? '']
  if (pack.createdAt !== null) t.true(Math.abs(Date.parse(String(createdAt)) - start) < 60_000)
  t.deepEqual((await get(theirs)).headers.getSetCookie(), [])
  t.deepEqual((await get(ours)).headers.getSetCookie(), [])

  // Ours continues with their rows, and neither side loses columns of the other.
  await post(theirs, { b: 2 })
  t.deepEqual((await get(ours)).headers.getSetCookie(), [])
  await post(ours, { c: 3 })
  row = await sessionOf(key())
  t.like(row, { ...expected, data: { a: 1, b: 2, c: 3 } })
  if (pack.createdAt !== null) t.is(row[pack.createdAt], createdAt)
  t.deepEqual(await (await get(theirs)).json(), await (await get(ours)).json())

  // Each side records another browser under the same key.
  t.is((await get(ours, ENDLESS)).headers.getSetCookie().length, 1)
  t.is((await sessionOf(key())).user_agent, ENDLESS.slice(0, pack.agentLength))
  t.deepEqual((await get(theirs, ENDLESS)).headers.getSetCookie(), [])
  t.is((await get(theirs)).headers.getSetCookie().length, 1)
  t.deepEqual((await get(ours)).headers.getSetCookie(), [])

  // A new key keeps all columns, except those that their package resets.
  const before = key()
  await post(ours, { cycle: true })
  await get(ours)
  t.not(key(), before)
  row = await sessionOf(key())
  t.like(row, { ...expected, data: { a: 1, b: 2, c: 3 } })
  if (pack.createdAt !== null) t.not(row[pack.createdAt], createdAt)
  t.is(Number((await runSql(databaseUrl, `SELECT COUNT(*) AS n FROM ${pack.app}_session`))[0]?.n), 1)

  // A logged-out user is removed from the row.
  await post(ours, { _auth_user_id: null })
  t.is((await sessionOf(key())).user_id, null)

  // Logout on each side.
  await post(ours, { a: 1 })
  const loggedOut = key()
  await visitor.fetch(theirs, { method: 'DELETE' })
  visitor.setCookie(loggedOut)
  t.deepEqual(await (await get(ours)).json(), {})
  await post(ours, { d: 4 })
  t.not(key(), loggedOut)
  const gone = key()
  await visitor.fetch(ours, { method: 'DELETE' })
  t.is(visitor.cookie(), undefined)
  t.deepEqual(
    await runSql(databaseUrl, `SELECT user_id FROM ${pack.app}_session WHERE session_key = '${gone}'`),
    [],
  )

  /** The row as their own model reads it. */
  async function sessionOf(sessionKey: string): Promise<Record<string, unknown>> {
    const response = await fetch(`${django}/_test/rows/${pack.app}`)
    const rows = (await response.json()) as Record<string, Record<string, unknown>>
    const row = rows[sessionKey] ?? {}
    const age = Date.now() - Date.parse(String(row[pack.savedAt]))
    t.true(Math.abs(age) < 60_000, `saved ${age} ms ago`)
    return row
  }
}

/** The oldest and the newest; other tests cover the differences between versions. */
const ends = djangoVersions.filter((_, at, { length }) => at === 0 || at === length - 1)

for (const version of ends) {
  test(`Django ${version} and ours count together in a custom table with a custom store class`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const database = testDatabases[djangoVersions.indexOf(version) % testDatabases.length] ?? 'sqlite'
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'none' })
    const settings = { EXTRA_APPS: '["account_sessions"]', SESSION_ENGINE: 'account_sessions.store' }
    const { url: django } = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true })
    const ours = await startOurs(t, {
      version,
      databaseUrl,
      settings: { SESSION_DB_TABLE: 'library_session', SESSION_STORE_CLASS: 'AccountStore' },
    })
    const visitor = createVisitor()
    for (const [at, site] of [django, ours, django].entries()) t.is(await visitor.visit(site), at + 1)

    // A column that only the site fills is unchanged by our save.
    await visitor.fetch(`${django}/_test/session`, { method: 'POST', body: '{"_auth_user_id": "1"}' })
    await runSql(databaseUrl, "UPDATE library_session SET note = 'kept'")
    t.is(await visitor.visit(ours), 4)
    const rows = await runSql(databaseUrl, 'SELECT session_key, account_id, note FROM library_session')
    t.deepEqual(
      rows.map((row) => ({ ...row })),
      [{ session_key: visitor.cookie(), account_id: 1, note: 'kept' }],
    )
    t.deepEqual(await runSql(databaseUrl, 'SELECT * FROM django_session'), [])

    // A new row of ours has the default values of the custom columns.
    const other = createVisitor()
    for (const [at, site] of [ours, django].entries()) t.is(await other.visit(site), at + 1)
  })
}

for (const version of ends) {
  test(`Django ${version} and ours count together with sessions in a separate database`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'none' })
    const sessions = await createTestDatabase(t, testDatabases[0] ?? 'sqlite', { tables: 'none' })
    const settings = { SESSION_DATABASE_URL: sessions.url }
    const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl, ...settings }
    const script =
      "from django.core.management import call_command; call_command('migrate', database='sessions', verbosity=0)"
    const [{ url: django }] = await Promise.all([
      startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true }),
      djangoShell(version, { env, script }),
    ])
    const ours = await startOurs(t, { version, databaseUrl, settings })
    t.is((await fetch(`${ours}/health/ready`)).status, 200)
    const visitor = createVisitor()
    for (const [at, site] of [django, ours, ours, django].entries()) t.is(await visitor.visit(site), at + 1)
    const rows = await runSql(sessions.url, 'SELECT session_key FROM django_session')
    t.deepEqual(
      rows.map(({ session_key }) => session_key),
      [visitor.cookie()],
    )
  })
}

for (const version of packages[0]?.versions ?? []) {
  test(`qsessions of Django ${version} with its cache sees our saves and our logout`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'none' })
    const folder = mkdtempSync(join(tmpdir(), 'qsessions-cache-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const files = { BACKEND: 'django.core.cache.backends.filebased.FileBasedCache', LOCATION: folder }
    const settings = {
      EXTRA_APPS: '["qsessions"]',
      SESSION_ENGINE: 'qsessions.backends.cached_db',
      SESSION_MIDDLEWARE: 'qsessions.middleware.SessionMiddleware',
      CACHES: JSON.stringify({ default: files }),
    }
    const { url: django } = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true })
    const ours = await startOurs(t, { version, databaseUrl, settings })
    const koa = await startKoa(t, {
      ...{ databaseUrl, version, engine: settings.SESSION_ENGINE },
      cache: { backend: files.BACKEND, location: [folder], keyPrefix: '', version: 1, options: {} },
    })
    const visitor = createVisitor()
    t.is(await visitor.visit(django), 1)
    t.is(readdirSync(folder).length, 1, 'Django keeps a copy, under the key that ours removes')
    for (const [at, site] of [ours, django, django, ours, django].entries())
      t.is(await visitor.visit(site), at + 2)
    const key = visitor.cookie() ?? ''
    await visitor.fetch(koa, { method: 'DELETE' })
    t.deepEqual(readdirSync(folder), [])
    visitor.setCookie(key)
    t.deepEqual(await (await visitor.fetch(`${django}/_test/session`)).json(), {})
  })
}

for (const version of packages[0]?.versions ?? []) {
  test(`qsessions of Django ${version} with its cache and our engine store the new browser on a page that only reads`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'none' })
    const folder = mkdtempSync(join(tmpdir(), 'qsessions-cache-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const files = { BACKEND: 'django.core.cache.backends.filebased.FileBasedCache', LOCATION: folder }
    const settings = {
      EXTRA_APPS: '["qsessions"]',
      SESSION_ENGINE: 'qsessions.backends.cached_db',
      SESSION_MIDDLEWARE: 'qsessions.middleware.SessionMiddleware',
      CACHES: JSON.stringify({ default: files }),
    }
    const { url: django } = await startDjango(t, { version, secretKey, databaseUrl, settings, migrate: true })
    const koa = await startKoa(t, {
      ...{ databaseUrl, version, engine: settings.SESSION_ENGINE },
      cache: { backend: files.BACKEND, location: [folder], keyPrefix: '', version: 1, options: {} },
    })
    const visitor = createVisitor()
    const theirs = `${django}/_test/session`
    const ours = `${koa}/`
    const fetchAs = (agent: string, site: string, init: RequestInit = {}) =>
      visitor.fetch(site, { ...init, headers: { 'User-Agent': agent } })
    await fetchAs('Opened', theirs, { method: 'POST', body: '{"a": 1}' })

    // On either site the first request of a new browser saves the session; its second request does not.
    for (const [turn, site] of [theirs, ours, theirs, ours].entries()) {
      const agent = `Browser ${turn}`
      t.is((await fetchAs(agent, site)).headers.getSetCookie().length, 1, site)
      t.deepEqual(
        (await runSql(databaseUrl, 'SELECT user_agent, ip FROM qsessions_session')).map((row) => ({
          ...row,
        })),
        [{ user_agent: agent, ip: '127.0.0.1' }],
      )
      t.deepEqual((await fetchAs(agent, site)).headers.getSetCookie(), [], site)
      for (const reader of [theirs, ours])
        t.like(await (await fetchAs(agent, reader)).json(), { a: 1, _qsessions_user_agent: agent }, reader)
    }
  })
}

test('each package is tested with each Django that it supports', (t) => {
  if (inCi)
    t.deepEqual(
      packages.map(({ versions }) => versions.length),
      [4, 4],
    )
  else t.true(djangoVersions.length > 0)
})

async function startOurs(
  t: Scope,
  site: { version: string; databaseUrl: string; settings: Readonly<Record<string, string>> },
): Promise<string> {
  return (await startService(t, { env: serviceEnvironment(site) })).url
}

async function cycleIfAsked(session: Session): Promise<void> {
  if (session.pop('cycle', false) === true) await session.cycleKey()
}
