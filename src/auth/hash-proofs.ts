import type { Session } from '../session/session.ts'

export const SESSION_KEY = '_auth_user_id'
export const HASH_SESSION_KEY = '_auth_user_hash'

/** What shows that our rule and our key are those that sessions were made with. */
export interface HashProofs {
  /** This session's hash has verified, or was written here. */
  add(session: Session): void
  /** Whether a hash of this session that does not verify is out of date, and not made by a rule or key of Django's own. */
  vouchFor(session: Session): boolean
}

/**
 * Unlike Django, which flushes a session whose hash does not verify: with a wrong SECRET_KEY, another password column or a
 * `get_session_auth_hash` of the site's own that is every session there is. So one that Django made must have verified in
 * this process first; one that was made here shows only that those made here verify.
 *
 * Which is which shows in the order of the keys: Django's login writes the id first, ours the hash.
 */
export function createHashProofs(): HashProofs {
  const verified = new Set<'here' | 'django'>()
  const makerOf = (session: Session) =>
    session.keys().find((key) => key === SESSION_KEY || key === HASH_SESSION_KEY) === HASH_SESSION_KEY
      ? 'here'
      : 'django'
  return {
    add: (session) => void verified.add(makerOf(session)),
    vouchFor: (session) => verified.has('django') || verified.has(makerOf(session)),
  }
}
