import type { Knex } from 'knex'

/**
 * Runs one statement and gives what its driver gives, as `db.raw` does and by the steps of Knex's own runner: on a
 * connection of the pool, with the events `query` and `query-error`, and with Knex's errors. What it spares is the
 * builder around the text, which in a busy service costs twice what driver and pool do.
 * Source: knex/lib/execution/runner.js, ensureConnection and query.
 */
export async function runStatement(
  { client }: Knex,
  sql: string,
  bindings: readonly (string | number | null)[],
): Promise<unknown> {
  const connection: unknown = await client.acquireConnection()
  try {
    const { response } = await client.query(connection, { sql, bindings, method: 'raw', options: {} })
    return response
  } finally {
    await client.releaseConnection(connection)
  }
}
