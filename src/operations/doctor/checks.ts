import type { Check } from './check.ts'
import { SESSION_TABLE_CHECKS } from './session-table.ts'

/** Every check, in the order in which they run: what explains others comes first. */
export const CHECKS: readonly Check[] = [...SESSION_TABLE_CHECKS]
