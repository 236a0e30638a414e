import test from 'ava'
import { createCachedDbEngine } from '../../src/engines/cached-db.ts'
import { conformance } from '../session/conformance/conformance.ts'
import { testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import {
  openDatabaseCache,
  openFileBasedCache,
  openMemcachedCache,
  openRedisCache,
} from './cache-under-test.ts'
import { openDb } from './db-under-test.ts'

const file = fileScope(test)
const [mainDatabase = 'sqlite'] = testDatabases
const servers = { Redis: openRedisCache, memcached: openMemcachedCache }

for (const name of testDatabases) {
  conformance(`cache engine on DatabaseCache on ${name}`, () => openDatabaseCache(file, name), {
    lacks: ['keepsExpired', 'keepsMilliseconds', 'keepsText'],
  })
}

conformance('cache engine on FileBasedCache', () => openFileBasedCache(file), {
  lacks: ['keepsExpired', 'keepsMilliseconds', 'keepsText'],
})

for (const [name, open] of Object.entries(servers)) {
  conformance(`cache engine on ${name}`, () => open(file), {
    lacks: ['followsClock', 'keepsExpired', 'keepsMilliseconds', 'keepsText'],
  })

  conformance(`cached_db engine on ${mainDatabase} and ${name}`, async () => {
    const [site, { cache }] = [await openDb(file, mainDatabase), await open(file)]
    const engine = createCachedDbEngine({ engine: site.engine, cache, timeout: 30_000 })
    file.teardown(() => engine.close())
    return { ...site, engine }
  })
}
