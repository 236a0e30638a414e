import { checkMethods } from '../checks/check-values.ts'
import { SESSION_COOKIE, SESSION_COOKIE_AGE } from '../django/cookie.ts'
import { TIME_DEFAULTS } from '../django/datetime.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { DEFAULT_SESSION_ENGINE } from '../django/session-engines.ts'
import { DEFAULT_SESSION_SERIALIZER, serializerNamed } from '../django/session-serializers.ts'
import { jsonValues, pickledValues } from '../django/session-values.ts'
import {
  type OpenedSessionEngine,
  openSessionEngine,
  type SessionEngineOptions,
} from '../engines/open-engine.ts'
import { createSessionRequests, type SessionRequests } from '../http/session-exchange.ts'
import { withStorageStatus } from '../http/statuses.ts'
import type { SessionEngine } from '../session/engine.ts'
import { guardEvents, type SessionEvents } from '../session/events.ts'
import { createSessions } from '../session/handle.ts'
import { createLostChangeWarning, createUnreadableWarning } from '../session/warnings.ts'
import { checkOptions } from './check-options.ts'
import { type WithProfile, withProfile } from './django-version.ts'
import type { DjangoSessionsOptions } from './site-options.ts'

/** A site's sessions for any server. */
export interface OpenedSessions {
  readonly requests: SessionRequests
  /** Where they are kept. */
  readonly engine: SessionEngine
  /** Closes what was opened for them (not `db`, which its caller opened). No request may be running. */
  close(): Promise<void>
}

/** The sessions of `djangoSessions`, for any server. @throws as `djangoSessions`. */
export function openSessionRequests(options: DjangoSessionsOptions): OpenedSessions {
  checkOptions('djangoSessions', options)
  return openSessions(withProfile(options))
}

/** As `openSessionRequests`, for options that are checked already. @throws {TypeError} */
export function openSessions({
  engine: given = DEFAULT_SESSION_ENGINE,
  db,
  table,
  storeClass,
  columns,
  filePath,
  cache,
  serializer: serializerPath = DEFAULT_SESSION_SERIALIZER,
  secretKeys,
  profile,
  useTz = TIME_DEFAULTS.useTz,
  timeZone = TIME_DEFAULTS.timeZone,
  databaseTimeZone = TIME_DEFAULTS.databaseTimeZone,
  cookieAge = SESSION_COOKIE_AGE,
  expireAtBrowserClose = false,
  cookie,
  now = () => new Date(),
  conflictTimeout = 2000,
  events: listeners,
  ...options
}: WithProfile<DjangoSessionsOptions> & Pick<SessionEngineOptions, 'onForeign'>): OpenedSessions {
  const events = guardEvents(listeners, {
    unreadable: createUnreadableWarning(now),
    lostChange: process.env.NODE_ENV === 'production' ? null : createLostChangeWarning(),
  })
  const serializer = serializerNamed(serializerPath, profile)
  const rules = { useTz, timeZone, cookieAge, expireAtBrowserClose, storesIsoExpiry: profile.storesIsoExpiry }
  const cookieSettings = { ...SESSION_COOKIE, ...cookie }
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
          cookieName: cookieSettings.name,
          cache: cache ?? null,
          serializer,
          secretKeys,
          profile,
          rules,
          databaseTimeZone,
          now,
          timeout: conflictTimeout,
          events,
        })
      : { engine: ownEngine(given), close: async () => {} }
  const engine = observedEngine(opened.engine, events)
  const isPickled = (opened.serializer ?? serializer) === 'pickle'
  const sessions = createSessions({
    ...options,
    conflictTimeout,
    engine,
    rules: { ...rules, ...(isPickled && { pickledUtc: profile.pickledUtc }) },
    values: isPickled ? pickledValues : jsonValues,
    now,
    events,
    mapFailure: withStorageStatus,
  })
  const requests = createSessionRequests({
    ...options,
    sessions,
    cookie: cookieSettings,
    profile,
    now,
    events,
  })
  return { requests, engine: opened.engine, close: () => opened.close() }
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

function observedEngine(engine: SessionEngine, events: SessionEvents): SessionEngine {
  // Method by method, since a custom engine may be an instance of a class.
  return {
    keepsNothing: engine.keepsNothing === true,
    exists: (...parameters) => engine.exists(...parameters),
    create: (...parameters) => engine.create(...parameters),
    update: (...parameters) => engine.update(...parameters),
    delete: (...parameters) => engine.delete(...parameters),
    clearExpired: () => engine.clearExpired(),
    async load(...parameters) {
      try {
        const stored = await engine.load(...parameters)
        events.load(stored === null ? 'missing' : 'found')
        return stored
      } catch (error) {
        events.load(error instanceof UnreadableSession ? 'unreadable' : 'failed')
        throw error
      }
    },
  }
}
