import { type ExpiryRules, getExpiryDate, InvalidSessionExpiry } from '../django/expiry.ts'
import type { SessionData } from '../django/json.ts'
import type { PickledValue } from '../django/pickle/javascript.ts'
import { pickledValues } from '../django/session-values.ts'

/**
 * When a session expires, where the medium keeps only its data and the time of its last save. A `_session_expiry` on which
 * Django fails counts as absent; the next save of the session throws.
 */
export function expireDateSince(savedAt: Date, data: SessionData, rules: ExpiryRules): Date {
  try {
    return getExpiryDate(expiryIn(data), rules, savedAt)
  } catch (error) {
    if (error instanceof InvalidSessionExpiry) return getExpiryDate(undefined, rules, savedAt)
    throw error
  }
}

/** The value of `_session_expiry`. */
export function expiryIn(data: SessionData): PickledValue | undefined {
  const text = data.get('_session_expiry')
  return text === undefined ? undefined : pickledValues.parse(text)
}
