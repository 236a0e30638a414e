import { constantTimeCompare, type SecretKey, saltedHmac } from './signing.ts'
import type { VersionProfile } from './versions.ts'

const KEY_SALT = 'django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash'

/**
 * How a stored `_auth_user_hash` verifies: with SECRET_KEY, with one of SECRET_KEY_FALLBACKS (then the session is to get
 * a new key and a new hash), or not at all (then it is to be flushed).
 */
export type AuthHashVerdict = 'current' | 'fallback' | 'wrong'

/**
 * How the site's user model makes its hashes: as AbstractBaseUser, by a `get_session_auth_hash` of its own, which is not
 * known here, or not at all: then Django verifies nothing.
 */
export type SessionHashRule = 'django' | 'custom' | 'none'

/** The HMAC of a user's `password` column that a session holds: it ends with the password. */
export interface AuthHashes {
  /** What login writes, for the text of the `password` column; null is Python's None, of which Django takes the text. */
  create(encodedPassword: string | null): string
  /** `stored` is what the session holds, whatever it is. */
  verify(encodedPassword: string | null, stored: unknown): AuthHashVerdict
}

/** Source: django/contrib/auth/base_user.py, get_session_auth_hash; django/contrib/auth/__init__.py, get_user. */
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
