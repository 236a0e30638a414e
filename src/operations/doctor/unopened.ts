import type { Finding } from './examine.ts'
import { levelOf } from './examine.ts'
import { failure } from './failure.ts'
import { SESSION_TABLE_CHECKS } from './session-table.ts'

/** Codes of `openProject` for a database that does not exist, or does not answer. */
const NO_DATABASE: readonly unknown[] = ['ERR_DATABASE_MISSING', 'ERR_CANNOT_START']

/**
 * The finding for a database that could not be opened: that of the first check, database.E001.
 * @throws the error itself, where it says something else.
 */
export function unopenedFinding(error: unknown): Finding {
  const [check] = SESSION_TABLE_CHECKS
  if (check === undefined || !(error instanceof Error && 'code' in error && NO_DATABASE.includes(error.code)))
    throw error
  const { id, title } = check
  return { id, title, level: levelOf(id), result: failure(error) }
}
