import Koa, { type Middleware } from 'koa'
import Router from 'koa-router'
import { protect } from '../adapters/koa/csrf.ts'
import { LOCAL_HOSTS } from '../django/hosts.ts'
import { createHealth } from './monitoring/health.ts'
import { errorFields, type Log } from './monitoring/log.ts'
import { createPathLabel, type PathLabel } from './monitoring/path-label.ts'
import { createRequestLog, type FinishedRequest } from './monitoring/request-log.ts'
import { ASSETS_PREFIX, readAssets } from './pages/assets.ts'
import type { Catalog } from './pages/catalog.ts'
import { createErrorPages } from './pages/error-pages.ts'
import { createHome } from './pages/home.ts'
import { createLayouts } from './pages/layout.ts'
import { createLogin, type LoginOptions, type LoginPages } from './pages/login.ts'
import { createTemplates } from './pages/templates.ts'
import { createAllowedHosts } from './proxy/allowed-hosts.ts'
import { followProxy, type TrustedHeader } from './proxy/trusted-proxy.ts'
import type { Upstream } from './proxy/upstream.ts'
import { createRouting } from './routing.ts'
import { http } from './server/node-http.ts'
import { createSecurityHeaders, type HstsOptions } from './server/security-headers.ts'

export interface AppOptions {
  /** Gives each request `ctx.session`, `ctx.csrf`, `ctx.user` and `ctx.messages`. */
  readonly sessionMiddleware: Middleware
  /** The counts of the home page; null where it is not served. */
  readonly catalog: Catalog | null
  /** A cheap question to the database, for `/health/ready`. */
  readonly ping: () => Promise<void>
  /** Whether the service is shutting down; `/health/ready` then says 503. */
  readonly isDraining?: () => boolean
  readonly log: Log
  /** Which of X-Forwarded-Host, -Proto and -For a proxy in front sets. */
  readonly trustedProxy: readonly TrustedHeader[]
  /** ALLOWED_HOSTS; the names of this machine, unless given. */
  readonly allowedHosts?: readonly string[]
  readonly environment: 'development' | 'production'
  /** Ours, for the foot of the page. */
  readonly version?: string
  /** Django's SECURE_HSTS_…; none unless given. */
  readonly hsts?: HstsOptions | undefined
  /** What the login and logout pages need; null where they are served elsewhere. */
  readonly login?: LoginOptions | null
  /** LOGIN_URL. */
  readonly loginUrl?: string
  /** What stands before the paths that are served elsewhere; '' for the same origin. */
  readonly djangoBaseUrl?: string
  /** Answers what is not served here. */
  readonly upstream?: Upstream | null
  /** What the log shows of a path that is no page of ours. */
  readonly pathLabel?: PathLabel
  /** Called for each request that is over, for metrics. */
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
}

/** Paths as Django tells them apart; a method that Node knows and a path does not take is a 405. */
const ROUTER_OPTIONS = { strict: true, sensitive: true, methods: http.METHODS }

