/** The session engines that SESSION_ENGINE names by a dotted path, and what each of them needs. */

/** An engine's package, and what it needs. */
export type SessionEngineNeeds = TableEngineNeeds | OtherEngineNeeds

interface EngineNeeds {
  /** The Python package whose tables and cache entries it has. Django's own five engines are in each version from 2.2 to 6.1. */
  readonly package: 'django' | 'django-qsessions' | 'django-user-sessions'
  /** Whether it needs the entry of CACHES that SESSION_CACHE_ALIAS names. */
  readonly needsCache: boolean
}

/** Sessions are rows of a table. */
export interface TableEngineNeeds extends EngineNeeds {
  readonly keptIn: 'table'
  /** The default name of the table, which a site may change. */
  readonly table: string
}

/** Sessions are entries of a cache, files of a folder, or the visitor's cookie. */
interface OtherEngineNeeds extends EngineNeeds {
  readonly keptIn: 'cache' | 'folder' | 'cookie'
  readonly table: null
}

/** Django's global_settings.py. */
export const DEFAULT_SESSION_ENGINE = 'django.contrib.sessions.backends.db'

/**
 * Each engine that is supported, by its dotted path; Django's default first.
 * Source: django/contrib/sessions/backends/; qsessions/backends/; user_sessions/backends/; python/merging_sessions/.
 */
export const SESSION_ENGINES: ReadonlyMap<string, SessionEngineNeeds> = new Map<string, SessionEngineNeeds>([
  [
    DEFAULT_SESSION_ENGINE,
    { package: 'django', keptIn: 'table', table: 'django_session', needsCache: false },
  ],
  [
    'django.contrib.sessions.backends.cached_db',
    { package: 'django', keptIn: 'table', table: 'django_session', needsCache: true },
  ],
  [
    'django.contrib.sessions.backends.cache',
    { package: 'django', keptIn: 'cache', table: null, needsCache: true },
  ],
  [
    'django.contrib.sessions.backends.file',
    { package: 'django', keptIn: 'folder', table: null, needsCache: false },
  ],
  [
    'django.contrib.sessions.backends.signed_cookies',
    { package: 'django', keptIn: 'cookie', table: null, needsCache: false },
  ],
  [
    'qsessions.backends.db',
    { package: 'django-qsessions', keptIn: 'table', table: 'qsessions_session', needsCache: false },
  ],
  [
    'qsessions.backends.cached_db',
    { package: 'django-qsessions', keptIn: 'table', table: 'qsessions_session', needsCache: true },
  ],
  [
    'user_sessions.backends.db',
    { package: 'django-user-sessions', keptIn: 'table', table: 'user_sessions_session', needsCache: false },
  ],
  // Subclasses of Django's own, with the same rows and cache entries.
  ['merging_sessions.db', { package: 'django', keptIn: 'table', table: 'django_session', needsCache: false }],
  [
    'merging_sessions.cached_db',
    { package: 'django', keptIn: 'table', table: 'django_session', needsCache: true },
  ],
])

/** Returns the engine of Django that keeps its sessions in the same place: for an engine of merging_sessions, its base. */
export function baseEngineOf(engine: string): string {
  return engine.replace(/^merging_sessions\./, 'django.contrib.sessions.backends.')
}

/** Returns the default table of this engine; null for an engine without a table. */
export function sessionTableOf(engine: string): string | null {
  return SESSION_ENGINES.get(engine)?.table ?? null
}
