/** The entry point `koa-django-sessions/signing`: Django's signed values, without a database and without packages. */
import '../checks/check-node.ts'

export { JSONDecodeError, NotSerializable, type PythonValue } from '../django/json.ts'
export {
  BadPayload,
  BadSignature,
  b62Decode,
  b62Encode,
  PayloadTooLarge,
  type SecretKey,
  SignatureExpired,
} from '../django/signing.ts'
export { type HashAlgorithm, UnknownDjangoVersion } from '../django/versions.ts'
export { type SignedCookieOptions, signCookie, unsignCookie } from './cookie-signer.ts'
export {
  checkPasswordResetToken,
  makePasswordResetToken,
  type PasswordResetOptions,
  type PasswordResetUser,
} from './password-reset.ts'
export { saltedHmac } from './salted-hmac.ts'
export {
  type AgeLimit,
  createSigner,
  createTimestampSigner,
  dumps,
  loads,
  type ObjectLimits,
  type Signer,
  type SignerOptions,
  type SigningOptions,
  type TimestampSigner,
} from './signer.ts'
