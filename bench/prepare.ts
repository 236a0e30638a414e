import { bundleService } from '../test/support/bundle.ts'
import { prepareDjango } from '../test/support/django-environments.ts'
import { findMariadbd } from '../test/support/servers.ts'
import { installSystemPackages } from '../test/support/system-packages.ts'
import { installPeers } from './packages.ts'
import { BUNDLE } from './targets.ts'

/** Gets what the benchmark needs and the machine lacks: MariaDB, Django, the peers, the service as it is now. @throws Error where it cannot. */
export async function prepare(say: (text: string) => void): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc, and so needs Linux')
  if (findMariadbd() === null) {
    say('installing mariadb-server-core')
    await installSystemPackages(['mariadb-server-core'])
  }
  await installPeers(say)
  await bundleService(BUNDLE)
  for (const { version, reason } of await prepareDjango(say)) say(`Django ${version}: ${reason}`)
}
