/**
 * The session is larger than the table, its column or a statement of the server allows. The stored session is unchanged.
 * A retry does not help. The message contains sizes, never session data.
 * Unlike Django, which raises the driver's error, or, without MySQL's strict mode, loses the session.
 */
export class SessionTooLarge extends Error {
  override name = 'SessionTooLarge'
  readonly code: string = 'ERR_SESSION_TOO_LARGE'
}
