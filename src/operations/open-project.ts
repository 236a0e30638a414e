import type { Knex } from 'knex'
import { createDateColumn, type DateColumn, TIME_DEFAULTS } from '../django/datetime.ts'
import { createSessionCodec, type SessionCodec } from '../django/session-data.ts'
import { sessionTableOf } from '../django/session-engines.ts'
import { type VersionProfile, versionProfile } from '../django/versions.ts'
import { demoSecretKey } from '../service/demo/secret.ts'
import { openStorage, type Storage } from '../service/open-storage.ts'
import { detectVersion } from '../service/preflight.ts'
import { codecOptionsOf } from '../service/settings/codec-options.ts'
import type { Settings } from '../service/settings/settings.ts'
import { attemptOnce, runAt } from '../service/start-retry.ts'

/** The Django project that the settings describe, as operations use it. Nothing is checked but that its databases answer. */
export interface Project {
  readonly settings: Settings
  readonly storage: Storage
  /** The database of the users. */
  readonly db: Knex
  /** The database of the sessions; the same as `db` without SESSION_DATABASE_URL. */
  readonly sessionDb: Knex
  /** The first is SECRET_KEY, the others are its fallbacks. */
  readonly secretKeys: readonly [string, ...string[]]
  /** The rules of DJANGO_VERSION, or else of the version that the migrations show. */
  readonly profile: VersionProfile
  /** USE_TZ; true where it is not set. */
  readonly useTz: boolean
  /** The table of the sessions; null for an engine without a table. */
  readonly table: string | null
  /** Reads and writes `session_data` as the site's session engine does. */
  readonly codec: SessionCodec
  /** Reads and writes `expire_date` of the session table. */
  readonly dates: DateColumn
  readonly now: () => Date
  /** Runs queries on the database of the sessions. @throws {CannotStart} naming the setting and the reason. */
  onSessionDatabase<R>(queries: () => Promise<R>): Promise<R>
  /** Runs queries on the database of the users. @throws {CannotStart} naming the setting and the reason. */
  onUserDatabase<R>(queries: () => Promise<R>): Promise<R>
  close(): Promise<void>
}

/**
 * Opens the databases that the settings name, and finds out which Django uses them.
 * @throws {CannotStart} {UnknownVersion} {EmptySecret}
 */
export async function openProject(
  settings: Settings,
  { now = () => new Date(), storage: given }: ProjectOptions = {},
): Promise<Project> {
  if (given !== undefined) return { ...(await projectOf(settings, given, now)), close: async () => {} }
  const storage = openStorage(settings)
  try {
    return await projectOf(settings, storage, now)
  } catch (error) {
    await storage.close()
    throw error
  }
}

export interface ProjectOptions {
  readonly now?: () => Date
  /** The open databases of the running service, which stay open; default: they are opened, and closed with the project. */
  readonly storage?: Storage
}

async function projectOf(settings: Settings, storage: Storage, now: () => Date): Promise<Project> {
  const { session, timeZone, database, sessionDatabase, sessionDatabaseTimeZone } = settings
  const { db, sessionDb, place, sessionPlace } = storage
  const onUserDatabase = <R>(queries: () => Promise<R>) => attemptOnce(() => runAt(place, queries))
  const onSessionDatabase = <R>(queries: () => Promise<R>) => attemptOnce(() => runAt(sessionPlace, queries))
  const profile = settings.profile ?? (await onUserDatabase(() => detectedProfile(settings, db)))
  const secretKeys = settings.secretKeys ?? ([demoSecretKey(fileOf(settings))] as const)
  const useTz = settings.useTz ?? TIME_DEFAULTS.useTz
  return {
    settings,
    storage,
    db,
    sessionDb,
    secretKeys,
    profile,
    useTz,
    table: session.table ?? sessionTableOf(session.engine),
    codec: createSessionCodec(codecOptionsOf(settings, { secretKeys, profile, now })),
    dates: createDateColumn({
      database: (sessionDatabase ?? database).kind,
      useTz,
      timeZone,
      databaseTimeZone: sessionDatabaseTimeZone,
    }),
    now,
    onUserDatabase,
    onSessionDatabase,
    close: () => storage.close(),
  }
}

async function detectedProfile({ defaultHashingAlgorithm }: Settings, db: Knex): Promise<VersionProfile> {
  const { version } = await detectVersion(db)
  return versionProfile(version, { defaultHashingAlgorithm })
}

/** Only the embedded demo has no DJANGO_SECRET_KEY: readSettings demands one with DATABASE_URL. */
function fileOf({ database }: Settings): string {
  return database.kind === 'sqlite' ? database.filename : ''
}
