import type { SessionHashRule } from '../django/auth-hash.ts'

/** What a backend of AUTHENTICATION_BACKENDS does here. */
export interface Backend {
  /** Its dotted path, as the session holds it. */
  readonly path: string
  /** Whether it takes a name and a password. */
  readonly takesPasswords: boolean
  /** Whether users with `is_active=False` are nobody to it. */
  readonly rejectsInactive: boolean
}

export const MODEL_BACKEND = 'django.contrib.auth.backends.ModelBackend'

/**
 * Source: django/contrib/auth/backends.py. A backend that is not Django's own counts as a ModelBackend for the sessions
 * that it began, but takes no passwords here: what it would ask for first is not known.
 */
export function backendOf(path: string): Backend {
  const [takesPasswords, rejectsInactive] = BACKENDS[path] ?? [false, true]
  return { path, takesPasswords, rejectsInactive }
}

/** Why no visitor can log in here with a name and a password; null where one can. */
export function whyNoPasswords(
  paths: readonly string[],
  { password, sessionHash }: { password: string | null | undefined; sessionHash: SessionHashRule },
): string | null {
  if (sessionHash === 'custom')
    return 'AUTH_SESSION_HASH is custom: Django would throw away a session that was logged in here'
  if (password === null) return 'AUTH_USER_PASSWORD_COLUMN is None: the user model has no passwords'
  if (paths.some((path) => backendOf(path).takesPasswords)) return null
  return `none of AUTHENTICATION_BACKENDS takes passwords here; ${MODEL_BACKEND} does, where it is one of them`
}

const BACKENDS: Readonly<Record<string, readonly [takesPasswords: boolean, rejectsInactive: boolean]>> = {
  [MODEL_BACKEND]: [true, true],
  'django.contrib.auth.backends.AllowAllUsersModelBackend': [true, false],
  'django.contrib.auth.backends.RemoteUserBackend': [false, true],
  'django.contrib.auth.backends.AllowAllUsersRemoteUserBackend': [false, false],
}
