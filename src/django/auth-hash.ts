import { constantTimeCompare, type SecretKey, saltedHmac } from './signing.ts'
import type { VersionProfile } from './versions.ts'

const KEY_SALT = 'django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash'

/**
 * The result of checking a stored `_auth_user_hash`. `current`: made with SECRET_KEY. `fallback`: made with one of
 * SECRET_KEY_FALLBACKS, so the session needs a new key and a new hash. `wrong`: does not match, so Django flushes the session.
 */
export type AuthHashVerdict = 'current' | 'fallback' | 'wrong'

/**
 * How the site's user model computes its hashes. `django`: as AbstractBaseUser. `custom`: by its own
 * `get_session_auth_hash`, which is not known here. `none`: the model has no such method, so Django verifies no hash.
 */
export type SessionHashRule = 'django' | 'custom' | 'none'

/** The HMAC of a user's `password` column, stored in the session. So a session ends when the password changes. */
export interface AuthHashes {
  /** Returns the hash that login stores. `encodedPassword` is the `password` column; null is hashed as the text `None`. */
  create(encodedPassword: string | null): string
  /** Checks `stored`, the value in the session, which may be of any type. */
  verify(encodedPassword: string | null, stored: unknown): AuthHashVerdict
}

/**
 * Creates the session hashes of one site; derives their keys once.
 * Source: django/contrib/auth/base_user.py, get_session_auth_hash; django/contrib/auth/__init__.py, get_user.
 */
export function createAuthHashes({
  secretKeys,
  profile,
}: {
  secretKeys: readonly [SecretKey, ...SecretKey[]]
  profile: VersionProfile
}): AuthHashes {
  const { authHashAlgorithms, usesFallbackAuthHashes } = profile
  const [secretKey, ...fallbacks] = secretKeys
  const current = authHashAlgorithms.map((algorithm) => saltedHmac(KEY_SALT, secretKey, algorithm))
  const older = (usesFallbackAuthHashes ? fallbacks : []).map((key) =>
    saltedHmac(KEY_SALT, key, authHashAlgorithms[0]),
  )
  const write = saltedHmac(KEY_SALT, secretKey, authHashAlgorithms[0])
  return {
    create: (encodedPassword) => write().update(textOf(encodedPassword)).digest('hex'),
    verify(encodedPassword, stored) {
      if (typeof stored !== 'string') return 'wrong'
      const matches = (hmac: typeof write) =>
        constantTimeCompare(stored, hmac().update(textOf(encodedPassword)).digest('hex'))
      if (current.some(matches)) return 'current'
      return older.some(matches) ? 'fallback' : 'wrong'
    },
  }
}

/** Source: django/utils/encoding.py, force_bytes. */
function textOf(encodedPassword: string | null): string {
  return encodedPassword ?? 'None'
}
