import type { Knex } from 'knex'
import type { DateColumn } from '../django/datetime.ts'
import {
  createSessionCodec,
  type SessionCodec,
  type SessionCodecOptions,
  UnreadableSession,
} from '../django/session-data.ts'
import { createDiagnosis, type Diagnosis } from '../django/session-diagnosis.ts'
import { type VersionFromMigrations, versionFromMigrations, versionProfile } from '../django/versions.ts'
import { databaseKindOf } from '../sql/dialect.ts'
import { isMissingColumn, isMissingTable, isMissingValue, isPermissionDenied } from '../sql/driver-errors.ts'
import { checkWritable } from './database/sqlite-file.ts'
import { CannotStart } from './start-problem.ts'

/** The database lacks tables of Django. */
export class MissingTables extends CannotStart {
  override name = 'MissingTables'
  override readonly code: string = 'ERR_MISSING_TABLES'
}

/** The database user lacks a right on a table that Django's user has. The message names the table, the right and the GRANT. */
export class MissingRight extends CannotStart {
  override name = 'MissingRight'
  override readonly code: string = 'ERR_MISSING_RIGHT'
}

/** Neither a setting nor the tables show the Django version. */
export class UnknownVersion extends CannotStart {
  override name = 'UnknownVersion'
  override readonly code: string = 'ERR_UNKNOWN_VERSION'
}

/** There are sessions, but none of the recent ones verifies. */
export class NoSessionVerifies extends CannotStart {
  override name = 'NoSessionVerifies'
  override readonly code: string = 'ERR_NO_SESSION_VERIFIES'
}

/** The tables of LocalLibrary. */
export const CATALOG_TABLES: readonly ReadTable[] = [
  'catalog_book',
  'catalog_bookinstance',
  'catalog_author',
].map((table) => ({ table, setting: 'DATABASE_URL', rights: 'SELECT' }))
const RECENT_SESSIONS = 20

/** A table that is read, and the setting that decides its name. */
export interface ReadTable {
  readonly table: string
  readonly setting: string
  /** All rights on it that are needed, as GRANT takes them. */
  readonly rights: string
}

/** A table that is also written, and the columns that Django always writes, the key first. */
export interface WrittenTable extends ReadTable {
  readonly columns: readonly [key: string, ...others: string[]]
}

/** @throws {MissingTables} {MissingRight} naming each table that is missing or cannot be read. Nothing is ever created. */
export async function checkTables(db: Knex, tables: readonly ReadTable[]): Promise<void> {
  const missing: ReadTable[] = []
  const denied: string[] = []
  for (const one of tables) {
    const answer = await lookAt(db, one.table)
    if (answer === 'missing') missing.push(one)
    if (answer === 'denied') denied.push(await deniedText(db, 'SELECT', one))
  }
  if (missing.length === 0 && denied.length === 0) return
  if (missing.length === 0) throw new MissingRight(denied.join('\n'))
  const names = missing.map(({ table }) => table).join(', ')
  const settings = [...new Set(missing.map(({ setting }) => setting))].join(', ')
  const text =
    `the database has no ${missing.length === 1 ? 'table' : 'tables'} ${names}; Django owns its schema, so run ` +
    `\`manage.py migrate\` there, or set ${settings} as in the Django site`
  throw new MissingTables([text, ...denied].join('\n'))
}

/** Tries to read the tables, where a missing table is no fault. @throws {MissingRight} naming each that may not be read. */
export async function checkReads(db: Knex, tables: readonly ReadTable[]): Promise<void> {
  const denied: string[] = []
  for (const one of tables)
    if ((await lookAt(db, one.table)) === 'denied') denied.push(await deniedText(db, 'SELECT', one))
  if (denied.length > 0) throw new MissingRight(denied.join('\n'))
}

/**
 * Whether this is the database of LocalLibrary. A database with only some of its tables is an error.
 * @throws {MissingTables} {MissingRight}
 */
export async function hasCatalog(db: Knex): Promise<boolean> {
  const answers = new Set<TableAnswer>()
  for (const { table } of CATALOG_TABLES) answers.add(await lookAt(db, table))
  // For a user without any right on a table, MySQL does not tell whether it exists; the migrations may.
  const mayBeThere =
    answers.has('denied') &&
    !answers.has('missing') &&
    (databaseKindOf(db) !== 'mysql' || (await appsOf(db))?.includes('catalog'))
  const isOther = !answers.has('there') && !mayBeThere
  if (!isOther) await checkTables(db, CATALOG_TABLES)
  return !isOther
}

