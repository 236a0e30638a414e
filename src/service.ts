import { createHmac, randomBytes } from 'node:crypto'
import type { IncomingMessage, RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Knex } from 'knex'
import { whyNoPasswords } from './auth/backends.ts'
import { createLoginTries } from './auth/login-tries.ts'
import { userModel } from './auth/user-model.ts'
import { checkUserTable } from './auth/user-table.ts'
import { createCatalog } from './catalog.ts'
import { measureClockSkew } from './clock-skew.ts'
import { openDatabase } from './database.ts'
import { ensureDemoDatabase } from './demo/demo-database.ts'
import { demoSecretKey } from './demo/secret.ts'
import { createDateColumn } from './django/datetime.ts'
import { serializerNamed } from './django/session-data.ts'
import { versionProfile } from './django/versions.ts'
import { retryRead } from './engines/retrying.ts'
import type { CacheFailure } from './engines/stale-entries.ts'
import { sessionTableOf } from './session-engine.ts'
import type { Settings } from './settings.ts'
import { CATALOG_TABLES, checkRecentSessions, checkTables, detectVersion } from './startup.ts'
import { openVisitors, type Visitors } from './visitors.ts'
import { createApp } from './web/app.ts'
import { errorFields, type Log } from './web/log.ts'
import { createMetrics, type Metrics, type PoolState } from './web/metrics.ts'
import { isPassing } from './web/statuses.ts'
import { limitTime } from './web/time-limit.ts'
import { createUpstream, type Upstream } from './web/upstream.ts'

