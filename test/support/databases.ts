import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import mysql from 'mysql2/promise'
import pg from 'pg'
import type { Scope } from './file-scope.ts'

export type TestDatabaseName = 'mariadb' | 'mysql' | 'postgresql' | 'sqlite'

export interface TestDatabase {
  name: TestDatabaseName
  /** A DATABASE_URL, for us and for the Django of `startDjango` alike. */
  url: string
  kind: 'mysql' | 'postgresql' | 'sqlite'
}

/**
 * Which tables a database starts with: none, `django_session` with `django_migrations`, or all of LocalLibrary's.
 * The rows are those that `migrate` writes: migrations, content types and permissions.
 */
export type TestTables = 'none' | 'sessions' | 'library'

/** The databases of this run; `npm test` says which and why others are missing. In CI none is. */
export const testDatabases: readonly TestDatabaseName[] = (
  ['mariadb', 'mysql', 'postgresql', 'sqlite'] as const
).filter((name) => name === 'sqlite' || serverUrl(name) !== undefined)

/**
 * Creates a database for one test, dropped when the test ends.
 * The tables are what the `migrate` of Django 5.2 makes on that very server (test/support/schema).
 * `encoding`: its name on that server. Default: the server's.
 */
export async function createTestDatabase(
  t: Scope,
  name: TestDatabaseName,
  { tables = 'sessions', encoding }: { tables?: TestTables; encoding?: string | undefined } = {},
): Promise<TestDatabase> {
  const url = name === 'sqlite' ? sqliteFile(t) : await serverDatabase(t, name, encoding)
  const sql = schema(name, tables)
  if (sql !== '') await runScript(url, sql)
  return { name, url, kind: name === 'mariadb' ? 'mysql' : name }
}

/** Runs one statement on a new connection. Returns the rows. Placeholders are the driver's: `?` or `$1`. */
export async function runSql(
  url: string,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Record<string, unknown>[]> {
  if (url.startsWith('sqlite:')) {
    return withSqlite(url, (database) =>
      database
        .prepare(sql)
        .all(...(values as SQLInputValue[]))
        .map((row) => ({ ...row })),
    )
  }
  if (url.startsWith('postgresql:')) {
    return withPostgresql(url, async (client) => (await client.query(sql, [...values])).rows)
  }
  return withMysql(url, async (connection) => {
    const [rows] = await connection.query(sql, [...values])
    return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : []
  })
}

/** Runs any number of statements. */
export async function runScript(url: string, sql: string): Promise<void> {
  if (url.startsWith('sqlite:')) await withSqlite(url, (database) => void database.exec(sql))
  else if (url.startsWith('postgresql:')) await withPostgresql(url, (client) => client.query(sql))
  else await withMysql(url, (connection) => connection.query(sql))
}

function serverUrl(name: TestDatabaseName): string | undefined {
  const servers = process.env.TEST_SERVERS
  if (servers === undefined) {
    throw new Error('The test servers are not running; use `npm test -- <test file>`, which starts them')
  }
  return (JSON.parse(servers) as Record<string, string>)[name]
}

function schema(name: TestDatabaseName, tables: TestTables): string {
  if (tables === 'none') return ''
  const sql = readFileSync(new URL(`schema/${name}.sql`, import.meta.url), 'utf8')
  const [sessions = '', library = ''] = sql.split('-- The library')
  return tables === 'sessions' ? sessions : `${sessions}-- ${library}`
}

function sqliteFile(t: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'sqlite-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return `sqlite:///${join(folder, 'db.sqlite3')}`
}

async function serverDatabase(
  t: Scope,
  name: TestDatabaseName,
  encoding: string | undefined,
): Promise<string> {
  const server = serverUrl(name)
  if (server === undefined) throw new Error(`${name} is not among this run's databases`)
  const database = `test_${randomBytes(6).toString('hex')}`
  const administration = name === 'postgresql' ? `${server}/postgres` : server
  const own = name === 'postgresql' ? `TEMPLATE template0 LOCALE 'C' ENCODING` : 'CHARACTER SET'
  await runScript(
    administration,
    `CREATE DATABASE ${database} ${encoding === undefined ? '' : `${own} '${encoding}'`}`,
  )
  // PostgreSQL refuses to drop a database that someone is connected to; MySQL and MariaDB do not.
  const drop = `DROP DATABASE ${database}${name === 'postgresql' ? ' WITH (FORCE)' : ''}`
  t.teardown(() => runScript(administration, drop))
  return `${server}/${database}`
}

async function withMysql<T>(url: string, use: (connection: mysql.Connection) => Promise<T>): Promise<T> {
  const connection = await mysql.createConnection({
    uri: url,
    multipleStatements: true,
    dateStrings: true,
    supportBigNumbers: true,
    connectTimeout: 60_000, // A busy machine may take longer than mysql2's 10 s.
  })
  try {
    return await use(connection)
  } finally {
    await connection.end()
  }
}

async function withPostgresql<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/**
 * By node:sqlite, as the service does: SQLite's locks belong to the process, and a second copy of SQLite that closes the file
 * would end those of the first (sqlite.org/howtocorrupt.html, 2.2.1).
 */
async function withSqlite<T>(url: string, use: (database: DatabaseSync) => T): Promise<T> {
  const database = new DatabaseSync(decodeURIComponent(url.slice('sqlite:///'.length)), { timeout: 5000 })
  try {
    return use(database)
  } finally {
    database.close()
  }
}
