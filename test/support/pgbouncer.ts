import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CacheServer, serverFolder, startCacheServer } from './cache-server.ts'
import { freePort } from './free-port.ts'

export interface PgbouncerOptions {
  readonly poolMode: 'session' | 'transaction'
  /** More lines of its `[pgbouncer]` section, e.g. `ignore_startup_parameters = options`. */
  readonly settings?: readonly string[]
}

/**
 * Starts a PgBouncer before the database of this URL, with its defaults but for one connection to the server, which its
 * clients share. `location` is the database's URL through it.
 */
export async function startPgbouncer(
  databaseUrl: string,
  { poolMode, settings = [] }: PgbouncerOptions,
): Promise<Pick<CacheServer, 'location' | 'stop'>> {
  const folder = serverFolder('pgbouncer')
  chmodSync(folder, 0o777) // It does not run as root.
  const port = await freePort()
  const { hostname, port: serverPort, pathname, username } = new URL(databaseUrl)
  const name = pathname.slice(1)
  const lines = [
    '[databases]',
    `${name} = host=${hostname} port=${serverPort} dbname=${name}`,
    '[pgbouncer]',
    ...['listen_addr = 127.0.0.1', `listen_port = ${port}`, 'unix_socket_dir =', 'auth_type = trust'],
    ...[`auth_file = ${folder}/users`, `pool_mode = ${poolMode}`, 'default_pool_size = 1'],
    ...settings,
  ]
  writeFileSync(join(folder, 'users'), `"${username}" ""\n`)
  writeFileSync(join(folder, 'pgbouncer.ini'), `${lines.join('\n')}\n`)
  return startCacheServer(
    {
      name: 'pgbouncer',
      port,
      location: `postgresql://${username}@127.0.0.1:${port}/${name}`,
      args: () => [...(process.getuid?.() === 0 ? ['-u', 'nobody'] : []), join(folder, 'pgbouncer.ini')],
    },
    folder,
  )
}
