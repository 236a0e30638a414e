import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runSql } from './databases.ts'
import type { Scope } from './file-scope.ts'
import { freePort } from './free-port.ts'
import { type DatabaseServer, findGalera, startMariadb } from './servers.ts'
import { temporaryFolder } from './service.ts'

/**
 * Starts a Galera cluster of three MariaDB servers, all of which take writes. It ends with the scope.
 * @throws Error when MariaDB or Galera is not installed.
 */
export async function startGalera(t: Scope): Promise<readonly DatabaseServer[]> {
  const provider = findGalera()
  if (provider === null) throw new Error('Galera is not installed (Debian: galera-4)')
  // Nodes with the same data that are equally far join without a transfer, which would need programs that Debian has
  // in mariadb-server alone, and an account that is not root.
  const empty = temporaryFolder(t)
  await (await startMariadb({ dir: empty })).stop()
  const addresses: string[] = []
  const nodes: DatabaseServer[] = []
  for (const name of ['one', 'two', 'three']) {
    const [group, transfer] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
    const options = [`gmcast.listen_addr=tcp://${group}`, `ist.recv_addr=${transfer}`, ...PROVIDER_OPTIONS]
    const dir = temporaryFolder(t)
    await cp(join(empty, 'data'), join(dir, 'data'), { recursive: true })
    const position =
      nodes[0] === undefined ? 0 : Number((await galeraStatus(nodes[0])).get('wsrep_last_committed'))
    await writeFile(join(dir, 'data/grastate.dat'), grastate(position))
    const node = await startMariadb({
      dir,
      extraArguments: [
        ...['--wsrep-on=ON', `--wsrep-provider=${provider}`, '--binlog-format=ROW'],
        ...['--innodb-autoinc-lock-mode=2', '--wsrep-slave-threads=2'],
        `--wsrep-cluster-address=gcomm://${addresses.join()}`,
        ...(nodes.length === 0 ? ['--wsrep-new-cluster'] : []),
        ...[`--wsrep-node-name=${name}`, `--wsrep-node-address=${group}`],
        `--wsrep-provider-options=${options.join(';')}`,
      ],
    })
    t.teardown(() => node.stop())
    addresses.push(group)
    nodes.push(node)
    await joined(nodes)
  }
  return nodes
}

/** What `SHOW STATUS` says of one node's part in the cluster. */
export async function galeraStatus(node: DatabaseServer): Promise<ReadonlyMap<string, string>> {
  const rows = await runSql(node.url, "SHOW GLOBAL STATUS LIKE 'wsrep%'")
  return new Map(rows.map((row) => [String(row.Variable_name), String(row.Value)]))
}

/** What a node finds of its last life: how far it had come in the cluster's history. */
function grastate(position: number): string {
  const history = 'c1a5c1a5-0000-4000-8000-000000000001'
  const fields = { version: '2.1', uuid: history, seqno: position, safe_to_bootstrap: position === 0 ? 1 : 0 }
  return `# GALERA saved state\n${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('')}`
}

/** A node that says nothing for two seconds is taken for dead: enough for a busy machine. Galera's own are five. */
const PROVIDER_OPTIONS = [
  'gcache.size=16M',
  'evs.keepalive_period=PT0.5S',
  'evs.inactive_check_period=PT0.5S',
  'evs.suspect_timeout=PT2S',
  'evs.inactive_timeout=PT4S',
]

/** Waits, 30 seconds at most, until all of these are one cluster and ready. */
async function joined(nodes: readonly DatabaseServer[]): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const states = await Promise.all(nodes.map(galeraStatus))
    const isReady = states.every(
      (state) =>
        state.get('wsrep_local_state_comment') === 'Synced' &&
        state.get('wsrep_cluster_size') === String(nodes.length),
    )
    if (isReady) return
    if (attempt === 300) throw new Error('The Galera nodes did not find each other')
    await delay(100)
  }
}
