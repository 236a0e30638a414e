/** The checks of tables, and what they do to a Django that uses the database meanwhile. */
import { renameSync } from 'node:fs'
import { createRequire } from 'node:module'
import { DatabaseSync } from 'node:sqlite'
import test, { type ExecutionContext } from 'ava'
import knex, { type Knex } from 'knex'
import { knexConfig } from '../../src/service/database/open-database.ts'
import { NodeSqlite, sqliteClient } from '../../src/service/database/sqlite-client.ts'
import { checkUpdate, checkWrites } from '../../src/service/preflight.ts'
import { createTestDatabase } from '../support/databases.ts'

interface Handle {
  exec(sql: string): void
  close(): void
}

interface Driver {
  /** Under Knex. */
  readonly load: () => unknown
  readonly open: (file: string) => Handle
}

const BetterSqlite3: new (file: string) => Handle = createRequire(import.meta.url)('better-sqlite3')

const DRIVERS: Readonly<Record<string, Driver>> = {
  'better-sqlite3': { load: () => BetterSqlite3, open: (file) => new BetterSqlite3(file) },
  'node:sqlite': { load: () => NodeSqlite, open: (file) => new DatabaseSync(file) },
}

const sessions = {
  table: 'django_session',
  setting: 'DATABASE_URL',
  rights: 'SELECT',
  columns: ['session_key', 'session_data', 'expire_date'],
} as const
const users = { table: 'auth_user', setting: 'AUTH_USER_MODEL', rights: 'SELECT' }

/** Ours, and a handle of Django's. Both use one copy of SQLite: two copies in a process do not see each other's locks. */
async function openBoth(
  t: ExecutionContext,
  { load, open }: Driver,
): Promise<{ filename: string; ours: Knex; django: Handle }> {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const filename = url.slice('sqlite:///'.length)
  const settings = knexConfig({ kind: 'sqlite', filename, embedded: false, poolSize: 1, timeout: 1 })
  const ours = knex({ ...settings, client: sqliteClient(load) })
  t.teardown(() => ours.destroy())
  const django = open(filename)
  t.teardown(() => django.close())
  return { filename, ours, django }
}

for (const [name, driver] of Object.entries(DRIVERS)) {
  for (const journal of ['delete', 'wal']) {
    test(`${name}: the checks of writes need no write lock, with the journal ${journal}`, async (t) => {
      const { ours, django } = await openBoth(t, driver)
      django.exec(`PRAGMA journal_mode = ${journal}; BEGIN IMMEDIATE`)
      await checkWrites(ours, sessions)
      await checkUpdate(ours, users, 'last_login')
      // A user model may lack it.
      await checkUpdate(ours, users, 'no_such_column')
      t.notThrows(() => django.exec('UPDATE django_session SET session_key = session_key; COMMIT'))
    })
  }

  test(`${name}: a column that a write needs and the table lacks is found`, async (t) => {
    const { ours } = await openBoth(t, driver)
    const columns = ['session_key', 'no_such_column'] as const
    await t.throwsAsync(checkWrites(ours, { ...sessions, columns }), { message: /no_such_column/ })
  })

  test(`${name}: a file that was moved away is found`, async (t) => {
    const { ours, filename } = await openBoth(t, driver)
    await checkWrites(ours, sessions)
    renameSync(filename, `${filename}.moved`)
    await t.throwsAsync(checkWrites(ours, sessions), { code: 'SQLITE_READONLY_DBMOVED' })
  })
}
