import { opendir, readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { userModel } from '../../auth/user-model.ts'
import { createDiagnosis } from '../../django/session-diagnosis.ts'
import { SESSION_ENGINES } from '../../django/session-engines.ts'
import { isGeneratedSessionKey } from '../../django/session-key.ts'
import { UnreadableSession } from '../../django/unreadable-session.ts'
import { copyPrefixOf } from '../../engines/cached-db.ts'
import { codecOptionsOf } from '../../service/settings/codec-options.ts'
import { databaseKindOf, dialects } from '../../sql/dialect.ts'
import { isPermissionDenied } from '../../sql/driver-errors.ts'
import type { Project } from '../open-project.ts'
import { openSiteCache } from '../site-cache.ts'
import { type Check, type Evidence, perRun, type Result } from './check.ts'
import {
  newestSessions,
  readNewest,
  type SessionRow,
  type SessionRows,
  sessionsText,
  timeText,
} from './sessions-rows.ts'
import { tablesWith } from './table-schema.ts'

/** Whether Django keeps its sessions where this service does. */
export const SESSION_STORAGE_CHECKS: readonly Check[] = [
  {
    id: 'sessions.E001',
    title: 'Django saves its sessions where this service does',
    meaning:
      'Looks for newer sessions of Django in other places: tables with the columns of a session table, cache tables of this database, and files in the temporary folders that are named like sessions and verify with the keys. If they are there, the two sides keep sessions in different places, and pages say "visited 1 time" after each change of sides. A cache server, a cookie or another database cannot be seen from here: `--round-trip` tells.',
    remedy:
      'Set `SESSION_ENGINE`, and the setting that names the place, as in the settings of the Django site.',
    after: ['database.E001'],
    isCheap: false,
    run: whereDjangoSaves,
  },
  {
    id: 'sessions.W001',
    title: 'Django still saves sessions in this table',
    meaning:
      'Compares the newest row of Django with those of this service, and with the last logins of users. Fails when this service has saved many sessions for more than a day and Django none, or when users have logged in and no session is stored. Then this may be a copy of the database, or Django uses another session engine.',
    remedy:
      'Set `DATABASE_URL` (or `SESSION_DATABASE_URL`) and `SESSION_ENGINE` as in the settings of the Django site. `--round-trip` shows whether they are right.',
    after: ['database.E001', 'database.E002', 'sessions.E001'],
    isCheap: false,
    run: savesHere,
  },
  {
    id: 'sessions.W002',
    title: 'Django puts its copies into this cache',
    meaning:
      'With a `cached_db` engine, Django puts a copy of each session that it saves into the cache. Fails when the sessions that it saved within the last hour have no copies in the cache of `CACHES`: then its engine is `db`, or its cache is another one, and it shows old data after a change here.',
    remedy: 'Set `SESSION_ENGINE`, `CACHES` and `SESSION_CACHE_ALIAS` as in the settings of the Django site.',
    after: ['database.E001', 'database.E002', 'sessions.E001'],
    isCheap: false,
    run: putsCopies,
  },
]

/** The newest session of Django that was found elsewhere, and the settings for that place. */
interface Place {
  readonly what: string
  readonly savedAt: Date
  readonly hint: string
  /** Whether it verifies with our keys. If not, it may be of another site in the same database. */
  readonly isOurs: boolean
}

const HOUR = 3_600_000
const DAY = 24 * HOUR

async function whereDjangoSaves(evidence: Evidence): Promise<Result> {
  const { project } = evidence
  const { django } = await newestSessions(evidence)
  const copies = await cachedCopies(evidence, django)
  if (copies !== null) return copies
  const newest = django[0]?.savedAt ?? null
  const now = project.now()
  // A site that has moved its sessions leaves the former place full: without rows here, only fresh ones count.
  const since = newest ?? new Date(now.getTime() - (project.table === null ? HOUR : DAY))
  for (const look of [inOtherTables, inCacheTables, inFiles]) {
    const place = await look(evidence)
    if (place === null) continue
    // Where two sites are in use at once, the newest session is now of the one, now of the other.
    if (place.savedAt.getTime() <= since.getTime() + (place.isOurs || newest === null ? 0 : HOUR)) continue
    const here = newest === null ? 'holds none of Django' : `its newest is of ${agoText(newest, now)}`
    return {
      outcome: 'failed',
      read: `${place.what} has a session that Django saved ${agoText(place.savedAt, now)}; ${placeOf(project)} ${here}`,
      hint: place.hint,
    }
  }
  if (newest !== null) return { outcome: 'ok', read: `no newer ones than in ${placeOf(project)} were found` }
  return {
    outcome: 'skipped',
    because: `no session of Django was found, neither in ${placeOf(project)} nor in other tables and folders; visit a page of the Django site and run the doctor again, or use --round-trip`,
  }
}

function placeOf({ table, settings }: Project): string {
  return table === null ? settings.session.engine : `the table ${table}`
}

function agoText(instant: Date, now: Date): string {
  const seconds = (now.getTime() - instant.getTime()) / 1000
  return seconds < 1 ? 'just now' : `${timeText(seconds)} ago`
}

/** A cached_db of Django keeps a copy of each row: if Django's newest row has one, that is its engine. */
async function cachedCopies(evidence: Evidence, django: readonly SessionRow[]): Promise<Result | null> {
  const { settings, now } = evidence.project
  const [newest] = django
  const needs = SESSION_ENGINES.get(settings.session.engine)
  if (newest === undefined || needs?.needsCache === true) return null
  for (const { table, entries } of await sessionCaches(evidence)) {
    const copy = entries.find(({ key, name }) => name === 'cached_db' && key === newest.key)
    if (copy === undefined || copy.expires <= now()) continue
    return {
      outcome: 'failed',
      read: `the cache table ${table} holds a copy of Django's newest session: its engine is cached_db, and Django reads the copy, not the row`,
      hint: `set SESSION_ENGINE=${settings.session.engine.replace(/\.db$/, '.cached_db')}, and CACHES as in settings.py`,
    }
  }
  return null
}

async function inOtherTables({ project }: Evidence): Promise<Place | null> {
  const { sessionDb, db, table, settings } = project
  const places: Place[] = []
  for (const base of new Set([sessionDb, db])) {
    const names = await tablesWith(base, ['session_key', 'session_data', 'expire_date'], {
      most: MOST_TABLES,
    })
    for (const name of names) {
      if (base === sessionDb && name === table) continue
      const [newest] = (await readNewest(project, base, name).catch(noneIfDenied)).django
      if (newest === undefined || newest.savedAt === null) continue
      const isElsewhere = base !== sessionDb && settings.sessionDatabase !== null
      const engine = [...SESSION_ENGINES].find(([, needs]) => needs.table === name)?.[0]
      const setting = engine === undefined ? `SESSION_DB_TABLE=${name}` : `SESSION_ENGINE=${engine}`
      places.push({
        what: `the table ${name}${isElsewhere ? ' of DATABASE_URL' : ''}`,
        savedAt: newest.savedAt,
        isOurs: newest.diagnosis?.decoded != null,
        hint:
          isElsewhere && name === table
            ? 'leave SESSION_DATABASE_URL empty, if DATABASE_ROUTERS in settings.py sends sessions to no other database'
            : `set ${setting}${isElsewhere ? ', and leave SESSION_DATABASE_URL empty' : ''}, if that is in settings.py`,
      })
    }
  }
  return places.sort((a, b) => b.savedAt.getTime() - a.savedAt.getTime())[0] ?? null
}

function noneIfDenied(error: unknown): SessionRows {
  if (isPermissionDenied(error)) return { all: [], django: [], here: [] }
  throw error
}

async function inCacheTables(evidence: Evidence): Promise<Place | null> {
  const { settings } = evidence.project
  if (SESSION_ENGINES.get(settings.session.engine)?.keptIn === 'cache') return null
  for (const { table, entries } of await sessionCaches(evidence)) {
    const [newest] = entries.filter(({ name }) => name === 'cache')
    if (newest === undefined) continue
    return {
      what: `the cache table ${table}`,
      savedAt: new Date(newest.expires.getTime() - settings.session.cookieAge * 1000),
      isOurs: false,
      hint: `set SESSION_ENGINE=django.contrib.sessions.backends.cache, and CACHES as in settings.py, if that is the engine there`,
    }
  }
  return null
}

/** How many tables of a kind are looked at. */
const MOST_TABLES = 5

interface CacheEntry {
  /** The engine that keeps it. */
  readonly name: 'cache' | 'cached_db'
  readonly key: string
  readonly expires: Date
}

const NEWEST_ENTRIES = 200
/** Source: cache_key_prefix in django/contrib/sessions/backends/cache.py and cached_db.py. */
const SESSION_ENTRY = /:(?:django\.contrib\.sessions\.|qsessions\.q_)(cache|cached_db)([a-z0-9]{32})$/

/** The newest entries of sessions in the tables that look like those of a DatabaseCache. */
const sessionCaches = perRun(({ project: { db, dates, onUserDatabase } }) => {
  const expires = db.raw(dialects[databaseKindOf(db)].dateAsText('expires'))
  return onUserDatabase(async () => {
    const caches: { table: string; entries: CacheEntry[] }[] = []
    for (const table of await tablesWith(db, ['cache_key', 'value', 'expires'], { most: MOST_TABLES })) {
      const rows: { cache_key: string; expires: string }[] = await db(table)
        .select('cache_key', expires)
        .orderBy(`${table}.expires`, 'desc')
        .limit(NEWEST_ENTRIES)
        .catch((error: unknown) => (isPermissionDenied(error) ? [] : Promise.reject(error)))
      const entries = rows.flatMap((row): CacheEntry[] => {
        const [, name, key = ''] = SESSION_ENTRY.exec(row.cache_key) ?? []
        if (name !== 'cache' && name !== 'cached_db') return []
        return [{ name, key, expires: dates.fromColumn(row.expires) }]
      })
      caches.push({ table, entries })
    }
    return caches
  })
})

const MOST_FILES = 20_000
const READ_FILES = 5

/** The newest file of Django's file engine that verifies with our keys, so that it is of this site. */
async function inFiles({ project }: Evidence): Promise<Place | null> {
  const { settings } = project
  const { cookie, engine, filePath } = settings.session
  if (SESSION_ENGINES.get(engine)?.keptIn === 'folder' && filePath === null) return null
  const isSession = (name: string): boolean =>
    name.startsWith(cookie.name) && isGeneratedSessionKey(name.slice(cookie.name.length))
  const diagnose = createDiagnosis(codecOptionsOf(settings, project))
  for (const folder of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    if (folder === filePath) continue
    for (const { file, savedAt } of (await filesIn(folder, isSession)).slice(0, READ_FILES)) {
      const text = await readFile(file, 'latin1').catch(() => '')
      if (diagnose(text).decoded === null) continue
      return {
        what: `the folder ${folder}`,
        savedAt,
        isOurs: true,
        hint: `set SESSION_ENGINE=django.contrib.sessions.backends.file and SESSION_FILE_PATH=${folder}`,
      }
    }
  }
  return null
}

async function filesIn(
  folder: string,
  isSession: (name: string) => boolean,
): Promise<{ file: string; savedAt: Date }[]> {
  const files: { file: string; savedAt: Date }[] = []
  let seen = 0
  try {
    for await (const { name } of await opendir(folder)) {
      seen += 1
      if (seen > MOST_FILES) break
      if (!isSession(name)) continue
      const file = join(folder, name)
      const found = await stat(file).catch(() => null) // A file may go meanwhile.
      if (found !== null && found.size <= LARGEST_FILE) files.push({ file, savedAt: found.mtime })
    }
  } catch {
    // The folder may not be there, or not be readable.
  }
  return files.sort((a, b) => b.savedAt.getTime() - a.savedAt.getTime())
}

const LARGEST_FILE = 256 * 1024

const COPIES = 5

async function putsCopies(evidence: Evidence): Promise<Result> {
  const { project } = evidence
  const { engine } = project.settings.session
  const needs = SESSION_ENGINES.get(engine)
  if (needs?.keptIn !== 'table' || !needs.needsCache)
    return { outcome: 'skipped', because: 'this engine keeps no copies in a cache' }
  const { django } = await newestSessions(evidence)
  const now = project.now()
  // Only live ones: to ask for an expired copy would remove it.
  const isFresh = ({ savedAt, expireDate, writer }: SessionRow) =>
    writer === 'django' &&
    savedAt !== null &&
    now.getTime() - savedAt.getTime() < HOUR &&
    project.dates.fromColumn(expireDate) > now
  const fresh = django.filter(isFresh).slice(0, COPIES)
  if (fresh.length === 0)
    return { outcome: 'skipped', because: 'Django has saved no live session within the last hour' }
  const prefix = copyPrefixOf(needs)
  const copies = await copiesOf(
    project,
    fresh.map(({ key }) => `${prefix}${key}`),
  )
  if (copies > 0)
    return {
      outcome: 'ok',
      read: `${copies} of its ${sessionsText(fresh.length)} of the last hour have a copy`,
    }
  return {
    outcome: 'failed',
    read: `none of the newest ${sessionsText(fresh.length)} of Django has a copy in the cache`,
    hint: `set SESSION_ENGINE=${engine.replace(/\.cached_db$/, '.db')}, or CACHES and SESSION_CACHE_ALIAS, as in settings.py; nothing is wrong if the cache was emptied within the last hour`,
  }
}

async function copiesOf(project: Project, keys: readonly string[]): Promise<number> {
  const cache = openSiteCache(project)
  if (cache === null) return 0
  let copies = 0
  for (const key of keys) {
    // A copy that cannot be read is one none the less.
    const isThere = await cache.get(key).then(
      (found) => found !== null,
      (error: unknown) => (error instanceof UnreadableSession ? true : Promise.reject(error)),
    )
    if (isThere) copies += 1
  }
  return copies
}

/** Our rows since Django's newest, from which on their number says something. */
const MANY = 20
/** Users whose logins say something: one alone may have logged out. */
const SEVERAL = 3

async function savesHere(evidence: Evidence): Promise<Result> {
  const { project } = evidence
  const { all, django, here } = await newestSessions(evidence)
  if (project.table === null) return { outcome: 'skipped', because: 'this engine keeps no table' }
  const now = project.now()
  if (all.length === 0) return noneAtAll(project)
  const newest = django[0]?.savedAt ?? null
  if (newest === null)
    return {
      outcome: 'skipped',
      because: `this service saved all of the ${sessionsText(all.length)} read; whether Django uses this table, --round-trip tells`,
    }
  const ours = here.filter(({ savedAt }) => savedAt !== null && savedAt > newest)
  const [last] = ours
  if (last?.savedAt == null || ours.length < MANY || last.savedAt.getTime() - newest.getTime() < DAY)
    return { outcome: 'ok', read: `its newest is of ${agoText(newest, now)}` }
  return {
    outcome: 'failed',
    read: `the newest session of Django is of ${agoText(newest, now)}; this service has saved ${ours.length} or more since`,
    hint: 'this may be a copy of the database, or Django uses another session engine: set DATABASE_URL and SESSION_ENGINE as in settings.py; --round-trip tells',
  }
}

async function noneAtAll(project: Project): Promise<Result> {
  const logins = await recentLogins(project)
  const nobody = `no session is stored in ${project.table}`
  if (logins < SEVERAL)
    return {
      outcome: 'skipped',
      because:
        logins === 0
          ? `${nobody}, and no user has logged in within a day`
          : `${nobody}, although ${logins} of the newest users logged in within a day: they logged out, or Django keeps its sessions elsewhere, which --round-trip tells`,
    }
  return {
    outcome: 'failed',
    read: `${nobody}, although ${logins} of the newest users logged in within a day`,
    hint: 'Django uses another session engine or another database: set SESSION_ENGINE and DATABASE_URL as in settings.py; --round-trip tells',
  }
}

const NEWEST_USERS = 1000

/** How many of the newest users logged in within a day, in whatever time zone the dates are. */
async function recentLogins({ db, settings, dates, now, onUserDatabase }: Project): Promise<number> {
  const { table, idColumn, columns } = userModel(settings.auth.userModel)
  const { lastLogin } = columns
  if (lastLogin === null) return 0
  const newest = db(table).select(lastLogin).orderBy(idColumn, 'desc').limit(NEWEST_USERS)
  const since = dates.toColumn(new Date(now().getTime() - DAY))
  const [row] = await onUserDatabase(() =>
    db.from(newest.as('newest')).where(lastLogin, '>', since).count({ logins: '*' }),
  )
  return Number(row?.logins ?? 0)
}
