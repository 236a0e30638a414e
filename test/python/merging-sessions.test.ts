import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { projectFolder } from '../support/places.ts'

const engineScript = readFileSync(new URL('engine.py', import.meta.url), 'utf8')
const checks = /^for check in \(\n([^)]+)\):/m
  .exec(engineScript)?.[1]
  ?.split(',')
  .map((name) => name.trim())
  .filter((name) => name !== '')

/** PYTHONPATH does not reach a script that runs in a fork. */
const importable = `import sys; sys.path.insert(0, ${JSON.stringify(join(projectFolder, 'python'))})\n`

for (const version of djangoVersions) {
  for (const name of testDatabases) {
    test(`under Django ${version} on ${name} the engines merge, and are Django's engines otherwise`, async (t) => {
      for (const engine of ['merging_sessions.db', 'merging_sessions.cached_db']) {
        const { url } = await createTestDatabase(t, name, { tables: 'library' })
        const env = {
          SECRET_KEY: 'a key of the tests',
          DATABASE_URL: url,
          SESSION_ENGINE: engine,
          CACHES: JSON.stringify({ default: { BACKEND: 'django.core.cache.backends.locmem.LocMemCache' } }),
        }
        const script = `${importable}ENGINE = ${JSON.stringify(engine)}\n${engineScript}`
        t.deepEqual((await djangoShell(version, { env, script })).trim().split('\n'), checks)
      }
    })
  }
}
