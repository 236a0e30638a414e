/** How watched connections end by time, in each engine. Apart from the other tests of `watch`, which keep the process busy. */
import test, { type ExecutionContext } from 'ava'
import type { FetchSiteOptions } from '../../src/adapters/fetch.ts'
import { createAuthHashes } from '../../src/django/auth-hash.ts'
import { versionProfile } from '../../src/django/versions.ts'
import type { WatchEnd } from '../../src/site/session-watch.ts'
import { createMemoryEngine } from '../../src/testing/memory-engine.ts'
import { siteOf } from '../adapters/sites.ts'
import { addUser, MODEL_BACKEND } from '../auth/users.ts'
import { type DbUnderTest, openDb, type SiteOptions, secretKey } from '../engines/db-under-test.ts'
import { type TestDatabaseName, testDatabases } from '../support/databases.ts'
import { startMemcached } from '../support/memcached.ts'
import { startRedis } from '../support/redis.ts'
import { temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

const BACKENDS = 'django.contrib.sessions.backends'
const DAY = 24 * 60 * 60 * 1000

type Engine = Pick<FetchSiteOptions, 'engine' | 'filePath' | 'cache'>

/** A cache of the tests, as CACHES would have it. */
const cacheAt = (backend: string, location: string): Pick<FetchSiteOptions, 'cache'> => ({
  cache: {
    ...{ backend: `django.core.cache.backends.${backend}`, location: [location] },
    ...{ keyPrefix: '', version: 1, options: {} },
  },
})

/** Each engine whose time is the site's own. */
const engines: Readonly<Record<string, (t: ExecutionContext, db: DbUnderTest) => Engine>> = {
  db: () => ({ engine: `${BACKENDS}.db` }),
  cached_db: (t) => ({
    engine: `${BACKENDS}.cached_db`,
    ...cacheAt('filebased.FileBasedCache', temporaryFolder(t)),
  }),
  cache: (t) => ({
    engine: `${BACKENDS}.cache`,
    ...cacheAt('filebased.FileBasedCache', temporaryFolder(t)),
  }),
  file: (t) => ({ engine: `${BACKENDS}.file`, filePath: temporaryFolder(t) }),
  signed_cookies: () => ({ engine: `${BACKENDS}.signed_cookies` }),
  memory: (_t, { clock }) => ({ engine: createMemoryEngine({ now: () => clock.now }) }),
}

/** Sessions of a site, of any engine, and what their connections hear. */
async function openExpiring(
  t: ExecutionContext,
  openEngine: (t: ExecutionContext, db: DbUnderTest) => Engine,
  { database = 'sqlite', ...settings }: SiteOptions & { database?: TestDatabaseName } = {},
) {
  const db = await openDb(t, database, { tables: 'library', ...settings })
  const site = siteOf(db, { ...openEngine(t, db), watch: { interval: 20 } })
  t.teardown(() => site.close())
  let users = 0

  /** A session of a new user, or of a visitor without a login, and what its connection hears. */
  async function watchOne({ user, expiry }: { user?: number; expiry?: number } = {}) {
    const session = await site.open(undefined).session.load()
    session.update({
      visits: 1,
      ...(expiry !== undefined && { _session_expiry: expiry }),
      ...(user !== undefined && {
        _auth_user_id: String(user),
        _auth_user_backend: MODEL_BACKEND,
        _auth_user_hash: createAuthHashes({
          secretKeys: [secretKey],
          profile: versionProfile(db.djangoVersion),
        }).create('!'),
      }),
    })
    await session.save()
    const request = { headers: { cookie: `sessionid=${session.sessionKey}` } }
    const visitor = await site.authenticate(request)
    t.is(visitor.user.isAuthenticated, user !== undefined)
    const heard: WatchEnd[] = []
    site.watch(request, (reason) => heard.push(reason))
    return { heard, sessionKey: session.sessionKey ?? '', session: visitor.session }
  }

  return {
    ...{ db, watchOne },
    /** Waits for a round that reads all sessions which are watched now. */
    async round() {
      users += 1
      const user = await addUser(db, { username: `user ${users}` })
      const { heard } = await watchOne({ user })
      await db.db('auth_user').where('id', user).delete()
      await until('a round', () => heard.length > 0)
      t.deepEqual(heard, ['deleted'])
    },
  }
}

for (const [name, openEngine] of Object.entries(engines)) {
  test.serial(`a session of the engine ${name} that time has ended has expired`, async (t) => {
    const { db, watchOne, round } = await openExpiring(t, openEngine)
    const { heard } = await watchOne()
    await round()
    const start = db.clock.now.getTime()
    db.clock.now = new Date(start + 13.9 * DAY)
    await round()
    t.deepEqual(heard, [])
    db.clock.now = new Date(start + 14.1 * DAY)
    await until('it hears', () => heard.length > 0)
    t.deepEqual(heard, ['expired'])
  })
}

for (const database of testDatabases) {
  for (const useTz of [true, false]) {
    test.serial(
      `a row that was cleared after it expired has expired, one before that was logged out, on ${database} ${useTz ? 'with' : 'without'} USE_TZ`,
      async (t) => {
        const timeZone = useTz ? 'UTC' : 'Asia/Seoul'
        const { db, watchOne, round } = await openExpiring(t, () => ({}), { database, useTz, timeZone })
        const [early, late] = [await watchOne({ expiry: 3600 }), await watchOne({ expiry: 3600 })]
        await round()
        const remove = ({ sessionKey }: { sessionKey: string }) =>
          db.db('django_session').where('session_key', sessionKey).delete()
        const start = db.clock.now.getTime()
        db.clock.now = new Date(start + 3_500_000)
        await remove(early)
        await until('the one logged out hears', () => early.heard.length > 0)
        // Both at once, so that no round finds the row when it has expired.
        db.clock.now = new Date(start + 3_700_000)
        await remove(late)
        await until('the one cleared hears', () => late.heard.length > 0)
        t.deepEqual([early.heard, late.heard], [['logout'], ['expired']])
      },
    )
  }
}

/** Caches whose time is their server's. */
const cacheServers = {
  Redis: { start: startRedis, backend: 'redis.RedisCache' },
  memcached: { start: startMemcached, backend: 'memcached.PyMemcacheCache' },
}

for (const [name, { start, backend }] of Object.entries(cacheServers)) {
  test(`a session that ${name} has dropped at its end has expired, one before that was logged out`, async (t) => {
    const server = await start()
    t.teardown(() => server.stop())
    const { watchOne, round, db } = await openExpiring(t, () => ({
      engine: `${BACKENDS}.cache`,
      ...cacheAt(backend, server.location),
    }))
    const began = Date.now()
    const [early, late] = [await watchOne(), await watchOne({ expiry: 8 })]
    await round()
    await early.session.flush()
    await until('the one logged out hears', () => early.heard.length > 0)
    await until('the other hears', () => {
      db.clock.now = new Date()
      return late.heard.length > 0
    })
    t.true(Date.now() - began >= 6000)
    t.deepEqual([early.heard, late.heard], [['logout'], ['expired']])
  })
}
