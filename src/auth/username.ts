import { strip } from '../django/cookie.ts'

/** The `max_length` of the username in Django's login form, in characters. */
const MAX_LENGTH = 254

/**
 * Normalizes a username as Django's login form does: strips whitespace, replaces compatibility characters (NFKC).
 * Returns null for a name that the form rejects as too long, independent of the users that exist.
 * Source: django/contrib/auth/forms.py, UsernameField.
 */
export function normalizeUsername(username: string): string | null {
  const stripped = strip(username)
  return stripped.length > 2 * MAX_LENGTH ? null : stripped.normalize('NFKC')
}
