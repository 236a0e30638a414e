import type { Context, Middleware } from 'koa'
import { readForm, readQuery } from '../../adapters/koa/form.ts'
import type { Auth, Credentials } from '../../auth/auth.ts'
import type { User } from '../../auth/user.ts'
import { iriToUri, urlHasAllowedHostAndScheme } from '../../django/safe-url.ts'
import type { Log } from '../monitoring/log.ts'
import { encodeNext, type Layout } from './layout.ts'
import type { LoginAttempt, LoginThrottle } from './login-throttle.ts'
import type { Templates } from './templates.ts'

export interface LoginOptions {
  readonly authenticate: Auth['authenticate']
  readonly throttle: LoginThrottle
  /** Whether a GET also logs out (Django before 5.0). */
  readonly logsOutOnGet: () => boolean
  /** LOGIN_REDIRECT_URL. */
  readonly loginRedirectUrl: string
  /** LOGOUT_REDIRECT_URL; null for the page "Logged out". */
  readonly logoutRedirectUrl: string | null
}

/** A user whose public password the login page shows. Only the embedded demo has such users. */
export interface PublicUser {
  readonly username: string
  readonly password: string
  /** What the user can do. */
  readonly about: string
}

export interface LoginPages {
  readonly showLogin: Middleware
  readonly login: Middleware
  readonly logout: Middleware
  /** Logs out in Django versions that do so on a GET; else 405. */
  readonly getLogout: Middleware
}

/** Source: django/contrib/auth/views.py, LoginView and LogoutView; the MDN tutorial's registration/*.html. */
export function createLogin({
  authenticate,
  throttle,
  logsOutOnGet,
  loginRedirectUrl,
  logoutRedirectUrl,
  publicUsers,
  templates,
  layout,
  log,
}: LoginOptions & {
  publicUsers: readonly PublicUser[]
  templates: Templates
  layout: (ctx: Context) => Promise<Layout>
  log: Log
}): LoginPages {
  /** The login form. Its status is 200 also with errors, as in Django. */
  async function show(ctx: Context, form: LoginForm): Promise<void> {
    const next = safeNext(ctx, form.next)
    const page = await layout(ctx)
    neverCache(ctx)
    ctx.type = 'html'
    ctx.body = templates.render('login.html', {
      ...form,
      next,
      action: ctx.path,
      formToken: ctx.csrf.getToken(),
      publicUsers,
      layout: next === '' ? page : { ...page, next: encodeNext(next) },
    })
  }

  async function check(ctx: Context, credentials: Credentials): Promise<User | null> {
    throttle.checkAddress(ctx.ip)
    let attempt: LoginAttempt | undefined
    const onAccount = (account: string) => {
      attempt = throttle.begin(account, ctx.ip)
    }
    try {
      const user = await authenticate(credentials, { onAccount })
      if (user !== null) attempt?.succeed()
      return user
    } catch (error) {
      attempt?.discard()
      throw error
    }
  }

  async function logOut(ctx: Context): Promise<void> {
    const form = await readForm(ctx)
    const { requestId } = ctx.state
    const user = await ctx.user()
    await ctx.logout()
    if (user.isAuthenticated) log.info('auth.logout', { requestId, userId: user.id })
    const next = safeNext(ctx, form.get('next') ?? readQuery(ctx).get('next')) || logoutRedirectUrl
    neverCache(ctx)
    if (next !== null && next !== ctx.url) return redirect(ctx, next)
    ctx.type = 'html'
    ctx.body = templates.render('logged_out.html', { layout: await layout(ctx) })
  }

  return {
    async showLogin(ctx) {
      await show(ctx, { username: '', next: readQuery(ctx).get('next'), errors: NO_ERRORS })
    },

    async login(ctx) {
      const form = await readForm(ctx)
      const username = form.get('username') ?? ''
      const password = form.get('password') ?? ''
      const next = form.get('next') ?? readQuery(ctx).get('next')
      const errors = errorsOf(username, password)
      if (errors.username !== null || errors.password !== null) return show(ctx, { username, next, errors })
      const user = await check(ctx, { username, password })
      const { requestId } = ctx.state
      if (user === null) {
        // The name is not logged: users sometimes type their password there.
        log.warn('auth.login_failed', { requestId })
        return show(ctx, { username, next, errors: { ...NO_ERRORS, form: WRONG } })
      }
      await ctx.login(user)
      log.info('auth.login', { requestId, userId: user.id })
      neverCache(ctx)
      redirect(ctx, safeNext(ctx, next) || loginRedirectUrl)
    },

    logout: logOut,

    async getLogout(ctx) {
      if (!logsOutOnGet()) {
        ctx.set('Allow', 'POST, OPTIONS')
        ctx.status = 405
        return
      }
      await logOut(ctx)
    },
  }
}

interface LoginForm {
  readonly username: string
  readonly next: string | undefined
  readonly errors: LoginErrors
}

interface LoginErrors {
  readonly username: string | null
  readonly password: string | null
  readonly form: string | null
}

const NO_ERRORS: LoginErrors = { username: null, password: null, form: null }

/** The tutorial's text. It does not say which of the two was wrong. */
const WRONG = "Your username and password didn't match. Please try again."

const REQUIRED = 'This field is required.'

/** Source: django/forms/fields.py; ProhibitNullCharactersValidator. */
function errorsOf(username: string, password: string): LoginErrors {
  const errorOf = (text: string, isEmpty: boolean) => {
    if (isEmpty) return REQUIRED
    return text.includes('\0') ? 'Null characters are not allowed.' : null
  }
  return {
    username: errorOf(username, username.trim() === ''),
    password: errorOf(password, password === ''),
    form: null,
  }
}

/** Returns `next` if it is safe to redirect there, else ''. Source: RedirectURLMixin.get_redirect_url. */
function safeNext(ctx: Context, next: string | undefined): string {
  const isSafe = urlHasAllowedHostAndScheme(next, { allowedHosts: [ctx.host], requireHttps: ctx.secure })
  return isSafe ? (next ?? '') : ''
}

/** Source: django/http/response.py, HttpResponseRedirect. */
function redirect(ctx: Context, url: string): void {
  ctx.status = 302
  ctx.set('Location', iriToUri(url))
  ctx.body = ''
}

/** Source: django/utils/cache.py, add_never_cache_headers. */
function neverCache(ctx: Context): void {
  ctx.set('Expires', new Date().toUTCString())
  ctx.set('Cache-Control', 'max-age=0, no-cache, no-store, must-revalidate, private')
}
