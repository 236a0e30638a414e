import type { IncomingMessage, RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { retryRead } from '../sql/retry.ts'
import { createApp, type DemoOptions, LOGOUT_PATH } from './app.ts'
import { measureClockSkew } from './database/clock-skew.ts'
import { poolState } from './database/pool-state.ts'
import { ensureDemoDatabase } from './demo/demo-database.ts'
import { createDiagnosis, type Diagnose, type Diagnosis } from './diagnosis.ts'
import type { DjangoMiddleware } from './django-middleware.ts'
import type { Log } from './monitoring/log.ts'
import { createMetrics, type Metrics } from './monitoring/metrics.ts'
import { createPathLabel, type PathLabel } from './monitoring/path-label.ts'
import { createReadiness } from './monitoring/readiness.ts'
import { sessionsPageAccess } from './open-sessions-page.ts'
import { openSite, type Site } from './open-site.ts'
import { openStorage, type Storage } from './open-storage.ts'
import { createCatalog } from './pages/catalog.ts'
import { createLibraryRows } from './pages/library-rows.ts'
import type { LoginOptions } from './pages/login.ts'
import { createLoginThrottle } from './pages/login-throttle.ts'
import { SESSIONS_PAGE_PATH } from './pages/session-details.ts'
import type { SessionsPageSite } from './pages/sessions-page.ts'
import { createUpstream, type Upstream } from './proxy/upstream.ts'
import { whyNoLogin } from './required-tables.ts'
import { limitTime } from './server/time-limit.ts'
import type { Settings } from './settings/settings.ts'
import { retryStart } from './start-retry.ts'

export interface Service {
  readonly listener: RequestListener
  /** Passes WebSockets on to Django; null without an upstream. */
  readonly onUpgrade: ((request: IncomingMessage, socket: Socket, head: Buffer) => void) | null
  /** Answers `/metrics`, for another port; null when the settings turn metrics off. */
  readonly metricsListener: RequestListener | null
  /**
   * Resolves once the databases have been checked and pages are served. Until then `/health/ready` and every page answer
   * 503, and a database that is unavailable is asked again and again.
   * @throws {MissingTables} {MissingRight} {NoSessionVerifies} {CannotStart} and all else that waiting does not cure.
   */
  readonly ready: Promise<void>
  /** Resolves after the first attempt to check the databases, whether it succeeded or not. */
  readonly firstAttempt: Promise<void>
  /** Whether the home page is served; true until the databases have been checked. */
  readonly servesHome: () => boolean
  /** From now on `/health/ready` answers 503. */
  drain(): void
  /** Closes the database connections. No request may be running. */
  close(): Promise<void>
}

export interface ServiceOptions {
  readonly log: Log
  readonly now?: () => Date
  /** The version of this package, for the page footer. */
  readonly version?: string
  /** Runs the doctor's cheap checks on these databases, after the start and once another program shares the sessions. */
  readonly diagnose?: (storage: Storage, signal: AbortSignal) => ReturnType<Diagnose>
}

/** The databases have not been reached since the start. */
export class NotReady extends Error {
  override name = 'NotReady'
  readonly code: string = 'ERR_NOT_READY'
}

/** Milliseconds that a request may take beyond the database's time-out. */
const REQUEST_GRACE = 1000

/** More milliseconds for a login: a password check is slow by design, and checks queue. */
const LOGIN_GRACE = 10_000

/** The whole service on the databases that the settings name. @throws {CannotStart} */
export async function createService(settings: Settings, options: ServiceOptions): Promise<Service> {
  const { log, now } = options
  const servesLogin = canServeLogin(settings, log)
  const demoUsers = await makeDemo(settings, log)
  const storage = openStorage(settings)
  const demo = demoUsers && { rows: createLibraryRows(storage.db), users: demoUsers }
  const metrics = openMetrics(settings, storage, options)
  const pathLabel = createPathLabel(settings.logPaths)
  const reservedPaths = [
    ...(servesLogin ? [settings.login.loginUrl, LOGOUT_PATH] : []),
    ...(sessionsPageAccess(settings) === null ? [] : [SESSIONS_PAGE_PATH]),
  ]
  const upstream = openUpstream(settings, { log, metrics, pathLabel, reservedPaths })
  const closing = new AbortController()
  const diagnosis = openDiagnosis(storage, options)
  let isDraining = false
  let site: Site | null = null

  function opened(): Site {
    if (site === null) throw new NotReady('the database has not been reached since the start')
    return site
  }
  const django = () => opened().django
  let readiness = createReadiness([{ name: 'start', run: async () => django(), maxAge: 0 }])

  const listenerWith = createListener(settings, options, {
    django,
    sessionsPage: () => opened().sessionsPage,
    storage,
    metrics,
    upstream,
    pathLabel,
    demo,
    servesLogin,
    diagnosis,
    checkReady: () => readiness(),
    isDraining: () => isDraining,
  })
  let listener = listenerWith({ hasHome: true, hasUsers: true })

  const firstAttempt = Promise.withResolvers<void>()
  async function prepare(): Promise<void> {
    const onForeign = diagnosis?.schedule
    const start = () =>
      openSite(settings, storage, {
        ...{ log, metrics, servesLogin, onForeign },
        ...(now !== undefined && { now }),
      })
    site = await retryStart(start, { log, signal: closing.signal, onFailure: firstAttempt.resolve })
    readiness = createReadiness(site.checks)
    if (!site.hasHome || !site.hasUsers) listener = listenerWith(site)
    diagnosis?.schedule()
  }
  const ready = prepare()
  ready.catch(() => {}).finally(firstAttempt.resolve) // The caller awaits `ready`, perhaps later: not unhandled.

  return {
    listener: (request, response) => listener(request, response),
    onUpgrade: upstream?.upgrade ?? null,
    metricsListener: metrics?.listener ?? null,
    ready,
    firstAttempt: firstAttempt.promise,
    servesHome: () => site?.hasHome ?? true,
    drain() {
      isDraining = true
      diagnosis?.stop()
    },
    async close() {
      closing.abort()
      diagnosis?.stop()
      await site?.django.close()
      upstream?.close()
      metrics?.close()
      await storage.close()
    },
  }
}

/** Returns the users of the embedded demo; null for a site of somebody's own. */
async function makeDemo({ database }: Settings, log: Log): Promise<DemoOptions['users'] | null> {
  if (database.kind !== 'sqlite' || !database.embedded) return null
  const { filename: file } = database
  const { created, usersAdded, users } = await ensureDemoDatabase(file)
  if (created) log.info('demo.created', { file })
  if (usersAdded) log.info('demo.users_added', { file })
  return users
}

/** SERVE_LOGIN, unless the site's users have no password that could be checked here: then a warning says why. */
function canServeLogin(settings: Settings, log: Log): boolean {
  if (!settings.login.isServed) return false
  const reason = whyNoLogin(settings)
  if (reason === null) return true
  log.warn('settings.warning', { warning: `the login and logout pages are not served here: ${reason}` })
  return false
}

/** Null without a doctor. */
function openDiagnosis(storage: Storage, { diagnose, log }: ServiceOptions): Diagnosis | null {
  return diagnose === undefined
    ? null
    : createDiagnosis({ log, diagnose: (signal) => diagnose(storage, signal) })
}

/** Null when METRICS_PORT turns metrics off. */
function openMetrics(
  settings: Settings,
  { db, pools }: Storage,
  { version = '', log, now }: ServiceOptions,
): Metrics | null {
  if (settings.metrics === null) return null
  return createMetrics({
    version,
    keyCount: settings.secretKeys?.length ?? 1,
    pool: () => poolState(pools),
    clockSkew: () => measureClockSkew(db, settings.database.kind, { ...(now !== undefined && { now }) }),
    log,
  })
}

/** Null without DJANGO_UPSTREAM. */
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
    keepAlive: upstream.keepAlive * 1000,
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

interface Parts {
  /** @throws {NotReady} */
  readonly django: () => DjangoMiddleware
  /** @throws {NotReady} */
  readonly sessionsPage: () => SessionsPageSite
  readonly storage: Storage
  readonly metrics: Metrics | null
  readonly upstream: Upstream | null
  readonly pathLabel: PathLabel
  readonly demo: DemoOptions | null
  readonly servesLogin: boolean
  readonly diagnosis: Diagnosis | null
  readonly checkReady: () => Promise<void>
  readonly isDraining: () => boolean
}

/** The Koa application, with the pages that the databases allow. */
function createListener(
  settings: Settings,
  { log, version = '' }: ServiceOptions,
  {
    django,
    sessionsPage,
    storage,
    metrics,
    upstream,
    pathLabel,
    demo,
    servesLogin,
    diagnosis,
    checkReady,
    isDraining,
  }: Parts,
): (pages: Pick<Site, 'hasHome' | 'hasUsers'>) => RequestListener {
  const { login, trustedProxy, allowedHosts, environment, hsts } = settings
  const timeout = settings.database.timeout * 1000
  const catalog = createCatalog({ db: storage.db, countsMaxAge: settings.catalogCountsMaxAge })
  const counts = () => retryRead(catalog.counts, { timeout, onRetry: metrics?.events.retry })
  const sessionMiddleware = limitTime((ctx, next) => django().middleware(ctx, next), {
    timeout: ({ method, path }) =>
      timeout + REQUEST_GRACE + (method === 'POST' && path === login.loginUrl ? LOGIN_GRACE : 0),
  })
  const loginOptions: LoginOptions = {
    ...login,
    throttle: createLoginThrottle(login.tries),
    authenticate: (...given) => django().auth.authenticate(...given),
    logsOutOnGet: () => django().profile.logsOutOnGet,
  }
  const access = sessionsPageAccess(settings)
  return ({ hasHome, hasUsers }) =>
    createApp({
      sessionMiddleware,
      catalog: hasHome ? { counts } : null,
      ping: checkReady,
      isDraining,
      doctor: diagnosis?.report,
      log,
      trustedProxy,
      allowedHosts,
      environment,
      version,
      hsts: hsts ?? undefined,
      login: servesLogin ? loginOptions : null,
      sessionsPage:
        access === null || (access === 'staff' && !hasUsers) ? null : { access, site: sessionsPage },
      loginUrl: login.loginUrl,
      djangoBaseUrl: login.djangoBaseUrl,
      upstream,
      pathLabel,
      demo,
      onRequest: metrics?.onRequest,
    }).callback()
}
