import { checkMethods } from '../checks/check-values.ts'
import { SESSION_COOKIE, SESSION_COOKIE_AGE } from '../django/cookie.ts'
import { TIME_DEFAULTS } from '../django/datetime.ts'
import type { ExpiryRules } from '../django/expiry.ts'
import { DEFAULT_SESSION_ENGINE } from '../django/session-engines.ts'
import {
  DEFAULT_SESSION_SERIALIZER,
  type SerializerName,
  serializerNamed,
} from '../django/session-serializers.ts'
import {
  type OpenedSessionEngine,
  openSessionEngine,
  type SessionEngineOptions,
} from '../engines/open-engine.ts'
import type { SessionEngine } from '../session/engine.ts'
import type { SessionEvents } from '../session/events.ts'
import type { WithProfile } from './django-version.ts'
import type { DjangoSessionsOptions } from './site-options.ts'

/** The session engine of a site, and what its sessions mean. */
export interface SiteEngine {
  readonly opened: OpenedSessionEngine
  readonly rules: ExpiryRules
  /** How a session's values are stored. */
  readonly serializer: SerializerName
}

/** Opens the session engine of a site, with Django's defaults. @throws {TypeError} */
export function openSiteEngine(
  {
    engine: given = DEFAULT_SESSION_ENGINE,
    db,
    table,
    storeClass,
    columns,
    filePath,
    cache,
    serializer: serializerPath = DEFAULT_SESSION_SERIALIZER,
    profile,
    useTz = TIME_DEFAULTS.useTz,
    timeZone = TIME_DEFAULTS.timeZone,
    databaseTimeZone = TIME_DEFAULTS.databaseTimeZone,
    cookieAge = SESSION_COOKIE_AGE,
    expireAtBrowserClose = false,
    cookie,
    now = () => new Date(),
    conflictTimeout = 2000,
    ...options
  }: WithProfile<DjangoSessionsOptions> & Pick<SessionEngineOptions, 'onForeign'>,
  events: SessionEvents,
): SiteEngine {
  const serializer = serializerNamed(serializerPath, profile)
  const rules = { useTz, timeZone, cookieAge, expireAtBrowserClose, storesIsoExpiry: profile.storesIsoExpiry }
  const opened: OpenedSessionEngine =
    typeof given === 'string'
      ? openSessionEngine({
          ...options,
          engine: given,
          db: db ?? null,
          table: table ?? null,
          storeClass: storeClass ?? null,
          columns: columns ?? null,
          filePath: filePath ?? null,
          cookieName: { ...SESSION_COOKIE, ...cookie }.name,
          cache: cache ?? null,
          serializer,
          profile,
          rules,
          databaseTimeZone,
          now,
          timeout: conflictTimeout,
          events,
        })
      : { engine: ownEngine(given), expiring: null, inventory: null, close: async () => {} }
  return { opened, rules, serializer: opened.serializer ?? serializer }
}

const VERBS = ['load', 'exists', 'create', 'update', 'delete', 'clearExpired']

function ownEngine(engine: SessionEngine): SessionEngine {
  checkMethods(
    'djangoSessions',
    { name: 'engine', value: engine, from: "Django's dotted path, or a SessionEngine" },
    VERBS,
  )
  return engine
}
