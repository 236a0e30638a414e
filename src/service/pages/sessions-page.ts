import type { Context, Middleware } from 'koa'
import { readForm } from '../../adapters/koa/form.ts'
import type { Auth, Identity } from '../../auth/auth.ts'
import { anonymousUser } from '../../auth/user.ts'
import { type CookieSettings, readCookie } from '../../django/cookie.ts'
import { isAllowedHost, LOCAL_HOSTS } from '../../django/hosts.ts'
import type { SessionCodec } from '../../django/session-data.ts'
import type { SessionEngineNeeds } from '../../django/session-engines.ts'
import { unlessUnreadable } from '../../django/unreadable-session.ts'
import type { VersionProfile } from '../../django/versions.ts'
import type { SessionEngine, StoredSession } from '../../session/engine.ts'
import type { Session } from '../../session/session.ts'
import { codeOf } from '../../sql/driver-errors.ts'
import { type Layouts, redirectToLogin } from './layout.ts'
import type { RecentSaves } from './recent-saves.ts'
import {
  codeFact,
  cookieDetails,
  counted,
  dateIn,
  duration,
  type Fact,
  FORMATS,
  fact,
  keyName,
  number,
  placeOf,
  SESSIONS_PAGE_PATH,
  storedKeys,
  verify,
} from './session-details.ts'
import { hourPlot, readingBars, sizeBars } from './session-plots.ts'
import type { BoundedCount, SessionTotals } from './session-totals.ts'
import type { Templates } from './templates.ts'

/** `local`: for requests from this machine itself, and for staff. `staff`: for staff alone. */
export type SessionsPageAccess = 'local' | 'staff'

/** What the page shows of the site. */
export interface SessionsPageSite {
  /** SESSION_ENGINE. */
  readonly engineName: string
  readonly keptIn: SessionEngineNeeds['keptIn']
  readonly table: string | null
  readonly engine: Pick<SessionEngine, 'load'>
  /** Reads what the engine stores; null where it does not sign: a cache. */
  readonly codec: SessionCodec | null
  readonly cookie: CookieSettings
  readonly profile: VersionProfile
  readonly saveEveryRequest: boolean
  /** TIME_ZONE. */
  readonly timeZone: string
  /** Null where users cannot be read: then no visitor is staff. */
  readonly identify: Auth['identify'] | null
  /** CSRF_USE_SESSIONS. */
  readonly keepsCsrfInSession: boolean
  readonly saves: Pick<RecentSaves, 'of'>
  /** Null for an engine without a table. */
  readonly totals: (() => Promise<SessionTotals>) | null
  readonly now: () => Date
}

export interface SessionsPageOptions {
  readonly access: SessionsPageAccess
  /** @throws while the databases have not been checked. */
  readonly site: () => SessionsPageSite
}

export interface SessionsPage {
  readonly show: Middleware
  /** Shows the page with the value of one key. A POST, so that no name of a key gets into a log or a history. */
  readonly reveal: Middleware
}

/**
 * The page about this browser's session, and about all sessions in numbers. It reads and changes nothing: the user is
 * identified without a flush, messages stay for the next page, and no CSRF token is put into a session.
 */
export function createSessionsPage({
  access,
  site: siteOf,
  templates,
  layouts,
}: SessionsPageOptions & { templates: Templates; layouts: Layouts }): SessionsPage {
  async function render(ctx: Context, asked: string | null): Promise<void> {
    ctx.set('Cache-Control', 'no-store')
    const site = siteOf()
    const session = await ctx.session.load()
    const identity = (await site.identify?.(session)) ?? UNKNOWN
    if (!(access === 'local' && isFromThisMachine(ctx)) && !isStaff(identity)) {
      // As Django's admin: to the login page, also for a user who is not staff
      // (django/contrib/admin/views/decorators.py, staff_member_required).
      return redirectToLogin(ctx, layouts.bare(ctx), SESSIONS_PAGE_PATH)
    }
    // Null, too, where the session is gone since the request loaded it.
    const stored =
      session.sessionKey === null ? null : await site.engine.load(session.sessionKey).catch(unlessUnreadable)
    // With CSRF_USE_SESSIONS, the first token of a session is a change of it.
    const mayHaveToken = !site.keepsCsrfInSession || session.has('_csrftoken')
    const totals = await readTotals(site)
    const { user } = identity
    ctx.type = 'html'
    ctx.body = templates.render('sessions.html', {
      layout: mayHaveToken
        ? await layouts.forUser(ctx, user.isAuthenticated ? user : null)
        : layouts.bare(ctx),
      action: SESSIONS_PAGE_PATH,
      formToken: mayHaveToken && stored !== null ? ctx.csrf.getToken() : null,
      zone: site.timeZone,
      state: stateOf(ctx, site, stored),
      facts: stored === null ? [] : sessionFacts(stored, { site, session, identity }),
      ...(stored === null ? { keys: null, others: 0 } : storedKeys(stored.data, asked)),
      saves: savesOf(site, session.sessionKey),
      ...cookieOf(ctx, site, session),
      ...totals,
    })
  }

  return {
    show: (ctx) => render(ctx, null),
    reveal: async (ctx) => render(ctx, (await readForm(ctx)).get('key') ?? null),
  }
}

