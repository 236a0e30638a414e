import { access, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Knex } from 'knex'
import type { DateColumn } from '../../django/datetime.ts'
import { type UnreadableReason, UnreadableSession } from '../../django/session-data.ts'
import { SESSION_ENGINES, sessionTableOf } from '../../django/session-engines.ts'
import { SESSION_SERIALIZERS } from '../../django/session-serializers.ts'
import { type VersionProfile, versionProfile } from '../../django/versions.ts'
import { CACHE_KEY_PREFIX } from '../../engines/cache.ts'
import { CACHED_DB_KEY_PREFIX, copyPrefixOf } from '../../engines/cached-db.ts'
import type { SessionEngine, StoredSession } from '../../session/engine.ts'
import { NO_EVENTS } from '../../session/events.ts'
import { type OpenedSessions, openSessions } from '../../site/django-sessions.ts'
import { openSiteEngine } from '../../site/site-engine.ts'
import { databaseKindOf, dialects } from '../../sql/dialect.ts'
import { selectRows } from '../../sql/executor.ts'
import type { Project } from '../open-project.ts'
import { siteOptionsOf } from '../project-options.ts'
import { openSiteCache } from '../site-cache.ts'
import { isKey, isSigned } from './django-pages.ts'
import type { Problem } from './page-client.ts'

/** Opens the sessions as this service has them by its settings. @throws {TypeError} {UnsupportedCache} */
export function openOurSessions(project: Project): OpenedSessions {
  return openSessions({ ...siteOptionsOf(project), events: NO_EVENTS })
}

/** What is made here of the cookie that Django set for a new session. */
export type SessionReading =
  | { readonly kind: 'read'; readonly stored: StoredSession }
  | { readonly kind: 'missing'; readonly places: readonly Whereabouts[] }
  /** Django signs the session into the cookie, and here it is kept on the server. */
  | { readonly kind: 'in-cookie' }
  /** It is there, but has ended by our reading of its date, which is null if it cannot be told. */
  | { readonly kind: 'ended'; readonly expireDate: Date | null }
  | { readonly kind: 'unreadable'; readonly reason: UnreadableReason; readonly hint: string }

export async function readSession(
  project: Project,
  engine: SessionEngine,
  { name, value }: { name: string; value: string },
): Promise<SessionReading> {
  const isInCookie = SESSION_ENGINES.get(project.settings.session.engine)?.keptIn === 'cookie'
  if (!isInCookie && isSigned(value)) return { kind: 'in-cookie' }
  if (isInCookie && !isSigned(value)) {
    return { kind: 'missing', places: await findSession(project, { name, value }) }
  }
  try {
    const stored = await engine.load(value)
    if (stored !== null) return formatProblem(project, stored) ?? { kind: 'read', stored }
  } catch (error) {
    if (!(error instanceof UnreadableSession)) throw error
    return { kind: 'unreadable', reason: error.reason, hint: await hintOf(project, value, error.reason) }
  }
  if (await engine.exists(value)) return { kind: 'ended', expireDate: await dateOf(project, value) }
  return { kind: 'missing', places: await findSession(project, { name, value }) }
}

/**
 * Django 3.1 and 3.2 read both formats, so a new session of an older Django can be read by their rules; but that Django
 * answers 500 to what they write, or takes it for an empty session. Only the signed format has colons.
 */
function formatProblem({ settings, profile }: Project, { revision }: StoredSession): SessionReading | null {
  if (SESSION_ENGINES.get(settings.session.engine)?.keptIn !== 'table') return null
  const format = revision.includes(':') ? 'signed' : 'legacy'
  if (format === profile.writes) return null
  const hint =
    'set DJANGO_VERSION to what `python -m django --version` prints there; for 3.1 and 3.2 see DEFAULT_HASHING_ALGORITHM'
  return { kind: 'unreadable', reason: 'format', hint }
}

async function dateOf({ sessionDb, table, dates }: Project, value: string): Promise<Date | null> {
  if (table === null) return null
  const rows = await selectRows(
    sessionDb,
    `select ${dateColumnOf(sessionDb)} from ${sessionDb.ref(table).toQuery()} where session_key = ?`,
    [value],
  )
  return dateIn(rows, dates)
}

/** The date as text, which each driver returns without loss. */
function dateColumnOf(db: Knex): string {
  return dialects[databaseKindOf(db)].dateAsText('expire_date')
}

function dateIn(rows: readonly unknown[], dates: DateColumn): Date | null {
  const [row] = rows as readonly { expire_date: string }[]
  try {
    return row === undefined ? null : dates.fromColumn(row.expire_date)
  } catch {
    return null
  }
}

/** A place in which a session was found. */
export interface Whereabouts {
  /** The engine that keeps sessions there. */
  readonly engine: string
  readonly place: string
  /** What to set so that this service keeps sessions there. */
  readonly settings: string
  remove(): Promise<void>
}

const BACKENDS = 'django.contrib.sessions.backends.'

