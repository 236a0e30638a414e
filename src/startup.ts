import type { Knex } from 'knex'
import type { DateColumn } from './django/datetime.ts'
import {
  createSessionCodec,
  type SessionCodec,
  type SessionCodecOptions,
  type UnreadableReason,
  UnreadableSession,
} from './django/session-data.ts'
import { versionFromMigrations, versionProfile } from './django/versions.ts'

/** Django's tables are not in the database. */
export class MissingTables extends Error {
  override name = 'MissingTables'
  readonly code: string = 'ERR_MISSING_TABLES'
}

/** There are sessions, and none of the recent ones verifies. */
export class NoSessionVerifies extends Error {
  override name = 'NoSessionVerifies'
  readonly code: string = 'ERR_NO_SESSION_VERIFIES'
}

/** LocalLibrary's. */
export const CATALOG_TABLES = ['catalog_book', 'catalog_bookinstance', 'catalog_author'] as const
const RECENT_SESSIONS = 20

/** @throws {MissingTables} naming those of the site's tables that are not there; nothing is ever created. */
export async function checkTables(
  db: Knex,
  tables: readonly string[],
  setting = 'DATABASE_URL',
): Promise<void> {
  const missing: string[] = []
  for (const table of tables) if (!(await isFound(db, table))) missing.push(table)
  if (missing.length === 0) return
  throw new MissingTables(
    `the database has no ${missing.length === 1 ? 'table' : 'tables'} ${missing.join(', ')}; ` +
      `Django owns its schema, so run \`manage.py migrate\` there, or set ${setting} to the database of the Django site`,
  )
}

/** The Django version that a site's `django_migrations` table tells of; the newest where there is no such table. */
export async function detectVersion(db: Knex): Promise<string> {
  const hasMigrations = await isFound(db, 'django_migrations')
  const rows = hasMigrations
    ? await db<{ app: string; name: string }>('django_migrations').select('app', 'name')
    : []
  return versionFromMigrations(rows)
}

/** Whether the name finds a table that can be read, as for Django: in any schema of the search path, not in the first alone. */
async function isFound(db: Knex, table: string): Promise<boolean> {
  try {
    await db.raw('select 1 from ?? where 1 = 0', [table])
    return true
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    if (NOT_FOUND.has(error.code) || /no such table/.test(error.message)) return false
    throw error
  }
}

/** No such table, or no right to it. */
const NOT_FOUND: ReadonlySet<unknown> = new Set([
  ...['ER_NO_SUCH_TABLE', 'ER_TABLEACCESS_DENIED_ERROR', '42P01', '42501'],
])

/**
 * Reads the newest live sessions with our key. Saving with a key that is not Django's would make each side lose the
 * other's sessions, so where there are sessions and none verifies, the service must not start.
 * @throws {NoSessionVerifies} with the likely reason.
 */
export async function checkRecentSessions(
  db: Knex,
  { table, dates, now, ...options }: SessionCodecOptions & { table: string; dates: DateColumn },
): Promise<void> {
  const recent: string[] = await db(table)
    .where('expire_date', '>', dates.toColumn(now()))
    .orderBy('expire_date', 'desc')
    .limit(RECENT_SESSIONS)
    .pluck('session_data')
  if (recent.length === 0 || readings(recent, createSessionCodec({ ...options, now })).has('read')) return
  throw new NoSessionVerifies(
    `none of the ${recent.length} most recent sessions verifies; ${likelyReason(recent, { ...options, now })} ` +
      '(ALLOW_UNVERIFIED_SESSIONS=true starts anyway: such rows are never written over, their visitors get new sessions)',
  )
}

function likelyReason(recent: readonly string[], options: SessionCodecOptions): string {
  if (readings(recent, createSessionCodec(options)).has('payload')) {
    const [name, setting] =
      options.serializer === 'pickle' ? ['pickles', 'to the JSONSerializer'] : ['JSON', 'as in Django']
    return `their signatures are right, but they are no ${name} that can be read: set SESSION_SERIALIZER ${setting}`
  }
  for (const version of ['2.2', '6.1']) {
    const codec = createSessionCodec({ ...options, profile: versionProfile(version) })
    if (!readings(recent, codec).has('read')) continue
    return `they would as those of Django ${version}, and this service is set up for ${options.profile.version}: set DJANGO_VERSION`
  }
  return 'DJANGO_SECRET_KEY is probably not the SECRET_KEY of the Django site; set it, and DJANGO_SECRET_KEY_FALLBACKS if the site has any'
}

/** What became of any of them. */
function readings(
  sessionData: readonly string[],
  codec: SessionCodec,
): ReadonlySet<'read' | UnreadableReason> {
  const found = new Set<'read' | UnreadableReason>()
  for (const text of sessionData) {
    try {
      codec.decode(text)
      found.add('read')
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw error
      found.add(error.reason)
    }
  }
  return found
}