/**
 * Whether the request comes from this machine, names it as the host, and has no header of a proxy. The host is checked
 * because the name of another site may lead here (DNS rebinding).
 */
function isFromThisMachine({ req }: Context): boolean {
  const { headers, socket } = req
  const isLoopback = /^(?:::ffff:)?127\.|^::1$/.test(socket.remoteAddress ?? '')
  const isForwarded = FORWARDED.some((name) => headers[name] !== undefined)
  return isLoopback && !isForwarded && isAllowedHost(headers.host ?? '', LOCAL_HOSTS)
}

const FORWARDED = [
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
]

/** Source: django/contrib/admin/sites.py, AdminSite.has_permission. */
function isStaff({ user }: Identity): boolean {
  return user.isAuthenticated && user.isActive && user.isStaff
}

/** What became of the cookie that the browser sent. */
function stateOf(
  ctx: Context,
  { cookie }: SessionsPageSite,
  stored: StoredSession | null,
): { isGood: boolean; text: string } {
  if (stored !== null)
    return { isGood: true, text: 'Your browser sent a session cookie, and its session is live.' }
  if (ctx.session.isUnreadable)
    return {
      isGood: false,
      text: 'Your browser sent a session cookie, and its session is stored, but cannot be read here. It stays as it is. The log has the reason (session.unreadable); the command doctor says what to do.',
    }
  if (readCookie(ctx.get('Cookie'), cookie.name) !== undefined)
    return {
      isGood: false,
      text: 'Your browser sent a session cookie, but no live session has its key. It has expired, was deleted, or is kept in another place than SESSION_ENGINE and DATABASE_URL name.',
    }
  return {
    isGood: true,
    text: `Your browser sent no cookie ${cookie.name}. A session begins when a page stores something for you.`,
  }
}

function sessionFacts(
  stored: StoredSession,
  { site, session, identity }: { site: SessionsPageSite; session: Session; identity: Identity },
): Fact[] {
  const { engineName, keptIn, table, codec, timeZone, now } = site
  const verified = verify(codec, stored.revision)
  const left = (stored.expireDate.getTime() - now().getTime()) / 1000
  return [
    codeFact('Engine', engineName),
    fact('Kept in', placeOf(keptIn, table)),
    fact('Format', verified === null ? 'not signed' : FORMATS[verified.format]),
    ...(verified === null ? [] : [codeFact('Verified with', keyName(verified.keyIndex))]),
    ...(codec === null ? [] : [fact('Stored size', counted(stored.revision.length, 'byte'))]),
    fact('Expires', `${dateIn(timeZone)(stored.expireDate)} (${timeZone})`),
    fact('Time left', duration(left)),
    ...userFacts(session, identity),
  ]
}

const UNKNOWN: Identity = { user: anonymousUser, verdict: 'nobody' }

function userFacts(session: Session, { user, verdict }: Identity): Fact[] {
  if (!session.has('_auth_user_id')) return [fact('User', 'not logged in')]
  const backend = session.get('_auth_user_backend')
  return [
    fact('User', user.isAuthenticated ? `${user.getUsername()} (id ${user.id})` : VERDICTS[verdict]),
    ...(typeof backend === 'string' ? [codeFact('Backend', backend)] : []),
    ...(verdict === 'fallback'
      ? [fact('Login', 'verified with a fallback key; the next page gives the session a new key')]
      : []),
  ]
}

