import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Knex } from 'knex'
import type { Cache } from '../../src/caches/cache.ts'
import { createDatabaseCache } from '../../src/caches/database.ts'
import { createFileBasedCache } from '../../src/caches/file-based.ts'
import { createDateColumn } from '../../src/django/datetime.ts'
import { createCacheEngine } from '../../src/engines/cache.ts'
import type { CacheSettings } from '../../src/settings/cache-settings.ts'
import { type EngineUnderTest, rules } from '../session/conformance.ts'
import {
  createTestDatabase,
  runScript,
  type TestDatabase,
  type TestDatabaseName,
} from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'
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
