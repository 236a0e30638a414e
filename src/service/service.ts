import { createHmac, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import type { IncomingMessage, RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Knex } from 'knex'
import { whyNoPasswords } from '../auth/backends.ts'
import { userModel } from '../auth/user-model.ts'
import { checkUserTable, UnusableUserTable } from '../auth/user-table.ts'
import type { Cache } from '../caches/cache.ts'
import { CacheUnavailable } from '../caches/cache-errors.ts'
import { openCache } from '../caches/open-cache.ts'
import { createDateColumn } from '../django/datetime.ts'
import { serializerNamed } from '../django/session-data.ts'
import { type VersionFromMigrations, versionProfile } from '../django/versions.ts'
import type { CacheFailure } from '../engines/cache-invalidation.ts'
import { sessionTableOf } from '../engines/open-engine.ts'
import { retryRead } from '../engines/retrying-engine.ts'
import { isPassing } from '../http/statuses.ts'
import { createApp, LOGOUT_PATH } from './app.ts'
import { measureClockSkew } from './database/clock-skew.ts'
import { DatabaseMismatch } from './database/connection.ts'
import { MissingDatabase, openDatabase } from './database/open-database.ts'
import { ensureDemoDatabase } from './demo/demo-database.ts'
import { demoSecretKey } from './demo/secret.ts'
import { errorFields, type Log } from './monitoring/log.ts'
import { createMetrics, type Metrics, type PoolState } from './monitoring/metrics.ts'
import { createPathLabel, type PathLabel } from './monitoring/path-label.ts'
import { createReadiness, type ReadinessCheck } from './monitoring/readiness.ts'
import { createCatalog } from './pages/catalog.ts'
import { createLoginTries } from './pages/login-throttle.ts'
import {
  CATALOG_TABLES,
  checkRecentSessions,
  checkTables,
  checkUpdate,
  checkWrites,
  detectVersion,
  hasCatalog,
  type ReadTable,
  type WrittenTable,
} from './preflight.ts'
import { createUpstream, type Upstream } from './proxy/upstream.ts'
import { limitTime } from './server/time-limit.ts'
import type { Settings } from './settings/settings.ts'
import { CannotStart, type Place, startProblem } from './start-problem.ts'
import { openVisitors, type Visitors } from './visitors.ts'

export interface Service {
  readonly listener: RequestListener
  /** Passes WebSockets on to Django; null where there is none behind us. */
  readonly onUpgrade: ((request: IncomingMessage, socket: Socket, head: Buffer) => void) | null
  /** Answers `/metrics`, on another port; null where the settings want none. */
  readonly metricsListener: RequestListener | null
  /**
   * Resolves once the database has been looked at and pages are served; until then `/health/ready` and every page say
   * 503, and a database that is away is asked again and again.
   * @throws {MissingTables} {MissingRight} {NoSessionVerifies} {CannotStart} and whatever else waiting does not mend.
   */
  readonly ready: Promise<void>
  /** Resolves after the first look at the database, however it ended. */
  readonly looked: Promise<void>
  /** Whether the home page is served; until the database has been looked at, it is taken to be. */
  readonly servesHome: () => boolean
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

/** Milliseconds between two lines about the same thing that a start waits for. */
const WAITING_LOG_INTERVAL = 30_000

/** Milliseconds for which it counts that sessions could be written, and the site's other tables read. */
const CHECK_MAX_AGE = 5000

/** The whole service on the database that the settings name. @throws {CannotStart} */
export async function createService(settings: Settings, options: ServiceOptions): Promise<Service> {
  const { log } = options
  const { database, trustedProxy, allowedHosts, hsts, environment, login } = settings
  const { now, version = '' } = options
  const noLogin = login.isServed ? whyNoLogin(settings.auth) : null
  if (noLogin !== null) log.warn('settings.warning', { warning: noLogin })
  const servesLogin = login.isServed && noLogin === null
  if (database.kind === 'sqlite' && database.embedded) {
    const { created } = await ensureDemoDatabase(database.filename)
    if (created) log.info('demo.created', { file: database.filename })
  }
  const place: Place = { setting: 'DATABASE_URL', database }
  const sessionPlace: Place =
    settings.sessionDatabase === null
      ? place
      : { setting: 'SESSION_DATABASE_URL', database: settings.sessionDatabase }
  const db = openPlace(place)
  const sessionDb = sessionPlace === place ? db : openPlace(sessionPlace)
  const cache = openCheckedCache(settings)
  const databases: Databases = { db, sessionDb, place, sessionPlace, cache }
  const pools = [...new Set([db, sessionDb])]
  const closing = new AbortController()
  let isDraining = false
  let visitors: Visitors | null = null
  const metrics =
    settings.metrics === null
      ? null
      : createMetrics({
          version,
          keyCount: settings.secretKeys?.length ?? 1,
          pool: () => poolState(pools),
          clockSkew: () => measureClockSkew(db, database.kind, { ...(now !== undefined && { now }) }),
          log,
        })
  const current = (): Visitors => {
    if (visitors === null) throw new NotReady('the database has not been reached since the start')
    return visitors
  }

  const logWaiting = createWaitingLog(log)
  const firstLook = Promise.withResolvers<void>()
  let site: Site | null = null
  let readiness = createReadiness([{ name: 'start', run: async () => current(), maxAge: 0 }])
  async function prepare(): Promise<void> {
    for (;;) {
      try {
        site = await openSite(settings, databases, { ...options, metrics, servesLogin })
        visitors = site.visitors
        readiness = createReadiness(site.checks)
        if (!site.hasHome) listener = appWith({ home: false })
        return
      } catch (error) {
        closing.signal.throwIfAborted() // What fails after that fails because of it.
        logWaiting(waitedFor(error))
        firstLook.resolve()
        await delay(RETRY_INTERVAL, undefined, { signal: closing.signal })
      }
    }
  }
  const pathLabel = createPathLabel(settings.logPaths)
  const reservedPaths = servesLogin ? [login.loginUrl, LOGOUT_PATH] : []
  const upstream = openUpstream(settings, { log, metrics, pathLabel, reservedPaths })
  const timeout = database.timeout * 1000
  const catalog = createCatalog({ db, countsMaxAge: settings.catalogCountsMaxAge })
  const appWith = ({ home }: { home: boolean }): RequestListener =>
    createApp({
      sessionMiddleware: limitTime((ctx, next) => current().middleware(ctx, next), {
        timeout: ({ method, path }) =>
          timeout + REQUEST_GRACE + (method === 'POST' && path === login.loginUrl ? LOGIN_GRACE : 0),
      }),
      catalog: home
        ? { counts: () => retryRead(catalog.counts, { timeout, onRetry: metrics?.onRetry }) }
        : null,
      ping: () => readiness(),
      isDraining: () => isDraining,
      log,
      trustedProxy,
      allowedHosts,
      environment,
      version,
      hsts: hsts ?? undefined,
      login: servesLogin
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
      pathLabel,
      onRequest: metrics?.onRequest,
    }).callback()
  let listener = appWith({ home: true })
  const ready = prepare()
  ready.catch(() => {}).finally(firstLook.resolve) // Whoever awaits it hears of it, maybe later than this.
  return {
    listener: (request, response) => listener(request, response),
    onUpgrade: upstream?.upgrade ?? null,
    metricsListener: metrics?.listener ?? null,
    ready,
    looked: firstLook.promise,
    servesHome: () => site?.hasHome ?? true,
    drain() {
      isDraining = true
    },
    async close() {
      closing.abort()
      await visitors?.close()
      upstream?.close()
      await cache?.close()
      for (const database of pools) await database.destroy()
    },
  }
}

/** Null where nothing is to be passed on. */
function openUpstream(
  { upstream, allowedHosts, trustedProxy }: Settings,
  {
    reservedPaths,
    pathLabel,
    log,
    metrics,
  }: { reservedPaths: readonly string[]; pathLabel: PathLabel; log: Log; metrics: Metrics | null },
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
    reservedPaths,
    pathLabel,
    log,
    onRequest: metrics?.onRequest,
  })
}

