import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { FetchSiteOptions } from '../../src/adapters/fetch.ts'
import { createAuthHashes } from '../../src/django/auth-hash.ts'
import { stringifyValue } from '../../src/django/json.ts'
import { newSessionKey } from '../../src/django/session-key.ts'
import { versionProfile } from '../../src/django/versions.ts'
import type { WatchEnd } from '../../src/site/session-watch.ts'
import { siteOf } from '../adapters/sites.ts'
import { addUser, hashed, MODEL_BACKEND } from '../auth/users.ts'
import { type DbUnderTest, openDb, secretKey } from '../engines/db-under-test.ts'
import { type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { until } from '../support/until.ts'

/** What is unchanged is not read. */
const READS_DATA = /CASE WHEN session_key/

const LATER = new Date('2999-01-01')

async function openSite(
  t: ExecutionContext,
  { database = 'sqlite', ...options }: Partial<FetchSiteOptions> & { database?: TestDatabaseName } = {},
) {
  const db = await openDb(t, database, { tables: 'library' })
  const site = siteOf(db, { watch: { interval: 20 }, ...options })
  t.teardown(() => site.close())
  return { db, site }
}

/** Stores a session of this user, or of a visitor without a login; returns its Cookie header. */
async function logIn(
  db: DbUnderTest,
  { user, password = '!', ...values }: { user?: number; password?: string; [name: string]: unknown } = {},
): Promise<{ key: string; cookie: string }> {
  const hashes = createAuthHashes({ secretKeys: [secretKey], profile: versionProfile(db.djangoVersion) })
  const all = {
    ...(user !== undefined && {
      _auth_user_id: String(user),
      _auth_user_backend: MODEL_BACKEND,
      _auth_user_hash: hashes.create(password),
    }),
    ...values,
  }
  const data = new Map(Object.entries(all).map(([name, value]) => [name, stringifyValue(value)]))
  const key = newSessionKey()
  await db.engine.create(key, { data, expireDate: LATER })
  return { key, cookie: `sessionid=${key}` }
}

/** The statements that a Knex runs from now on. */
function statementsOf(db: DbUnderTest): string[] {
  const statements: string[] = []
  db.db.on('query', ({ sql }: { sql: string }) => statements.push(sql))
  return statements
}

for (const database of testDatabases) {
  test(`one statement a round reads all sessions and users, also many of them, on ${database}`, async (t) => {
    t.timeout(110_000)
    const { db, site } = await openSite(t, { database })
    const users = [await addUser(db, { username: 'ann' }), await addUser(db, { username: 'bob' })]
    const cookies: { key: string; cookie: string }[] = []
    for (let at = 0; at < 12; at += 1) {
      const user = users[at % 2]
      cookies.push(await logIn(db, { ...(user !== undefined && { user }), visits: at }))
    }
    const template = (await db.rows()).find(({ session_key }) => session_key === cookies[0]?.key)
    if (template === undefined) throw new Error('no row')
    // Each with a key of its own; their data is the first one's. One round reads the data of at most 1000.
    const copies = Array.from({ length: database === 'sqlite' ? 1100 : 250 }, () => ({
      ...template,
      session_key: newSessionKey(),
    }))
    await db.db.batchInsert('django_session', copies, 500)
    const ends: WatchEnd[] = []
    const all = [
      ...cookies.map(({ cookie }) => cookie),
      ...copies.map((row) => `sessionid=${row.session_key}`),
    ]
    for (const cookie of all) {
      const request = { headers: { cookie } }
      if (cookies.some((one) => one.cookie === cookie)) await site.authenticate(request)
      site.watch(request, (reason) => ends.push(reason))
    }
    const statements = statementsOf(db)
    // At the beginning, the data of each is read once.
    const isQuiet = (sql: string) => /UNION ALL/.test(sql) && /auth_user/.test(sql) && !READS_DATA.test(sql)
    await until('each is known', () => statements.length > 10 && statements.slice(-4).every(isQuiet))
    t.deepEqual(ends, [])
    statements.length = 0
    await until('some rounds', () => statements.length > 3)
    t.deepEqual(
      statements.filter((sql) => !/CASE WHEN expire_date/.test(sql)),
      [],
    )
    t.true(
      statements.every((sql) => !/CASE WHEN session_key/i.test(sql)),
      'no data of what is unchanged',
    )
    await db.db('django_session').where('session_key', cookies[3]?.key).delete()
    await until('it hears', () => ends.length > 0)
    await db
      .db('auth_user')
      .where('id', users[0])
      .update({ is_active: database === 'sqlite' ? 0 : false })
    await until('all of that user hear', () => ends.length === 1 + 6 + copies.length)
    t.deepEqual([...new Set(ends)], ['logout', 'deactivated'])
  })
}

test('nothing is read while nothing is watched', async (t) => {
  const { db, site } = await openSite(t)
  const statements = statementsOf(db)
  const { cookie } = await logIn(db)
  const watch = site.watch(cookie, () => t.fail())
  await until('a round', () => statements.some((sql) => /CASE WHEN expire_date/.test(sql)))
  watch.stop()
  watch.stop()
  await delay(30) // a round may run
  statements.length = 0
  await db.db('django_session').delete()
  await delay(100)
  t.deepEqual(statements.length, 1)
})

test('all connections of a session hear of its end, once, and those of another not', async (t) => {
  const { db, site } = await openSite(t)
  const [first, second] = [await logIn(db), await logIn(db)]
  const heard: string[] = []
  for (const name of ['a', 'b']) site.watch(first.cookie, (reason) => heard.push(`${name} ${reason}`))
  site.watch(first.cookie, () => t.fail()).stop()
  site.watch(second.cookie, () => t.fail())
  const answer = await site.open(first.cookie).session.load()
  await answer.flush()
  await until('both hear', () => heard.length >= 2)
  await delay(60)
  t.is(heard.length, 2)
  t.deepEqual(new Set(heard), new Set(['a logout', 'b logout']))
})

test('a request without a session has nothing that could end, and hears so at once', async (t) => {
  const { site } = await openSite(t)
  const heard: WatchEnd[] = []
  for (const request of [undefined, `sessionid=${newSessionKey()}`, { headers: {} }])
    site.watch(request, (reason) => heard.push(reason))
  await until('all hear', () => heard.length === 3)
  t.deepEqual(heard, ['logout', 'logout', 'logout'])
  t.throws(() => site.watch(42 as never, () => {}), { message: /^site\.watch takes a request/ })
  t.throws(() => site.watch('', undefined as never), { message: /onEnd must be a function/ })
})

test('what happened between authenticate and watch is heard, too', async (t) => {
  const { db, site } = await openSite(t)
  const user = await addUser(db, { username: 'ann' })
  const { cookie } = await logIn(db, { user })
  const request = { headers: { cookie } }
  t.true((await site.authenticate(request)).user.isAuthenticated)
  await db.db('auth_user').update({ password: hashed('another') })
  const heard: WatchEnd[] = []
  site.watch(request, (reason) => heard.push(reason))
  await until('it hears', () => heard.length > 0)
  t.deepEqual(heard, ['password'])
})

test('a session that cannot be read any more ends what its user has open, and stays', async (t) => {
  const { db, site } = await openSite(t)
  const user = await addUser(db, { username: 'ann' })
  const [known, anonymous] = [await logIn(db, { user }), await logIn(db)]
  const heard: WatchEnd[] = []
  const request = { headers: { cookie: known.cookie } }
  await site.authenticate(request)
  site.watch(request, (reason) => heard.push(reason))
  const other = { headers: { cookie: anonymous.cookie } }
  await site.authenticate(other)
  site.watch(other, () => t.fail())
  await db.db('django_session').update({ session_data: 'of another SECRET_KEY' })
  await until('it hears', () => heard.length > 0)
  t.deepEqual(heard, ['unverified'])
  t.is((await db.rows()).length, 2)
})

test('without answers of the database, connections stay open for as long as the option says', async (t) => {
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  const { db, site } = await openSite(t, { watch: { interval: 20, unknownAfter: 1000 } })
  const { cookie, key } = await logIn(db)
  const heard: [WatchEnd, number][] = []
  const statements = statementsOf(db)
  const request = { headers: { cookie } }
  await site.authenticate(request)
  await db.db.schema.renameTable('django_session', 'away')
  const start = performance.now()
  for (const one of [request, `sessionid=${newSessionKey()}`])
    site.watch(one, (reason) => heard.push([reason, performance.now() - start]))
  await until('they end', () => heard.length === 2)
  t.deepEqual(
    heard.map(([reason]) => reason),
    ['unknown', 'unknown'],
  )
  t.true(heard.every(([, time]) => time >= 1000))
  const text = warnings.map(({ message }) => message).find((message) => /could not be read/.test(message))
  t.regex(text ?? '', /the next read follows/)
  t.false(text?.includes(key))
  t.true(statements.filter((sql) => /CASE WHEN expire_date/.test(sql)).length > 1)
  await db.db.schema.renameTable('away', 'django_session')
  const again: WatchEnd[] = []
  site.watch(cookie, (reason) => again.push(reason))
  await db.db('django_session').delete()
  await until('it is watched again', () => again.length > 0)
  t.deepEqual(again, ['logout'])
})

test('a short absence of the database ends nothing', async (t) => {
  const { db, site } = await openSite(t)
  const { cookie } = await logIn(db)
  const heard: WatchEnd[] = []
  site.watch(cookie, (reason) => heard.push(reason))
  const errors: unknown[] = []
  db.db.on('query-error', (error: unknown) => errors.push(error))
  await until('it is watched', async () => true)
  await db.db.schema.renameTable('django_session', 'away')
  await until('rounds fail', () => errors.length > 2)
  await db.db.schema.renameTable('away', 'django_session')
  t.deepEqual(heard, [])
  await db.db('django_session').delete()
  await until('it hears', () => heard.length > 0)
  t.deepEqual(heard, ['logout'])
})

test('an error of onEnd is a warning, and the others hear', async (t) => {
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  const { db, site } = await openSite(t)
  const { cookie } = await logIn(db)
  const heard: WatchEnd[] = []
  site.watch(cookie, () => {
    throw new Error('of a test')
  })
  const rejects = (): unknown => Promise.reject(new Error('of a test, later'))
  site.watch(cookie, rejects)
  site.watch(cookie, (reason) => heard.push(reason))
  await db.db('django_session').delete()
  await until('it hears', () => heard.length > 0)
  await until('a warning', () =>
    warnings.some(({ message }) => message.startsWith('onEnd of site.watch threw')),
  )
  t.pass()
})

test('close ends the watches in silence', async (t) => {
  const { db, site } = await openSite(t)
  const { cookie } = await logIn(db)
  const request = { headers: { cookie } }
  await site.authenticate(request)
  site.watch(request, () => t.fail())
  await site.close()
  const statements = statementsOf(db)
  await delay(60)
  t.deepEqual(statements, [])
})

test('the options of watch are checked', async (t) => {
  const db = await openDb(t, 'sqlite', { tables: 'library' })
  t.throws(() => siteOf(db, { watch: { interval: 0 } }), {
    message: /watch\.interval must be a number of milliseconds/,
  })
  t.throws(() => siteOf(db, { watch: { every: 1 } as never }), { message: /no option watch\.every/ })
})