/** Looks for the session of this cookie wherever Django may keep sessions within our reach. */
export async function findSession(
  project: Project,
  { name, value }: { name: string; value: string },
): Promise<Whereabouts[]> {
  if (!isKey(value)) return []
  return [
    ...(await inTables(project, value)),
    ...(await inFiles(project, name + value)),
    ...(await inCache(project, value)),
  ]
}

async function inTables(
  { settings, db, sessionDb, table: own }: Project,
  value: string,
): Promise<Whereabouts[]> {
  const found: Whereabouts[] = []
  const engineOf = new Map<string, string>()
  for (const [engine, { table }] of SESSION_ENGINES)
    if (table !== null && !engineOf.has(table)) engineOf.set(table, engine)
  const { session, sessionDatabase } = settings
  for (const database of new Set([sessionDb, db])) {
    for (const table of new Set([...(own === null ? [] : [own]), ...engineOf.keys()])) {
      const rows = () => database(table).where({ session_key: value })
      const keys: unknown[] = await rows()
        .limit(1)
        .pluck('session_key')
        .catch(() => []) // There is no such table, or it may not be read.
      if (!keys.includes(value)) continue
      const isOther = database !== sessionDb && sessionDatabase !== null
      const engine = engineOf.get(table) ?? session.engine
      found.push({
        engine,
        place: `the table ${table}${isOther ? ' of DATABASE_URL' : ''}`,
        settings: [
          `set SESSION_ENGINE=${engine}, or the cached_db engine beside it, as in Django`,
          ...(session.table !== null && session.table !== table ? ['remove SESSION_DB_TABLE'] : []),
          ...(isOther ? ['remove SESSION_DATABASE_URL'] : []),
        ].join(', '),
        remove: async () => void (await rows().delete()),
      })
    }
  }
  return found
}

async function inFiles({ settings }: Project, filename: string): Promise<Whereabouts[]> {
  const folder = settings.session.filePath ?? tmpdir()
  const file = join(folder, filename)
  const isThere = await access(file).then(
    () => true,
    () => false,
  )
  const engine = `${BACKENDS}file`
  return isThere
    ? [
        {
          engine,
          place: `a file in ${folder}`,
          settings: `set SESSION_ENGINE=${engine} and SESSION_FILE_PATH=${folder}`,
          remove: () => unlink(file),
        },
      ]
    : []
}

async function inCache(project: Project, value: string): Promise<Whereabouts[]> {
  const cache = openSiteCache(project)
  if (cache === null) return []
  const found: Whereabouts[] = []
  for (const [engine, prefix] of [
    [`${BACKENDS}cache`, CACHE_KEY_PREFIX],
    [`${BACKENDS}cached_db`, CACHED_DB_KEY_PREFIX],
  ] as const) {
    const entry = await cache.get(`${prefix}${value}`).catch(() => null)
    if (entry === null) continue
    const remove = () => cache.delete(`${prefix}${value}`)
    found.push({ engine, place: 'the cache', settings: `set SESSION_ENGINE=${engine}`, remove })
  }
  return found
}

/** Whether the cache of the settings has the copy that Django's cached_db made of this session; null without such copies. */
export async function hasCopy(project: Project, value: string): Promise<boolean | null> {
  const cache = openSiteCache(project)
  const needs = SESSION_ENGINES.get(project.settings.session.engine)
  if (cache === null || needs?.keptIn !== 'table' || !needs.needsCache) return null
  return (await cache.get(`${copyPrefixOf(needs)}${value}`)) !== null
}

/** Removes sessions that the doctor made, wherever they are within our reach; elsewhere they stay until they end. */
export async function removeSessions(
  project: Project,
  engine: SessionEngine,
  cookies: ReadonlyMap<string, string>,
): Promise<void> {
  for (const [value, name] of cookies) {
    // One that cannot be removed hinders neither the others nor the verdict.
    await engine.delete(value).catch(() => {})
    for (const { remove } of await findSession(project, { name, value })) await remove().catch(() => {})
  }
}

/** What is wrong when Django's new session is not there to be read; null for a session that was read. */
export async function problemOf(reading: SessionReading, project: Project): Promise<Problem | null> {
  switch (reading.kind) {
    case 'read':
      return null
    case 'in-cookie':
      return {
        read: 'Django keeps the session in the cookie itself',
        hint: `set SESSION_ENGINE=${BACKENDS}signed_cookies, as in Django`,
      }
    case 'missing':
      return missingProblem(reading.places, project)
    case 'ended':
      return {
        read: `Django's new session has ended already by these settings${hoursLate(reading.expireDate, project)}`,
        hint: 'set USE_TZ and TIME_ZONE (and DATABASE_TIME_ZONE) as in settings.py, and compare the clocks of the machines',
      }
    case 'unreadable':
      return { read: READ_TEXT[reading.reason], hint: reading.hint }
  }
}

function hoursLate(expireDate: Date | null, { settings, now }: Project): string {
  if (expireDate === null) return ''
  const seconds = (expireDate.getTime() - now().getTime()) / 1000 - settings.session.cookieAge
  return `: its end is ${(Math.abs(seconds) / 3600).toFixed(1)} hours ${seconds < 0 ? 'before' : 'after'} the one that they give`
}

