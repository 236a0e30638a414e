import type { Knex } from 'knex'
import { createDateColumn, type DateColumn } from '../../src/django/datetime.ts'
import { createSessionCodec, type SessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createDbEngine } from '../../src/engines/db.ts'
import { openDatabase } from '../../src/service/database/open-database.ts'
import { readDatabaseUrl } from '../../src/service/settings/database-reader.ts'
import type { EngineUnderTest } from '../session/conformance/engine-under-test.ts'
import {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseName,
  type TestTables,
} from '../support/databases.ts'
import type { Scope } from '../support/file-scope.ts'

/** The db engine on a database of its own, set up as a Django site of this version and these settings has it. */
export interface DbUnderTest extends EngineUnderTest, Required<SiteOptions> {
  readonly db: Knex
  readonly database: TestDatabase
  readonly codec: SessionCodec
  readonly dates: DateColumn
  /** The rows as they are, text only, by session key. */
  rows(): Promise<Row[]>
  insert(row: Row): Promise<void>
}

export interface Row {
  session_key: string
  session_data: string
  expire_date: string
}

export interface SiteOptions {
  readonly djangoVersion?: string
  readonly useTz?: boolean
  readonly timeZone?: string
}

export const secretKey = 'a secret key of the tests, not of any site'

export async function openDb(
  scope: Scope,
  name: TestDatabaseName,
  {
    djangoVersion = '5.2',
    useTz = true,
    timeZone = 'UTC',
    tables = 'sessions',
    encoding,
    timeout,
  }: SiteOptions & {
    readonly tables?: TestTables
    readonly encoding?: string
    /** Seconds that a statement may take. */
    readonly timeout?: number
  } = {},
): Promise<DbUnderTest> {
  const database = await createTestDatabase(scope, name, { tables, encoding })
  const db = connect(database.url, timeout)
  scope.teardown(() => db.destroy())
  const clock = { now: new Date() }
  const now = () => clock.now
  const profile = versionProfile(djangoVersion)
  const codec = createSessionCodec({ secretKeys: [secretKey], profile, now })
  const dates = createDateColumn({ database: database.kind, useTz, timeZone })
  const expiry = database.kind === 'postgresql' ? 'expire_date::text' : 'CAST(expire_date AS CHAR)'
  return {
    djangoVersion,
    useTz,
    timeZone,
    db,
    database,
    codec,
    dates,
    clock,
    engine: createDbEngine({ db, codec, dates, now }),
    async empty() {
      await db('django_session').delete()
    },
    async count() {
      return (await db('django_session').pluck('session_key')).length
    },
    rows: async () =>
      await db('django_session')
        .select('session_key', 'session_data', db.raw(`${expiry} AS expire_date`))
        .orderBy('session_key'),
    async insert(row) {
      await db('django_session').insert(row)
    },
  }
}

/** Another process's connections to the same database. */
export function connect(url: string, timeout = 10): Knex {
  const problems: string[] = []
  const settings = readDatabaseUrl(url, { poolSize: 4, timeout }, { cwd: '/', problems, warnings: [] })
  if (settings === null) throw new Error(problems.join('\n'))
  return openDatabase(settings)
}