/** What the service found to stand on. */
interface Site {
  readonly visitors: Visitors
  /** Whether this is LocalLibrary, whose home page is served. */
  readonly hasHome: boolean
  readonly checks: readonly ReadinessCheck[]
}

/**
 * Looks at the databases and the cache, and follows the Django that they belong to.
 * @throws {CannotStart} {DatabaseFailure} {CacheUnavailable}
 */
async function openSite(
  settings: Settings,
  databases: Databases,
  options: ServiceOptions & { metrics: Metrics | null; servesLogin: boolean },
): Promise<Site> {
  const { db, sessionDb, place, sessionPlace, cache } = databases
  const { log, servesLogin } = options
  const timeout = settings.database.timeout * 1000
  const written = writtenTables(settings)
  const hasHome = await ask(place, () => hasCatalog(db))
  // With a session hash of the site's own no user is looked up.
  const users =
    (hasHome || servesLogin) && settings.auth.sessionHash !== 'custom'
      ? [usersTable(settings, { servesLogin })]
      : []
  if (sessionDb === db) await ask(place, () => checkTables(db, [...written, ...users]))
  else {
    await ask(sessionPlace, () => checkTables(sessionDb, written))
    await ask(place, () => checkTables(db, users))
  }
  const look = async () => {
    for (const table of written) await retryRead(() => checkWrites(sessionDb, table), { timeout })
  }
  await ask(sessionPlace, look)
  const model = userModel(settings.auth.userModel)
  const { lastLogin } = model.columns
  for (const table of users) {
    const { kind } = settings.database
    const warnings = await ask(place, () => checkUserTable({ db, database: kind, model }))
    for (const warning of warnings) log.warn('settings.warning', { warning })
    if (servesLogin && lastLogin !== null)
      await ask(place, () => retryRead(() => checkUpdate(db, table, lastLogin), { timeout }))
  }
  if (settings.auth.sessionHash === 'custom') log.warn('settings.warning', { warning: CUSTOM_HASH })
  if (cache !== null) await checkCache(cache, settings)
  const visitors = await openVisitorsOf(settings, databases, options)
  if (!hasHome) log.warn('settings.warning', { warning: NO_HOME })

  const { filePath } = settings.session
  const read = [...users, ...(hasHome ? CATALOG_TABLES : [])]
  return {
    visitors,
    hasHome,
    checks: [
      {
        name: 'database',
        async run() {
          // Of a table: a Galera node that takes no statements answers a bare SELECT 1.
          for (const [database, table] of new Map([
            [db, read[0]?.table],
            [sessionDb, written[0]?.table ?? read[0]?.table],
          ]))
            await (table === undefined
              ? database.raw('select 1')
              : database(table).select(database.raw('1')).limit(1))
        },
        maxAge: 0,
      },
      { name: 'session_write', run: look, maxAge: CHECK_MAX_AGE },
      {
        name: 'site_tables',
        run: () => checkTables(db, read),
        maxAge: CHECK_MAX_AGE,
      },
      ...(filePath === null
        ? []
        : [{ name: 'session_files', run: () => access(filePath, READ_AND_WRITE), maxAge: CHECK_MAX_AGE }]),
      ...(cache === null || settings.session.engine !== CACHE_ENGINE
        ? []
        : [{ name: 'cache', run: () => cache.get(PROBE_KEY), maxAge: CHECK_MAX_AGE }]),
    ],
  }
}

