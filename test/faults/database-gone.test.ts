import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { testDatabases } from '../support/databases.ts'
import { type Load, startLoad, summary, type Visit, visitHome } from '../support/load.ts'
import { assertNothingLost, type Backend, type ServerName, startBackend, startReadyService } from './site.ts'

/** Milliseconds: the default timeout of the service, its grace period, and an allowance for a shared machine. */
const ANSWERED_WITHIN = 2000 + 1000 + 2000
const RESUMED_WITHIN = 2000 + 4000

const ok = (visit: Visit) => visit.status === 200
const unavailable = (visit: Visit) => visit.status === 503

interface Fault {
  readonly title: string
  /** Causes the fault; returns a function that ends it. */
  make(backend: Backend): Promise<() => unknown>
  readonly env?: Readonly<Record<string, string>>
}

const faults: readonly Fault[] = [
  {
    title: 'is killed and restarted',
    async make(backend) {
      await backend.crash()
      return () => backend.restart()
    },
  },
  {
    title: 'is frozen',
    async make(backend) {
      backend.freeze()
      return () => backend.thaw()
    },
  },
  {
    title: 'has no connection left',
    async make(backend) {
      const administrator = await backend.connect()
      if (backend.name === 'mariadb') {
        for (let taken = 0; taken < 10; taken += 1) await backend.connect()
        await administrator.sql('SET GLOBAL max_connections = 10')
      } else await administrator.sql('ALTER ROLE site CONNECTION LIMIT 0')
      await backend.dropConnections(administrator)
      return () =>
        administrator.sql(
          backend.name === 'mariadb'
            ? 'SET GLOBAL max_connections = 100'
            : 'ALTER ROLE site CONNECTION LIMIT -1',
        )
    },
  },
  {
    title: 'is read-only',
    async make(backend) {
      const { sql, end } = await backend.connect()
      const setTo = async (value: 'on' | 'off') => {
        if (backend.name === 'mariadb') await sql(`SET GLOBAL read_only = ${value}`)
        else {
          await sql(`ALTER SYSTEM SET default_transaction_read_only = ${value}`)
          await sql('SELECT pg_reload_conf()')
          // Its processes learn of it one after another, and pass it on to those that they start.
          while (
            (await sql('SHOW default_transaction_read_only'))[0]?.default_transaction_read_only !== value
          )
            await delay(10)
          if (value === 'on') await backend.dropConnections({ sql, end })
        }
      }
      await setTo('on')
      return () => setTo('off')
    },
  },
  {
    title: 'answers no query, because another client has locked the table,',
    env: { DATABASE_POOL_SIZE: '2' },
    async make(backend) {
      const { sql } = await backend.connect()
      if (backend.name === 'mariadb') await sql('LOCK TABLES django_session WRITE')
      else {
        await sql('BEGIN')
        await sql('LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE')
      }
      return () => sql(backend.name === 'mariadb' ? 'UNLOCK TABLES' : 'ROLLBACK')
    },
  },
]

const servers = (['mariadb', 'postgresql'] as const satisfies readonly ServerName[]).filter((name) =>
  testDatabases.includes(name),
)

for (const name of servers) {
  for (const { title, make, env } of faults) {
    test.serial(`no visit is lost or counted twice while ${name} ${title} under load`, async (t) => {
      t.timeout(110_000)
      const backend = await startBackend(t, name)
      const service = await startReadyService(t, backend.databaseUrl, env)
      const { first, load } = await startVisitors(service.url)
      await load.more(200, ok)

      const mend = await make(backend)
      const madeAt = performance.now()
      // Longer than every timeout, so that all of them occur.
      await Promise.all([load.more(64, unavailable), delay(3500)])
      t.is((await fetch(`${service.url}/health/live`)).status, 200)
      const mendingAt = performance.now()
      await mend()
      const mendedAt = performance.now()
      await load.more(200, ok)
      const visits = [first, ...(await load.stop())]

      const during = visits.filter((visit) => visit.startedAt > madeAt && visit.endedAt < mendingAt)
      const resumedAt = Math.min(
        ...visits
          .filter(ok)
          .map(({ endedAt }) => endedAt)
          .filter((at) => at > mendingAt),
      )
      t.log(`${summary(visits)}; ${describe(visits)}; resumed after ${Math.round(resumedAt - mendedAt)} ms`)
      t.is(summary(during.filter((visit) => !unavailable(visit))), '')
      assertAnswered(t, visits)
      t.true(resumedAt - mendedAt < RESUMED_WITHIN, `resumed after ${resumedAt - mendedAt} ms`)
      await assertNothingLost(t, backend.databaseUrl, visits)
      t.true(service.isRunning)
    })
  }

  test.serial(
    `no visit is lost or counted twice while connections to ${name} are dropped under load`,
    async (t) => {
      t.timeout(110_000)
      const backend = await startBackend(t, name)
      const service = await startReadyService(t, backend.databaseUrl)
      const { first, load } = await startVisitors(service.url)
      await load.more(200, ok)
      const administrator = await backend.connect()
      for (let times = 0; times < 20; times += 1) {
        await backend.dropConnections(administrator)
        await load.more(20, ok)
      }
      const visits = [first, ...(await load.stop())]
      t.log(`${summary(visits)}; ${describe(visits)}`)
      assertAnswered(t, visits)
      await assertNothingLost(t, backend.databaseUrl, visits)
      t.true(service.isRunning)
    },
  )
}

/** 16 visitors with separate sessions, and 16 that share one, created by the first visit. */
async function startVisitors(url: string): Promise<{ first: Visit; load: Load }> {
  const first = await visitHome(url)
  const hot = Array.from({ length: 16 }, () => first.sessionKey ?? undefined)
  const own = Array.from({ length: 16 }, () => undefined)
  return { first, load: startLoad(url, { sessionKeys: [...hot, ...own] }) }
}

/** Every request is answered in time: with the page, or a 503 with Retry-After. */
function assertAnswered(t: ExecutionContext, visits: readonly Visit[]): void {
  t.is(summary(visits.filter((visit) => !ok(visit) && !unavailable(visit))), '')
  t.is(visits.filter((visit) => unavailable(visit) && !(Number(visit.retryAfter) > 0)).length, 0)
  t.is(visits.filter((visit) => visit.endedAt - visit.startedAt > ANSWERED_WITHIN).length, 0)
}

function describe(visits: readonly Visit[]): string {
  const longest = Math.max(...visits.map(({ startedAt, endedAt }) => endedAt - startedAt))
  return `the longest took ${Math.round(longest)} ms`
}
