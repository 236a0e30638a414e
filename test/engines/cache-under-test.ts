import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Knex } from 'knex'
import type { Cache } from '../../src/caches/cache.ts'
import type { CacheSettings } from '../../src/caches/cache-settings.ts'
import { createDatabaseCache } from '../../src/caches/database.ts'
import { createFileBasedCache } from '../../src/caches/file-based.ts'
import { createMemcachedCache } from '../../src/caches/memcached/memcached.ts'
import { createRedisCache } from '../../src/caches/redis/redis.ts'
import { createDateColumn } from '../../src/django/datetime.ts'
import { createCacheEngine } from '../../src/engines/cache.ts'
import { type EngineUnderTest, rules } from '../session/conformance/engine-under-test.ts'
import {
  createTestDatabase,
  runScript,
  type TestDatabase,
  type TestDatabaseName,
} from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'
import { startMemcached } from '../support/memcached.ts'
import { startRedis } from '../support/redis.ts'
import { temporaryFolder } from '../support/service.ts'
import { connect, type SiteOptions } from './db-under-test.ts'

export interface CacheUnderTest extends EngineUnderTest {
  readonly cache: Cache
}

export const TABLE = 'sessions_cache'

/** What `manage.py createcachetable` makes, the same in every version. */
export const TABLES: Readonly<Record<TestDatabase['kind'], string>> = {
  mysql: `CREATE TABLE ${TABLE} (cache_key varchar(255) NOT NULL PRIMARY KEY, value longtext NOT NULL, expires datetime(6) NOT NULL)`,
  postgresql: `CREATE TABLE ${TABLE} (cache_key varchar(255) NOT NULL PRIMARY KEY, value text NOT NULL, expires timestamp with time zone NOT NULL)`,
  sqlite: `CREATE TABLE ${TABLE} (cache_key varchar(255) NOT NULL PRIMARY KEY, value text NOT NULL, expires datetime NOT NULL)`,
}

export interface DatabaseCacheUnderTest extends CacheUnderTest {
  readonly db: Knex
  readonly database: TestDatabase
}

export async function openDatabaseCache(
  scope: Scope,
  name: TestDatabaseName,
  { useTz = true, timeZone = 'UTC' }: Pick<SiteOptions, 'useTz' | 'timeZone'> = {},
): Promise<DatabaseCacheUnderTest> {
  const database = await createTestDatabase(scope, name, { tables: 'none' })
  await runScript(database.url, TABLES[database.kind])
  const db = connect(database.url)
  scope.teardown(() => db.destroy())
  const clock = { now: new Date() }
  const dates = createDateColumn({ database: database.kind, useTz, timeZone })
  const cache = createDatabaseCache(cacheSettings('db.DatabaseCache', TABLE), {
    db,
    database: database.kind,
    dates,
    now: () => clock.now,
  })
  return {
    ...underTest(cache, clock),
    db,
    database,
    async empty() {
      await db(TABLE).delete()
    },
    count: async () => (await db(TABLE).pluck('cache_key')).length,
  }
}

export interface FileBasedCacheUnderTest extends CacheUnderTest {
  readonly folder: string
}

export async function openFileBasedCache(scope: Scope): Promise<FileBasedCacheUnderTest> {
  const folder = join(temporaryFolder(scope), 'cache')
  const clock = { now: new Date() }
  const cache = createFileBasedCache(cacheSettings('filebased.FileBasedCache', folder), {
    now: () => clock.now,
    timeout: 30_000,
  })
  const files = () =>
    (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.endsWith('.djcache'))
  return {
    ...underTest(cache, clock),
    folder,
    async empty() {
      rmSync(folder, { recursive: true, force: true })
    },
    count: async () => files().length,
  }
}

/** Redis' or memcached's server, with a cache of Django's own BACKEND of this name. */
export async function openRedisCache(scope: Scope): Promise<CacheUnderTest> {
  const server = await startRedis()
  scope.teardown(() => server.stop())
  const clock = { now: new Date() }
  const settings = cacheSettings('redis.RedisCache', server.location)
  const cache = createRedisCache(settings, { ...PATIENT, now: () => clock.now })
  scope.teardown(() => cache.close())
  return {
    ...underTest(cache, clock),
    async empty() {
      await server.command('FLUSHALL')
    },
    count: async () => Number(await server.command('DBSIZE')),
  }
}

export async function openMemcachedCache(scope: Scope): Promise<CacheUnderTest> {
  const server = await startMemcached()
  scope.teardown(() => server.stop())
  const clock = { now: new Date() }
  const settings = cacheSettings('memcached.PyMemcacheCache', server.location)
  const cache = createMemcachedCache(settings, { ...PATIENT, now: () => clock.now })
  scope.teardown(() => cache.close())
  // memcached lists no keys that one could rely on, so it is asked for each that was ever there.
  const keys = new Set<string>()
  const noted: Cache = {
    ...cache,
    add(key, ...parameters) {
      keys.add(key)
      return cache.add(key, ...parameters)
    },
  }
  return {
    ...underTest(noted, clock),
    async empty() {
      for (const key of keys) await cache.delete(key)
      keys.clear()
    },
    async count() {
      let live = 0
      for (const key of keys) if ((await cache.get(key)) !== null) live += 1
      return live
    },
  }
}

/** A busy machine of the tests may take longer than any visitor would wait. */
const PATIENT = { connectTimeout: 30_000, commandTimeout: 30_000 }

/** An entry of CACHES with Django's own BACKEND of this name. */
export function cacheSettings(backend: string, ...location: string[]): CacheSettings {
  return {
    backend: `django.core.cache.backends.${backend}`,
    location,
    keyPrefix: '',
    version: 1,
    options: {},
  }
}

function underTest(cache: Cache, clock: { now: Date }): Pick<CacheUnderTest, 'cache' | 'clock' | 'engine'> {
  return { cache, clock, engine: createCacheEngine({ cache, rules, now: () => clock.now }) }
}
