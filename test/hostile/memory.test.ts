import { fileURLToPath } from 'node:url'
import test from 'ava'
import { createTestDatabase, runSql } from '../support/databases.ts'
import { execute } from '../support/executables.ts'

/** Runs test/hostile/memory.ts in a separate process; returns the number of retained bytes that it prints. */
async function measure(...args: string[]): Promise<number> {
  const program = fileURLToPath(new URL('memory.ts', import.meta.url))
  const { stdout } = await execute(process.execPath, ['--expose-gc', program, ...args])
  return Number(stdout)
}

/** Bytes: Node itself retains about 80,000; 10,000 keys in a Map would take over a million. */
const KEPT = 500_000

test('10,000 unknown keys create no rows and retain no memory', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite')
  t.true((await measure('unknown-keys', url)) < KEPT)
  t.is((await runSql(url, 'SELECT session_key FROM django_session')).length, 0)
})

test('10,000 unreadable rows retain no memory', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite')
  t.true((await measure('unreadable-rows', url)) < KEPT)
})

test('zip bombs of 1 GiB take only a few times the limit of 16 MiB', async (t) => {
  t.true((await measure('bomb')) < 160 << 20)
})
