import test from 'ava'
import { conformance } from '../session/conformance.ts'
import { testDatabases } from '../support/databases.ts'
import { fileScope } from '../support/file-scope.ts'
import { openDatabaseCache, openFileBasedCache } from './cache-under-test.ts'

const file = fileScope(test)

for (const name of testDatabases) {
  conformance(`cache engine on DatabaseCache on ${name}`, () => openDatabaseCache(file, name), {
    lacks: ['keepsExpired', 'keepsMilliseconds', 'keepsText'],
  })
}

conformance('cache engine on FileBasedCache', () => openFileBasedCache(file), {
  lacks: ['keepsExpired', 'keepsMilliseconds', 'keepsText'],
})
