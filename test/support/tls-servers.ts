import { chown, cp, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serverFolder } from './cache-server.ts'
import { makeCertificate } from './certificates.ts'
import { runScript } from './databases.ts'
import type { Scope } from './file-scope.ts'
import {
  type DatabaseServer,
  type NetworkServer,
  startMariadb,
  startMysql,
  startPostgresql,
} from './servers.ts'

/** A database server, and the folder of its certificate: ca.crt, server.crt, server.key. */
export interface TlsServer<S extends NetworkServer = NetworkServer> {
  readonly server: S
  /** Of the database `visits`, without options. */
  readonly url: string
  readonly folder: string
}

/** A PostgreSQL with TLS, and with this pg_hba.conf; `local all all trust` is added. */
export async function startTlsPostgresql(
  t: Scope,
  rules: readonly string[],
): Promise<TlsServer<DatabaseServer>> {
  const folder = serverFolder('certificate')
  await makeCertificate(folder, { name: 'postgres' })
  const server = await startPostgresql()
  t.teardown(() => server.stop())
  await runScript(`${server.url}/postgres`, 'CREATE DATABASE visits')
  const data = join(server.socket, 'data')
  const { uid, gid } = await stat(data)
  for (const name of ['server.crt', 'server.key', 'ca.crt']) {
    await cp(join(folder, name), join(data, name))
    await chown(join(data, name), uid, gid)
  }
  await writeFile(join(data, 'pg_hba.conf'), `${['local all all trust', ...rules].join('\n')}\n`)
  await writeFile(join(data, 'postgresql.auto.conf'), "ssl = on\nssl_ca_file = 'ca.crt'\n")
  await server.restart()
  return { server, url: `${server.url}/visits`, folder }
}

/** Starts a MariaDB or MySQL with TLS, whose certificate says `localhost`. With `insists`, it refuses connections without TLS. */
export async function startTlsMysql(
  t: Scope,
  name: 'mariadb' | 'mysql',
  { insists }: { insists: boolean },
): Promise<TlsServer> {
  const folder = serverFolder('certificate')
  await makeCertificate(folder, { names: 'DNS:localhost' })
  const start = name === 'mariadb' ? startMariadb : startMysql
  const server = await start({
    extraArguments: [
      ...[`--ssl-cert=${folder}/server.crt`, `--ssl-key=${folder}/server.key`, `--ssl-ca=${folder}/ca.crt`],
      ...(insists ? ['--require-secure-transport=ON'] : []),
    ],
    folders: [folder],
  })
  t.teardown(() => server.stop())
  await runScript(
    `${server.url}?ssl=${encodeURIComponent('{"rejectUnauthorized":false}')}`,
    'CREATE DATABASE visits',
  )
  return { server, url: `${server.url}/visits`, folder }
}
