import test from 'ava'
import type { DjangoSiteOptions } from '../../src/site/django-site.ts'
import { openDjangoSite } from '../../src/site/django-site.ts'
import { UnknownUser } from '../../src/site/user-sessions.ts'
import {
  createDjangoTablesForTests,
  createMemoryEngine,
  forgeSession,
  SessionNotForged,
} from '../../src/testing/testing-exports.ts'
import { connect } from '../engines/db-under-test.ts'
import { createTestDatabase, runScript, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'

const secretKey = 'a key of Django and of ours, from the tests'

/** A database with Django's tables and three users; nobody knows their passwords. */
async function openSite(t: Scope, name: TestDatabaseName, options: Partial<DjangoSiteOptions> = {}) {
  const database = await createTestDatabase(t, name, { tables: 'none' })
  await runScript(database.url, 'SELECT 1') // makes the file of SQLite
  const db = connect(database.url)
  t.teardown(() => db.destroy())
  await createDjangoTablesForTests(db)
  const common = { last_name: '', email: '', date_joined: '2026-01-01 00:00:00', is_superuser: false }
  const users = [
    { id: 1, username: 'ann', is_active: true, is_staff: false, first_name: 'Ann' },
    { id: 2, username: 'bob', is_active: true, is_staff: true, first_name: 'Bob' },
    { id: 3, username: 'eve', is_active: false, is_staff: false, first_name: 'Eve' },
  ]
  await db('auth_user').insert(users.map((user) => ({ ...common, ...user, password: `!${user.username}` })))
  const site = openDjangoSite({ db, secretKeys: [secretKey], djangoVersion: '5.2', ...options })
  t.teardown(() => site.close())
  return { site, db, databaseUrl: database.url }
}

/** Each Django, on the databases in turns. */
for (const [at, version] of djangoVersions.entries()) {
  const name = testDatabases[at % testDatabases.length] as TestDatabaseName
  test(`Django ${version} on ${name} recognizes the user of a forged session, and its data`, async (t) => {
    t.timeout(110_000)
    const { site, databaseUrl } = await openSite(t, name, { djangoVersion: version })
    const django = await startDjango(t, { version, secretKey, databaseUrl, migrate: true })
    const ask = async (path: string, cookie: string) =>
      (await fetch(`${django.url}/_test/${path}`, { headers: { cookie } })).json()

    const cookie = await forgeSession(site, { userId: 2, data: { num_visits: 3, cart: ['b'] } })
    t.regex(cookie, /^sessionid=[a-z0-9]{32}$/)
    const who = (await ask('user', cookie)) as Record<string, unknown>
    t.is(who.username, 'bob')
    t.true(Math.abs(Number(who.lastLogin) - Date.now()) < 60_000)
    const stored = (await ask('session', cookie)) as Record<string, unknown>
    t.is(stored.num_visits, 3)
    t.deepEqual(stored.cart, ['b'])
    t.is(stored._auth_user_id, '2')

    const { user } = await site.authenticate(cookie)
    if (!user.isAuthenticated) return t.fail('the site itself does not recognize the session')
    const another = await forgeSession(site, { user })
    t.not(another, cookie)
    t.like(await ask('user', another), { username: 'bob' })

    const anonymous = await forgeSession(site, { data: { num_visits: 1 } })
    t.is(await ask('user', anonymous), null)
    t.deepEqual(await ask('session', anonymous), { num_visits: 1 })
  })
}

test('a session is forged wherever the site keeps its sessions', async (t) => {
  const engine = createMemoryEngine()
  const inMemory = await openSite(t, 'sqlite', { engine, cookie: { name: 'own' } })
  const cookie = await forgeSession(inMemory.site, { userId: '1' })
  t.regex(cookie, /^own=/)
  t.is(engine.size, 1)
  t.is((await inMemory.site.authenticate(cookie)).user.getUsername(), 'ann')
  t.deepEqual(await inMemory.db('django_session'), [])

  const inCookie = await openSite(t, 'sqlite', { engine: 'django.contrib.sessions.backends.signed_cookies' })
  const signed = await forgeSession(inCookie.site, { userId: 1n, data: { a: 1 } })
  const { session, user } = await inCookie.site.authenticate(signed)
  t.is(user.getUsername(), 'ann')
  t.is(session.get('a'), 1)
})

test('data has the last word, so that a test can make a login invalid or let a session expire', async (t) => {
  const { site } = await openSite(t, 'sqlite')
  const data = { _auth_user_hash: 'of an old password', _session_expiry: 60 }
  const { session, user } = await site.authenticate(await forgeSession(site, { userId: 1, data }))
  t.false(user.isAuthenticated)
  t.is(session.get('_auth_user_id'), '1')
  t.is(session.getExpiryAge(), 60)
})

test('a user that Django would not recognize is refused, with the reason, and no session is stored', async (t) => {
  const { site, db } = await openSite(t, 'sqlite', {
    backends: [
      'django.contrib.auth.backends.ModelBackend',
      'django.contrib.auth.backends.AllowAllUsersModelBackend',
    ],
  })
  for (const userId of [4, 'no id'])
    await t.throwsAsync(forgeSession(site, { userId }), { instanceOf: UnknownUser, code: 'ERR_UNKNOWN_USER' })
  await t.throwsAsync(forgeSession(site, { userId: 3 }), {
    instanceOf: SessionNotForged,
    message: /is not active/,
  })
  await t.throwsAsync(forgeSession(site, { userId: 1, backend: 'other.Backend' }), {
    code: 'ERR_SESSION_NOT_FORGED',
    message: /does not recognize the user .* check backend/,
  })
  await t.throwsAsync(forgeSession(site), { message: /empty.* give a user or data/ })
  t.deepEqual(await db('django_session').select('session_key'), [])

  const backend = 'django.contrib.auth.backends.AllowAllUsersModelBackend'
  const cookie = await forgeSession(site, { userId: 3, backend })
  t.is((await site.authenticate(cookie)).user.getUsername(), 'eve')
})

test('a wrong call says what to do', async (t) => {
  const { site } = await openSite(t, 'sqlite')
  const { user } = await site.authenticate(await forgeSession(site, { userId: 1 }))
  await t.throwsAsync(forgeSession({} as never, { userId: 1 }), { message: /what openDjangoSite returns/ })
  await t.throwsAsync(forgeSession(site, { user: user as never, userId: 1 }), { message: /give one of them/ })
})
