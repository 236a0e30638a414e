import { bundleService } from '../test/support/bundle.ts'
import { prepareDjango } from '../test/support/django-environments.ts'
import { findExecutable } from '../test/support/executables.ts'
import { findMariadbd, findPostgresql } from '../test/support/servers.ts'
import { installSystemPackages } from '../test/support/system-packages.ts'
import { installPeers } from './packages.ts'
import { BUNDLE } from './targets.ts'

/**
 * Installs the databases, nginx, Redis, Django and the compared packages if they are missing, and bundles the service.
 * @throws Error if that fails.
 */
export async function prepare(say: (text: string) => void): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the benchmark needs Linux, because it reads /proc')
  await prepareDatabases(say)
  for (const [program, systemPackage] of [
    ['nginx', 'nginx-core'],
    ['redis-server', 'redis-server'],
  ] as const) {
    if (findExecutable([program]) !== null) continue
    say(`installing ${systemPackage}`)
    await installSystemPackages([systemPackage])
  }
  await installPeers(say)
  await bundleService(BUNDLE)
}

/** Installs MariaDB, PostgreSQL and Django if they are missing. @throws Error if that fails. */
export async function prepareDatabases(say: (text: string) => void): Promise<void> {
  if (findMariadbd() === null) {
    say('installing mariadb-server-core')
    await installSystemPackages(['mariadb-server-core'])
  }
  if (findPostgresql() === null) {
    say('installing postgresql')
    await installSystemPackages(['postgresql'])
  }
  for (const { version, reason } of await prepareDjango(say)) say(`Django ${version}: ${reason}`)
}