const READ_AND_WRITE = constants.R_OK | constants.W_OK | constants.X_OK

const CACHE_ENGINE = 'django.contrib.sessions.backends.cache'

const DATABASE_CACHE = 'django.core.cache.backends.db.DatabaseCache'

/** A session key that is never made: it is longer than Django's. */
const PROBE_KEY = 'koa-django-sessions.readiness.is.asked.for.this.key'

const NO_HOME =
  'the database has no tables catalog_book, catalog_bookinstance, catalog_author that its user may read: it is not that of LocalLibrary, and the home page is not served'

async function openVisitorsOf(
  settings: Settings,
  { db, sessionDb, place, sessionPlace }: Databases,
  { log, metrics, now = () => new Date() }: ServiceOptions & { metrics: Metrics | null },
): Promise<Visitors> {
  const { defaultHashingAlgorithm, session, csrf, messages, timeZone, environment } = settings
  const { passwordHashers, ...auth } = settings.auth
  const detected = settings.djangoVersion === null ? await ask(place, () => detectVersion(db)) : null
  const djangoVersion = settings.djangoVersion ?? detected?.version ?? ''
  const profile = versionProfile(djangoVersion, { defaultHashingAlgorithm })
  const useTz = settings.useTz ?? true
  if (settings.useTz === null && !profile.useTzDefault)
    log.warn('settings.warning', { warning: USE_TZ_ASSUMED })
  const secretKeys = settings.secretKeys ?? ([demoSecretKey(fileOf(settings.database))] as const)
  const given = settings.djangoVersion !== null
  log.info('django.profile', { version: djangoVersion, given, useTz, timeZone })
  const isDemo = settings.database.kind === 'sqlite' && settings.database.embedded
  if (detected !== null && !isDemo) log.warn('settings.warning', { warning: versionGuessed(detected) })
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
    const codecOptions = {
      secretKeys,
      profile,
      serializer: serializerNamed(session.serializer, profile),
      ...(storeClass !== null && { storeClass }),
    }
    await ask(sessionPlace, () => checkRecentSessions(sessionDb, { ...codecOptions, table, dates, now }))
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

const CUSTOM_HASH =
  'AUTH_SESSION_HASH is custom: sessions of users cannot be verified here, so every visitor is anonymous here; sessions stay'

const USE_TZ_ASSUMED =
  'USE_TZ is not set; True is assumed, as startproject writes. Set USE_TZ and TIME_ZONE as in settings.py'

function versionGuessed({ version, range: [oldest, newest] }: VersionFromMigrations): string {
  return `DJANGO_VERSION is not set; ${version} is guessed, but Django ${oldest} to ${newest} leave the same migrations and differ in many small rules. Set DJANGO_VERSION to what \`python -m django --version\` prints at the Django site`
}

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
  readonly place: Place
  readonly sessionPlace: Place
  /** A connection of its own to the server that keeps sessions; null where no server does but the databases. */
  readonly cache: Cache | null
}

