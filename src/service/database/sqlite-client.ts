import { createRequire } from 'node:module'
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import knex from 'knex'
import { loadingError } from '../../checks/optional-package.ts'
import { codeOf } from '../../sql/driver-errors.ts'
import { quickClient } from './quick-client.ts'

/**
 * Knex's client for SQLite. Its driver is Node's own node:sqlite, which also the published command has: better-sqlite3 is
 * native code, which no bundle can contain. On a Node that is built without SQLite, it is better-sqlite3.
 */
export function sqliteClient(loadDriver: () => unknown = loadSqliteDriver): typeof knex.Client {
  const Client = quickClient(knex({ client: 'better-sqlite3', useNullAsDefault: true }).client.constructor)
  return class extends Client {
    override initializeDriver(): void {
      this.driver = loadDriver()
    }
  }
}

/** node:sqlite, with what Knex calls of better-sqlite3. Source: knex, lib/dialects/better-sqlite3/index.js. */
export class NodeSqlite {
  readonly #database: DatabaseSync

  constructor(filename: string, { readonly = false }: { readonly?: boolean } = {}) {
    const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
    // Milliseconds; better-sqlite3 waits as long.
    this.#database = withResultCode(() => new DatabaseSync(filename, { readOnly: readonly, timeout: 5000 }))
  }

  prepare(sql: string): NodeStatement {
    return new NodeStatement(withResultCode(() => this.#database.prepare(sql)))
  }

  pragma(text: string): void {
    withResultCode(() => this.#database.exec(`PRAGMA ${text}`))
  }

  close(): void {
    this.#database.close()
  }
}

class NodeStatement {
  readonly #statement: StatementSync
  /** Whether it returns rows. */
  readonly reader: boolean

  constructor(statement: StatementSync) {
    this.#statement = statement
    this.reader = statement.columns().length > 0
    statement.setReadBigInts(this.reader) // As a number, an integer beyond 2^53 would be an error.
  }

  all(bindings: readonly unknown[]): Record<string, unknown>[] {
    const rows = withResultCode(() => this.#statement.all(...bindings.map(bound)))
    return rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, returned(value)])),
    )
  }

  run(bindings: readonly unknown[]): ReturnType<StatementSync['run']> {
    return withResultCode(() => this.#statement.run(...bindings.map(bound)))
  }
}

/**
 * node:sqlite, else better-sqlite3: Node's own comes before a native package. Measured with both in turns, the load and the
 * save of a session through Knex take 0.73 times the CPU on node:sqlite (Node 24.21, better-sqlite3 13.2).
 */
function loadSqliteDriver(): unknown {
  if (nodeSqlite() !== undefined) return NodeSqlite
  try {
    return createRequire(import.meta.url)('better-sqlite3')
  } catch (error) {
    throw loadingError(error, 'better-sqlite3', 'to use SQLite')
  }
}

/**
 * Undefined where Node is built without SQLite. Node 22 warns that its SQLite is experimental when it is loaded, about
 * which an operator can do nothing; the tests run with it.
 */
function nodeSqlite(): typeof import('node:sqlite') | undefined {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}

/** node:sqlite binds every number as a float, which a text column stores as '1.0'. */
function bound(value: unknown): SQLInputValue {
  return Number.isSafeInteger(value) ? BigInt(value as number) : (value as SQLInputValue)
}

/** As better-sqlite3 returns it. */
function returned(value: SQLOutputValue): unknown {
  if (typeof value === 'bigint') return Number(value)
  return value instanceof Uint8Array ? Buffer.from(value) : value
}

/** Runs `work`. An error of SQLite gets the code that better-sqlite3 gives it, which says what to do about it. */
function withResultCode<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof Error && 'code' in error) error.code = codeOf(error)
    throw error
  }
}
