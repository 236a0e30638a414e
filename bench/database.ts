import type { Scope } from '../test/support/file-scope.ts'
import { type DatabaseServer, startMariadb, startPostgresql } from '../test/support/servers.ts'

/** Starts MariaDB with durable commits, as in production and unlike the tests' server. */
export async function startDurableMariadb(
  scope: Scope,
  { bufferPool, logFile }: { bufferPool: string; logFile: string },
): Promise<DatabaseServer> {
  const server = await startMariadb({
    extraArguments: [
      '--innodb-flush-log-at-trx-commit=1',
      '--innodb-flush-method=fsync',
      `--innodb-buffer-pool-size=${bufferPool}`,
      `--innodb-log-file-size=${logFile}`,
    ],
  })
  scope.teardown(() => server.stop())
  return server
}

/** Starts PostgreSQL with durable commits, as in production and unlike the tests' server. */
export async function startDurablePostgresql(
  scope: Scope,
  { sharedBuffers }: { sharedBuffers: string },
): Promise<DatabaseServer> {
  const settings = ['fsync=on', 'full_page_writes=on', `shared_buffers=${sharedBuffers}`]
  const server = await startPostgresql({ extraArguments: settings.flatMap((setting) => ['-c', setting]) })
  scope.teardown(() => server.stop())
  return server
}
