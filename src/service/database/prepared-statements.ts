import { createHash } from 'node:crypto'
import { codeOf } from '../../sql/driver-errors.ts'

/** Which statements of PostgreSQL are prepared by name, on each connection of a pool. */
export interface PreparedStatements {
  /** The name under which this run of the statement is prepared; undefined for none. */
  nameOf(sql: string): string | undefined
  /** Whether the server did not run the statement because of its name. From then on it is sent without one. */
  isNameRefused(error: unknown, sql: string): boolean
}

/** Plans that each connection keeps on the server. psycopg's `prepared_max` is as large. */
const MOST_PREPARED = 100

/** Texts whose runs are counted. */
const MOST_COUNTED = 1000

const CAN_BE_PREPARED = /^(?:select|insert|update|delete)\b/i

/** A pooler in transaction mode gave the connection to a server that has no such name, or has it already. */
const NAMES_ARE_LOST: ReadonlySet<unknown> = new Set([
  '26000', // invalid_sql_statement_name
  '42P05', // duplicate_prepared_statement
])

/** "cached plan must not change result type": the type of a column was changed. */
const IS_OUTDATED = '0A000' // feature_not_supported

/**
 * A statement is prepared at the run after `threshold` runs, as psycopg does; never, with null. The name contains a digest
 * of the text: a name that another connection prepared stands for the same statement.
 */
export function createPreparedStatements(threshold: number | null): PreparedStatements {
  /** Null: no statement has a name any more. */
  let runsNeeded = threshold
  const runs = new Map<string, number>()
  /** Null: to be sent without a name. */
  const names = new Map<string, string | null>()
  return {
    nameOf(sql) {
      if (runsNeeded === null) return undefined
      const known = names.get(sql)
      if (known !== undefined) return known ?? undefined
      if (names.size >= MOST_PREPARED || !CAN_BE_PREPARED.test(sql)) return undefined
      const before = runs.get(sql) ?? 0
      if (before < runsNeeded) {
        if (before === 0 && runs.size >= MOST_COUNTED) runs.clear()
        runs.set(sql, before + 1)
        return undefined
      }
      runs.delete(sql)
      const name = nameFor(sql)
      names.set(sql, name)
      return name
    },

    isNameRefused(error, sql) {
      const code = codeOf(error)
      if (NAMES_ARE_LOST.has(code)) runsNeeded = null
      else if (code === IS_OUTDATED) names.set(sql, null)
      else return false
      return true
    },
  }
}

/** Shorter than 63 bytes, and readable in `pg_prepared_statements`. */
function nameFor(sql: string): string {
  const digest = createHash('sha256').update(sql).digest('base64url').slice(0, 16)
  return `${sql.slice(0, 40).replace(/[^\x20-\x7e]/g, ' ')} ${digest}`
}
