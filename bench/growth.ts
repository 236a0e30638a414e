import { runScript } from '../test/support/databases.ts'
import type { Scope } from '../test/support/file-scope.ts'
import { createLibrary } from './library.ts'
import { runLoad } from './load.ts'
import { type DatabaseUnderLoad, measureLoad, openStatementCounter } from './measure.ts'
import { encodeSession, makeSessions } from './sessions.ts'
import { medianOf } from './summary.ts'
import { startOurs, TARGETS } from './targets.ts'

/** What a visit costs with so many sessions in the table; medians. */
export interface GrowthCost {
  readonly title: string
  readonly cpu: number
  readonly databaseCpu: number
  readonly statements: number
  readonly p50: number
  readonly p99: number
  readonly requestsPerSecond: number
}

const KINDS = [
  { title: '1,000 rows', rows: 1000, isIndexed: true },
  { title: '5,000,000 rows', rows: 5_000_000, isIndexed: true },
  { title: '5,000,000 rows, expire_date not indexed', rows: 5_000_000, isIndexed: false },
] as const

const CONNECTIONS = 16

/** Our service on tables of few and of many sessions, in turn. */
export async function measureGrowth(
  scope: Scope,
  { database, rounds, seconds }: { database: DatabaseUnderLoad; rounds: number; seconds: number },
): Promise<GrowthCost[]> {
  const statements = await openStatementCounter(scope, database.url)
  const [ours] = TARGETS
  if (ours === undefined) throw new TypeError('the first target is ours')
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
  const found = kinds.map(() => [] as Awaited<ReturnType<typeof measureLoad>>[])
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, { running, cookie }] of kinds.entries()) {
      const load = { connections: CONNECTIONS, seconds, cookie }
      found[at]?.push(await measureLoad([running], load, { database, statements }))
    }
  }
  return kinds.map(({ title }, at) => {
    const median = (measure: keyof Omit<GrowthCost, 'title'>): number =>
      medianOf(found[at]?.map((one) => one[measure]) ?? []) ?? Number.NaN
    return {
      title,
      cpu: median('cpu'),
      databaseCpu: median('databaseCpu'),
      statements: median('statements'),
      p50: median('p50'),
      p99: median('p99'),
      requestsPerSecond: median('requestsPerSecond'),
    }
  })
}

/** Live sessions of visitors who never come back, in the order of their keys, which are as random as Django's. */
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

/** As a page. */
export function growthReport(
  costs: readonly GrowthCost[],
  { rounds, seconds }: { rounds: number; seconds: number },
): string {
  const row = ({ title, cpu, databaseCpu, statements, p50, p99, requestsPerSecond }: GrowthCost): string =>
    `| ${title} | ${cpu.toFixed(2)} | ${databaseCpu.toFixed(2)} | ${statements.toFixed(1)} | ${p50.toFixed(1)} | ${p99.toFixed(1)} | ${requestsPerSecond.toFixed(0)} |`
  return `# A large table of sessions

\`npm run bench -- --growth\`, ${new Date().toISOString().slice(0, 10)}: this service on three databases, in turn, ${rounds} rounds of ${seconds} seconds
under ${CONNECTIONS} connections of 2,000 returning visitors, medians; MariaDB with a buffer pool of 512 MB, Node ${process.version}.

| sessions in the table | CPU ms/visit | database CPU ms/visit | statements/visit | p50 ms | p99 ms | visits/s |
|---|---|---|---|---|---|---|
${costs.map(row).join('\n')}

A visit moves its row's entry in Django's index on \`expire_date\`: the last two rows differ by what that costs.
`
}
