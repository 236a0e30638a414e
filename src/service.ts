import { createHmac, randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import type { Knex } from 'knex'
import { createCatalog } from './catalog.ts'
import { openDatabase } from './database.ts'
import { ensureDemoDatabase } from './demo/demo-database.ts'
import { demoSecretKey } from './demo/secret.ts'
import { createDateColumn } from './django/datetime.ts'
import { versionProfile } from './django/versions.ts'
import { djangoSessions } from './django-sessions.ts'
import type { Settings } from './settings.ts'
import { checkRecentSessions, checkTables, detectVersion } from './startup.ts'
import { createApp } from './web/app.ts'
import type { Log } from './web/log.ts'

export interface Service {
  readonly listener: RequestListener
  /** From now on `/health/ready` says 503. */
  drain(): void
  /** Closes the database connections; nothing may be running any more. */
  close(): Promise<void>
}

export interface ServiceOptions {
  readonly log: Log
  readonly now?: () => Date
  /** For the foot of the page. */
  readonly version?: string
}

/**
 * The whole service on the database that the settings name.
 * @throws {MissingTables} {NoSessionVerifies} and what the database driver throws; nothing is left open then.
 */
export async function createService(settings: Settings, options: ServiceOptions): Promise<Service> {
  const { database } = settings
  if (database.kind === 'sqlite' && database.embedded) {
    const { created } = await ensureDemoDatabase(database.filename)
    if (created) options.log.info('demo.created', { file: database.filename })
  }
  const db = openDatabase(database)
  try {
    return await wire(settings, db, options)
  } catch (error) {
    await db.destroy()
    throw error
  }
}

async function wire(
  settings: Settings,
  db: Knex,
  { log, now = () => new Date(), version }: ServiceOptions,
): Promise<Service> {
  await checkTables(db)
  const { defaultHashingAlgorithm, session, timeZone, environment, trustedProxy } = settings
  const djangoVersion = settings.djangoVersion ?? (await detectVersion(db))
  const profile = versionProfile(djangoVersion, { defaultHashingAlgorithm })
  const useTz = settings.useTz ?? profile.useTzDefault
  const secretKeys = settings.secretKeys ?? ([demoSecretKey(fileOf(settings.database))] as const)
  log.info('django.profile', {
    version: djangoVersion,
    given: settings.djangoVersion !== null,
    useTz,
    timeZone,
  })
  if (!settings.allowUnverifiedSessions) {
    const dates = createDateColumn({ database: settings.database.kind, useTz, timeZone })
    await checkRecentSessions(db, { secretKeys, profile, dates, now })
  }

  const hash = createKeyHash()
  let isDraining = false
  const app = createApp({
    sessionMiddleware: djangoSessions({
      ...session,
      db,
      secretKeys,
      djangoVersion,
      defaultHashingAlgorithm,
      useTz,
      timeZone,
      now,
      onUnreadable: (sessionKey, { reason, message }) =>
        log.warn('session.unreadable', { keyHash: hash(sessionKey), reason, message }),
      ...(environment === 'development' && {
        onLostChange: (keys: readonly string[]) =>
          log.warn('session.lost_change', { keys, hint: LOST_CHANGE }),
      }),
    }),
    catalog: createCatalog({ db }),
    ping: async () => {
      await db.raw('SELECT 1')
    },
    isDraining: () => isDraining,
    log,
    trustedProxy,
    environment,
    ...(version !== undefined && { version }),
  })
  return {
    listener: app.callback(),
    drain() {
      isDraining = true
    },
    close: () => db.destroy(),
  }
}

const LOST_CHANGE =
  'a value was changed inside but not saved; set session.modified = true after such a change'

function fileOf(database: Settings['database']): string {
  if (database.kind === 'sqlite') return database.filename
  throw new TypeError('only the embedded demo has a secret key of its own')
}

/** Session keys are secrets: a log shows a short hash, keyed anew in each process. */
function createKeyHash(): (sessionKey: string) => string {
  const secret = randomBytes(32)
  return (sessionKey) => createHmac('sha256', secret).update(sessionKey).digest('hex').slice(0, 12)
}
