import type { Knex } from 'knex'

/** A value of a statement, for one of its placeholders (`?`). */
export type Binding = string | number | null

/**
 * Runs one statement and returns the driver's result. This is the port to the database; Knex is its first driver. It does
 * what `db.raw` does, by the steps of Knex's own runner: on a connection of the pool, with the events `query`,
 * `query-error` and `query-response`, and with Knex's errors. It leaves out the builder around the text; bench/results.md
 * says what that costs.
 * Source: knex/lib/execution/runner.js, ensureConnection and query.
 */
export async function runStatement(
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

/** Runs a SELECT and returns its rows, with the values of the driver. */
export async function selectRows(
  db: Knex,
  sql: string,
  bindings: readonly Binding[] = [],
): Promise<readonly Record<string, unknown>[]> {
  const result = (await runStatement(db, sql, bindings)) as Rows & [Rows] & { rows: Rows }
  if (db.client.dialect === 'mysql') return result[0]
  return db.client.dialect === 'postgresql' ? result.rows : result
}

type Rows = readonly Record<string, unknown>[]
