import { DEFAULT_SESSION_ENGINE, SESSION_ENGINES } from '../django/session-engines.ts'
import { NO_EVENTS } from '../session/events.ts'
import { checkOptions } from './check-options.ts'
import { type WithProfile, withProfile } from './django-version.ts'
import { openSiteEngine } from './site-engine.ts'
import type { DjangoSessionsOptions } from './site-options.ts'

/** The options of `clearSessions`. */
export interface ClearSessionsOptions {
  /** Seconds for which a session must have been expired; default: 0. */
  readonly olderThan?: number
  /** Only counts what has expired. */
  readonly dryRun?: boolean
  /** The most rows of one statement; default: 1000. */
  readonly batchSize?: number
  /** Ends the work after the running batch. */
  readonly signal?: AbortSignal
  /** Called after each batch. */
  readonly onProgress?: (progress: { readonly deleted: number }) => void
}

/** What `clearSessions` did. */
export interface ClearedSessions {
  /** The table or the folder; null when this engine leaves nothing to clear. */
  readonly place: string | null
  /** Why nothing is to be cleared; null when there is a place. */
  readonly because: string | null
  /** With `dryRun`: how many sessions have expired; otherwise null. */
  readonly expired: number | null
  readonly deleted: number
  /** Whether `signal` ended the work before its end. */
  readonly interrupted: boolean
}

/**
 * Deletes the sessions that have expired, as Django's `clearsessions` does: rows of the table, in small batches with rests
 * between them, files of the folder, and, unlike Django, rows of a DatabaseCache. Several runs at once do no harm, and a run
 * that was cut off is continued by the next. Copies that `cached_db` keeps in a cache expire there.
 * Source: django/contrib/sessions/management/commands/clearsessions.py.
 * @throws as `djangoSessions`.
 */
export async function clearSessions(
  site: DjangoSessionsOptions,
  options: ClearSessionsOptions = {},
): Promise<ClearedSessions> {
  checkOptions('clearSessions', site)
  return clearSiteSessions(withProfile(site), options)
}

/** As `clearSessions`, for options that are checked already. */
export async function clearSiteSessions(
  site: WithProfile<DjangoSessionsOptions>,
  { olderThan = 0, dryRun = false, batchSize, signal, onProgress = () => {} }: ClearSessionsOptions = {},
): Promise<ClearedSessions> {
  const { now = () => new Date(), engine = DEFAULT_SESSION_ENGINE } = site
  const { opened } = openSiteEngine(site, NO_EVENTS)
  const before = new Date(now().getTime() - olderThan * 1000)
  const given = signal === undefined ? {} : { signal }
  const nothing = { place: null, because: null, expired: null, deleted: 0 }
  const done = (result: Partial<ClearedSessions>): ClearedSessions => ({
    ...nothing,
    ...result,
    interrupted: signal?.aborted === true,
  })
  try {
    const { expiring } = opened
    if (expiring === null && typeof engine !== 'string') {
      if (dryRun || olderThan > 0)
        throw new TypeError(
          'clearSessions: an engine of your own can neither count nor wait; leave out dryRun and olderThan',
        )
      return done({ place: 'engine', deleted: await opened.engine.clearExpired() })
    }
    if (expiring === null) return done({ because: whyNothing(String(engine)) })
    const { place } = expiring
    if (dryRun) return done({ place, expired: await expiring.countExpired({ before, ...given }) })
    const deleted = await expiring.clear({
      before,
      ...given,
      ...(batchSize !== undefined && { batchSize }),
      onProgress: (deleted) => onProgress({ deleted }),
    })
    return done({ place, deleted })
  } finally {
    await opened.close()
  }
}

function whyNothing(engine: string): string {
  return SESSION_ENGINES.get(engine)?.keptIn === 'cookie'
    ? `${engine} stores sessions in the browsers' cookies, and nothing on the server`
    : `${engine} stores sessions in a cache, which drops expired entries itself`
}
