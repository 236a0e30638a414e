import { strip } from '../django/cookie.ts'

/** No USERNAME_FIELD is longer to Django's login form, in characters. */
const MAX_LENGTH = 254

/**
 * What Django's login form makes of a name: no blanks around it, compatibility characters replaced. Null for one that
 * the form refuses as too long, whoever the users are.
 * Source: django/contrib/auth/forms.py, UsernameField.
 */
export function normalizeUsername(username: string): string | null {
  const stripped = strip(username)
  return stripped.length > 2 * MAX_LENGTH ? null : stripped.normalize('NFKC')
}
