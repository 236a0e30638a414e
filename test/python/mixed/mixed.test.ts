import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { createSessionCodec } from '../../../src/django/session-data.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { secretKey } from '../../engines/db-under-test.ts'
import { createTestDatabase, runSql, type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import { djangoVersions } from '../../support/django.ts'
import { projectFolder } from '../../support/places.ts'
import { type HistoryLine, type MixedSite, startMixedSite } from './load.ts'
import { lossesIn, type StoredVisits } from './losses.ts'

const CONNECTIONS = 64
const codec = createSessionCodec({
  secretKeys: [secretKey],
  profile: versionProfile('5.2'),
  now: () => new Date(),
})

for (const name of djangoVersions.includes('5.2') ? testDatabases.filter((each) => each !== 'mysql') : []) {
  test.serial(`Django and we lose none of 2,000 visits in one session, on ${name}`, async (t) => {
    t.timeout(110_000)
    const { site, stored } = await start(t, name, 'merging_sessions.db')
    const history = await site.visit(2000, { connections: CONNECTIONS, cart: false })

    lostNothing(t, `visits-${name}`, history, await stored())
    t.deepEqual(
      history.filter(({ status }) => status !== 200),
      [],
    )
  })

  test.serial(`Django and we lose nothing of one cart while its visitor logs in, on ${name}`, async (t) => {
    t.timeout(110_000)
    const { site, stored } = await start(t, name, 'merging_sessions.db')
    const history = await site.visit(600, { connections: CONNECTIONS, at: { 300: site.login } })

    lostNothing(t, `login-${name}`, history, await stored())
    const answers = Map.groupBy(history, ({ status }) => status)
    t.true((answers.get(200)?.length ?? 0) > 400)
    // The session was deleted while a request used it: Django's SessionInterrupted, our UpdateError.
    t.deepEqual(
      [...answers.keys()].filter((status) => status !== 200 && status !== 400),
      [],
    )
  })

  test.serial(`a killed process of either side loses no acknowledged change, on ${name}`, async (t) => {
    t.timeout(110_000)
    const { site, stored } = await start(t, name, 'merging_sessions.db')
    const [django, ours] = [() => site.kill('django'), () => site.kill('ours')]
    const at = { 50: django, 100: ours, 150: django, 250: ours, 300: django, 350: ours }
    const history = await site.visit(500, { connections: CONNECTIONS, at })

    lostNothing(t, `killed-${name}`, history, await stored())
    t.true(history.some(({ status }) => status === null))
    t.true(history.filter(({ status }) => status === 200).length > 250)
  })
}

test.serial("Django's own engine loses visits in the same run", async (t) => {
  const { site, stored } = await start(t, 'sqlite', 'django.contrib.sessions.backends.db')
  const history = await site.visit(400, { connections: CONNECTIONS, cart: false })
  t.regex(
    lossesIn(history, await stored())[0] ?? '',
    /^400 visits were acknowledged, 0 had no answer, \d+ are stored$/,
  )
})

async function start(
  t: ExecutionContext,
  name: TestDatabaseName,
  engine: string,
): Promise<{ site: MixedSite; stored(): Promise<StoredVisits> }> {
  const { url } = await createTestDatabase(t, name, { tables: 'library' })
  const site = await startMixedSite(t, { databaseUrl: url, engine })
  const stored = async () => {
    const rows = await runSql(url, 'SELECT session_key, session_data FROM django_session')
    const row = rows.find(({ session_key }) => session_key === site.sessionKey())
    const { data } = codec.decode(String(row?.session_data))
    const value = (key: string) => JSON.parse(data.get(key) ?? 'null')
    return { num_visits: value('num_visits'), cart: value('cart'), quantities: value('quantities') }
  }
  return { site, stored }
}

/** Leaves the history of a failure for people to look at. */
function lostNothing(
  t: ExecutionContext,
  name: string,
  history: readonly HistoryLine[],
  stored: StoredVisits,
): void {
  const losses = lossesIn(history, stored)
  if (losses.length > 0) {
    const folder = join(projectFolder, 'test/artefacts')
    mkdirSync(folder, { recursive: true })
    const lines = [...history, { stored }].map((line) => JSON.stringify(line))
    writeFileSync(join(folder, `history-${name}.jsonl`), `${lines.join('\n')}\n`)
  }
  t.deepEqual(losses, [])
}
