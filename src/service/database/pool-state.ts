import type { Knex } from 'knex'

/** The connections of a pool. */
export interface PoolState {
  readonly used: number
  readonly free: number
  /** Requests that wait for a connection. */
  readonly waiting: number
}

/** The sums over the pools of these databases. */
export function poolState(databases: readonly Knex[]): PoolState {
  const state = { used: 0, free: 0, waiting: 0 }
  for (const { client } of databases) {
    const { pool } = client
    if (pool === undefined) continue // closed
    state.used += pool.numUsed()
    state.free += pool.numFree()
    state.waiting += pool.numPendingAcquires()
  }
  return state
}
