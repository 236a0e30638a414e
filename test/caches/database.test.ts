import test, { type TestFn } from 'ava'
import { createDatabaseCache } from '../../src/caches/database.ts'
import { createDateColumn } from '../../src/django/datetime.ts'
import { parseObject } from '../../src/django/json.ts'
import { UnreadableSession } from '../../src/django/session-data.ts'
import {
  cacheSettings,
  type DatabaseCacheUnderTest,
  openDatabaseCache,
  TABLE,
} from '../engines/cache-under-test.ts'
import { testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { testCacheContract } from './contract.ts'

const file = fileScope(test)
const opened = new Map<string, DatabaseCacheUnderTest>()
test.before(async () => {
  for (const name of testDatabases) opened.set(name, await openDatabaseCache(file, name))
})

const DATA = parseObject('{"a":1}')

for (const name of testDatabases) {
  const under = (): DatabaseCacheUnderTest => {
    const site = opened.get(name)
    if (site === undefined) throw new Error(`${name} is not opened`)
    return site
  }
  const openCache = (useTz = true, timeZone = 'UTC', now = () => new Date()) => {
    const { db, database } = under()
    const dates = createDateColumn({ database: database.kind, useTz, timeZone })
    const settings = cacheSettings('db.DatabaseCache', TABLE)
    return createDatabaseCache(settings, { db, database: database.kind, dates, now })
  }
  // The contract runs on one server and on SQLite; the tests below, where the databases differ, run on each.
  if (name === 'sqlite' || name === testDatabases[0]) {
    testCacheContract(test.serial as TestFn, `DatabaseCache on ${name}`, () => ({
      open: () => openCache(),
      tellsExpiry: true,
    }))
  }

  test.serial(
    `DatabaseCache on ${name}: expires is truncated to seconds, in UTC or in the site's time zone`,
    async (t) => {
      const { db, database } = under()
      const now = () => new Date('2026-11-23T08:25:12.900Z')
      const text = {
        mysql: 'CAST(expires AS CHAR)',
        postgresql: "to_char(expires AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
        sqlite: 'expires',
      }
      const expires = async (key: string) =>
        (
          await db(TABLE)
            .where('cache_key', `:1:${key}`)
            .first(db.raw(`${text[database.kind]} AS expires`))
        ).expires
      await openCache(true, 'UTC', now).add('utc', DATA, 60)
      await openCache(false, 'Asia/Seoul', now).add('seoul', DATA, 60)
      const fraction = database.kind === 'sqlite' ? '' : '.000000'
      t.is(await expires('utc'), `2026-11-23 08:26:12${fraction}`)
      t.is(
        await expires('seoul'),
        `2026-11-23 ${database.kind === 'postgresql' ? '08' : '17'}:26:12${fraction}`,
      )
      const seoul = await openCache(false, 'Asia/Seoul', now).get('seoul')
      t.deepEqual(seoul?.expireDate, new Date('2026-11-23T08:26:12Z'))
    },
  )

  test.serial(
    `DatabaseCache on ${name}: keys and revisions that differ in case or a space are different`,
    async (t) => {
      const { db } = under()
      const cache = openCache()
      const { revision = '' } = (await cache.add('letters', DATA, 60)) ?? {}
      for (const key of ['LETTERS', 'letters ', 'létters']) t.is(await cache.get(key), null)
      t.is(await cache.replace('letters', DATA, 60, revision.toLowerCase()), 'changed')
      t.is(await cache.replace('letters', DATA, 60, `${revision} `), 'changed')
      const large = parseObject(`{"a":"${'x'.repeat(9000)}"}`)
      const stored = await cache.replace('letters', large, 60, revision)
      if (typeof stored === 'string') return t.fail(stored)
      t.is(await cache.remove('letters', stored.revision.toLowerCase()), 'changed')
      t.is(await cache.remove('letters', stored.revision), 'removed')
      t.is((await db(TABLE).where('cache_key', ':1:letters')).length, 0)
    },
  )

  test.serial(
    `DatabaseCache on ${name}: a key that cannot be stored does not exist, and sends no statement`,
    async (t) => {
      const cache = openCache()
      const { db, database } = under()
      if (database.kind === 'mysql') await db.raw(`alter table ${TABLE} convert to character set latin1`)
      const sent: string[] = []
      db.on('query', ({ sql }: { sql: string }) => sent.push(sql))
      const unlikely = ['\u00e9', '\u0100', '\u{1f600}', '\ud800', 'a b', '\n', '\u007f', 'x'.repeat(253)]
      for (const key of ["' OR 1=1 -- ", '\0', '\\', '"', 'x'.repeat(1000), ...unlikely]) {
        t.is(await cache.get(key), null)
        await t.throwsAsync(cache.add(key, DATA, 60), { code: 'ERR_SESSION_KEY' })
        await t.notThrowsAsync(cache.delete(key))
        t.is(await cache.replace(key, DATA, 60, 'none'), 'missing')
        t.is(await cache.remove(key, 'none'), 'missing')
      }
      t.deepEqual(sent, [])
      t.truthy(await cache.add('x'.repeat(252), DATA, 60))
      t.truthy(await cache.get('x'.repeat(252)))
    },
  )

  test.serial(
    `DatabaseCache on ${name}: a value that is not a pickled dictionary is unreadable and stays`,
    async (t) => {
      const { db, database } = under()
      const expires = {
        mysql: '2100-01-01 00:00:00',
        postgresql: '2100-01-01 00:00:00+00',
        sqlite: '2100-01-01 00:00:00',
      }[database.kind]
      const evil = Buffer.from("cposix\nsystem\n(S'touch hacked'\ntR.").toString('base64')
      for (const value of ['', 'no base64!', evil, `${evil}\n`, Buffer.from('5').toString('base64')]) {
        await db(TABLE).where('cache_key', ':1:strange').delete()
        await db(TABLE).insert({ cache_key: ':1:strange', value, expires })
        await t.throwsAsync(openCache().get('strange'), { instanceOf: UnreadableSession }, value)
        t.is(await openCache().add('strange', DATA, 60), null)
      }
    },
  )

  test.serial(
    `DatabaseCache on ${name}: clearExpired removes expired rows, and their keys can be added before that`,
    async (t) => {
      await under().empty()
      const past = openCache(true, 'UTC', () => new Date('2001-02-03T04:05:06Z'))
      for (const key of ['c1', 'c2', 'c3']) await past.add(key, DATA, 60)
      const now = openCache()
      t.truthy(await now.add('c1', DATA, 60))
      t.is(await now.replace('c2', DATA, 60, (await past.get('c2'))?.revision ?? ''), 'missing')
      t.is(await now.clearExpired(), 1, 'c3; reading c2 had removed it, as in Django')
      t.is(await now.clearExpired(), 0)
      t.truthy(await now.get('c1'))
    },
  )
}
