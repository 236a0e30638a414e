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
  await installMissing(say, [
    ['nginx-core', findExecutable(['nginx'])],
    ['redis-server', findExecutable(['redis-server'])],
  ])
  await prepareDatabases(say)
  await installPeers(say)
  await bundleService(BUNDLE)
}

/** Installs MariaDB, PostgreSQL and Django if they are missing. @throws Error if that fails. */
export async function prepareDatabases(say: (text: string) => void): Promise<void> {
  await installMissing(say, [
    ['mariadb-server-core', findMariadbd()],
    ['postgresql', findPostgresql()],
  ])
  for (const { version, reason } of await prepareDjango(say)) say(`Django ${version}: ${reason}`)
}

/** Installs the system's packages whose program was not found. */
async function installMissing(
  say: (text: string) => void,
  found: readonly (readonly [name: string, program: string | null])[],
): Promise<void> {
  const missing = found.filter(([, program]) => program === null).map(([name]) => name)
  if (missing.length === 0) return
  say(`installing ${missing.join(' ')}`)
  await installSystemPackages(missing)
}
