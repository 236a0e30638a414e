import { type ExpiryRules, getExpiryDate, InvalidSessionExpiry } from '../django/expiry.ts'
import type { SessionData } from '../django/json.ts'
import type { PickledValue } from '../django/pickle/javascript.ts'
import { pickledValues } from '../django/session-values.ts'

/**
 * When a session expires of which the medium knows only its data and when it was saved. One whose `_session_expiry` makes
 * Django fail is treated as if it had none: whoever saves it will be told.
 */
export function expireDateSince(savedAt: Date, data: SessionData, rules: ExpiryRules): Date {
  try {
    return getExpiryDate(expiryIn(data), rules, savedAt)
  } catch (error) {
    if (error instanceof InvalidSessionExpiry) return getExpiryDate(undefined, rules, savedAt)
    throw error
  }
}

/** What `_session_expiry` holds. */
export function expiryIn(data: SessionData): PickledValue | undefined {
  const text = data.get('_session_expiry')
  return text === undefined ? undefined : pickledValues.parse(text)
}
