import test, { type ExecutionContext } from 'ava'
import type { CacheSettings } from '../../src/caches/cache-settings.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { openSessionEngine } from '../../src/engines/open-engine.ts'
import { readSettings } from '../../src/service/settings/settings.ts'
import { ConflictError, type SessionEngine, UpdateError } from '../../src/session/engine.ts'
import { NO_EVENTS } from '../../src/session/events.ts'
import { connect } from '../engines/db-under-test.ts'
import { rules } from '../session/conformance/engine-under-test.ts'
import type { CacheServer } from '../support/cache-server.ts'
import { createTestDatabase, runSql, testDatabases } from '../support/databases.ts'
import { type DjangoStores, djangoShell, djangoVersions, startStores } from '../support/django.ts'
import { fileScope } from '../support/file-scope.ts'
import { startMemcached } from '../support/memcached.ts'
import { startRedis } from '../support/redis.ts'
import { temporaryFolder } from '../support/service.ts'
import { secretKey } from './sites.ts'

const file = fileScope(test)
const DJANGO = 'django.core.cache.backends.'
const ENGINE = 'django.contrib.sessions.backends.'

/** Each BACKEND, and the versions whose environments here have its client (python-memcached: only that of 2.2). */
const BACKENDS = {
  redis: [`${DJANGO}redis.RedisCache`, (version: string) => Number(version) >= 4],
  django_redis: ['django_redis.cache.RedisCache', () => true],
  pymemcache: [`${DJANGO}memcached.PyMemcacheCache`, (version: string) => Number(version) >= 3.2],
  pylibmc: [`${DJANGO}memcached.PyLibMCCache`, (version: string) => Number(version) < 6],
  memcached: [`${DJANGO}memcached.MemcachedCache`, (version: string) => Number(version) < 3],
  database: [`${DJANGO}db.DatabaseCache`, () => true],
  files: [`${DJANGO}filebased.FileBasedCache`, () => true],
} as const satisfies Record<string, [string, (version: string) => boolean]>

/** The caches for cached_db. For ours a copy is only a key to be removed, which each client does in one way. */
const COPIES: ReadonlySet<string> = new Set(['django_redis', 'pymemcache', 'memcached', 'database'])

const aliases = Object.keys(BACKENDS) as (keyof typeof BACKENDS)[]
const aliasesOf = (version: string) => aliases.filter((alias) => BACKENDS[alias][1](version))

let redis: CacheServer
let memcached: CacheServer
test.before(async () => {
  redis = await startRedis()
  file.teardown(() => redis.stop())
  memcached = await startMemcached()
  file.teardown(() => memcached.stop())
})

/** Values that only Python has; they are kept unchanged. */
const DELICATE =
  "{'t': (1, b'\\x00\\xff', 1.0, 2**70), 'd': datetime.datetime(2026, 1, 2, 3, 4, 5, 6), 'x': Decimal('1.50'), 's': '홍길동 \\ud83d', 1: None}"

for (const [at, version] of djangoVersions.entries()) {
  // Each version uses another database; the oldest and the newest Django use naive dates, far from UTC.
  const name = testDatabases[at % testDatabases.length] ?? 'sqlite'
  const zone =
    at % 4 === 0 ? { USE_TZ: 'false', TIME_ZONE: 'Asia/Seoul' } : { USE_TZ: 'true', TIME_ZONE: 'UTC' }

  test.serial(
    `sessions in each cache are shared with Django ${version}, and rows beside it (${name})`,
    async (t) => {
      t.timeout(110_000)
      const site = await openSite(t, { version, name, zone })
      for (const alias of aliasesOf(version)) {
        const alone = { ...site, engine: 'cache', ours: site.open('cache', alias) }
        await sharesSessions(t, alias, alone)
        await sharesValues(t, alias, alone)
        if (!COPIES.has(alias)) continue
        const beside = { ...site, engine: 'cached_db', ours: site.open('cached_db', alias) }
        await sharesSessions(t, alias, beside)
        await outlivesStaleDjango(t, alias, beside)
      }
    },
  )
}

interface Shared {
  readonly django: DjangoStores
  readonly ours: SessionEngine
  readonly engine: string
  readonly count: (key: string) => Promise<number>
}

/** Both sides count 1, 2, 3, … in turns, neither shows an older number, and each logs out once. */
async function sharesSessions(
  t: ExecutionContext,
  alias: string,
  { django, ours, engine }: Shared,
): Promise<void> {
  const where = { engine, cache: alias }
  await django.open('a', where)
  const { key } = await django.save('a', "{'n': 1, 'who': 'Django'}")
  if (key === null) return t.fail(alias)
  for (const n of [2, 4, 6]) {
    const found = await ours.load(key)
    if (found === null) return t.fail(`${alias}: Django's session is not found`)
    t.deepEqual(
      [...found.data],
      [
        ['n', String(n - 1)],
        ['who', '"Django"'],
      ],
      alias,
    )
    t.true(
      Math.abs(found.expireDate.getTime() - Date.now() - 1_209_600_000) < 20_000,
      `${alias} ${found.expireDate}`,
    )
    await ours.update(key, { ...found, data: new Map([...found.data, ['n', String(n)]]) }, found.revision)
    t.is((await django.open('a', { ...where, key })).data, `{'n': ${n}, 'who': 'Django'}`, alias)
    await django.save('a', `{'n': ${n + 1}}`)
    const stale = ours.update(key, found, found.revision)
    await t.throwsAsync(stale, { instanceOf: ConflictError }, alias)
  }
  await ours.delete(key)
  t.deepEqual((await django.open('a', { ...where, key })).data, '{}', `${alias}: our logout logs out there`)

  const mine = 'ours0123456789abcdefghijklmnopqr'.replace(/^ours/, alias.slice(0, 4))
  await ours.delete(mine)
  await ours.create(mine, { data: new Map([['n', '1']]), expireDate: new Date(Date.now() + 1_209_600_000) })
  t.deepEqual(await django.open('b', { ...where, key: mine }), { key: mine, data: "{'n': 1}" }, alias)
  const before = await ours.load(mine)
  await django.flush('b')
  t.is(await ours.load(mine), null, `${alias}: Django's logout logs out here`)
  if (before !== null)
    await t.throwsAsync(ours.update(mine, before, before.revision), { instanceOf: UpdateError })
}

