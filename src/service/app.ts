import Koa, { type Middleware } from 'koa'
import Router from 'koa-router'
import { protect } from '../adapters/koa/csrf.ts'
import { LOCAL_HOSTS } from '../django/hosts.ts'
import { createHealth, type DoctorReport } from './monitoring/health.ts'
import { errorFields, type Log } from './monitoring/log.ts'
import { createPathLabel, type PathLabel } from './monitoring/path-label.ts'
import { createRequestLog, type FinishedRequest } from './monitoring/request-log.ts'
import { ASSETS_PREFIX, readAssets } from './pages/assets.ts'
import type { Catalog } from './pages/catalog.ts'
import { createErrorPages } from './pages/error-pages.ts'
import { createHome } from './pages/home.ts'
import { createLayouts } from './pages/layout.ts'
import { createLibraryPages, type LibraryPages } from './pages/library-pages.ts'
import type { LibraryRows } from './pages/library-rows.ts'
import { createLogin, type LoginOptions, type LoginPages, type PublicUser } from './pages/login.ts'
import { SESSIONS_PAGE_PATH } from './pages/session-details.ts'
import { createSessionsPage, type SessionsPage, type SessionsPageOptions } from './pages/sessions-page.ts'
import { createTemplates } from './pages/templates.ts'
import { createAllowedHosts } from './proxy/allowed-hosts.ts'
import { followProxy, type TrustedHeader } from './proxy/trusted-proxy.ts'
import type { Upstream } from './proxy/upstream.ts'
import { createRouting } from './routing.ts'
import { http } from './server/node-http.ts'
import { createOwnHeaders, type HstsOptions } from './server/own-headers.ts'

export interface AppOptions {
  /** Sets `ctx.session`, `ctx.csrf`, `ctx.user` and `ctx.messages`. */
  readonly sessionMiddleware: Middleware
  /** The counts of the home page; null when it is not served. */
  readonly catalog: Catalog | null
  /** The readiness checks, for `/health/ready`. */
  readonly ping: () => Promise<void>
  /** Whether the service is shutting down; then `/health/ready` answers 503. */
  readonly isDraining?: () => boolean
  /** What the doctor found, for `/health/ready?verbose`. */
  readonly doctor?: (() => DoctorReport) | undefined
  readonly log: Log
  /** The X-Forwarded-… headers that a proxy in front sets. */
  readonly trustedProxy: readonly TrustedHeader[]
  /** ALLOWED_HOSTS. Default: the names of this machine. */
  readonly allowedHosts?: readonly string[]
  readonly environment: 'development' | 'production'
  /** The version of this package, for the page footer. */
  readonly version?: string
  /** Django's SECURE_HSTS_…. Default: no such header. */
  readonly hsts?: HstsOptions | undefined
  /** Null when the login and logout pages are not served here. */
  readonly login?: LoginOptions | null
  /** Null when the page about sessions is not served. */
  readonly sessionsPage?: SessionsPageOptions | null
  /** LOGIN_URL. */
  readonly loginUrl?: string
  /** The prefix of links to pages that Django serves; '' for the same origin. */
  readonly djangoBaseUrl?: string
  /** Answers paths and methods that this service does not serve. */
  readonly upstream?: Upstream | null
  /** How the log shows a path that this service does not serve. */
  readonly pathLabel?: PathLabel
  /** Null for a site of somebody's own. */
  readonly demo?: DemoOptions | null
  /** Called at the end of each request, for metrics. */
  readonly onRequest?: ((request: FinishedRequest) => void) | undefined
}

/**
 * What the embedded demo has beside the pages of every site. Without an upstream it serves all pages of LocalLibrary; with
 * one, those are Django's, and Django's home page is shown, too.
 */
export interface DemoOptions {
  readonly rows: LibraryRows
  /** The users that the login page shows. */
  readonly users: readonly PublicUser[]
}

/** As in Django, case and the slash at the end matter. A known path with a method that it does not support is a 405. */
const ROUTER_OPTIONS = { strict: true, sensitive: true, methods: http.METHODS }

