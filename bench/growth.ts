import { runScript } from '../test/support/databases.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { createLibrary } from './library.ts'
import { runLoad } from './load.ts'
import { type DatabaseUnderLoad, type Measurement, measureLoad, openStatementCounter } from './measure.ts'
import { encodeSession, makeSessions } from './sessions.ts'
import { type Measure, summarize } from './summary.ts'
import { startOurs, TARGETS } from './targets.ts'

const KINDS = [
  { title: '1,000 rows', rows: 1000, isIndexed: true },
  { title: '5,000,000 rows', rows: 5_000_000, isIndexed: true },
  { title: '5,000,000 rows, expire_date not indexed', rows: 5_000_000, isIndexed: false },
] as const

const CONNECTIONS = 16
const SCENARIO = 'growth'

/** Measures the service on small and large tables of sessions, in turn. */
export async function measureGrowth(
  scope: Scope,
  { database, rounds, seconds }: { database: DatabaseUnderLoad; rounds: number; seconds: number },
): Promise<Measurement[]> {
  const statements = await openStatementCounter(scope, database.url)
  const [ours] = TARGETS
  if (ours === undefined) throw new TypeError('the first target must be the service')
  const kinds = []
  for (const { title, rows, isIndexed } of KINDS) {
    const databaseUrl = await createLibrary(scope, 'small')
    await fillSessions(databaseUrl, { rows, isIndexed })
    const running = await startOurs(scope, databaseUrl)
    const cookies = await makeSessions(ours, running, { databaseUrl, count: 2000, payload: 0 })
    const cookie = (): string | null => cookies[Math.floor(Math.random() * cookies.length)] ?? null
    await runLoad({ ports: [running.port], connections: CONNECTIONS, seconds: 10, cookie })
    kinds.push({ title, running, cookie })
  }
  const measurements: Measurement[] = []
  for (let round = 1; round <= rounds; round += 1) {
    for (const { title, running, cookie } of kinds) {
      const load = { connections: CONNECTIONS, seconds, cookie }
      const cost = await measureLoad([running], load, { database, statements })
      measurements.push({ scenario: SCENARIO, target: title, round, ...cost, lost: null })
    }
  }
  return measurements
}

/** Inserts live sessions that are never requested, in the order of their random keys. */
async function fillSessions(
  databaseUrl: string,
  { rows, isIndexed }: { rows: number; isIndexed: boolean },
): Promise<void> {
  const index = isIndexed ? '' : 'DROP INDEX django_session_expire_date_a5c62663 ON django_session;'
  await runScript(
    databaseUrl,
    `${index}
     INSERT INTO django_session (session_key, session_data, expire_date)
       SELECT MD5(seq) AS session_key, '${encodeSession(new Map([['num_visits', '1']]))}',
         NOW(6) + INTERVAL 1 + seq % 1209600 SECOND
       FROM seq_1_to_${rows} ORDER BY session_key;
     ANALYZE TABLE django_session;`,
  )
}

/** The results as a Markdown page. */
export function growthReport(
  measurements: readonly Measurement[],
  { rounds, seconds }: { rounds: number; seconds: number },
): string {
  const summary = summarize(measurements)
  const rows = KINDS.map(({ title }) => {
    const of = (measure: Measure, digits: number): string =>
      summary.median(SCENARIO, title, measure)?.toFixed(digits) ?? '–'
    const cells = [of('cpu', 2), of('databaseCpu', 2), of('statements', 1), of('p50', 1), of('p99', 1)]
    return `| ${[title, ...cells, of('requestsPerSecond', 0)].join(' | ')} |`
  })
  return `# A large table of sessions

\`npm run bench -- --growth\`, ${new Date().toISOString().slice(0, 10)}: this service on three databases, in turn, ${rounds} rounds of ${seconds} seconds
under ${CONNECTIONS} connections of 2,000 returning visitors, medians; MariaDB with a buffer pool of 512 MB, Node ${process.version}.

| sessions in the table | CPU ms/visit | database CPU ms/visit | statements/visit | p50 ms | p99 ms | visits/s |
|---|---|---|---|---|---|---|
${rows.join('\n')}

A visit moves its row's entry in Django's index on \`expire_date\`: the last two rows differ by what that costs.
`
}