async function appsOf(db: Knex): Promise<readonly string[] | null> {
  if ((await lookAt(db, 'django_migrations')) !== 'there') return null
  return db('django_migrations').distinct('app').pluck('app')
}

/**
 * Tries each kind of write that sessions need, in a transaction that is rolled back. No row is inserted, changed, deleted
 * or locked, but the server checks rights, read-only modes and its binary log's format as for a real write. On SQLite, the
 * statements are compiled, and the rights on the file and its folder are checked.
 * @throws {MissingRight} naming the table and the GRANT. Any other error of the driver is thrown unchanged.
 */
export async function checkWrites(db: Knex, written: WrittenTable): Promise<void> {
  const { table, columns } = written
  const [key] = columns
  const nothing = { sql: '?? = ? and 1 = 0', names: [key, ''] }
  const list = columns.map(() => '??').join()
  await tryWrites(db, written, [
    {
      right: 'UPDATE',
      sql: `update ?? set ?? = ?? where ${nothing.sql}`,
      bindings: [table, key, key, ...nothing.names],
    },
    { right: 'DELETE', sql: `delete from ?? where ${nothing.sql}`, bindings: [table, ...nothing.names] },
    {
      right: 'INSERT',
      sql: `insert into ?? (${list}) select ${list} from ?? where ${nothing.sql}`,
      bindings: [table, ...columns, ...columns, table, ...nothing.names],
    },
  ])
}

/** Like `checkWrites`, for the one column that a login writes. @throws {MissingRight} */
export async function checkUpdate(db: Knex, users: ReadTable, column: string): Promise<void> {
  const bindings = [users.table, column, column]
  try {
    await tryWrites(db, users, [{ right: 'UPDATE', sql: 'update ?? set ?? = ?? where 1 = 0', bindings }])
  } catch (error) {
    if (!isMissingColumn(error)) throw error // A user model may lack it.
  }
}

interface Write {
  /** As GRANT takes it. */
  readonly right: string
  readonly sql: string
  readonly bindings: readonly string[]
}

/** @throws {MissingRight} Any other error of the driver is thrown unchanged. */
async function tryWrites(db: Knex, table: ReadTable, writes: readonly Write[]): Promise<void> {
  if (databaseKindOf(db) === 'sqlite') return checkOnSqlite(db, writes)
  let denied = ''
  try {
    await rolledBack(db, async (transaction) => {
      for (const { right, sql, bindings } of writes) {
        denied = right
        await transaction.raw(sql, [...bindings]).catch(unlessColumnIsAsked)
      }
    })
  } catch (error) {
    if (!isPermissionDenied(error)) throw error
    throw new MissingRight(await deniedText(db, denied, table))
  }
}

/**
 * A transaction that writes locks the whole file, and SQLite then refuses one of Django's that has read and begins to write
 * ("database is locked"), at once, whatever its `timeout`. So nothing is executed: SQLite compiles the statements.
 */
async function checkOnSqlite(db: Knex, writes: readonly Write[]): Promise<void> {
  for (const { sql, bindings } of writes) await db.raw(`explain ${sql}`, [...bindings])
  await checkWritable(db)
}

/** A custom column without a default does not matter to a statement that inserts nothing. */
function unlessColumnIsAsked(error: unknown): void {
  if (!isMissingValue(error)) throw error
}

async function rolledBack(db: Knex, write: (transaction: Knex) => Promise<unknown>): Promise<void> {
  const transaction = await db.transaction()
  try {
    await write(transaction)
  } finally {
    await transaction.rollback().catch(() => {}) // It fails if the connection is lost, and the transaction with it.
  }
}

type TableAnswer = 'there' | 'missing' | 'denied'

/** Checked by a SELECT, like those of each page: `information_schema` hides tables on which the user has no right. */
async function lookAt(db: Knex, table: string): Promise<TableAnswer> {
  try {
    await db.raw('select 1 from ?? where 1 = 0', [table])
    return 'there'
  } catch (error) {
    if (isPermissionDenied(error)) return 'denied'
    if (isMissingTable(error)) return 'missing'
    throw error
  }
}

