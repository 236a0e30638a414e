import { isAllowedHost, LOCAL_HOSTS } from '../../django/hosts.ts'
import type { Settings } from '../../service/settings/settings.ts'
import type { CookieJar, ReceivedCookie } from './cookie-jar.ts'
import type { Page, PageClient } from './page-client.ts'

/** One page as a visitor gets it: after the redirects within the site. */
export interface Visit {
  readonly path: string
  /** The last answer. */
  readonly page: Page
  /** The cookies of all answers. */
  readonly cookies: readonly ReceivedCookie[]
  /** Where the last answer sends the visitor; null if it is a page. */
  readonly away: Away | null
}

/** A redirect that leaves the site that was asked: to HTTPS, to another host, or without an end. */
export type Away =
  | { readonly to: 'https' }
  | { readonly to: 'host'; readonly host: string }
  | { readonly to: 'itself' }

/** How a visitor's request reaches Django. */
export interface VisitOptions {
  readonly host: string
  readonly scheme: 'http' | 'https'
  readonly jar: CookieJar
}

const MOST_REDIRECTS = 5

/** Asks for a page as the service would pass the request on. Only redirects to the same origin are followed. */
export async function visit(
  client: PageClient,
  path: string,
  { host, scheme, jar }: VisitOptions,
): Promise<Visit> {
  const cookies: ReceivedCookie[] = []
  let target = path
  for (let redirects = 0; ; redirects += 1) {
    const page = await client.get(target, headersFor({ host, scheme, cookie: jar.header(target) }))
    jar.store(page.cookies)
    cookies.push(...page.cookies)
    const { location } = page.headers
    if (location === undefined || page.status < 300 || page.status > 399)
      return { path, page, cookies, away: null }
    const next = URL.parse(location, `${scheme}://${host}${target}`)
    const away = awayOf(next, { host, scheme })
    if (away !== null) return { path, page, cookies, away }
    if (redirects === MOST_REDIRECTS) return { path, page, cookies, away: { to: 'itself' } }
    target = `${next?.pathname}${next?.search}`
  }
}

function awayOf(next: URL | null, { host, scheme }: Pick<VisitOptions, 'host' | 'scheme'>): Away | null {
  const here = new URL(`${scheme}://${host}`)
  if (next === null) return { to: 'itself' }
  if (next.origin === here.origin) return null
  const isHttps = next.protocol === 'https:' && scheme === 'http' && next.hostname === here.hostname
  return isHttps ? { to: 'https' } : { to: 'host', host: next.host }
}

/** The headers that the service sends for a visitor, and those of the doctor's browser. */
function headersFor({
  host,
  scheme,
  cookie,
}: {
  host: string
  scheme: string
  cookie: string | undefined
}): Record<string, string> {
  return {
    host,
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': scheme,
    'x-forwarded-host': host,
    'x-forwarded-port': /:(\d+)$/.exec(host)?.[1] ?? (scheme === 'https' ? '443' : '80'),
    accept: 'text/html',
    'user-agent': 'koa-django-sessions doctor',
    ...(cookie !== undefined && { cookie }),
  }
}

/** The scheme that Django is told: HTTPS if a proxy in front is trusted to say so. */
export function schemeOf({ trustedProxy }: Pick<Settings, 'trustedProxy'>): 'http' | 'https' {
  return trustedProxy.includes('proto') ? 'https' : 'http'
}

/** Pages that a Django site may have, and on which it uses the session or a form. */
export function pagesOf({ login }: Pick<Settings, 'login'>, first: string | null = null): string[] {
  const loginPage = login.loginUrl.startsWith('/') ? [login.loginUrl] : []
  return [...new Set([...(first === null ? [] : [first]), '/catalog/', ...loginPage, '/admin/login/', '/'])]
}

const MOST_HOSTS = 5

/** Hosts for which visitors may ask, by ALLOWED_HOSTS; the one at which the service listens comes first. */
export function hostsOf({ allowedHosts, host }: Pick<Settings, 'allowedHosts' | 'host'>): string[] {
  const own = ownHost(host)
  const named = hasDefaultHosts({ allowedHosts })
    ? []
    : allowedHosts.filter((one) => one !== '*').map((one) => one.replace(/^\./, ''))
  const first = isAllowedHost(own, allowedHosts) ? [own] : []
  const hosts = [...new Set([...first, ...named])]
  return hosts.length === 0 ? ['127.0.0.1'] : hosts.slice(0, MOST_HOSTS)
}

/** Whether ALLOWED_HOSTS is not set. */
export function hasDefaultHosts({ allowedHosts }: Pick<Settings, 'allowedHosts'>): boolean {
  return allowedHosts.length === LOCAL_HOSTS.length && allowedHosts.every((one) => LOCAL_HOSTS.includes(one))
}

/** The address at which this machine reaches a server that listens on `host`. */
export function ownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::' || host === '') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}

/** Whether the answers of a server look like Django's. Each mark is one that Django, or a Python server, makes by itself. */
export function looksLikeDjango(visits: readonly Visit[]): boolean {
  return visits.some(
    ({ page, cookies }) =>
      MARKS.some((mark) => mark.test(page.body)) ||
      PYTHON_SERVER.test(String(page.headers.server ?? '')) ||
      hasDjangoHeaders(page) ||
      cookies.some(({ name }) => name === 'csrftoken'),
  )
}

const MARKS: readonly RegExp[] = [
  /\bcsrfmiddlewaretoken\b/,
  /\bDjango\b/,
  // django/views/defaults.py, page_not_found and bad_request, without templates of the site.
  /<h1>Not Found<\/h1>(?:<p>|\s+)The requested resource was not found on this server\./,
  /<h1>Bad Request \(400\)<\/h1>/,
]

const PYTHON_SERVER = /^(?:WSGIServer|gunicorn|uvicorn|daphne|waitress|Werkzeug)\b/i

/** Source: django/middleware/security.py and clickjacking.py, with the defaults of `startproject`. */
function hasDjangoHeaders({ headers }: Page): boolean {
  return (
    /^(?:DENY|SAMEORIGIN)$/.test(String(headers['x-frame-options'])) &&
    headers['x-content-type-options'] === 'nosniff' &&
    headers['referrer-policy'] === 'same-origin'
  )
}

/** Whether the page has a form with a CSRF token of Django. */
export function hasForm({ page }: Visit): boolean {
  return /\bcsrfmiddlewaretoken\b/.test(page.body)
}

/**
 * Whether it looks like a session key: 32 letters and digits, but not hexadecimal, as an id of another cookie may be.
 * Source: django/contrib/sessions/backends/base.py, _get_new_session_key.
 */
export function isKey(value: string): boolean {
  return /^[a-z0-9]{32}$/.test(value) && /[g-z]/.test(value)
}

/** A value that signing.dumps made. */
export function isSigned(value: string): boolean {
  return /^\.?[\w-]+:[\w-]+:[\w-]{20,}$/.test(value)
}

/** The session cookie among these: that with our name, else one that looks like Django's. */
export function sessionCookieIn(
  cookies: readonly ReceivedCookie[],
  { session, csrf }: Pick<Settings, 'session' | 'csrf'>,
): ReceivedCookie | null {
  const set = cookies.filter(({ isDeletion }) => !isDeletion)
  const others = set.filter(({ name }) => name !== csrf.cookie.name && name !== 'messages')
  return (
    set.findLast(({ name }) => name === session.cookie.name) ??
    others.findLast(({ value }) => isKey(value)) ??
    others.findLast(({ value }) => isSigned(value)) ??
    null
  )
}