async function missingProblem(places: readonly Whereabouts[], project: Project): Promise<Problem> {
  const [found] = places
  const here = ourPlace(project)
  if (found !== undefined)
    return { read: `Django's new session is not in ${here}, but in ${found.place}`, hint: found.settings }
  return {
    read: `Django's new session is not in ${here}${await newestRow(project)}`,
    hint:
      'Django uses another database, perhaps a copy of this one (compare DATABASES with DATABASE_URL), or keeps sessions ' +
      'elsewhere: in a cache, in files or in another table (compare SESSION_ENGINE and CACHES with settings.py). There, the ' +
      'session of this visit stays until it ends',
  }
}

/** Where sessions are kept by the settings. */
export function ourPlace({ settings, table }: Project): string {
  const keptIn = SESSION_ENGINES.get(settings.session.engine)?.keptIn
  if (keptIn === 'folder') return `the files of ${settings.session.filePath ?? tmpdir()}`
  if (keptIn === 'cache') return 'the cache of the setting CACHES'
  if (keptIn === 'cookie') return 'the cookie'
  return `the table ${table ?? sessionTableOf(settings.session.engine)}`
}

async function newestRow({ table, sessionDb, dates, settings, now }: Project): Promise<string> {
  if (table === null) return ''
  const name = sessionDb.ref(table).toQuery()
  // With the table's name: for MySQL the bare one is the text that is selected, which no index has.
  const sql = `select ${dateColumnOf(sessionDb)} from ${name} order by ${name}.expire_date desc limit 1`
  const rows = await selectRows(sessionDb, sql, [])
  if (rows.length === 0) return ', which is empty'
  const end = dateIn(rows, dates)
  if (end === null) return ''
  const hours = (now().getTime() - end.getTime()) / 3_600_000 + settings.session.cookieAge / 3600
  return hours < 1 ? '' : `, whose newest session was saved about ${Math.round(hours)} hours ago`
}

/** What was found about a session of Django that cannot be read. */
const READ_TEXT: Readonly<Record<UnreadableReason, string>> = {
  format: "Django's new session is there, but in another format than this DJANGO_VERSION writes",
  signature: "Django's new session is there, but none of the secret keys verifies its signature",
  payload: "the signature of Django's new session is right, but its content cannot be read",
  'not-an-object': "the signature of Django's new session is right, but its content is not a dictionary",
  'too-large': "Django's new session is larger than SESSION_MAX_INFLATED_BYTES",
  'expire-date': "the expire_date of Django's new session is not a date that can be read",
}

const SETTING_TO_CHECK: Readonly<Record<UnreadableReason, string>> = {
  format: 'set DJANGO_VERSION to what `python -m django --version` prints there',
  signature:
    "set DJANGO_SECRET_KEY to Django's SECRET_KEY (and DJANGO_SECRET_KEY_FALLBACKS); if both are equal, the site has a session store of its own: set SESSION_STORE_CLASS to the __qualname__ of that class",
  payload: 'set SESSION_SERIALIZER as in Django',
  'not-an-object': 'set SESSION_SERIALIZER as in Django',
  'too-large': 'raise SESSION_MAX_INFLATED_BYTES',
  'expire-date': 'set USE_TZ and TIME_ZONE as in settings.py',
}

/** A setting that is tried in place of the site's. */
interface Variant {
  readonly profile?: VersionProfile
  readonly storeClass?: null
  readonly serializer?: string
}

/** Reads the session with other values of one setting; returns the value with which it can be read, as a hint. */
async function hintOf(project: Project, value: string, reason: UnreadableReason): Promise<string> {
  const { session } = project.settings
  const variants: readonly (readonly [hint: string, variant: () => Variant])[] = [
    ...['2.2', '3.2', '6.1'].map(
      (version) =>
        [
          `set DJANGO_VERSION to what \`python -m django --version\` prints there: it is read by the rules of Django ${version}, not of ${project.profile.version}`,
          () => ({ profile: versionProfile(version) }),
        ] as const,
    ),
    ...(session.storeClass === null
      ? []
      : [['remove SESSION_STORE_CLASS: it is read without it', () => ({ storeClass: null })] as const]),
    ...[...SESSION_SERIALIZERS.keys()]
      .filter((serializer) => serializer !== session.serializer)
      .map((serializer) => [`set SESSION_SERIALIZER=${serializer}`, () => ({ serializer })] as const),
  ]
  for (const [hint, variant] of variants) if (await isRead(project, value, variant)) return hint
  return SETTING_TO_CHECK[reason]
}

async function isRead(project: Project, value: string, variant: () => Variant): Promise<boolean> {
  try {
    const { opened } = openSiteEngine({ ...siteOptionsOf(project), ...variant() }, NO_EVENTS)
    try {
      return (await opened.engine.load(value)) !== null
    } finally {
      await opened.close()
    }
  } catch {
    return false // It cannot be read so either, or the version has no such serializer.
  }
}