/** @throws {CannotStart} {MissingDatabase} */
function openPlace({ setting, database }: Place): Knex {
  try {
    return openDatabase(database)
  } catch (error) {
    const ca = database.kind === 'sqlite' ? null : (database.tls?.ca ?? null)
    if (ca === null || !(error instanceof Error && 'code' in error)) throw error
    throw new CannotStart(
      `${setting}: the file ${ca} of the certificate authority cannot be read; correct its name, or give this process the right to read it (${error.code})`,
    )
  }
}

function openCheckedCache({ cache, database }: Settings): Cache | null {
  if (cache === null || cache.backend === DATABASE_CACHE) return null
  return openCache(cache, { database: null, now: () => new Date(), timeout: database.timeout * 1000 })
}

/** @throws {CannotStart} when the server refuses us. @throws {CacheUnavailable} when nobody is served without it. */
async function checkCache(cache: Cache, { session }: Settings): Promise<void> {
  try {
    await cache.get(PROBE_KEY)
  } catch (error) {
    if (!(error instanceof CacheUnavailable)) throw error
    if (/\b(?:NOAUTH|WRONGPASS|NOPERM)$/.test(error.message))
      throw new CannotStart(
        `CACHES: ${error.message}; set user and password in its LOCATION or OPTIONS as in Django`,
      )
    if (session.engine === CACHE_ENGINE) throw error
  }
}

/** The tables in which sessions are written. */
function writtenTables({ session: { table, engine }, cache }: Settings): WrittenTable[] {
  const ofSessions = table ?? sessionTableOf(engine)
  const setting = 'DATABASE_URL'
  const tables: WrittenTable[] =
    ofSessions === null
      ? []
      : [
          {
            table: ofSessions,
            setting: table === null ? setting : 'SESSION_DB_TABLE',
            rights: READ_AND_WRITE_ROWS,
            columns: ['session_key', 'session_data', 'expire_date'],
          },
        ]
  if (cache?.backend !== DATABASE_CACHE) return tables
  const columns = ['cache_key', 'value', 'expires'] as const
  return [
    ...tables,
    ...cache.location.map((location) => ({
      table: location,
      setting: 'CACHES',
      rights: READ_AND_WRITE_ROWS,
      columns,
    })),
  ]
}

const READ_AND_WRITE_ROWS = 'SELECT, INSERT, UPDATE, DELETE'

function usersTable({ auth }: Settings, { servesLogin }: { servesLogin: boolean }): ReadTable {
  const rights = servesLogin ? 'SELECT, UPDATE' : 'SELECT' // UPDATE for last_login
  return { table: userModel(auth.userModel).table, setting: 'AUTH_USER_MODEL', rights }
}

/** A database's failure, with the setting that names the database. */
class DatabaseFailure extends Error {
  override name = 'DatabaseFailure'
  readonly place: Place

  constructor(place: Place, options: ErrorOptions) {
    super(`${place.setting} failed`, options)
    this.place = place
  }
}

async function ask<R>(place: Place, question: () => Promise<R>): Promise<R> {
  try {
    return await question()
  } catch (error) {
    if (error instanceof CannotStart || error instanceof MissingDatabase) throw error
    if (error instanceof UnusableUserTable) throw error
    if (error instanceof DatabaseMismatch) throw new CannotStart(`${place.setting}: ${error.message}`)
    throw new DatabaseFailure(place, { cause: error })
  }
}

/** What to say of an error that waiting may mend. @throws {CannotStart} for what it does not mend. */
function waitedFor(error: unknown): { code: unknown; message: string } {
  if (!(error instanceof DatabaseFailure)) {
    if (isPassing(error) && error instanceof Error && 'code' in error)
      return { code: error.code, message: `CACHES: ${error.message}` }
    throw error
  }
  const { cause, place } = error
  const { passes, message, code } = startProblem(cause, place)
  if (passes ?? isPassing(cause)) return { code, message: `${message}; it is asked again until it serves` }
  if (passes === null && code === null) throw cause
  throw new CannotStart(message)
}

/** Says each thing once, and again when it has lasted. */
function createWaitingLog(log: Log): (reason: { code: unknown; message: string }) => void {
  const loggedAt = new Map<unknown, number>()
  return ({ code, message }) => {
    const now = performance.now()
    if (now - (loggedAt.get(code) ?? Number.NEGATIVE_INFINITY) < WAITING_LOG_INTERVAL) return
    loggedAt.set(code, now) // as many as the drivers have codes
    log.warn('service.waiting', { code, message })
  }
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
