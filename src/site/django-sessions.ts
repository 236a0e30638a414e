import { SESSION_COOKIE } from '../django/cookie.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { type SessionValues, sessionValues } from '../django/session-values.ts'
import type { OpenedSessionEngine, SessionEngineOptions } from '../engines/open-engine.ts'
import { createSessionRequests, type SessionRequests } from '../http/session-exchange.ts'
import { withStorageStatus } from '../http/statuses.ts'
import type { SessionEngine } from '../session/engine.ts'
import { guardEvents, type SessionEvents } from '../session/events.ts'
import { createSessions } from '../session/handle.ts'
import { createLostChangeWarning, createUnreadableWarning } from '../session/warnings.ts'
import { checkOptions } from './check-options.ts'
import { type WithProfile, withProfile } from './django-version.ts'
import { openSiteEngine } from './site-engine.ts'
import type { DjangoSessionsOptions } from './site-options.ts'

/** A site's sessions for any server. */
export interface OpenedSessions {
  readonly requests: SessionRequests
  /** Where they are kept. */
  readonly engine: SessionEngine
  /** Reads the states of many sessions at once; undefined for an engine without a table. */
  readonly states: OpenedSessionEngine['states']
  /** How the values of the sessions are stored. */
  readonly values: SessionValues
  /** Closes what was opened for them (not `db`, which its caller opened). No request may be running. */
  close(): Promise<void>
}

/** The sessions of `djangoSessions`, for any server. @throws as `djangoSessions`. */
export function openSessionRequests(options: DjangoSessionsOptions): OpenedSessions {
  checkOptions('djangoSessions', options)
  return openSessions(withProfile(options))
}

/** As `openSessionRequests`, for options that are checked already. @throws {TypeError} */
export function openSessions(
  options: WithProfile<DjangoSessionsOptions> & Pick<SessionEngineOptions, 'onForeign'>,
): OpenedSessions {
  const { profile, cookie, now = () => new Date(), conflictTimeout = 2000 } = options
  const events = guardEvents(options.events, {
    unreadable: createUnreadableWarning(now),
    lostChange: process.env.NODE_ENV === 'production' ? null : createLostChangeWarning(),
  })
  const { opened, rules, serializer } = openSiteEngine(options, events)
  const engine = observedEngine(opened.engine, events)
  const values = sessionValues(serializer)
  const sessions = createSessions({
    ...options,
    conflictTimeout,
    engine,
    rules: { ...rules, ...(serializer === 'pickle' && { pickledUtc: profile.pickledUtc }) },
    values,
    now,
    events,
    mapFailure: withStorageStatus,
  })
  const requests = createSessionRequests({
    ...options,
    sessions,
    cookie: { ...SESSION_COOKIE, ...cookie },
    profile,
    now,
    events,
  })
  return { requests, engine: opened.engine, states: opened.states, values, close: () => opened.close() }
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
