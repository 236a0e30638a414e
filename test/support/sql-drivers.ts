import { createRequire } from 'node:module'
import { DatabaseSync } from 'node:sqlite'
import mysql from 'mysql2'
import mysqlPromise from 'mysql2/promise'
import pg from 'pg'
import type { BetterSqliteDatabase, SqlDatabase } from '../../src/index.ts'
import type { TestDatabaseName } from './databases.ts'
import type { Scope } from './file-scope.ts'

/** What a program beside Knex opens its database with, and the servers that it is tested on. */
export const sqlDrivers: readonly {
  readonly driver: SqlDriver
  readonly on: readonly TestDatabaseName[]
}[] = [
  { driver: 'mysql2', on: ['mariadb', 'mysql'] },
  { driver: 'mysql2/promise', on: ['mariadb', 'mysql'] },
  { driver: 'pg', on: ['postgresql'] },
  { driver: 'better-sqlite3', on: ['sqlite'] },
  { driver: 'node:sqlite', on: ['sqlite'] },
]

export type SqlDriver = 'mysql2' | 'mysql2/promise' | 'pg' | 'better-sqlite3' | 'node:sqlite'

interface BetterSqlite extends BetterSqliteDatabase {
  defaultSafeIntegers(isOn: boolean): void
  exec(sql: string): void
  close(): void
}

/** Opens a database as a program may that has nothing to do with Django. `odd`: with settings that change every value. */
export function openWith(
  t: Scope,
  driver: SqlDriver,
  url: string,
  { odd = false }: { readonly odd?: boolean } = {},
): SqlDatabase {
  switch (driver) {
    case 'mysql2':
      return mysqlPool(t, url, odd ? ODD_MYSQL : {})
    case 'mysql2/promise': {
      const pool = mysqlPromise.createPool({ uri: url, ...(odd && ODD_MYSQL) })
      t.teardown(() => pool.end())
      return pool
    }
    case 'pg':
      return pgPool(t, url, odd ? ODD_PG : {})
    case 'better-sqlite3':
      return betterSqlite(t, url, odd)
    case 'node:sqlite':
      return nodeSqlite(t, url, odd)
  }
}

export function mysqlPool(t: Scope, url: string, options: mysql.PoolOptions = {}): mysql.Pool {
  const pool = mysql.createPool({ uri: url, ...options })
  t.teardown(() => pool.promise().end())
  return pool
}

export function pgPool(t: Scope, url: string, options: pg.PoolConfig = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, ...options })
  t.teardown(() => pool.end())
  return pool
}

export function betterSqlite(t: Scope, url: string, odd = false): BetterSqlite {
  const Database = createRequire(import.meta.url)('better-sqlite3') as new (file: string) => BetterSqlite
  const database = new Database(fileOf(url))
  if (odd) database.defaultSafeIntegers(true)
  t.teardown(() => database.close())
  return database
}

export function nodeSqlite(t: Scope, url: string, odd = false): DatabaseSync {
  const database = new DatabaseSync(fileOf(url), odd ? { readBigInts: true, returnArrays: true } : {})
  t.teardown(() => database.close())
  return database
}

function fileOf(url: string): string {
  return decodeURIComponent(url.slice('sqlite:///'.length))
}

const ODD_MYSQL: mysql.PoolOptions = {
  rowsAsArray: true,
  typeCast: (field) => `odd ${field.string()}`,
  namedPlaceholders: true,
  multipleStatements: true,
  supportBigNumbers: true,
  bigNumberStrings: true,
  decimalNumbers: true,
  timezone: '+05:30',
}

const ODD_PG: pg.PoolConfig = {
  options: '-c timezone=America/New_York -c intervalstyle=iso_8601 -c extra_float_digits=0',
  types: { getTypeParser: () => (text: unknown) => ({ odd: text }) },
}
