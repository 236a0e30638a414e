import { readFileSync } from 'node:fs'
import test from 'ava'
import { assertNothingLost, startReadyService } from '../../faults/site.ts'
import { runScript, runSql } from '../../support/databases.ts'
import { fileScope, type Scope } from '../../support/file-scope.ts'
import { galeraStatus, startGalera } from '../../support/galera.ts'
import { startLoad, summary, type Visit, visitHome } from '../../support/load.ts'
import type { DatabaseServer } from '../../support/servers.ts'

const HOT = 8
const MANY = 8
const isOk = ({ status }: Visit): boolean => status === 200

const file = fileScope(test)
let nodes: readonly DatabaseServer[] = []

test.before('a cluster of three nodes with the tables of LocalLibrary', async (t) => {
  t.timeout(60_000)
  nodes = await startGalera(file)
  const schema = readFileSync(new URL('../../support/schema/mariadb.sql', import.meta.url), 'utf8')
  await runScript(urlOf(0, ''), 'CREATE DATABASE library')
  await runScript(urlOf(0), schema)
})

test.serial('a page sees what the previous page saved, also through a node that lags behind', async (t) => {
  t.timeout(60_000)
  const [first, second] = await twoServices(t)
  await runSql(urlOf(0), "CREATE TABLE ballast SELECT seq AS id, '' AS text FROM seq_1_to_30000")
  await runSql(urlOf(0), 'ALTER TABLE ballast ADD PRIMARY KEY (id), MODIFY text varchar(40) NOT NULL')
  for (let visitor = 0; visitor < 5; visitor += 1) {
    // The first node has applied it when the statement returns; the others apply it later, and then what follows.
    await runSql(urlOf(0), 'UPDATE ballast SET text = uuid()')
    const { sessionKey, shown } = await visitHome(first.url)
    t.is(shown, 1)
    t.like(await visitHome(second.url, { sessionKey: sessionKey ?? '' }), {
      status: 200,
      shown: 2,
      sessionKey,
    })
    t.like(await visitHome(first.url, { sessionKey: sessionKey ?? '' }), {
      status: 200,
      shown: 3,
      sessionKey,
    })
  }
})

test.serial(
  'one node is killed under load: the others go on serving, and no acknowledged visit is lost',
  async (t) => {
    t.timeout(90_000)
    const services = await twoServices(t)
    const { sessionKey: hot } = await visitHome(services[0].url)
    const first = { ...(await visitHome(services[1].url, { sessionKey: hot ?? '' })), shown: 2 }
    const sessionKeys = [...Array(HOT).fill(hot ?? ''), ...Array(MANY).fill(undefined)]
    const loads = services.map(({ url }) => startLoad(url, { sessionKeys, limit: 1500 }))

    await Promise.all(loads.map((load) => load.more(300, isOk)))
    await nodes[0]?.kill()
    // Requests in flight end first; later ones reach the other nodes only.
    await Promise.all(loads.map((load) => load.more(2 * (HOT + MANY), () => true)))
    await Promise.all(loads.map((load) => load.more(300, isOk)))
    const visits = (await Promise.all(loads.map((load) => load.stop()))).flat()

    t.log(summary(visits))
    t.deepEqual(
      visits.filter(({ status }) => status !== 200 && status !== 503),
      [],
    )
    t.true(services.every((service) => service.isRunning))
    const status = await Promise.all(nodes.slice(1).map(galeraStatus))
    t.deepEqual(
      status.map((node) => node.get('wsrep_cluster_size')),
      ['2', '2'],
    )
    const conflicts = status.map((node) =>
      ['wsrep_local_cert_failures', 'wsrep_local_bf_aborts'].reduce(
        (sum, name) => sum + Number(node.get(name)),
        0,
      ),
    )
    t.log(`conflicts between nodes: ${conflicts.join(', ')}`)
    t.true(
      conflicts.some((count) => count > 0),
      'both nodes wrote the same row at the same time',
    )
    const rows = (at: number) =>
      runSql(urlOf(at), 'SELECT session_key, session_data FROM django_session ORDER BY session_key')
    t.deepEqual(await rows(1), await rows(2))
    // The two visits before the load were visits 1 and 2 of the hot session.
    await assertNothingLost(t, urlOf(1), [{ ...first, shown: 1 }, first, ...visits])
  },
)

/** One process prefers the first node, the other the second; both may use all. */
async function twoServices(t: Scope) {
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`)
  const [one = '', two = '', three = ''] = hosts
  const start = (...order: string[]) => startReadyService(t, `mysql://root@${order.join()}/library`)
  return await Promise.all([start(one, three, two), start(two, one, three)])
}

function urlOf(node: number, name = 'library'): string {
  return `${nodes[node]?.url}/${name}`
}
