import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { testDatabases } from '../support/databases.ts'
import { FAULTS } from './faults.ts'
import { describe } from './model.ts'
import { DATABASES, openPlace } from './place.ts'
import { runRound } from './run.ts'

// The short form of `npm run check:histories`. The servers are those of other tests, so no fault crashes them.
for (const [seed, name] of DATABASES.entries()) {
  if (!testDatabases.includes(name)) continue

  test.serial(`two processes on ${name} lose, repeat and revive nothing while faults strike`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'histories-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const options = { ownServer: false, seed, withDjango: false, withMerging: false, lasting: 200 }
    const { broken } = await openPlace(t, name, options)
    const { outcomes, strikes, findings } = await runRound({
      seed,
      operations: 2000,
      broken,
      faults: FAULTS,
      between: 200,
      http: 0.05,
      file: join(folder, 'history.jsonl'),
    })
    t.log(outcomes, strikes)
    t.deepEqual(findings.map(describe), [])
    t.true(Number(outcomes.ok) > 1000)
    t.true(Object.keys(strikes).length >= 4)
  })
}
