import type { Context, Middleware } from 'koa'
import { readForm, readQuery } from '../../adapters/koa/form.ts'
import type { Auth, Credentials } from '../../auth/auth.ts'
import type { User } from '../../auth/user.ts'
import { iriToUri, urlHasAllowedHostAndScheme } from '../../django/safe-url.ts'
import type { Log } from '../monitoring/log.ts'
import { encodeNext, type Frame } from './layout.ts'
import type { LoginTries, Try } from './login-throttle.ts'
import type { Views } from './views.ts'

export interface LoginOptions {
  readonly authenticate: Auth['authenticate']
  readonly tries: LoginTries
  /** Whether a GET logs out, too (Django before 5.0). */
  readonly logsOutOnGet: () => boolean
  /** LOGIN_REDIRECT_URL. */
  readonly loginRedirectUrl: string
  /** LOGOUT_REDIRECT_URL; null for a page that says so. */
  readonly logoutRedirectUrl: string | null
}

export interface LoginPages {
  readonly showLogin: Middleware
  readonly login: Middleware
  readonly logout: Middleware
  /** Logs out where Django does so on a GET. */
  readonly getLogout: Middleware
}

/** Source: django/contrib/auth/views.py, LoginView and LogoutView; the MDN tutorial's registration/*.html. */
export function createLogin({
  authenticate,
  tries,
  logsOutOnGet,
  loginRedirectUrl,
  logoutRedirectUrl,
  views,
  frame,
  log,
}: LoginOptions & { views: Views; frame: (ctx: Context) => Promise<Frame>; log: Log }): LoginPages {
  /** Answers 200 to what is wrong, as Django does. */
  async function show(ctx: Context, form: LoginForm): Promise<void> {
    const next = safeNext(ctx, form.next)
    const page = await frame(ctx)
    neverCache(ctx)
    ctx.type = 'html'
    ctx.body = views.render('login.html', {
      ...form,
      next,
      action: ctx.path,
      formToken: ctx.csrf.getToken(),
      frame: next === '' ? page : { ...page, next: encodeNext(next) },
    })
  }

  async function check(ctx: Context, credentials: Credentials): Promise<User | null> {
    tries.checkAddress(ctx.ip)
    let attempt: Try | undefined
    const onAccount = (account: string) => {
      attempt = tries.begin(account, ctx.ip)
    }
    try {
      const user = await authenticate(credentials, { onAccount })
      if (user !== null) attempt?.succeeded()
      return user
    } catch (error) {
      attempt?.undone()
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
    ctx.body = views.render('logged_out.html', { frame: await frame(ctx) })
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
        // Not the name: a password is easily typed there.
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

/** The tutorial's words. They do not say which of the two it was. */
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

/** '' unless it is safe to go there. Source: RedirectURLMixin.get_redirect_url. */
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
