import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { pythonOf } from '../support/django-environments.ts'
import { pythonEnvironment } from '../support/django-processes.ts'
import { djangoTestsOf, versionsWithTests } from '../support/django-tests.ts'
import { execute } from '../support/executables.ts'
import { inCi, projectFolder } from '../support/places.ts'

const script = fileURLToPath(new URL('django_suite.py', import.meta.url))

test('the tests of some Django are always there, and those of each in CI', (t) => {
  t.true(versionsWithTests().length > 0)
  if (inCi) t.deepEqual(versionsWithTests(), ['2.2', '3.2', '4.2', '5.2', '6.1'])
})

interface SuiteRun {
  /** The modules of the engines that the tests use. */
  readonly engines: readonly string[]
  readonly outcomes: Readonly<Record<string, 'passed' | 'failed' | 'skipped'>>
}

for (const version of versionsWithTests()) {
  for (const name of testDatabases.filter((each) => each !== 'mysql')) {
    test(`the engines pass what Django's engines pass of Django ${version}'s own tests on ${name}`, async (t) => {
      const { url } = await createTestDatabase(t, name, { tables: 'none' })
      const ours = await runSuite(version, url, 'merging_sessions')
      t.deepEqual(ours.engines, ['merging_sessions.db', 'merging_sessions.db', 'merging_sessions.cached_db'])

      const djangos = await runSuite(version, url, 'django.contrib.sessions.backends')
      t.deepEqual(
        djangos.engines,
        ['db', 'db', 'cached_db'].map((name) => `django.contrib.sessions.backends.${name}`),
      )
      const passed = idsWith(djangos, 'passed')
      t.true(passed.length > 300)
      t.deepEqual(
        passed.filter((id) => ours.outcomes[id] !== 'passed'),
        [],
      )
    })
  }
}

async function runSuite(version: string, databaseUrl: string, engines: string): Promise<SuiteRun> {
  const args = ['-W', 'ignore', script, djangoTestsOf(version), databaseUrl, engines]
  const env = { ...pythonEnvironment, PYTHONPATH: join(projectFolder, 'python') }
  return JSON.parse((await execute(pythonOf(version), args, { env })).stdout)
}

function idsWith({ outcomes }: SuiteRun, outcome: string): string[] {
  return Object.keys(outcomes).filter((id) => outcomes[id] === outcome)
}
