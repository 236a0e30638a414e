/** Why a session's user cannot be verified here; no id, key or hash is in it. */
export interface UnverifiedUser {
  readonly reason: 'hash' | 'backend' | 'id'
  /** What was found, and which settings to look at. */
  readonly message: string
}

/** Milliseconds between two words about one reason: it may be true of every visitor. */
const UNVERIFIED_INTERVAL = 60_000

/** At most once a minute for each reason; `process.emitWarning` unless something else is to be told. */
export function createUnverifiedLog(
  tell: (problem: UnverifiedUser) => void = warn,
  { monotonic = () => performance.now() }: { monotonic?: () => number } = {},
): (reason: UnverifiedUser['reason']) => void {
  const toldAt = new Map<string, number>()
  return (reason) => {
    const now = monotonic()
    if (now - (toldAt.get(reason) ?? Number.NEGATIVE_INFINITY) < UNVERIFIED_INTERVAL) return
    toldAt.set(reason, now)
    tell({ reason, message: UNVERIFIED[reason] })
  }
}

function warn({ message }: UnverifiedUser): void {
  process.emitWarning(message, { type: 'UnverifiedUser' })
}

const UNVERIFIED: Readonly<Record<UnverifiedUser['reason'], string>> = {
  backend:
    'a session names a backend that is not one of AUTHENTICATION_BACKENDS, so its user is nobody here; set AUTHENTICATION_BACKENDS as in settings.py',
  hash:
    'the _auth_user_hash of a session does not verify, and none that Django made has verified since the start, so its user is nobody here; the session stays. ' +
    'Unless a password was just changed: check DJANGO_SECRET_KEY, DJANGO_VERSION and AUTH_USER_PASSWORD_COLUMN, and set AUTH_SESSION_HASH to custom if the user model has a get_session_auth_hash of its own, to none if it has none',
  id: 'a session names a user by an id that is not of the type AUTH_USER_ID_TYPE, so its user is nobody here; set AUTH_USER_ID_TYPE to that of the primary key of the user model',
}
