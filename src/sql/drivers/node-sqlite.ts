import type { Binding, SqlExecutor } from '../port.ts'
import { quoteName } from '../quote.ts'
import { busyHandle } from './busy-handle.ts'

/** A DatabaseSync of node:sqlite. */
export interface NodeSqliteDatabase {
  readonly prepare: (...parameters: never[]) => unknown
  readonly exec: (...parameters: never[]) => unknown
  readonly isTransaction: boolean
}

/** The parts of node:sqlite that are used here. */
interface Database {
  readonly isTransaction: boolean
  prepare(sql: string): Statement
}

interface Statement {
  columns(): readonly unknown[]
  setReadBigInts(isOn: boolean): void
  setReturnArrays(isOn: boolean): void
  all(...bindings: readonly Binding[]): Record<string, unknown>[]
  run(...bindings: readonly Binding[]): unknown
}

/** A database of node:sqlite, whose statements block the event loop. */
export function createNodeSqliteExecutor(given: NodeSqliteDatabase): SqlExecutor {
  const database = given as unknown as Database
  return {
    dialect: 'sqlite',
    async query(sql, bindings) {
      const statement = database.prepare(sql)
      // Whatever the database is opened with. As a number, an integer beyond 2^53 would be an error.
      const isReader = statement.columns().length > 0
      statement.setReadBigInts(isReader)
      statement.setReturnArrays(false)
      if (database.isTransaction && !/^(select|pragma)\b/i.test(sql)) throw busyHandle()
      if (isReader) return statement.all(...bindings).map(withNumbers)
      return statement.run(...bindings)
    },
    quote: (name) => quoteName(name, 'sqlite'),
  }
}

/** With the numbers that better-sqlite3 returns. */
function withNumbers(row: Record<string, unknown>): Record<string, unknown> {
  for (const [name, value] of Object.entries(row)) if (typeof value === 'bigint') row[name] = Number(value)
  return row
}
