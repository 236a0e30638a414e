/**
 * The session is larger than the table, its column or a statement of the server takes; what was stored before is still
 * there. Waiting mends nothing. Says sizes, never what is in the session. Django lets the driver's error through, or,
 * without MySQL's strict mode, loses the session.
 */
export class SessionTooLarge extends Error {
  override name = 'SessionTooLarge'
  readonly code: string = 'ERR_SESSION_TOO_LARGE'
}
