export const SESSION_KEY = '_auth_user_id'
export const HASH_SESSION_KEY = '_auth_user_hash'

/** The keys of a session, in their order. */
interface SessionKeys {
  keys(): string[]
}

/** Evidence that this process computes `_auth_user_hash` with the same rule and key as the side that logged users in. */
export interface HashProofs {
  /** Records that the hash of this session matched, or was written here. */
  add(session: SessionKeys): void
  /**
   * Whether a mismatch of this session's hash means that the password was changed. If not, our rule or key may differ
   * from Django's.
   */
  isMismatchConclusive(session: SessionKeys): boolean
}

/**
 * Unlike Django, which flushes every session whose hash does not match: with a wrong SECRET_KEY, a wrong password column
 * or a custom `get_session_auth_hash` that would flush all sessions. So a hash that Django made must have matched in this
 * process first. A hash that was made here proves only that hashes made here match.
 *
 * The order of the session's keys tells which side logged in: Django's login writes the id first, ours the hash.
 */
export function createHashProofs(): HashProofs {
  const verified = new Set<'here' | 'django'>()
  const loggedInBy = (session: SessionKeys) =>
    session.keys().find((key) => key === SESSION_KEY || key === HASH_SESSION_KEY) === HASH_SESSION_KEY
      ? 'here'
      : 'django'
  return {
    add: (session) => void verified.add(loggedInBy(session)),
    isMismatchConclusive: (session) => verified.has('django') || verified.has(loggedInBy(session)),
  }
}