/** Names of tables, rights and database users are not secrets. */
async function deniedText(
  db: Knex,
  right: string,
  { table, rights }: Pick<ReadTable, 'table' | 'rights'>,
): Promise<string> {
  const isMysql = databaseKindOf(db) === 'mysql'
  const { account, place } = await whoAmI(db, isMysql)
  const quoted = db.raw('??', [isMysql ? `${place}.${table}` : table]).toQuery()
  const orMissing = isMysql ? ', or there is no such table' : ''
  return `the database user ${account} may not ${right} in the table ${table}${orMissing}; run GRANT ${rights} ON ${quoted} TO ${account}`
}

/** The database account of this connection, as GRANT takes it. */
async function whoAmI(db: Knex, isMysql: boolean): Promise<{ account: string; place: string }> {
  if (isMysql) {
    const [[row]] = await db.raw('select current_user() as account, database() as place')
    const [, user = '', host = ''] = /^(.*)@([^@]*)$/s.exec(String(row.account)) ?? []
    return { account: `'${user}'@'${host}'`, place: String(row.place) }
  }
  const { rows } = await db.raw('select current_user as account')
  return { account: `"${rows[0].account}"`, place: '' }
}

/** The version that the site's `django_migrations` table shows. @throws {UnknownVersion} when it shows none. */
export async function detectVersion(db: Knex): Promise<VersionFromMigrations> {
  const answer = await lookAt(db, 'django_migrations')
  const rows =
    answer === 'there'
      ? await db<{ app: string; name: string }>('django_migrations').select('app', 'name')
      : []
  const detected = versionFromMigrations(rows)
  if (detected !== null) return detected
  const reason = {
    there:
      'the table django_migrations holds no migration of django.contrib.auth that Django 2.2 or later ships',
    missing: 'the database has no table django_migrations',
    denied: await (answer === 'denied'
      ? deniedText(db, 'SELECT', { table: 'django_migrations', rights: 'SELECT' })
      : ''),
  }[answer]
  throw new UnknownVersion(
    `DJANGO_VERSION is empty, and the database does not show the version: ${reason}; set DJANGO_VERSION to what \`python -m django --version\` prints at the Django site, e.g. 5.2`,
  )
}

/**
 * Reads the most recent live sessions with the secret keys. With keys that are not Django's, each side would lose the
 * sessions of the other. So the service must not start if there are sessions and none verifies.
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
  const codec = createSessionCodec({ ...options, now })
  if (recent.length === 0 || recent.some((text) => isRead(text, codec))) return
  const diagnoses = recent.map(createDiagnosis({ ...options, now }))
  throw new NoSessionVerifies(
    `none of the ${recent.length} most recent sessions verifies; ${likelyReason(diagnoses, options)} ` +
      '(ALLOW_UNVERIFIED_SESSIONS=true starts anyway: such rows are never overwritten, and their visitors get new sessions)',
  )
}

function likelyReason(
  diagnoses: readonly Diagnosis[],
  options: Pick<SessionCodecOptions, 'serializer' | 'profile'>,
): string {
  if (diagnoses.some(({ reason }) => reason === 'payload')) {
    const [name, setting] =
      options.serializer === 'pickle' ? ['pickles', 'to the JSONSerializer'] : ['JSON', 'as in Django']
    return `their signatures are right, but they are not ${name} that can be read: set SESSION_SERIALIZER ${setting}`
  }
  const ofOtherVersion = diagnoses.filter(
    ({ explanation }) => explanation?.differs.join() === 'DJANGO_VERSION',
  )
  for (const version of ['2.2', '6.1']) {
    const { writes } = versionProfile(version)
    if (!ofOtherVersion.some(({ decoded }) => decoded?.format === writes)) continue
    return `they verify by the rules of Django ${version}, but this service is set up for Django ${options.profile.version}: set DJANGO_VERSION`
  }
  return 'DJANGO_SECRET_KEY is probably not the SECRET_KEY of the Django site; set it, and DJANGO_SECRET_KEY_FALLBACKS if the site has any'
}

function isRead(sessionData: string, codec: SessionCodec): boolean {
  try {
    codec.decode(sessionData)
    return true
  } catch (error) {
    if (error instanceof UnreadableSession) return false
    throw error
  }
}