export interface Service {
  readonly listener: RequestListener
  /** Passes WebSockets on to Django; null where there is none behind us. */
  readonly onUpgrade: ((request: IncomingMessage, socket: Socket, head: Buffer) => void) | null
  /** Answers `/metrics`, on another port; null where the settings want none. */
  readonly metricsListener: RequestListener | null
  /**
   * Resolves once the database has been looked at and pages are served; until then `/health/ready` and every page say
   * 503, and a database that is away is asked again and again.
   * @throws {MissingTables} {NoSessionVerifies} and whatever else waiting does not mend.
   */
  readonly ready: Promise<void>
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

/** The database has not been reached since the start. */
export class NotReady extends Error {
  override name = 'NotReady'
  readonly code: string = 'ERR_NOT_READY'
}

/** Milliseconds that a request may take beyond the database's time-out. */
const REQUEST_GRACE = 1000

/** Milliseconds more for a login: a password is slow to check by design, and waits for those before it. */
const LOGIN_GRACE = 10_000

/** Milliseconds between two looks at a database that is away. */
const RETRY_INTERVAL = 500

/** The whole service on the database that the settings name. */
export async function createService(settings: Settings, options: ServiceOptions): Promise<Service> {
  const { log } = options
  const { database, trustedProxy, allowedHosts, hsts, environment, login } = settings
  const { now, version = '' } = options
  const noLogin = login.isServed ? whyNoLogin(settings.auth) : null
  if (noLogin !== null) log.warn('settings.warning', { warning: noLogin })
  if (database.kind === 'sqlite' && database.embedded) {
    const { created } = await ensureDemoDatabase(database.filename)
    if (created) log.info('demo.created', { file: database.filename })
  }
  const db = openDatabase(database)
  const sessionDb = settings.sessionDatabase === null ? db : openDatabase(settings.sessionDatabase)
  const tables = tablesOf(settings, { db, sessionDb })
  const closing = new AbortController()
  let isDraining = false
  let visitors: Visitors | null = null
  const metrics =
    settings.metrics === null
      ? null
      : createMetrics({
          version,
          keyCount: settings.secretKeys?.length ?? 1,
          pool: () => poolState([...tables.keys()]),
          clockSkew: () => measureClockSkew(db, database.kind, { ...(now !== undefined && { now }) }),
          log,
        })
  const current = (): Visitors => {
    if (visitors === null) throw new NotReady('the database has not been reached since the start')
    return visitors
  }

  async function prepare(): Promise<void> {
    for (;;) {
      try {
        visitors = await openSite(settings, { db, sessionDb, tables }, { ...options, metrics })
        return
      } catch (error) {
        if (!isPassing(error)) throw error
        log.warn('service.waiting', errorFields(error))
        await delay(RETRY_INTERVAL, undefined, { signal: closing.signal })
      }
    }
  }

  const upstream = openUpstream(settings, log, metrics)
  const timeout = database.timeout * 1000
  const catalog = createCatalog({ db, countsMaxAge: settings.catalogCountsMaxAge })
  const app = createApp({
    sessionMiddleware: limitTime((ctx, next) => current().middleware(ctx, next), {
      timeout: ({ method, path }) =>
        timeout + REQUEST_GRACE + (method === 'POST' && path === login.loginUrl ? LOGIN_GRACE : 0),
    }),
    catalog: { counts: () => retryRead(catalog.counts, { timeout, onRetry: metrics?.onRetry }) },
    ping: async () => {
      current()
      // Of a table: a Galera node that takes no statements answers a bare SELECT 1.
      for (const [database, [table = '']] of tables) await database(table).select(database.raw('1')).limit(1)
    },
    isDraining: () => isDraining,
    log,
    trustedProxy,
    allowedHosts,
    environment,
    version,
    hsts: hsts ?? undefined,
    login:
      login.isServed && noLogin === null
        ? {
            ...login,
            tries: createLoginTries(login.tries),
            authenticate: (...given) => current().auth.authenticate(...given),
            logsOutOnGet: () => current().profile.logsOutOnGet,
          }
        : null,
    loginUrl: login.loginUrl,
    djangoBaseUrl: login.djangoBaseUrl,
    upstream,
    onRequest: metrics?.onRequest,
  })
  const ready = prepare()
  ready.catch(() => {}) // Whoever awaits it hears of it, maybe later than this.
  return {
    listener: app.callback(),
    onUpgrade: upstream?.upgrade ?? null,
    metricsListener: metrics?.listener ?? null,
    ready,
    drain() {
      isDraining = true
    },
    async close() {
      closing.abort()
      await visitors?.close()
      upstream?.close()
      for (const database of tables.keys()) await database.destroy()
    },
  }
}

/** Null where nothing is to be passed on. */
function openUpstream(
  { upstream, allowedHosts, trustedProxy }: Settings,
  log: Log,
  metrics: Metrics | null,
): Upstream | null {
  if (upstream === null) return null
  return createUpstream({
    url: upstream.url,
    ca: upstream.ca ?? undefined,
    timeout: upstream.timeout * 1000,
    connections: upstream.connections,
    webSockets: upstream.webSockets,
    buffer: upstream.buffer,
    allowedHosts,
    trustedProxy,
    log,
    onRequest: metrics?.onRequest,
  })
}

/** Looks at the database, and follows the Django that it belongs to. @throws {MissingTables} {NoSessionVerifies} */
async function openSite(
  settings: Settings,
  { db, sessionDb, tables }: Databases,
  { log, metrics, now = () => new Date() }: ServiceOptions & { metrics: Metrics | null },
): Promise<Visitors> {
  for (const [database, names] of tables) {
    await checkTables(database, names, database === db ? 'DATABASE_URL' : 'SESSION_DATABASE_URL')
  }
  for (const warning of await checkUsers(settings, db)) log.warn('settings.warning', { warning })
  const { defaultHashingAlgorithm, session, csrf, messages, timeZone, environment } = settings
  const { passwordHashers, ...auth } = settings.auth
  const djangoVersion = settings.djangoVersion ?? (await detectVersion(db))
  const profile = versionProfile(djangoVersion, { defaultHashingAlgorithm })
  const useTz = settings.useTz ?? true
  if (settings.useTz === null && !profile.useTzDefault)
    log.warn('settings.warning', { warning: USE_TZ_ASSUMED })
  const secretKeys = settings.secretKeys ?? ([demoSecretKey(fileOf(settings.database))] as const)
  const given = settings.djangoVersion !== null
  log.info('django.profile', { version: djangoVersion, given, useTz, timeZone })
  const table = session.table ?? sessionTableOf(session.engine)
  if (!settings.allowUnverifiedSessions && table !== null) {
    const { kind } = settings.sessionDatabase ?? settings.database
    const dates = createDateColumn({
      database: kind,
      useTz,
      timeZone,
      databaseTimeZone: settings.sessionDatabaseTimeZone,
    })
    const { storeClass } = session
    await checkRecentSessions(sessionDb, {
      table,
      secretKeys,
      profile,
      serializer: serializerNamed(session.serializer, profile),
      dates,
      now,
      ...(storeClass !== null && { storeClass }),
    })
  }
  const hash = createKeyHash()
  const logCacheFailure = createCacheFailureLog(log)
  return openVisitors({
    ...session,
    ...(settings.cache !== null && { cache: settings.cache }),
    db: sessionDb,
    secretKeys,
    djangoVersion,
    defaultHashingAlgorithm,
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
    onUnreadable(sessionKey, { reason, message }) {
      log.warn('session.unreadable', { keyHash: hash(sessionKey), reason, message })
      metrics?.onUnreadable(reason)
    },
    onCacheFailure(failure) {
      logCacheFailure(failure)
      metrics?.onCacheFailure(failure)
    },
    ...(metrics !== null && {
      onLoad: metrics.onLoad,
      onDecode: metrics.onDecode,
      onConflict: metrics.onConflict,
      onRetry: metrics.onRetry,
    }),
    onLostChange:
      environment === 'development'
        ? (keys) => log.warn('session.lost_change', { keys, hint: LOST_CHANGE })
        : null,
  })
}

/** Why SERVE_LOGIN has no login page to serve; null where it has. */
function whyNoLogin({ backends, userModel: { columns }, sessionHash }: Settings['auth']): string | null {
  const reason = whyNoPasswords(backends, { password: columns.password, sessionHash })
  return reason && `the login and logout pages are not served here: ${reason}`
}

/** What the operator ought to know of the user table; a sentence each. @throws {UnusableUserTable} */
async function checkUsers({ auth, database }: Settings, db: Knex): Promise<readonly string[]> {
  if (auth.sessionHash === 'custom') return [CUSTOM_HASH] // and no user is looked up
  return checkUserTable({ db, database: database.kind, model: userModel(auth.userModel) })
}

const CUSTOM_HASH =
  'AUTH_SESSION_HASH is custom: sessions of users cannot be verified here, so every visitor is anonymous here; sessions stay'

const USE_TZ_ASSUMED =
  'USE_TZ is not set; True is assumed, as startproject writes. Set USE_TZ and TIME_ZONE as in settings.py'

const LOST_CHANGE =
  'a value was changed inside but not saved; set session.modified = true after such a change'

function fileOf(database: Settings['database']): string {
  if (database.kind === 'sqlite') return database.filename
  throw new TypeError('only the embedded demo has a secret key of its own')
}

interface Databases {
  readonly db: Knex
  /** Where the sessions are; the same one unless SESSION_DATABASE_URL is set. */
  readonly sessionDb: Knex
  readonly tables: ReadonlyMap<Knex, readonly string[]>
}

/** The tables that each of the databases must have. */
function tablesOf(
  { session: { table, engine }, cache }: Settings,
  { db, sessionDb }: Omit<Databases, 'tables'>,
): Databases['tables'] {
  const ofSessions = table ?? sessionTableOf(engine)
  const names = ofSessions === null ? [] : [ofSessions]
  if (cache?.backend === 'django.core.cache.backends.db.DatabaseCache') names.push(...cache.location)
  if (sessionDb === db) return new Map([[db, [...names, ...CATALOG_TABLES]]])
  return new Map<Knex, readonly string[]>([
    [sessionDb, names],
    [db, CATALOG_TABLES],
  ])
}

function poolState(databases: readonly Knex[]): PoolState {
  const state = { used: 0, free: 0, waiting: 0 }
  for (const { client } of databases) {
    const { pool } = client
    if (pool === undefined) continue // closed
    state.used += pool.numUsed()
    state.free += pool.numFree()
    state.waiting += pool.numPendingAcquires()
  }
  return state
}

/** Milliseconds between two lines about one kind of failure: a cache that is away fails many times a second. */
const CACHE_LOG_INTERVAL = 10_000

function createCacheFailureLog(log: Log): (failure: CacheFailure) => void {
  const loggedAt = new Map<string, number>()
  return ({ error, owed, givenUp }) => {
    const kind = error instanceof Error ? error.name : ''
    const now = performance.now()
    if (now - (loggedAt.get(kind) ?? Number.NEGATIVE_INFINITY) < CACHE_LOG_INTERVAL) return
    loggedAt.set(kind, now)
    log.warn('session.cache_failed', { owed, givenUp, ...errorFields(error) })
  }
}

/** Session keys are secrets: a log shows a short hash, keyed anew in each process. */
function createKeyHash(): (sessionKey: string) => string {
  const secret = randomBytes(32)
  return (sessionKey) => createHmac('sha256', secret).update(sessionKey).digest('hex').slice(0, 12)
}