/** The site as a Koa application. */
export function createApp({
  sessionMiddleware,
  catalog,
  ping,
  isDraining,
  doctor,
  log,
  trustedProxy,
  allowedHosts = LOCAL_HOSTS,
  environment,
  version = '',
  hsts,
  login = null,
  sessionsPage = null,
  loginUrl = '/accounts/login/',
  djangoBaseUrl = '',
  upstream = null,
  pathLabel = createPathLabel(),
  demo = null,
  onRequest,
}: AppOptions): Koa {
  const assets = readAssets()
  const isWholeDemo = demo !== null && upstream === null
  const templates = createTemplates(
    { stylesUrl: assets.styles.url, iconUrl: assets.icon.url, version },
    { withLibrary: isWholeDemo },
  )
  const sessionless = sessionlessRoutes(assets, createHealth({ ping, isDraining, doctor, log }))
  const router = new Router(ROUTER_OPTIONS)
  const { placeOf, middleware: routing } = createRouting((method, path) => {
    const { path: layers, route } = router.match(path, method)
    if (route || (layers.length > 0 && upstream === null)) return true
    return layers.some(({ name }) => RESERVED.has(name)) || sessionless.match(path, method).path.length > 0
  })
  const isServed = (method: string, path: string) => placeOf(method, path) === 'here'
  const layouts = createLayouts({
    isServed,
    djangoBaseUrl,
    loginUrl,
    hasDjango: !isWholeDemo || djangoBaseUrl !== '',
    djangoHome: demo !== null && upstream !== null ? DJANGO_HOME : null,
  })
  const layout = layouts.forVisitor
  if (catalog !== null) addHome(router, createHome({ catalog, templates, layout }))
  if (isWholeDemo) addLibrary(router, createLibraryPages({ rows: demo.rows, templates, layout }))
  const publicUsers = demo?.users ?? []
  if (login !== null)
    addLogin(router, loginUrl, createLogin({ ...login, publicUsers, templates, layout, log }))
  if (sessionsPage !== null)
    addSessionsPage(router, createSessionsPage({ ...sessionsPage, templates, layouts }))
  const errorPages = createErrorPages({ templates, log, bareLayout: layouts.bare })

  const app = new Koa({ env: environment })
  followProxy(app, trustedProxy)
  app.on('error', (error: unknown) => log.warn('http.broken', errorFields(error)))
  // What each request passes through, in order, like Django's MIDDLEWARE.
  const middlewares: readonly Middleware[] = [
    createRequestLog({ log, pathLabel, onRequest }),
    routing,
    createOwnHeaders({
      hsts,
      formActions: originsOf(djangoBaseUrl),
      isPassedOn: ({ state }) => upstream !== null && state.place === 'elsewhere',
    }),
    // Twice, because Django wraps every middleware in an error page (django/core/handlers/exception.py). This one
    // handles errors of the session layer itself, e.g. a session that was deleted during the request (400).
    errorPages,
    // Before the host check, because these do not depend on the host: orchestrators and load balancers request them by
    // address, and the error page for a disallowed host needs its style sheet.
    under(['/health/', ASSETS_PREFIX], sessionless),
    createAllowedHosts({ allowedHosts, trustedProxy }),
    // Before the session: on Django's pages, Django loads and saves the session.
    passOn(upstream, { showsDjangoHome: demo !== null }),
    sessionMiddleware,
    // This one handles errors of the pages, so that the session layer sees a status and not an exception: as in Django,
    // a 404 saves the session and a 500 does not.
    errorPages,
    router.routes() as Middleware,
    router.allowedMethods() as Middleware, // only where no route matches
  ]
  for (const middleware of middlewares) app.use(middleware)
  return app
}

/** The routes that need neither a session nor a known host. Metrics label requests by the route names. */
function sessionlessRoutes(
  assets: ReturnType<typeof readAssets>,
  health: ReturnType<typeof createHealth>,
): Router {
  return new Router(ROUTER_OPTIONS)
    .get('health_live', '/health/live', health.live)
    .get('health_ready', '/health/ready', health.ready)
    .get('asset', assets.styles.url, assets.styles.serve)
    .get('asset', assets.icon.url, assets.icon.serve)
}

function addHome(router: Router, home: Middleware): void {
  router
    .get('redirect', '/', redirectHome)
    .get('redirect', '/catalog', appendSlash)
    .get('home', '/catalog/', home)
}

function addLibrary(router: Router, pages: LibraryPages): void {
  const lists = {
    books: pages.books,
    authors: pages.authors,
    mybooks: pages.myBorrowed,
    borrowed: pages.allBorrowed,
  }
  for (const [name, page] of Object.entries(lists)) {
    router.get(name, `/catalog/${name}/`, page).get('redirect', `/catalog/${name}`, appendSlash)
  }
  router.get('book', '/catalog/book/:pk', pages.book).get('author', '/catalog/author/:pk', pages.author)
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

function addSessionsPage(router: Router, { show, reveal }: SessionsPage): void {
  router
    .get('redirect', SESSIONS_PAGE_PATH.slice(0, -1), appendSlash)
    .get('sessions', SESSIONS_PAGE_PATH, show)
    .post('sessions', SESSIONS_PAGE_PATH, protect, reveal)
}

/** The path of the logout page. */
export const LOGOUT_PATH = '/accounts/logout/'

/** Where the demo shows the home page of its upstream, whose own path is that of our home page. */
const DJANGO_HOME = '/django/catalog/'

/** Routes whose paths never go to Django, whatever the method. For the login: so that Django's page cannot bypass the throttle. */
const RESERVED: ReadonlySet<unknown> = new Set(['login', 'logout', 'sessions'])

function originsOf(url: string): string[] {
  return url === '' ? [] : [new URL(url).origin]
}

/**
 * Calls the router only for paths that begin with one of `prefixes`, which is faster. A known path with a wrong method
 * does not reach the session either: `allowedMethods` answers 405.
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

/** Passes other paths on to Django. Answers 404 to ambiguous spellings of our own paths, so that each page has one path. */
function passOn(upstream: Upstream | null, { showsDjangoHome }: { showsDjangoHome: boolean }): Middleware {
  return function passOnElsewhere(ctx, next) {
    const { place } = ctx.state
    if (showsDjangoHome && ctx.path === DJANGO_HOME) ctx.path = '/catalog/'
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
  ctx.body = '' // as in Django
}
