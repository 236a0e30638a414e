import type { Binding, SqlExecutor } from '../port.ts'
import { quoteName } from '../quote.ts'
import { busyHandle } from './busy-handle.ts'

/** A database of better-sqlite3. */
export interface BetterSqliteDatabase {
  readonly prepare: (...parameters: never[]) => unknown
  readonly pragma: (...parameters: never[]) => unknown
  readonly inTransaction: boolean
}

/** The parts of better-sqlite3 that are used here. */
interface Database {
  readonly inTransaction: boolean
  prepare(sql: string): Statement
}

interface Statement {
  /** Whether it returns rows. */
  readonly reader: boolean
  /** Whether it changes nothing. */
  readonly readonly: boolean
  safeIntegers(isOn: boolean): void
  all(bindings: readonly Binding[]): unknown
  run(bindings: readonly Binding[]): unknown
}

/** A database of better-sqlite3, whose statements block the event loop, as in Knex. */
export function createBetterSqliteExecutor(given: BetterSqliteDatabase): SqlExecutor {
  const database = given as unknown as Database
  return {
    dialect: 'sqlite',
    async query(sql, bindings) {
      const statement = database.prepare(sql)
      if (database.inTransaction && !statement.readonly) throw busyHandle()
      if (statement.reader) {
        statement.safeIntegers(false) // whatever `defaultSafeIntegers` says
        return statement.all(bindings)
      }
      return statement.run(bindings)
    },
    quote: (name) => quoteName(name, 'sqlite'),
  }
}
