import { runScript } from '../test/support/databases.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { createLibrary } from './library.ts'
import { runLoad } from './load.ts'
import { type Measurement, measureLoad, openStatementCounter, type ServerUnderLoad } from './measure.ts'
import { encodeSession, makeSessions } from './sessions.ts'
import { type Measure, summarize } from './summary.ts'
import { startOurs, TARGETS } from './targets.ts'

const KINDS = [
  { title: '1,000 rows', rows: 1000, isIndexed: true },
  { title: '5,000,000 rows', rows: 5_000_000, isIndexed: true },
  { title: '5,000,000 rows, expire_date not indexed', rows: 5_000_000, isIndexed: false },
] as const

const CONNECTIONS = 16

const DATABASES = { mariadb: 'MariaDB', postgresql: 'PostgreSQL' } as const

type GrowthDatabase = keyof typeof DATABASES

/** Measures the service on small and large tables of sessions, in turn: on one database after the other. */
export async function measureGrowth(
  scope: Scope,
  {
    servers,
    rounds,
    seconds,
  }: { servers: Record<GrowthDatabase, ServerUnderLoad>; rounds: number; seconds: number },
): Promise<Measurement[]> {
  const measurements: Measurement[] = []
  for (const database of ['mariadb', 'postgresql'] as const) {
    const server = servers[database]
    const kinds = []
    for (const kind of KINDS) kinds.push({ title: kind.title, ...(await startOn(scope, database, kind)) })
    for (let round = 1; round <= rounds; round += 1) {
      for (const { title, running, cookie, statements } of kinds) {
        const load = { connections: CONNECTIONS, seconds, cookie }
        const cost = await measureLoad([running], load, { servers: [server], statements })
        measurements.push({ scenario: database, target: title, round, ...cost, lost: null })
      }
    }
    for (const { running } of kinds) await running.stop()
  }
  return measurements
}

async function startOn(scope: Scope, database: GrowthDatabase, kind: (typeof KINDS)[number]) {
  const [ours] = TARGETS
  if (ours === undefined) throw new TypeError('the first target must be the service')
  const databaseUrl = await createLibrary(scope, 'small', database)
  await fillSessions(databaseUrl, database, kind)
  const running = await startOurs(scope, databaseUrl)
  const site = { databaseUrl, engine: 'db', redisUrl: null } as const
  const cookies = await makeSessions(ours, running, { site, count: 2000, payload: 0 })
  const cookie = (): string | null => cookies[Math.floor(Math.random() * cookies.length)] ?? null
  await runLoad({ ports: [running.port], connections: CONNECTIONS, seconds: 10, cookie })
  return { running, cookie, statements: await openStatementCounter(scope, databaseUrl) }
}

/** Inserts live sessions that are never requested, in the order of their random keys. */
async function fillSessions(
  databaseUrl: string,
  database: GrowthDatabase,
  { rows, isIndexed }: { rows: number; isIndexed: boolean },
): Promise<void> {
  const data = encodeSession(new Map([['num_visits', '1']]))
  const index = 'django_session_expire_date_a5c62663'
  const { drop, select, analyze } = {
    mariadb: {
      drop: `DROP INDEX ${index} ON django_session;`,
      select: `MD5(seq) AS session_key, '${data}', NOW(6) + INTERVAL 1 + seq % 1209600 SECOND
         FROM seq_1_to_${rows}`,
      analyze: 'ANALYZE TABLE django_session;',
    },
    postgresql: {
      drop: `DROP INDEX ${index};`,
      select: `md5(seq::text) AS session_key, '${data}', now() + (1 + seq % 1209600) * interval '1 second'
         FROM generate_series(1, ${rows}) AS numbers (seq)`,
      analyze: 'ANALYZE django_session; CHECKPOINT;',
    },
  }[database]
  await runScript(
    databaseUrl,
    `${isIndexed ? '' : drop}
     INSERT INTO django_session (session_key, session_data, expire_date) SELECT ${select} ORDER BY session_key;
     ${analyze}`,
  )
}

/** The results as a Markdown page. */
export function growthReport(
  measurements: readonly Measurement[],
  { rounds, seconds }: { rounds: number; seconds: number },
): string {
  const summary = summarize(measurements)
  const table = (database: GrowthDatabase) => {
    const rows = KINDS.map(({ title }) => {
      const of = (measure: Measure, digits: number): string =>
        summary.value(database, title, measure)?.toFixed(digits) ?? '–'
      const cells = [of('cpu', 2), of('databaseCpu', 2), of('statements', 1), of('p50', 1), of('p99', 1)]
      return `| ${[title, ...cells, of('requestsPerSecond', 0)].join(' | ')} |`
    })
    return `## ${DATABASES[database]}

| sessions in the table | CPU ms/visit | database CPU ms/visit | statements/visit | p50 ms | p99 ms | visits/s |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`
  }
  return `# A large table of sessions

\`npm run bench -- --growth\`, ${new Date().toISOString().slice(0, 10)}: this service on three tables of each database, in turn, ${rounds} rounds of ${seconds} seconds
under ${CONNECTIONS} connections of 2,000 returning visitors, the sums of the rounds divided; MariaDB and PostgreSQL with buffers of 512 MB, Node ${process.version}. On
PostgreSQL transactions are counted instead of statements.

A visit moves its row's entry in Django's index on \`expire_date\`: the last two rows differ by what that costs.

${table('mariadb')}
${table('postgresql')}`
}
