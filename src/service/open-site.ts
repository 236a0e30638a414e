import { userModel } from '../auth/user-model.ts'
import { checkUserTable } from '../auth/user-table.ts'
import { TIME_DEFAULTS } from '../django/datetime.ts'
import { sessionTableOf } from '../django/session-engines.ts'
import { serializerNamed } from '../django/session-serializers.ts'
import { type VersionFromMigrations, type VersionProfile, versionProfile } from '../django/versions.ts'
import { retryRead } from '../sql/retry.ts'
import { demoSecretKey } from './demo/secret.ts'
import { type DjangoMiddleware, openDjangoMiddleware } from './django-middleware.ts'
import type { Log } from './monitoring/log.ts'
import type { Metrics } from './monitoring/metrics.ts'
import type { ReadinessCheck } from './monitoring/readiness.ts'
import { createSessionEvents } from './monitoring/session-events.ts'
import { openSessionsPage, sessionsPageAccess } from './open-sessions-page.ts'
import { checkCache, type Storage } from './open-storage.ts'
import { createRecentSaves } from './pages/recent-saves.ts'
import type { SessionsPageSite } from './pages/sessions-page.ts'
import {
  CATALOG_TABLES,
  checkRecentSessions,
  checkTables,
  checkUpdate,
  checkWrites,
  detectVersion,
  hasCatalog,
  type ReadTable,
} from './preflight.ts'
import { readinessChecks } from './readiness-checks.ts'
import { sessionTables, usersTable } from './required-tables.ts'
import { sessionDates } from './settings/session-dates.ts'
import type { Settings } from './settings/settings.ts'
import { runAt } from './start-retry.ts'

/** The Django site that the service was started for, as its databases show it. */
export interface Site {
  readonly django: DjangoMiddleware
  /** Whether the database is LocalLibrary's, so that the home page is served. */
  readonly hasHome: boolean
  /** Whether users can be read: the page about sessions needs them. */
  readonly hasUsers: boolean
  readonly sessionsPage: SessionsPageSite
  /** What `/health/ready` checks. */
  readonly checks: readonly ReadinessCheck[]
}

export interface SiteOptions {
  readonly log: Log
  readonly metrics: Metrics | null
  readonly servesLogin: boolean
  /** Called once, for the first stored session that this process has not written. */
  readonly onForeign?: (() => void) | undefined
  readonly now?: () => Date
}

/**
 * Checks the databases and the cache, and then opens sessions, users, CSRF and messages as the site's Django has them.
 * @throws {CannotStart} {DatabaseFailure} {CacheUnavailable}
 */
export async function openSite(settings: Settings, storage: Storage, options: SiteOptions): Promise<Site> {
  const { db, sessionDb, place, sessionPlace, cache } = storage
  const { log, servesLogin } = options
  const timeout = settings.database.timeout * 1000
  const written = sessionTables(settings)
  const hasHome = await runAt(place, () => hasCatalog(db))
  // A custom session hash cannot be verified, so no user is read.
  const users =
    (hasHome || servesLogin || settings.sessionsPage === 'staff') && settings.auth.sessionHash !== 'custom'
      ? [usersTable(settings, { servesLogin })]
      : []
  if (sessionDb === db) await runAt(place, () => checkTables(db, [...written, ...users]))
  else {
    await runAt(sessionPlace, () => checkTables(sessionDb, written))
    await runAt(place, () => checkTables(db, users))
  }
  const tryWrites = async () => {
    for (const table of written) await retryRead(() => checkWrites(sessionDb, table), { timeout })
  }
  await runAt(sessionPlace, tryWrites)
  for (const table of users) await checkUsers(settings, storage, { table, log, servesLogin })
  if (settings.auth.sessionHash === 'custom') log.warn('settings.warning', { warning: CUSTOM_HASH })
  if (cache !== null) await checkCache(cache, settings)
  const hasUsers = users.length > 0
  const { django, sessionsPage } = await followDjango(settings, storage, { ...options, hasUsers })
  if (!hasHome) log.warn('settings.warning', { warning: NO_HOME })
  const read = [...users, ...(hasHome ? CATALOG_TABLES : [])]
  return {
    django,
    hasHome,
    hasUsers,
    sessionsPage,
    checks: readinessChecks(settings, storage, { read, written, tryWrites }),
  }
}

const CUSTOM_HASH =
  'AUTH_SESSION_HASH is custom: this service cannot verify the sessions of users, so every visitor is anonymous here; sessions are kept'

const NO_HOME =
  'the database has no tables catalog_book, catalog_bookinstance, catalog_author that its user may read: it is not the database of LocalLibrary, and the home page is not served'

