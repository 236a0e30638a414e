import { SESSION_COOKIE } from '../django/cookie.ts'
import { createSessionCodec, type SessionCodec } from '../django/session-data.ts'
import { SESSION_ENGINES } from '../django/session-engines.ts'
import type { VersionProfile } from '../django/versions.ts'
import { SIGNED_COOKIES_SALT } from '../engines/signed-cookies.ts'
import { retryRead } from '../sql/retry.ts'
import type { DjangoMiddleware } from './django-middleware.ts'
import type { Storage } from './open-storage.ts'
import type { RecentSaves } from './pages/recent-saves.ts'
import { createSessionTotals } from './pages/session-totals.ts'
import type { SessionsPageAccess, SessionsPageSite } from './pages/sessions-page.ts'
import { codecOptionsOf } from './settings/codec-options.ts'
import { sessionDates } from './settings/session-dates.ts'
import type { Settings } from './settings/settings.ts'

export interface SessionsPageSiteOptions {
  readonly django: DjangoMiddleware
  readonly secretKeys: NonNullable<Settings['secretKeys']>
  readonly profile: VersionProfile
  readonly useTz: boolean
  readonly saves: RecentSaves
  /** Whether users can be read. */
  readonly hasUsers: boolean
  readonly now: () => Date
}

/** Who may see the page about sessions; null when it is not served. */
export function sessionsPageAccess({ sessionsPage, environment }: Settings): SessionsPageAccess | null {
  if (sessionsPage === 'off') return null
  return sessionsPage === 'auto' && environment === 'development' ? 'local' : 'staff'
}

/** What the page about sessions shows of the site with these settings. */
export function openSessionsPage(
  settings: Settings,
  { sessionDb }: Pick<Storage, 'sessionDb'>,
  options: SessionsPageSiteOptions,
): SessionsPageSite {
  const { session, csrf, timeZone } = settings
  const { django, profile, useTz, saves, hasUsers, now } = options
  const needs = SESSION_ENGINES.get(session.engine)
  const table = session.table ?? needs?.table ?? null
  const codec = codecOf(settings, options)
  const dates = sessionDates(settings, { useTz })
  const { cookieAge } = session
  const totals =
    needs?.keptIn === 'table' && table !== null && codec !== null
      ? createSessionTotals({ db: sessionDb, table, codec, dates, cookieAge, now })
      : null
  const timeout = settings.database.timeout * 1000
  return {
    engineName: session.engine,
    keptIn: needs?.keptIn ?? 'table',
    table,
    engine: django.engine,
    codec,
    cookie: { ...SESSION_COOKIE, ...session.cookie },
    profile,
    saveEveryRequest: session.saveEveryRequest,
    timeZone,
    identify: hasUsers ? django.auth.identify : null,
    keepsCsrfInSession: csrf.useSessions,
    saves,
    totals: totals === null ? null : () => retryRead(totals, { timeout }),
    now,
  }
}

/** The codec with which the engine signs; null for a cache. */
function codecOf(
  settings: Settings,
  site: Pick<SessionsPageSiteOptions, 'secretKeys' | 'profile' | 'now'>,
): SessionCodec | null {
  const options = codecOptionsOf(settings, site)
  switch (SESSION_ENGINES.get(settings.session.engine)?.keptIn) {
    case 'cache':
      return null
    case 'cookie': // as engines/open-engine.ts, openSignedCookies
      return createSessionCodec({
        ...options,
        profile: { ...site.profile, reads: ['signed'], writes: 'signed' },
        salt: SIGNED_COOKIES_SALT,
      })
    default:
      return createSessionCodec(options)
  }
}
