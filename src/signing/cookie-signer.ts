import { BadSignature, type SecretKey, SignatureExpired, sign, unsign } from '../django/signing.ts'
import { versionProfile } from '../django/versions.ts'
import { type AgeLimit, openSigner, type SigningOptions } from './signer.ts'

/** The parameters of Django's signed cookies. */
export interface SignedCookieOptions extends SigningOptions {
  /** The `salt` that the view gives; default: ''. */
  readonly salt?: string
}

/**
 * The value of `response.set_signed_cookie(name, value, salt=…)`.
 * Source: django/http/response.py, set_signed_cookie; django/core/signing.py, get_cookie_signer.
 * @throws {UnknownDjangoVersion}
 */
export function signCookie(
  name: string,
  value: string,
  { salt = '', now = () => new Date(), ...options }: SignedCookieOptions,
): string {
  const { signedCookies } = versionProfile(options.djangoVersion, options)
  const namespace = signedCookies.prefixesSalt ? prefixedSalt(name, salt) : olderSalt(name, salt)
  return sign(cookieSigner(namespace, options), value, { now })
}

/**
 * The value that `request.get_signed_cookie(name, salt=…, max_age=…)` returns for this cookie.
 * Source: django/http/request.py, get_signed_cookie; django/core/signing.py, _unsign_cookie.
 * @throws {BadSignature} {SignatureExpired} {BadPayload} {UnknownDjangoVersion}
 */
export function unsignCookie(
  name: string,
  signedValue: string,
  {
    salt = '',
    maxAge,
    acceptsOlderSalt,
    now = () => new Date(),
    ...options
  }: SignedCookieOptions &
    AgeLimit & {
      /** SIGNED_COOKIE_LEGACY_SALT_FALLBACK; default: that of the version. */
      readonly acceptsOlderSalt?: boolean
    },
): string {
  const { signedCookies } = versionProfile(options.djangoVersion, options)
  const limits = { ...(maxAge !== undefined && { maxAge }), now }
  const read = (namespace: string) => unsign(cookieSigner(namespace, options), signedValue, limits).value
  if (!signedCookies.prefixesSalt) return read(olderSalt(name, salt))
  try {
    return read(prefixedSalt(name, salt))
  } catch (error) {
    const isOther = !(error instanceof BadSignature) || error instanceof SignatureExpired
    if (isOther || !(acceptsOlderSalt ?? signedCookies.acceptsOlderSalt)) throw error
    return read(olderSalt(name, salt))
  }
}

/** Source: django/core/signing.py, _cookie_signer_salt. */
function prefixedSalt(name: string, salt: string): string {
  return `django.http.cookies.v2:${[...salt].length}:${salt}${name}`
}

/** Source: django/core/signing.py, _cookie_signer_legacy_salt. */
function olderSalt(name: string, salt: string): string {
  return name + salt
}

function cookieSigner(salt: string, { secretKeys, ...options }: Omit<SigningOptions, 'now'>) {
  const [first, ...others] = secretKeys
  return openSigner({ ...options, salt, secretKeys: [cookieKey(first), ...others.map(cookieKey)] })
}

/** Source: django/core/signing.py, _cookie_signer_key. */
function cookieKey(key: SecretKey): Uint8Array {
  return Buffer.concat([Buffer.from('django.http.cookies'), Buffer.from(key)])
}
