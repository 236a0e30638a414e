import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { connect, secretKey } from '../engines/db-under-test.ts'
import { type ServerName, startBackend } from '../faults/site.ts'
import { createTestDatabase } from '../support/databases.ts'
import { djangoVersions, startDjango, startGunicorn } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { startLossyNetwork } from '../support/lossy-network.ts'
import { projectFolder } from '../support/places.ts'
import { until } from '../support/until.ts'
import { type Broken, VERSIONS } from './faults.ts'
import { cachesOf, fileBasedCache } from './file-based-cache.ts'
import type { Target } from './generator.ts'
import type { Kind } from './history.ts'
import { createMergingSide, djangoTarget, type MergingSide, startSide } from './sides.ts'

/** The databases that histories run on. */
export const DATABASES = ['mariadb', 'postgresql', 'sqlite'] as const
export type HistoryDatabase = ServerName | 'sqlite'

/** Two processes of our side on one database, what faults need, and plain Django. */
export interface Place {
  readonly broken: Omit<Broken, 'keys' | 'random'>
  readonly django: Target | null
  readonly merging: MergingSide | null
  /** The kinds of requests that must not be sent here. */
  readonly without: readonly Kind[]
}

export interface PlaceOptions {
  /** Whether the database gets a server of its own, which faults may crash. */
  readonly ownServer: boolean
  /** Decides which versions of Django the sides are for. */
  readonly seed: number
  readonly withDjango: boolean
  /** The session engine of a further Django, behind gunicorn; null: there is none. See `mergingEngineOf`. */
  readonly merging: string | null
  /** Milliseconds for which a fault lasts. */
  readonly lasting: number
}

/** The session engine of the Django that merges beside the sides of this seed; null: they do not read what Django 5.2 writes. */
export function mergingEngineOf(seed: number): string | null {
  if (!versionsOf(seed).includes('5.2') || !djangoVersions.includes('5.2')) return null
  return seed % 4 === 1 ? 'merging_sessions.db' : 'merging_sessions.cached_db'
}

function versionsOf(seed: number): readonly string[] {
  return VERSIONS[seed % 2] ?? VERSIONS[0]
}

/** Opens a place. It ends with the scope. */
export async function openPlace(
  t: Scope,
  name: HistoryDatabase,
  { ownServer, seed, withDjango, merging: engine, lasting }: PlaceOptions,
): Promise<Place> {
  const backend = ownServer && name !== 'sqlite' ? await startBackend(t, name) : null
  const url = backend?.databaseUrl ?? (await createTestDatabase(t, name)).url
  const network = name === 'sqlite' ? null : await startLossyNetwork(t, Number(new URL(url).port))
  const throughNetwork = new URL(url)
  if (network !== null) throughNetwork.port = String(network.port)
  const sidesUrl = network === null ? url : throughNetwork.href
  const versions = versionsOf(seed)
  const readsCopies = engine?.endsWith('.cached_db') ?? false
  const cacheFolder = readsCopies ? temporaryFolder(t) : null
  const clockFile = join(temporaryFolder(t), 'clock')
  const start = (version = '') => startSide(t, sidesUrl, { version, cacheFolder })
  const [one, two, other] = [await start(versions[0]), await start(versions[1]), connect(url)]
  t.teardown(() => other.destroy())
  const version = versions.find((each) => djangoVersions.includes(each))
  const django =
    withDjango && version !== undefined
      ? await startDjango(t, { version, secretKey, databaseUrl: url })
      : null
  const gunicorn =
    engine === null ? null : await startMerging(t, sidesUrl, { engine, cacheFolder, clockFile })
  const merging = gunicorn && createMergingSide(t, gunicorn, { readsCopies, clockFile })
  const kind = name === 'mariadb' ? 'mysql' : name
  return {
    broken: { kind, sides: [one, two], merging, network, backend, other, versions, lasting },
    django: django && djangoTarget(django.url),
    merging,
    // A copy in the cache does not say that its row has expired meanwhile, so Django may still change it.
    without: readsCopies ? ['expire'] : [],
  }
}

async function startMerging(
  t: Scope,
  databaseUrl: string,
  { engine, cacheFolder, clockFile }: { engine: string; cacheFolder: string | null; clockFile: string },
): Promise<{ url: string; workers(): number[] }> {
  const folders = [import.meta.dirname, join(projectFolder, 'python')]
  const settings = {
    DJANGO_SETTINGS_MODULE: 'merging_site.settings',
    PYTHONPATH: folders.join(delimiter),
    WEB_CONCURRENCY: '2',
    SESSION_ENGINE: engine,
    SESSION_CLOCK_FILE: clockFile,
    ...(cacheFolder !== null && { CACHES: cachesOf(fileBasedCache(cacheFolder)) }),
  }
  const { url, workers } = await startGunicorn(t, { secretKey, databaseUrl, settings })
  await until('gunicorn has both workers', () => workers().length === 2)
  return { url, workers }
}

function temporaryFolder(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'histories-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 20 }))
  return folder
}
