import type { Scope } from '../test/support/file-scope.ts'
import { type DatabaseServer, startMariadb } from '../test/support/servers.ts'

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
