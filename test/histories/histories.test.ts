import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { testDatabases } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'
import { FAULTS, type FaultName } from './faults.ts'
import { describe } from './model.ts'
import { type HistoryDatabase, mergingEngineOf, openPlace } from './place.ts'
import { type Round, runRound } from './run.ts'

// The short form of `npm run check:histories`. The servers are those of other tests, so no fault crashes them.
// The seed decides which Django is beside the two processes: `db`, `cached_db`, none.
const ROUNDS = [
  { name: 'mariadb', seed: 1 },
  { name: 'postgresql', seed: 3 },
  { name: 'sqlite', seed: 2 },
] as const

for (const { name, seed } of ROUNDS) {
  if (!testDatabases.includes(name)) continue
  const merging = mergingEngineOf(seed)
  const sides = merging === null ? 'two processes' : `two processes and a Django with ${merging}`

  test.serial(`${sides} on ${name} lose, repeat and revive nothing while faults strike`, async (t) => {
    const { outcomes, strikes, findings } = await round(t, name, seed, { merging, faults: FAULTS })
    t.log(outcomes, strikes)
    t.deepEqual(findings.map(describe), [])
    t.true(Number(outcomes.ok) > 1000)
    t.true(Object.keys(strikes).length >= 4)
  })
}

if (djangoVersions.includes('5.2')) {
  test.serial("the history of Django's own engine has a lost change", async (t) => {
    const merging = 'django.contrib.sessions.backends.db'
    const { findings } = await round(t, 'sqlite', 1, { merging, faults: [], operations: 500 })
    t.true(findings.some(({ promise }) => promise === 'acknowledged change lost'))
  })
}

async function round(
  t: ExecutionContext,
  name: HistoryDatabase,
  seed: number,
  {
    merging,
    faults,
    operations = 2000,
  }: { merging: string | null; faults: readonly FaultName[]; operations?: number },
): Promise<Round> {
  const folder = mkdtempSync(join(tmpdir(), 'histories-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const place = await openPlace(t, name, { ownServer: false, seed, withDjango: false, merging, lasting: 200 })
  const file = join(folder, 'history.jsonl')
  return runRound({ ...place, seed, operations, faults, between: 200, http: 0.05, file })
}
