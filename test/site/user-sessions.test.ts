import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { newSessionKey } from '../../src/django/session-key.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createFileEngine } from '../../src/engines/file.ts'
import type { SessionEngine } from '../../src/session/engine.ts'
import type { DjangoSessionsOptions } from '../../src/site/site-options.ts'
import {
  logoutEverybody,
  logoutUser,
  type UserSessionsSite,
  userSessions,
} from '../../src/site/user-sessions.ts'
import { addUser } from '../auth/users.ts'
import { connect, type DbUnderTest, openDb, secretKey } from '../engines/db-under-test.ts'
import { openRedisUnderTest } from '../engines/redis-under-test.ts'
import { runScript, type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { temporaryFolder } from '../support/service.ts'

const HOUR = 3_600_000

const sorted = (keys: readonly string[]): string[] => [...keys].sort((a, b) => (a < b ? -1 : 1))

for (const name of testDatabases) {
  test(`on ${name}, a user's live sessions are listed without their keys, and the others are not`, async (t) => {
    const { site, options, add, ada } = await openSite(t, name)
    const key = await add({ _auth_user_id: `"${ada}"`, cart: '[1]' })
    await add({ _auth_user_id: `"${ada}"` }, -HOUR)
    await add({ _auth_user_id: '"999"' })
    await add({})
    await add({ _auth_user_id: `"${ada}"` }, HOUR, 'not of this key')
    const page = await userSessions(options, { username: 'ada' })
    const [session, ...others] = page.sessions
    t.deepEqual(others, [])
    t.like(page, { scanned: 5, unreadable: { signature: 1 }, next: null })
    t.regex(session?.id ?? '', /^[0-9a-f]{12}$/)
    t.deepEqual(
      [session?.expires.getTime(), session?.changed?.getTime(), session?.created, session?.ip],
      [site.clock.now.getTime() + HOUR, Math.floor(site.clock.now.getTime() / 1000) * 1000, null, null],
    )
    t.false(JSON.stringify(page).includes(key))
    t.deepEqual((await userSessions(options, { id: ada })).sessions, page.sessions)
  })

  test(`on ${name}, a list in parts has each session once, whatever is deleted in between`, async (t) => {
    const { options, add, ada, keys } = await openSite(t, name)
    for (let sessions = 0; sessions < 40; sessions += 1)
      await add({ _auth_user_id: sessions % 2 === 0 ? `"${ada}"` : '"999"' })
    const whole = await userSessions(options, { id: ada })
    const ids: string[] = []
    let after: string | null = null
    for (;;) {
      const page = await userSessions(options, { id: ada }, { limit: 7, ...(after !== null && { after }) })
      ids.push(...page.sessions.map(({ id }) => id))
      t.true(page.scanned <= 7)
      if (page.next === null) break
      after = page.next
      const text = Buffer.from(after, 'base64url').toString()
      for (const key of await keys()) t.false(text.includes(key.slice(0, 5)), 'a fifth character of a key')
    }
    t.deepEqual(
      ids,
      whole.sessions.map(({ id }) => id),
    )
    t.is(ids.length, 20)
  })

  test(`on ${name}, a logout deletes the user's live sessions that can be read, and nothing else`, async (t) => {
    const { options, add, ada, keys } = await openSite(t, name)
    for (let sessions = 0; sessions < 5; sessions += 1) await add({ _auth_user_id: `"${ada}"` })
    const kept = [
      await add({ _auth_user_id: '"999"' }),
      await add({}),
      await add({ _auth_user_id: `"${ada}"` }, HOUR, 'not of this key'),
      await add({ _auth_user_id: `"${ada}"` }, -HOUR),
    ]
    const asker = await add({ _auth_user_id: `"${ada}"` })
    const first = await logoutUser(options, { username: 'ada' }, { exceptKey: asker })
    t.deepEqual(first, {
      deleted: 5,
      changed: 0,
      scanned: 10,
      unreadable: { signature: 1 },
      next: null,
      copiesLeft: 0,
    })
    t.deepEqual(sorted(await keys()), sorted([...kept, asker]))
    t.is((await logoutUser(options, { id: ada })).deleted, 1)
    t.deepEqual(sorted(await keys()), sorted(kept))
  })

  test(`on ${name}, no text of another row fails the list or the logout of a user`, async (t) => {
    const { site, options, add, ada, keys } = await openSite(t, name)
    const signature = 'x'.repeat(43)
    const texts = ['', ':::', `e30:${signature}`, `e30:a_bcde:${signature}`, `e30:------:${signature}`]
    texts.push(`e30:${'z'.repeat(64)}:${signature}`, `e30::${signature}`, `e30:-1vPgXp:${signature}`)
    for (const [index, text] of texts.entries())
      await site.db('django_session').insert({
        session_key: `broken${index}`,
        session_data: text,
        expire_date: site.dates.toColumn(new Date(site.clock.now.getTime() + HOUR)),
      })
    const key = await add({ _auth_user_id: `"${ada}"` })
    const page = await userSessions(options, { id: ada })
    t.like(page, { scanned: texts.length + 1, sessions: { length: 1 } })
    t.is((await logoutUser(options, { id: ada })).deleted, 1)
    t.deepEqual((await keys()).includes(key), false)
    t.is((await keys()).length, texts.length)
  })

  test(`on ${name}, a session that became another user's meanwhile stays; one that was only saved goes`, async (t) => {
    const { site, options, add, ada, keys } = await openSite(t, name)
    const [saved, another] = [
      await add({ _auth_user_id: `"${ada}"` }),
      await add({ _auth_user_id: `"${ada}"` }),
    ]
    const write = async (sessionKey: string, user: string) => {
      const stored = await site.engine.load(sessionKey)
      const data = new Map([
        ['_auth_user_id', user],
        ['later', '1'],
      ])
      if (stored !== null) await site.engine.update(sessionKey, { ...stored, data }, stored.revision)
    }
    const db = connect(site.database.url)
    t.teardown(() => db.destroy())
    const query = db.client.query.bind(db.client)
    let isWritten = false
    // Between the reading of the sessions and the first deletion.
    db.client.query = async (connection: unknown, statement: { sql: string }) => {
      if (!isWritten && statement.sql.startsWith('delete')) {
        isWritten = true
        await write(saved, `"${ada}"`)
        await write(another, '"999"')
      }
      return query(connection, statement)
    }
    t.like(await logoutUser({ ...options, db }, { id: ada }), { deleted: 1, changed: 1 })
    t.deepEqual(await keys(), [another])
  })

  test(`on ${name}, a logout of everybody deletes every row`, async (t) => {
    const { options, add, keys } = await openSite(t, name)
    for (let sessions = 0; sessions < 30; sessions += 1)
      await add({}, sessions % 2 === 0 ? HOUR : -HOUR, sessions % 3 === 0 ? 'another key' : undefined)
    t.deepEqual(await logoutEverybody(options, { batchSize: 10 }), { deleted: 30, copiesLeft: 0 })
    t.deepEqual(await keys(), [])
  })

  for (const [engine, table, columns] of [
    [
      'qsessions.backends.db',
      'qsessions_session',
      'user_id integer NULL, user_agent varchar(300) NULL, ip ADDRESS NULL, updated_at TIME NOT NULL, created_at TIME NULL',
    ],
    [
      'user_sessions.backends.db',
      'user_sessions_session',
      'user_id integer NULL, user_agent varchar(200) NULL, ip ADDRESS NULL, last_activity TIME NOT NULL',
    ],
  ] as const)
    test(`on ${name}, with ${engine} only the rows of the user are read, with address and browser`, async (t) => {
      const { site, options, ada } = await openSite(t, name)
      const { kind } = site.database
      const time = { mysql: 'datetime(6)', postgresql: 'timestamp with time zone', sqlite: 'datetime' }[kind]
      const address = kind === 'postgresql' ? 'inet' : 'char(39)'
      await runScript(
        site.database.url,
        `CREATE TABLE ${table} (session_key varchar(40) NOT NULL PRIMARY KEY,
          session_data ${kind === 'mysql' ? 'longtext' : 'text'} NOT NULL, expire_date ${time} NOT NULL,
          ${columns.replaceAll('ADDRESS', address).replaceAll('TIME', time)})`,
      )
      const changed = new Date('2026-03-01T10:00:00.000Z')
      const row = async (user: number, ip: string) =>
        site.db(table).insert({
          session_key: newSessionKey(),
          session_data: site.codec.encode(new Map([['_auth_user_id', `"${user}"`]])),
          expire_date: site.dates.toColumn(new Date(site.clock.now.getTime() + HOUR)),
          user_id: user,
          ip,
          user_agent: 'Firefox',
          ...(table === 'qsessions_session'
            ? { updated_at: site.dates.toColumn(changed), created_at: site.dates.toColumn(changed) }
            : { last_activity: site.dates.toColumn(changed) }),
        })
      await row(ada, '192.0.2.1')
      await row(ada, '2001:db8::1')
      await row(999, '192.0.2.9')
      const page = await userSessions({ ...options, engine }, { id: ada })
      t.is(page.scanned, 2)
      t.deepEqual(page.sessions.map(({ ip }) => ip).toSorted(), ['192.0.2.1', '2001:db8::1'])
      const created = table === 'qsessions_session' ? changed : null
      for (const session of page.sessions) t.like(session, { userAgent: 'Firefox', changed, created })
      t.like(await logoutUser({ ...options, engine }, { id: ada }), { deleted: 2, scanned: 2 })
      t.deepEqual(await site.db(table).pluck('user_id'), [999])
    })
}

test('the session that is to stay must be a live session of the user, or nothing is deleted', async (t) => {
  const { options, add, ada, keys } = await openSite(t, 'sqlite')
  await add({ _auth_user_id: `"${ada}"` })
  const wrong = [
    newSessionKey(),
    await add({ _auth_user_id: '"999"' }),
    await add({ _auth_user_id: `"${ada}"` }, -HOUR),
    await add({ _auth_user_id: `"${ada}"` }, HOUR, 'another key'),
  ]
  for (const exceptKey of wrong) {
    const error = await t.throwsAsync(logoutUser(options, { id: ada }, { exceptKey }), {
      code: 'ERR_SESSION_TO_KEEP',
    })
    t.false(error.message.includes(exceptKey))
  }
  t.is((await keys()).length, 4)
})

test('a user that is not there, an id of another type and a foreign place are errors with a code', async (t) => {
  const { options, ada } = await openSite(t, 'sqlite')
  await t.throwsAsync(userSessions(options, { username: 'nobody' }), { code: 'ERR_UNKNOWN_USER' })
  await t.throwsAsync(userSessions(options, { id: '1 OR 1=1' }), { code: 'ERR_UNKNOWN_USER' })
  for (const after of ['', 'abc', Buffer.from("a'/0123456789ab").toString('base64url'), newSessionKey()])
    await t.throwsAsync(userSessions(options, { id: ada }, { after }), { code: 'ERR_CURSOR' })
})

for (const engine of ['cache', 'signed_cookies'])
  test(`the sessions of ${engine} cannot be listed: the error says what to do`, async (t) => {
    const { options, ada } = await openSite(t, 'sqlite')
    const cache = {
      backend: 'django.core.cache.backends.filebased.FileBasedCache',
      location: [temporaryFolder(t)],
      keyPrefix: '',
      version: 1,
      options: {},
    }
    const other = { ...options, engine: `django.contrib.sessions.backends.${engine}`, cache }
    for (const call of [
      userSessions(other, { id: ada }),
      logoutUser(other, { id: ada }),
      logoutEverybody(other),
    ])
      await t.throwsAsync(call, { code: 'ERR_SESSIONS_NOT_LISTED', message: /change the password/ })
  })

test('the sessions of files are listed and logged out', async (t) => {
  const { site, options, ada } = await openSite(t, 'sqlite')
  const path = join(temporaryFolder(t), 'sessions')
  mkdirSync(path)
  const rules = {
    useTz: true,
    timeZone: 'UTC',
    cookieAge: 600,
    expireAtBrowserClose: false,
    storesIsoExpiry: true,
  }
  const engine = createFileEngine({
    path,
    cookieName: 'sessionid',
    codec: site.codec,
    rules,
    now: () => site.clock.now,
  })
  const add = adding(engine, site)
  for (let sessions = 0; sessions < 6; sessions += 1) await add({ _auth_user_id: `"${ada}"` })
  const kept = await add({ _auth_user_id: '"999"' })
  const files = {
    ...options,
    engine: 'django.contrib.sessions.backends.file',
    filePath: path,
    cookieAge: 600,
  }
  const first = await userSessions(files, { id: ada }, { limit: 4 })
  const rest = await userSessions(files, { id: ada }, { after: first.next ?? '' })
  t.is(new Set([...first.sessions, ...rest.sessions].map(({ id }) => id)).size, 6)
  t.is(first.scanned + rest.scanned, 7)
  t.like(await logoutUser(files, { username: 'ada' }), { deleted: 6, scanned: 7 })
  t.deepEqual(readdirSync(path), [`sessionid${kept}`])
  t.like(await logoutEverybody(files), { deleted: 1 })
})

test('pickled sessions are listed', async (t) => {
  const { site, options, ada } = await openSite(t, 'sqlite')
  const pickled = {
    ...options,
    djangoVersion: '4.2',
    serializer: 'django.contrib.sessions.serializers.PickleSerializer',
  }
  const codec = createSessionCodec({
    secretKeys: [secretKey],
    profile: versionProfile('4.2'),
    serializer: 'pickle',
    now: () => site.clock.now,
  })
  await site.insert({
    session_key: newSessionKey(),
    session_data: codec.encode(new Map([['_auth_user_id', `"${ada}"`]])),
    expire_date: site.dates.toColumn(new Date(site.clock.now.getTime() + HOUR)),
  })
  t.is((await userSessions(pickled, { id: ada })).sessions.length, 1)
})

test('with cached_db the copies in Redis go too, those that Django sets meanwhile as well', async (t) => {
  const { options, add, ada, keys } = await openSite(t, 'sqlite')
  const redis = await openRedisUnderTest(t)
  const copyOf = (key: string) => `:1:django.contrib.sessions.cached_db${key}`
  const cached: UserSessionsSite = {
    ...options,
    engine: 'django.contrib.sessions.backends.cached_db',
    cache: redis.settings,
  }
  const theirs = [await add({ _auth_user_id: `"${ada}"` }), await add({ _auth_user_id: `"${ada}"` })]
  const other = await add({ _auth_user_id: '"999"' })
  for (const key of [...theirs, other]) await redis.set(copyOf(key), 'a copy')
  let isSet = false
  const result = await logoutUser(
    cached,
    { id: ada },
    {
      // After the deletion: a request of Django that had read the row before sets its copy.
      onProgress() {
        isSet = true
        for (const key of theirs) void redis.set(copyOf(key), 'a late copy')
      },
    },
  )
  t.like(result, { deleted: 2, copiesLeft: 0 })
  t.true(isSet)
  for (const key of theirs) t.is(await redis.get(copyOf(key)), null)
  t.is(await redis.get(copyOf(other)), 'a copy')
  t.like(await logoutEverybody(cached), { deleted: 1, copiesLeft: 0 })
  t.is(await redis.get(copyOf(other)), null)
  t.deepEqual(await keys(), [])
})

test('copies in a cache that does not answer are counted, and the rows go all the same', async (t) => {
  const { options, add, ada, keys } = await openSite(t, 'sqlite')
  const redis = await openRedisUnderTest(t)
  await add({ _auth_user_id: `"${ada}"` })
  await redis.kill()
  const cached = {
    ...options,
    engine: 'django.contrib.sessions.backends.cached_db',
    cache: redis.settings,
    conflictTimeout: 400,
  }
  t.like(await logoutUser(cached, { id: ada }), { deleted: 1, copiesLeft: 1 })
  t.deepEqual(await keys(), [])
})

interface Site {
  readonly site: DbUnderTest
  readonly options: DjangoSessionsOptions
  /** The id of the user `ada`. */
  readonly ada: number
  /** Stores a session; returns its key. `secret`: signs it with another SECRET_KEY. */
  readonly add: (
    data: Readonly<Record<string, string>>,
    expiresIn?: number,
    secret?: string,
  ) => Promise<string>
  readonly keys: () => Promise<string[]>
}

async function openSite(t: ExecutionContext, name: TestDatabaseName): Promise<Site> {
  const site = await openDb(t, name, { tables: 'library' })
  await site.empty()
  const ada = await addUser(site, { username: 'ada' })
  return {
    site,
    options: { db: site.db, secretKeys: [secretKey], djangoVersion: '5.2', now: () => site.clock.now },
    ada,
    add: adding(site.engine, site),
    keys: async () => (await site.rows()).map(({ session_key }) => session_key),
  }
}

function adding(engine: SessionEngine, { clock, db, dates }: DbUnderTest): Site['add'] {
  return async (data, expiresIn = HOUR, secret) => {
    const key = newSessionKey()
    const expireDate = new Date(clock.now.getTime() + expiresIn)
    if (secret === undefined) {
      await engine.create(key, { data: new Map(Object.entries(data)), expireDate })
      return key
    }
    const codec = createSessionCodec({
      secretKeys: [secret],
      profile: versionProfile('5.2'),
      now: () => clock.now,
    })
    await db('django_session').insert({
      session_key: key,
      session_data: codec.encode(new Map(Object.entries(data))),
      expire_date: dates.toColumn(expireDate),
    })
    return key
  }
}