async function sharesValues(
  t: ExecutionContext,
  alias: string,
  { django, ours, engine }: Shared,
): Promise<void> {
  const where = { engine, cache: alias }
  await django.open('v', where)
  const { key, data } = await django.save('v', DELICATE)
  const found = key === null ? null : await ours.load(key)
  if (key === null || found === null) return t.fail(alias)
  await ours.update(key, { ...found, data: new Map([...found.data, ['n', '1']]) }, found.revision)
  t.is((await django.open('v', { ...where, key })).data, `${data.slice(0, -1)}, 'n': 1}`, alias)
}

/** Django loads the session before our write; ours must see what Django then writes to the row and its copy. */
async function outlivesStaleDjango(t: ExecutionContext, alias: string, shared: Shared): Promise<void> {
  const { django, ours, engine } = shared
  const where = { engine, cache: alias }
  await django.open('first', where)
  const { key } = await django.save('first', "{'n': 1}")
  if (key === null) return t.fail(alias)
  await django.open('slow', { ...where, key }) // by its copy, which is removed now
  const found = await ours.load(key)
  if (found === null) return t.fail(alias)
  await ours.update(key, { ...found, data: new Map([['n', '2']]) }, found.revision)
  t.is(
    (await django.open('quick', { ...where, key })).data,
    "{'n': 2}",
    `${alias}: our write is seen at once`,
  )
  // As between two requests of Django, the slow one writes back its old data.
  await django.save('slow', "{'slow': True}")
  t.deepEqual(
    [...((await ours.load(key))?.data ?? [])],
    [
      ['n', '1'],
      ['slow', 'true'],
    ],
    alias,
  )
  await ours.delete(key)
  await t.throwsAsync(django.save('slow'), { message: /^UpdateError/ }, `${alias}: and brings nothing back`)
  t.is((await django.open('after', { ...where, key })).data, '{}', alias)
  t.is(await shared.count(key), 0)
}

async function openSite(
  t: ExecutionContext,
  {
    version,
    name,
    zone,
  }: { version: string; name: (typeof testDatabases)[number]; zone: Record<'USE_TZ' | 'TIME_ZONE', string> },
) {
  const { url: databaseUrl } = await createTestDatabase(t, name)
  const locations = {
    redis: redis.location,
    django_redis: `${redis.location}/1`,
    pymemcache: memcached.location,
    pylibmc: memcached.location,
    memcached: memcached.location,
    database: 'sessions_cache',
    files: temporaryFolder(t),
  }
  const CACHES = JSON.stringify(
    Object.fromEntries(
      aliasesOf(version).map((alias) => [
        alias === 'database' ? 'default' : alias,
        {
          BACKEND: BACKENDS[alias][0],
          LOCATION: locations[alias],
          KEY_PREFIX: `${alias}${version}`,
          VERSION: 3,
        },
      ]),
    ),
  )
  const settings = { ...zone, CACHES }
  const script =
    "from django.core.management import call_command; call_command('createcachetable', verbosity=0)"
  await djangoShell(version, {
    env: { ...settings, SECRET_KEY: secretKey, DATABASE_URL: databaseUrl },
    script,
  })
  const db = connect(databaseUrl)
  t.teardown(() => db.destroy())
  const stores = startStores(t, { version, secretKey, databaseUrl, settings })
  const named = (alias: string) => (alias === 'database' ? 'default' : alias)
  const django: DjangoStores = {
    ...stores,
    open: (as, where) => stores.open(as, { ...where, cache: named(where.cache) }),
  }

  function open(engine: string, alias: string): SessionEngine {
    const env = {
      ...settings,
      DATABASE_URL: databaseUrl,
      DJANGO_SECRET_KEY: secretKey,
      DJANGO_VERSION: version,
      SESSION_ENGINE: ENGINE + engine,
      SESSION_CACHE_ALIAS: named(alias),
    }
    const cache: CacheSettings | null = readSettings(env, { cwd: '/nowhere' }).cache
    const profile = versionProfile(version)
    const opened = openSessionEngine({
      engine: ENGINE + engine,
      db,
      cache,
      columns: null,
      secretKeys: [secretKey],
      profile,
      rules: {
        ...rules,
        useTz: zone.USE_TZ === 'true',
        timeZone: zone.TIME_ZONE,
        storesIsoExpiry: profile.storesIsoExpiry,
      },
      now: () => new Date(),
      timeout: 30_000,
      table: null,
      storeClass: null,
      filePath: null,
      cookieName: 'sessionid',
      events: {
        ...NO_EVENTS,
        cacheFailure({ error }) {
          t.fail(`${alias}: ${error}`)
        },
      },
    })
    t.teardown(() => opened.close())
    return opened.engine
  }

  const count = async (key: string) =>
    (await runSql(databaseUrl, `SELECT 1 AS one FROM django_session WHERE session_key = '${key}'`)).length
  return { django, open, count }
}