async function checkUsers(
  settings: Settings,
  { db, place }: Storage,
  { table, log, servesLogin }: { table: ReadTable; log: Log; servesLogin: boolean },
): Promise<void> {
  const model = userModel(settings.auth.userModel)
  const { lastLogin } = model.columns
  const { kind, timeout } = settings.database
  const warnings = await runAt(place, () => checkUserTable({ db, database: kind, model }))
  for (const warning of warnings) log.warn('settings.warning', { warning })
  if (!servesLogin || lastLogin === null) return
  await runAt(place, () => retryRead(() => checkUpdate(db, table, lastLogin), { timeout: timeout * 1000 }))
}

/** Finds out which Django the site runs, and does as that Django does. */
async function followDjango(
  settings: Settings,
  storage: Storage,
  { log, metrics, hasUsers, onForeign, now = () => new Date() }: SiteOptions & Pick<Site, 'hasUsers'>,
): Promise<Pick<Site, 'django' | 'sessionsPage'>> {
  const { db, sessionDb } = storage
  const { session, csrf, messages, timeZone, environment } = settings
  const { passwordHashers, ...auth } = settings.auth
  const profile = settings.profile ?? (await findProfile(settings, storage, log))
  const useTz = settings.useTz ?? TIME_DEFAULTS.useTz
  if (settings.useTz === null && !profile.useTzDefault)
    log.warn('settings.warning', { warning: USE_TZ_ASSUMED })
  const secretKeys = settings.secretKeys ?? ([demoSecretKey(fileOf(settings.database))] as const)
  const given = settings.profile !== null
  log.info('django.profile', { version: profile.version, given, useTz, timeZone })
  if (!settings.allowUnverifiedSessions)
    await checkKeys(settings, storage, { secretKeys, profile, useTz, now })
  const saves = createRecentSaves({ now })
  const django = openDjangoMiddleware({
    ...session,
    ...(settings.cache !== null && { cache: settings.cache }),
    db: sessionDb,
    secretKeys,
    profile,
    useTz,
    timeZone,
    databaseTimeZone: settings.sessionDatabaseTimeZone,
    now,
    csrf,
    messages,
    auth: {
      ...auth,
      db,
      databaseTimeZone: settings.databaseTimeZone,
      ...(passwordHashers !== null && { passwordHashers }),
      onPasswordRefused: (userId, refusal) => log.warn('auth.password_refused', { userId, refusal }),
      onUnverified: ({ reason, message }) => log.warn('auth.unverified', { reason, message }),
    },
    conflictTimeout: settings.database.timeout * 1000,
    events: {
      ...createSessionEvents({ log, metrics, environment }),
      save: sessionsPageAccess(settings) === null ? null : saves.record,
    },
    onForeign,
  })
  const sessionsPage = openSessionsPage(settings, storage, {
    django,
    secretKeys,
    profile,
    useTz,
    saves,
    hasUsers,
    now,
  })
  return { django, sessionsPage }
}

/** The Django version that the site's migrations show. @throws {UnknownVersion} {DatabaseFailure} */
async function findProfile(
  { database, defaultHashingAlgorithm }: Settings,
  { db, place }: Storage,
  log: Log,
): Promise<VersionProfile> {
  const detected = await runAt(place, () => detectVersion(db))
  const isDemo = database.kind === 'sqlite' && database.embedded
  if (!isDemo) log.warn('settings.warning', { warning: versionGuessed(detected) })
  return versionProfile(detected.version, { defaultHashingAlgorithm })
}

function versionGuessed({ version, range: [oldest, newest] }: VersionFromMigrations): string {
  return `DJANGO_VERSION is not set; ${version} is guessed, but Django ${oldest} to ${newest} leave the same migrations and differ in many small rules. Set DJANGO_VERSION to what \`python -m django --version\` prints at the Django site`
}

const USE_TZ_ASSUMED =
  'USE_TZ is not set; True is assumed, as startproject writes. Set USE_TZ and TIME_ZONE as in settings.py'

/** Checks the secret keys on the most recent sessions. @throws {NoSessionVerifies} {DatabaseFailure} */
async function checkKeys(
  settings: Settings,
  { sessionDb, sessionPlace }: Storage,
  {
    secretKeys,
    profile,
    useTz,
    now,
  }: {
    secretKeys: NonNullable<Settings['secretKeys']>
    profile: VersionProfile
    useTz: boolean
    now: () => Date
  },
): Promise<void> {
  const { session } = settings
  const table = session.table ?? sessionTableOf(session.engine)
  if (table === null) return
  const { storeClass } = session
  const dates = sessionDates(settings, { useTz })
  const codecOptions = {
    secretKeys,
    profile,
    serializer: serializerNamed(session.serializer, profile),
    ...(storeClass !== null && { storeClass }),
  }
  await runAt(sessionPlace, () => checkRecentSessions(sessionDb, { ...codecOptions, table, dates, now }))
}

function fileOf(database: Settings['database']): string {
  if (database.kind === 'sqlite') return database.filename
  throw new TypeError('only the embedded demo has a secret key of its own')
}
