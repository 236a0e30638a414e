import { saltedHmac as keyedHmac, type SecretKey } from '../django/signing.ts'
import type { HashAlgorithm } from '../django/versions.ts'

/**
 * The digest of Django's `salted_hmac(key_salt, value, secret, algorithm=…)`. The default algorithm is Django's: SHA-1.
 * Source: django/utils/crypto.py, salted_hmac.
 */
export function saltedHmac(
  keySalt: string,
  value: string | Uint8Array,
  { secret, algorithm = 'sha1' }: { secret: SecretKey; algorithm?: HashAlgorithm },
): Buffer {
  return keyedHmac(keySalt, secret, algorithm)().update(value).digest()
}
