import type { SessionHashRule } from '../django/auth-hash.ts'

/** How an entry of AUTHENTICATION_BACKENDS behaves here. */
export interface Backend {
  /** Its dotted path, as stored in the session. */
  readonly path: string
  /** Whether it authenticates by name and password. */
  readonly takesPasswords: boolean
  /** Whether it rejects users with `is_active=False`. */
  readonly rejectsInactive: boolean
}

export const MODEL_BACKEND = 'django.contrib.auth.backends.ModelBackend'

/**
 * Returns how the backend at this dotted path behaves. A backend that is not part of Django is treated as a ModelBackend
 * for sessions that it logged in, but does not accept passwords here: its own further conditions are not known.
 * Source: django/contrib/auth/backends.py.
 */
export function backendOf(path: string): Backend {
  const [takesPasswords, rejectsInactive] = BACKENDS[path] ?? [false, true]
  return { path, takesPasswords, rejectsInactive }
}

/** Returns why login by name and password is not possible here; null if it is possible. */
export function whyNoPasswords(
  paths: readonly string[],
  { password, sessionHash }: { password: string | null | undefined; sessionHash: SessionHashRule },
): string | null {
  if (sessionHash === 'custom')
    return 'AUTH_SESSION_HASH is custom: Django would flush a session that was logged in here'
  if (password === null) return 'AUTH_USER_PASSWORD_COLUMN is None: the user model has no password field'
  if (paths.some((path) => backendOf(path).takesPasswords)) return null
  return `no backend in AUTHENTICATION_BACKENDS accepts passwords here; if Django uses ${MODEL_BACKEND}, add it, as in settings.py`
}

const BACKENDS: Readonly<Record<string, readonly [takesPasswords: boolean, rejectsInactive: boolean]>> = {
  [MODEL_BACKEND]: [true, true],
  'django.contrib.auth.backends.AllowAllUsersModelBackend': [true, false],
  'django.contrib.auth.backends.RemoteUserBackend': [false, true],
  'django.contrib.auth.backends.AllowAllUsersRemoteUserBackend': [false, false],
}
