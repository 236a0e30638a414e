import type { AuthOptions } from '../auth/auth.ts'
import type { Cache } from '../caches/cache.ts'
import type { CacheSettings } from '../caches/cache-settings.ts'
import type { CookieSettings } from '../django/cookie.ts'
import type { SessionCodecOptions } from '../django/session-data.ts'
import type { SessionColumns } from '../engines/extra-columns.ts'
import type { CsrfOptions } from '../http/csrf.ts'
import type { MessagesOptions } from '../http/messages.ts'
import type { SessionRequestsOptions } from '../http/session-exchange.ts'
import type { SessionEngine } from '../session/engine.ts'
import type { SessionEvents } from '../session/events.ts'
import type { SessionsOptions } from '../session/handle.ts'
import type { SqlDatabase } from '../sql/executor.ts'
import type { DjangoVersionOptions } from './django-version.ts'
import type { WatchOptions } from './session-watch.ts'

/** Django's settings, in camelCase and with Django's defaults, and the listeners. */
export interface DjangoSessionsOptions
  extends DjangoVersionOptions,
    Pick<SessionCodecOptions, 'secretKeys' | 'maxInflatedBytes'>,
    Pick<SessionsOptions, 'conflictTimeout' | 'merge'>,
    Pick<SessionRequestsOptions, 'saveEveryRequest'> {
  /** SESSION_ENGINE, Django's dotted path (default: `django.contrib.sessions.backends.db`), or an engine of your own. */
  readonly engine?: string | SessionEngine
  /**
   * The database of the Django site: a Knex, a pool of mysql2 or pg, or a database of better-sqlite3 or node:sqlite. Not
   * needed for an engine without a table.
   */
  readonly db?: SqlDatabase
  /** The table of sessions, if not Django's `django_session`. */
  readonly table?: string | null
  /** The `__qualname__` of the site's own session store, if it has one; it is part of the salt. */
  readonly storeClass?: string | null
  /** The table's further columns, unless it is the table of django-qsessions or of django-user-sessions. */
  readonly columns?: SessionColumns | null
  /** SESSION_FILE_PATH, for the file engine; default: this machine's folder for temporary files. */
  readonly filePath?: string | null
  /** For the engines with a cache: the entry of CACHES that SESSION_CACHE_ALIAS names, or a cache of your own. */
  readonly cache?: CacheSettings | Cache
  /**
   * SESSION_SERIALIZER, Django's dotted path; default: `django.contrib.sessions.serializers.JSONSerializer`. The
   * PickleSerializer, which Django had up to 4.2, stores more kinds of values: see `PickledValue`.
   */
  readonly serializer?: string
  /** USE_TZ; default: true, as startproject writes it. */
  readonly useTz?: boolean
  /** TIME_ZONE; matters where USE_TZ is False. */
  readonly timeZone?: string
  /** `DATABASES[…]['TIME_ZONE']` of `db`, with USE_TZ; on PostgreSQL it changes nothing. */
  readonly databaseTimeZone?: string
  /** SESSION_COOKIE_AGE, seconds. */
  readonly cookieAge?: number
  /** SESSION_EXPIRE_AT_BROWSER_CLOSE. */
  readonly expireAtBrowserClose?: boolean
  /** SESSION_COOKIE_NAME, _DOMAIN, … */
  readonly cookie?: Partial<CookieSettings>
  readonly now?: () => Date
  /**
   * Listeners for logs and counters. Default: a warning of the process for `unreadable` and, unless NODE_ENV is
   * `production`, for `lostChange`.
   */
  readonly events?: Partial<SessionEvents>
}

/** Django's settings, in camelCase and with Django's defaults: those of the sessions, and those of the users. */
export interface DjangoAuthOptions
  extends DjangoVersionOptions,
    Pick<DjangoSessionsOptions, 'secretKeys' | 'useTz' | 'timeZone' | 'databaseTimeZone' | 'now'>,
    Omit<AuthOptions, 'db' | 'database' | 'dates' | 'secretKeys' | 'profile' | 'now' | 'mapFailure'> {
  /** The database of the users. */
  readonly db: SqlDatabase
}

/** Django's settings of CSRF protection and messages, for pages. */
export interface DjangoPagesOptions {
  /** CSRF_USE_SESSIONS, CSRF_COOKIE_NAME, CSRF_TRUSTED_ORIGINS, … */
  readonly csrf?: Omit<CsrfOptions, 'profile' | 'now' | 'sessionCookieDomain'>
  /** MESSAGE_STORAGE, MESSAGE_LEVEL, MESSAGE_TAGS. */
  readonly messages?: Pick<MessagesOptions, 'storage' | 'level' | 'tags'>
}

/** How the sessions of open connections are watched. */
export interface DjangoWatchOptions {
  /** The milliseconds between two reads, and for which connections stay open without an answer. */
  readonly watch?: WatchOptions
}