/** The site as a Koa application: what each request goes through, in order. */
export function createApp({
  sessionMiddleware,
  catalog,
  ping,
  isDraining,
  log,
  trustedProxy,
  allowedHosts = LOCAL_HOSTS,
  environment,
  version = '',
  hsts,
  login = null,
  loginUrl = '/accounts/login/',
  djangoBaseUrl = '',
  upstream = null,
  pathLabel = createPathLabel(),
  onRequest,
}: AppOptions): Koa {
  const assets = readAssets()
  const templates = createTemplates({ stylesUrl: assets.styles.url, iconUrl: assets.icon.url, version })
  const health = createHealth({ ping, isDraining, log })
  // The names are what metrics tell routes by.
  const sessionless = new Router(ROUTER_OPTIONS)
    .get('health_live', '/health/live', health.live)
    .get('health_ready', '/health/ready', health.ready)
    .get('asset', assets.styles.url, assets.styles.serve)
    .get('asset', assets.icon.url, assets.icon.serve)

  const router = new Router(ROUTER_OPTIONS)
  const { placeOf, middleware: routing } = createRouting((method, path) => {
    const { path: layers, route } = router.match(path, method)
    if (route || (layers.length > 0 && upstream === null)) return true
    return layers.some(({ name }) => RESERVED.has(name)) || sessionless.match(path, method).path.length > 0
  })
  const isServed = (method: string, path: string) => placeOf(method, path) === 'here'
  const layouts = createLayouts({ isServed, djangoBaseUrl, loginUrl })
  const layout = layouts.forVisitor
  if (catalog !== null)
    router
      .get('redirect', '/', redirectHome)
      .get('redirect', '/catalog', appendSlash)
      .get('home', '/catalog/', createHome({ catalog, templates, layout }))
  if (login !== null) addLogin(router, loginUrl, createLogin({ ...login, templates, layout, log }))
  const app = new Koa({ env: environment })
  followProxy(app, trustedProxy)
  app.on('error', (error: unknown) => log.warn('http.broken', errorFields(error)))
  app.use(createRequestLog({ log, pathLabel, onRequest }))
  app.use(routing)
  app.use(createSecurityHeaders({ hsts, formActions: originsOf(djangoBaseUrl) }))
  // Twice, since Django wraps every middleware in such a page (django/core/handlers/exception.py). This one answers
  // the failures of the session layer itself, e.g. a session that was deleted meanwhile (400).
  const errorPages = createErrorPages({ templates, log, bareLayout: layouts.bare })
  app.use(errorPages)
  // Before the hosts are checked, since nothing there depends on the host: orchestrators and load balancers ask by
  // address, and the page that refuses a host needs its style sheet.
  app.use(under(['/health/', ASSETS_PREFIX], sessionless))
  app.use(createAllowedHosts({ allowedHosts, trustedProxy }))
  // Before the session: that of a page of Django is Django's to load and to save.
  app.use(passOn(upstream))
  app.use(sessionMiddleware)
  // And this one those of the pages, so that the session layer sees a status and not an exception: a 404 still saves
  // the session and a 500 does not.
  app.use(errorPages)
  app.use(router.allowedMethods()).use(router.routes())
  return app
}

function addLogin(router: Router, path: string, pages: LoginPages): void {
  router
    .get('login', path, pages.showLogin)
    .post('login', path, protect, pages.login)
    .get('logout', LOGOUT_PATH, pages.getLogout)
    .post('logout', LOGOUT_PATH, protect, pages.logout)
  for (const full of [path, LOGOUT_PATH])
    if (full.length > 1 && full.endsWith('/')) router.get('redirect', full.slice(0, -1), appendSlash)
}

/** Where our logout page is. */
export const LOGOUT_PATH = '/accounts/logout/'

/** The routes whose paths are ours whatever the method: no other may reach Django's login page past the limit on tries. */
const RESERVED: ReadonlySet<unknown> = new Set(['login', 'logout'])

function originsOf(url: string): string[] {
  return url === '' ? [] : [new URL(url).origin]
}

/**
 * The router's answers for paths that begin so; for others it is not asked, since that costs. A known path with another
 * method goes no further: no session for it either. `allowedMethods` says 405.
 */
function under(prefixes: readonly string[], router: Router): Middleware {
  const allowedMethods = router.allowedMethods() as Middleware
  const routes = router.routes() as Middleware
  return function underPrefixes(ctx, next) {
    if (!prefixes.some((prefix) => ctx.path.startsWith(prefix))) return next()
    const endIfMatched = async () => {
      if (ctx.matched.length === 0) await next()
    }
    return allowedMethods(ctx, () => Promise.resolve(routes(ctx, endIfMatched)))
  }
}

/** Passes on what is not ours; answers 404 to what servers may take for ours, so that nothing of ours has two doors. */
function passOn(upstream: Upstream | null): Middleware {
  return function passOnElsewhere(ctx, next) {
    const { place } = ctx.state
    if (place === 'elsewhere' && upstream !== null) return upstream.middleware(ctx, next)
    if (place === 'nowhere') ctx.status = 404
    else return next()
  }
}

/** LocalLibrary's `path('', RedirectView.as_view(url='catalog/', permanent=True))`, which drops the query string. */
const redirectHome: Middleware = function redirectHome(ctx) {
  redirectPermanently(ctx, '/catalog/')
}

/** Source: django/middleware/common.py, get_full_path_with_slash. */
const appendSlash: Middleware = function appendSlash(ctx) {
  redirectPermanently(ctx, `${ctx.path}/${ctx.search}`)
}

function redirectPermanently(ctx: Koa.Context, location: string): void {
  ctx.redirect(location)
  ctx.status = 301
  ctx.body = '' // Django's are empty too
}
