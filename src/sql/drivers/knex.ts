import type { Knex } from 'knex'
import type { DatabaseKind } from '../../django/datetime.ts'
import type { Binding, SqlExecutor } from '../port.ts'

/** The default driver. */
export function createKnexExecutor(db: Knex): SqlExecutor {
  return {
    get dialect() {
      return kindOf(db)
    },
    query: (sql, bindings) => queryKnex(db, sql, bindings),
    quote: (name) => db.ref(name).toQuery(),
  }
}

/**
 * Does what `db.raw` does, by the steps of Knex's own runner: on a connection of the pool, with the events `query`,
 * `query-error` and `query-response`, and with Knex's errors. It leaves out the builder around the text, which takes CPU
 * time.
 * Source: knex/lib/execution/runner.js, ensureConnection and query.
 */
export async function queryKnex(
  { client }: Knex,
  sql: string,
  bindings: readonly Binding[],
): Promise<unknown> {
  const connection: unknown = await client.acquireConnection()
  try {
    const query = await client.query(connection, { sql, bindings, method: 'raw', options: {} })
    client.emit('query-response', query.response, query)
    return query.response
  } finally {
    await client.releaseConnection(connection)
  }
}

function kindOf(db: Knex): DatabaseKind {
  const dialect: unknown = db.client.dialect
  if (dialect === 'mysql') return 'mysql'
  if (dialect === 'postgresql') return 'postgresql'
  if (dialect === 'sqlite3') return 'sqlite'
  throw new TypeError(`a Knex for ${String(dialect)} is not supported; use mysql2, pg or better-sqlite3`)
}
