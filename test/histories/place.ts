import { delimiter, join } from 'node:path'
import { connect, secretKey } from '../engines/db-under-test.ts'
import { type ServerName, startBackend } from '../faults/site.ts'
import { createTestDatabase } from '../support/databases.ts'
import { djangoVersions, startDjango, startGunicorn } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { startLossyNetwork } from '../support/lossy-network.ts'
import { projectFolder } from '../support/places.ts'
import { type Broken, VERSIONS } from './faults.ts'
import type { Target } from './generator.ts'
import { djangoTarget, mergingTarget, startSide } from './sides.ts'

/** The databases that histories run on. */
export const DATABASES = ['mariadb', 'postgresql', 'sqlite'] as const
export type HistoryDatabase = ServerName | 'sqlite'

/** Two processes of our side on one database, what faults need, and plain Django. */
export interface Place {
  readonly broken: Omit<Broken, 'keys' | 'random'>
  readonly django: Target | null
  /** A Django whose sessions merge, behind gunicorn; it gets requests of each kind but `cycle`. */
  readonly merging: Target | null
}

export interface PlaceOptions {
  /** Whether the database gets a server of its own, which faults may crash. */
  readonly ownServer: boolean
  /** Decides which versions of Django the sides are for. */
  readonly seed: number
  readonly withDjango: boolean
  /** Whether gunicorn serves a Django whose sessions merge, too; only beside versions that read what Django 5.2 writes. */
  readonly withMerging: boolean
  /** Milliseconds for which a fault lasts. */
  readonly lasting: number
}

/** Opens a place. It ends with the scope. */
export async function openPlace(
  t: Scope,
  name: HistoryDatabase,
  { ownServer, seed, withDjango, withMerging, lasting }: PlaceOptions,
): Promise<Place> {
  const backend = ownServer && name !== 'sqlite' ? await startBackend(t, name) : null
  const url = backend?.databaseUrl ?? (await createTestDatabase(t, name)).url
  const network = name === 'sqlite' ? null : await startLossyNetwork(t, Number(new URL(url).port))
  const throughNetwork = new URL(url)
  if (network !== null) throughNetwork.port = String(network.port)
  const versions: readonly string[] = VERSIONS[seed % 2] ?? VERSIONS[0]
  const start = (version = '') => startSide(t, name === 'sqlite' ? url : throughNetwork.href, version)
  const [one, two, other] = [await start(versions[0]), await start(versions[1]), connect(url)]
  t.teardown(() => other.destroy())
  const version = versions.find((each) => djangoVersions.includes(each))
  const django =
    withDjango && version !== undefined
      ? await startDjango(t, { version, secretKey, databaseUrl: url })
      : null
  const merging = withMerging && versions.includes('5.2') ? await startMerging(t, url) : null
  const kind = name === 'mariadb' ? 'mysql' : name
  return {
    broken: { kind, sides: [one, two], network, backend, other, versions, lasting },
    django: django && djangoTarget(django.url),
    merging: merging && mergingTarget(merging.url),
  }
}

function startMerging(t: Scope, databaseUrl: string): Promise<{ url: string }> {
  const folders = [import.meta.dirname, join(projectFolder, 'python')]
  const settings = {
    DJANGO_SETTINGS_MODULE: 'merging_site.settings',
    PYTHONPATH: folders.join(delimiter),
    WEB_CONCURRENCY: '2',
  }
  return startGunicorn(t, { secretKey, databaseUrl, settings })
}
