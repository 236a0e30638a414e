import type { Knex } from 'knex'
import { type BetterSqliteDatabase, createBetterSqliteExecutor } from './drivers/better-sqlite3.ts'
import { createKnexExecutor, queryKnex } from './drivers/knex.ts'
import { createMysqlExecutor, type MysqlPool } from './drivers/mysql2.ts'
import { createNodeSqliteExecutor, type NodeSqliteDatabase } from './drivers/node-sqlite.ts'
import { createPgExecutor, type PgPool } from './drivers/pg.ts'
import type { Binding, SqlExecutor } from './port.ts'

/** A database as its owner has opened it: a Knex, a pool of mysql2 or pg, or a database of better-sqlite3 or node:sqlite. */
export type SqlDatabase = Knex | MysqlPool | PgPool | BetterSqliteDatabase | NodeSqliteDatabase

/** Milliseconds that a shared statement waits for the one before it: a statement that hangs delays no others. */
export const PATIENCE = 20

/** The library that has opened a database. */
export type SqlDriver = 'knex' | 'mysql2' | 'pg' | 'better-sqlite3' | 'node:sqlite'

/** Which library has opened a database; null for anything else. */
export function driverOf(db: unknown): SqlDriver | null {
  if ((typeof db !== 'function' && typeof db !== 'object') || db === null) return null
  const has = (name: string): boolean => name in db
  if (typeof db === 'function') return has('client') && has('raw') ? 'knex' : null
  if (has('getConnection') && has('query'))
    return Object.hasOwn('pool' in db ? Object(db.pool) : db, 'config') ? 'mysql2' : null
  if (has('connect') && has('query')) return has('totalCount') && has('idleCount') ? 'pg' : null
  if (!has('prepare')) return null
  if (has('pragma') && has('inTransaction')) return 'better-sqlite3'
  return has('isTransaction') ? 'node:sqlite' : null
}

const DRIVERS: Readonly<Record<SqlDriver, (db: SqlDatabase) => SqlExecutor>> = {
  knex: (db) => createKnexExecutor(db as Knex),
  mysql2: (db) => createMysqlExecutor(db as MysqlPool),
  pg: (db) => createPgExecutor(db as PgPool),
  'better-sqlite3': (db) => createBetterSqliteExecutor(db as BetterSqliteDatabase),
  'node:sqlite': (db) => createNodeSqliteExecutor(db as NodeSqliteDatabase),
}

/** One for each database, so that what a driver has found out about a pool is asked once. */
const executors = new WeakMap<SqlDatabase, SqlExecutor>()

/** @throws {TypeError} for what is not a database. @throws {UnusableDatabase} for a pool that breaks a promise. */
export function executorOf(db: SqlDatabase): SqlExecutor {
  const known = executors.get(db)
  if (known !== undefined) return known
  const driver = driverOf(db)
  if (driver === null)
    throw new TypeError(
      'db must be a Knex, a pool of mysql2 or pg, or a database of better-sqlite3 or node:sqlite',
    )
  const executor = DRIVERS[driver](db)
  executors.set(db, executor)
  return executor
}

/** Runs one statement and returns the driver's result; see `SqlExecutor`. */
export function runStatement(db: SqlDatabase, sql: string, bindings: readonly Binding[]): Promise<unknown> {
  return typeof db === 'function' ? queryKnex(db, sql, bindings) : executorOf(db).query(sql, bindings)
}

/** Runs a SELECT and returns its rows, with the values of the driver. */
export async function selectRows(
  db: SqlDatabase,
  sql: string,
  bindings: readonly Binding[] = [],
): Promise<readonly Record<string, unknown>[]> {
  const result = (await runStatement(db, sql, bindings)) as Rows & [Rows] & { rows: Rows }
  const { dialect } = typeof db === 'function' ? db.client : executorOf(db)
  if (dialect === 'mysql') return result[0]
  return dialect === 'postgresql' ? result.rows : result
}

type Rows = readonly Record<string, unknown>[]
