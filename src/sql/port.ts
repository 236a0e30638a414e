import type { DatabaseKind } from '../django/datetime.ts'

/** A value of a statement, for one of its placeholders (`?`). */
export type Binding = string | number | null

/** A part of a statement, with the values of its placeholders. */
export interface SqlPart {
  readonly sql: string
  readonly bindings: readonly Binding[]
}

/** The port to a database. Each driver of sql/drivers/ makes one of what its library calls a pool or a database. */
export interface SqlExecutor {
  readonly dialect: DatabaseKind
  /**
   * Runs one statement, which is its own transaction. The result is what the driver of this dialect returns: of mysql2
   * `[rows, fields]`, of pg its Result, of SQLite the rows or `{ changes }`. See `selectRows` and `Dialect.changes`.
   */
  query(sql: string, bindings: readonly Binding[]): Promise<unknown>
  /** A name, quoted; a dot separates a schema from its table, and a table from its column. */
  quote(name: string): string
}
