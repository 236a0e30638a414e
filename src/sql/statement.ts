import type { Knex } from 'knex'

/**
 * Runs one statement and gives what its driver gives, as `db.raw` does and by the steps of Knex's own runner: on a
 * connection of the pool, with the events `query`, `query-error` and `query-response`, and with Knex's errors. What it
 * spares is the builder around the text; bench/results.md says what that costs.
 * Source: knex/lib/execution/runner.js, ensureConnection and query.
 */
export async function runStatement(
  { client }: Knex,
  sql: string,
  bindings: readonly (string | number | null)[],
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

/** The rows of a SELECT, as its driver gives them. */
export async function selectRows(
  db: Knex,
  sql: string,
  bindings: readonly (string | number | null)[] = [],
): Promise<readonly Record<string, unknown>[]> {
  const result = (await runStatement(db, sql, bindings)) as Rows & [Rows] & { rows: Rows }
  if (db.client.dialect === 'mysql') return result[0]
  return db.client.dialect === 'postgresql' ? result.rows : result
}

type Rows = readonly Record<string, unknown>[]
