import { createOncePerInterval } from '../concurrency/once-per-interval.ts'

/** Why a session's user cannot be verified here. Contains no user id, session key or hash, so it may be logged. */
export interface UnverifiedUser {
  readonly reason: 'hash' | 'backend' | 'id'
  /** What was found, and which settings to check. */
  readonly message: string
}

/** Minimum milliseconds between two reports of one reason, since the reason may apply to every visitor. */
const UNVERIFIED_INTERVAL = 60_000

/** Returns a function that reports each reason at most once a minute; default: by `process.emitWarning`. */
export function createUnverifiedLog(
  report: (problem: UnverifiedUser) => void = warn,
  clock: { monotonic?: () => number } = {},
): (reason: UnverifiedUser['reason']) => void {
  const isDue = createOncePerInterval(UNVERIFIED_INTERVAL, clock)
  return (reason) => {
    if (isDue(reason)) report({ reason, message: UNVERIFIED[reason] })
  }
}

function warn({ message }: UnverifiedUser): void {
  process.emitWarning(message, { type: 'UnverifiedUser' })
}

const UNVERIFIED: Readonly<Record<UnverifiedUser['reason'], string>> = {
  backend:
    'a session names a backend that is not one of AUTHENTICATION_BACKENDS, so its visitor is anonymous here; set AUTHENTICATION_BACKENDS as in settings.py',
  hash:
    'the _auth_user_hash of a session does not match, and no hash made by Django has matched since the start, so its visitor is anonymous here; the session stays. ' +
    'If no password was just changed: check DJANGO_SECRET_KEY, DJANGO_VERSION and AUTH_USER_PASSWORD_COLUMN. If the user model defines its own get_session_auth_hash, set AUTH_SESSION_HASH to custom; if it has no such method, set it to none',
  id: 'a session names a user id that does not fit AUTH_USER_ID_TYPE, so its visitor is anonymous here; set AUTH_USER_ID_TYPE to the type of the primary key of the user model',
}