const VERDICTS: Readonly<Record<Identity['verdict'], string>> = {
  current: 'logged in',
  fallback: 'logged in',
  nobody:
    'anonymous: the session names a user that is unknown or inactive, a backend that is not allowed, or users are not read here',
  unverified: 'anonymous here: the hash of the login does not verify. Check SECRET_KEY and AUTH_SESSION_HASH',
  wrong: 'anonymous: the password was changed after the login. The next page ends this session',
}

function savesOf({ saves, timeZone }: SessionsPageSite, sessionKey: string | null): readonly object[] {
  const date = dateIn(timeZone)
  return (sessionKey === null ? [] : saves.of(sessionKey)).map(
    ({ at, key, added, changed, removed, merged, kept }) => ({
      at: date(at),
      key: { new: 'new session', same: null, moved: 'new session key' }[key],
      changes: [
        { verb: 'added', keys: added },
        { verb: 'changed', keys: changed },
        { verb: 'removed', keys: removed },
      ].filter(({ keys }) => keys.length > 0),
      merged,
      kept,
    }),
  )
}

function cookieOf(
  ctx: Context,
  { cookie, profile, now, saveEveryRequest }: SessionsPageSite,
  session: Session,
) {
  const request = { host: ctx.host, isSecure: ctx.secure, cookieHeader: ctx.get('Cookie') }
  try {
    const maxAge = session.getExpireAtBrowserClose() ? null : session.getExpiryAge()
    return {
      cookie: cookieDetails(cookie, { maxAge, now: now(), profile, request }),
      cookieProblem: null,
      saveEveryRequest,
    }
  } catch (error) {
    // An expiry or a SameSite on which Django fails too: every page that saves the session does.
    if (!String(codeOf(error)).startsWith('ERR_')) throw error
    return { cookie: null, cookieProblem: error instanceof Error ? error.message : '', saveEveryRequest }
  }
}

/** The totals for the template. If they cannot be read, the page still shows the session. */
async function readTotals(site: SessionsPageSite): Promise<object> {
  const { keptIn, timeZone } = site
  const nothing = { totals: null, totalsProblem: null, notCounted: null }
  if (site.totals === null) return { ...nothing, notCounted: NOT_COUNTED[keptIn] }
  try {
    const totals = await site.totals()
    return { ...nothing, totals: totalsView(totals, timeZone) }
  } catch (error) {
    return { ...nothing, totalsProblem: String(codeOf(error) ?? 'unknown error') }
  }
}

const NOT_COUNTED: Readonly<Record<SessionEngineNeeds['keptIn'], string>> = {
  table: '',
  cache:
    'This engine keeps sessions in a cache. A cache cannot list its entries without reading all of them, so sessions are not counted. Expired sessions are removed by the cache itself.',
  folder:
    'This engine keeps each session in a file. To count them, every file would have to be read, so sessions are not counted.',
  cookie:
    'This engine keeps each session in its cookie, and nothing on the server: there is nothing to count.',
}

function totalsView({ live, expired, rows, sample, readAt }: SessionTotals, timeZone: string): object {
  const plot = hourPlot(sample, { now: readAt, timeZone })
  const unreadable = sample.rows.filter(({ reading }) => reading.outcome === 'unreadable').length
  const date = dateIn(timeZone)
  return {
    live: countText(live),
    expired: countText(expired),
    rows: rows === null ? 'unknown' : `${rows.isExact ? '' : 'about '}${number(rows.count)}`,
    unreadable: number(unreadable),
    isEmpty: sample.rows.length === 0,
    sampleSize: number(sample.rows.length),
    isWhole: sample.isWhole,
    completeSince: sample.completeSince === null ? null : date(sample.completeSince),
    readAt: date(readAt),
    readings: readingBars(sample),
    sizes: sizeBars(sample),
    largest: number(Math.max(0, ...sample.rows.map(({ size }) => size))),
    hours: plot,
  }
}

function countText({ count, isAtLeast }: BoundedCount): string {
  return isAtLeast ? `${number(count)}+` : number(count)
}
