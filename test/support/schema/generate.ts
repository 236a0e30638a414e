/**
 * Writes {mariadb,mysql,postgresql,sqlite}.sql beside this file: the tables that real Django's `migrate` makes on each
 * server, as the server itself describes them, and the rows that `migrate` writes.
 *
 *   npm test -- --version            (once: it prepares Django and the servers' programs)
 *   node test/support/schema/generate.ts
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mysql from 'mysql2/promise'
import { execute } from '../executables.ts'
import { findPostgresql, startMariadb, startMysql, startPostgresql } from '../servers.ts'

process.env.TEST_SERVERS = '{}'
const { runScript, runSql } = await import('../databases.ts')
const { djangoShell } = await import('../django.ts')

const DJANGO = '5.2'
/** They come first, for tests that need no more. */
const SESSION_TABLES = ['django_migrations', 'django_session']
/** The moment each migration "was applied"; else each generation would differ. */
const APPLIED = '2026-01-01 00:00:00'

for (const [name, start] of Object.entries({ mariadb: startMariadb, mysql: startMysql })) {
  const server = await start()
  try {
    await runScript(server.url, 'CREATE DATABASE locallibrary')
    write(name, await mysqlDump(`${server.url}/locallibrary`))
  } finally {
    await server.stop()
  }
}

const server = await startPostgresql()
try {
  await runScript(`${server.url}/postgres`, 'CREATE DATABASE locallibrary')
  write('postgresql', await postgresqlDump(`${server.url}/locallibrary`))
} finally {
  await server.stop()
}

const folder = mkdtempSync(join(tmpdir(), 'schema-'))
try {
  write('sqlite', await sqliteDump(`sqlite:///${join(folder, 'library.sqlite3')}`))
} finally {
  rmSync(folder, { recursive: true })
}

async function migrate(url: string): Promise<void> {
  const script = 'from django.core.management import call_command; call_command("migrate", verbosity=0)'
  await djangoShell(DJANGO, { env: { DATABASE_URL: url }, script })
  await runSql(url, `UPDATE django_migrations SET applied = '${APPLIED}'`)
}

async function mysqlDump(url: string): Promise<[string, string]> {
  await migrate(url)
  const tables = (await runSql(url, 'SHOW TABLES')).map((row) => String(Object.values(row)[0]))
  async function dump(table: string): Promise<string> {
    const [created] = await runSql(url, `SHOW CREATE TABLE ${table}`)
    // The server's defaults decide the rest: engine, character set and collation of a database differ by site.
    const statement = String(created?.['Create Table']).replace(/\) ENGINE=.*$/, ')')
    return `${statement};\n${inserts(table, await runSql(url, `SELECT * FROM ${table}`), (value) => mysql.escape(value as mysql.SqlValue))}`
  }
  return inTwoParts(tables, dump, ['SET FOREIGN_KEY_CHECKS = 0;\n', 'SET FOREIGN_KEY_CHECKS = 1;\n'])
}

async function sqliteDump(url: string): Promise<[string, string]> {
  await migrate(url)
  const objects = await runSql(
    url,
    "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
  )
  const tables = [...new Set(objects.map((row) => String(row.tbl_name)))]
  async function dump(table: string): Promise<string> {
    const statements = objects.filter((row) => row.tbl_name === table).map((row) => `${row.sql};\n`)
    return statements.join('') + inserts(table, await runSql(url, `SELECT * FROM ${table}`), quote)
  }
  return inTwoParts(tables, dump, ['', ''])
}

async function postgresqlDump(url: string): Promise<[string, string]> {
  await migrate(url)
  const pgDump = join(findPostgresql() ?? '', 'pg_dump')
  async function dump(...selection: string[]): Promise<string> {
    const flags = ['--no-owner', '--inserts', '--rows-per-insert=1000', ...selection, url]
    const { stdout } = await execute(pgDump, flags)
    const lines = stdout
      .split('\n')
      .filter((line) => line !== '' && !/^(--|SET |\\|SELECT pg_catalog.set_conf)/.test(line))
    return `${lines.join('\n')}\n`
  }
  const [sessions, library] = [await dump(...tableFlags('-t')), await dump(...tableFlags('-T'))]
  return [sessions, library]
}

function tableFlags(flag: string): string[] {
  return SESSION_TABLES.flatMap((table) => [flag, table])
}

async function inTwoParts(
  tables: readonly string[],
  dump: (table: string) => Promise<string>,
  [before, after]: readonly [string, string],
): Promise<[string, string]> {
  let [sessions, library] = ['', before]
  for (const table of tables) {
    if (SESSION_TABLES.includes(table)) sessions += await dump(table)
    else library += await dump(table)
  }
  return [sessions, library + after]
}

function inserts(table: string, rows: readonly object[], literal: (value: unknown) => string): string {
  if (rows.length === 0) return ''
  const values = rows.map((row) => `(${Object.values(row).map(literal).join(', ')})`)
  return `INSERT INTO ${table} VALUES\n${values.join(',\n')};\n`
}

function quote(value: unknown): string {
  if (value === null) return 'NULL'
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value)
}

function write(name: string, [sessions, library]: readonly [string, string]): void {
  const head = `-- Made by generate.ts with the migrate of Django ${DJANGO} on ${name}. Do not edit.\n`
  writeFileSync(new URL(`${name}.sql`, import.meta.url), `${head}${sessions}\n-- The library\n${library}`)
}
