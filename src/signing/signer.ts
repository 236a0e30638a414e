import { type PythonValue, parseValue, stringifyValue } from '../django/json.ts'
import * as signing from '../django/signing.ts'
import { type HashAlgorithm, versionProfile } from '../django/versions.ts'

/** The keys of a Django site, and the version whose rules decide how they sign. */
export interface SigningOptions {
  /** SECRET_KEY, then SECRET_KEY_FALLBACKS. The first signs. Django 4.1 and newer verify with each, older ones with the first. */
  readonly secretKeys: readonly [signing.SecretKey, ...signing.SecretKey[]]
  /** What `python -m django --version` prints at the Django site, e.g. `4.2`. */
  readonly djangoVersion: string
  /** DEFAULT_HASHING_ALGORITHM, which only Django 3.1 and 3.2 have. */
  readonly defaultHashingAlgorithm?: HashAlgorithm
  readonly now?: () => Date
}

/** The parameters of Django's Signer. */
export interface SignerOptions extends SigningOptions {
  /** The namespace. Default: Django's for this class, e.g. `django.core.signing.Signer`. */
  readonly salt?: string
  /** `sep` in Django; default: `:`. */
  readonly separator?: string
}

/** Django's `Signer`: `value:signature`. */
export interface Signer {
  sign(value: string): string
  /** @throws {BadSignature} */
  unsign(signedValue: string): string
  /** Signs JSON: `[.]base64:signature`; compressed, where that is shorter, with `compress`. @throws {NotSerializable} */
  signObject(value: unknown, options?: { readonly compress?: boolean }): string
  /** @throws {BadSignature} {BadPayload} {JSONDecodeError} {PayloadTooLarge} */
  unsignObject(signedValue: string, limits?: ObjectLimits): PythonValue
}

/** Django's `TimestampSigner`: `value:timestamp:signature`. */
export interface TimestampSigner {
  sign(value: string): string
  /** @throws {BadSignature} {SignatureExpired} {BadPayload} */
  unsign(signedValue: string, limits?: AgeLimit): string
  /** As `dumps` with this salt. @throws {NotSerializable} */
  signObject(value: unknown, options?: { readonly compress?: boolean }): string
  /** As `loads` with this salt. @throws {BadSignature} {SignatureExpired} {BadPayload} {JSONDecodeError} {PayloadTooLarge} */
  unsignObject(signedValue: string, limits?: AgeLimit & ObjectLimits): PythonValue
}

/** How old a signature may be. */
export interface AgeLimit {
  /** Seconds; default: any age. */
  readonly maxAge?: number
}

/** How large a signed object may be. */
export interface ObjectLimits {
  /** Bytes after decompression; default: 16 MiB. Django has no limit. */
  readonly maxInflatedBytes?: number
}

/**
 * Django's `Signer(salt=…, sep=…)`.
 * Source: django/core/signing.py, Signer.
 * @throws {UnknownDjangoVersion} {TypeError} for a separator that a signature may contain.
 */
export function createSigner({ salt = SIGNER_SALT, ...options }: SignerOptions): Signer {
  const signer = openSigner({ ...options, salt })
  return {
    sign: (value) => signer.sign(value),
    unsign: (signedValue) => signer.unsign(signedValue).value,
    signObject: (value, { compress = false } = {}) =>
      signer.sign(signing.packObject(stringifyValue(value), { compress })),
    unsignObject: (signedValue, { maxInflatedBytes = MAX_INFLATED_BYTES } = {}) =>
      parseValue(signing.unpackObject(signer.unsign(signedValue).value, { maxInflatedBytes })),
  }
}

/**
 * Django's `TimestampSigner(salt=…, sep=…)`.
 * Source: django/core/signing.py, TimestampSigner.
 * @throws {UnknownDjangoVersion} {TypeError} for a separator that a signature may contain.
 */
export function createTimestampSigner({
  salt = TIMESTAMP_SIGNER_SALT,
  now = () => new Date(),
  ...options
}: SignerOptions): TimestampSigner {
  const signer = openSigner({ ...options, salt })
  return {
    sign: (value) => signing.sign(signer, value, { now }),
    unsign: (signedValue, limits = {}) => signing.unsign(signer, signedValue, { ...limits, now }).value,
    signObject: (value, { compress = false } = {}) =>
      signing.dumps(signer, stringifyValue(value), { compress, now }),
    unsignObject: (signedValue, { maxInflatedBytes = MAX_INFLATED_BYTES, ...limits } = {}) =>
      parseValue(signing.loads(signer, signedValue, { ...limits, maxInflatedBytes, now }).value),
  }
}

/**
 * Django's `signing.dumps(value, salt=…, compress=…)`: JSON, URL-safe, with a timestamp and a signature.
 * Source: django/core/signing.py, dumps.
 * @throws {NotSerializable} {UnknownDjangoVersion}
 */
export function dumps(
  value: unknown,
  { salt = DUMPS_SALT, compress = false, ...options }: SigningOptions & { salt?: string; compress?: boolean },
): string {
  return createTimestampSigner({ ...options, salt }).signObject(value, { compress })
}

/**
 * Django's `signing.loads(text, salt=…, max_age=…)`. Numbers become `number`, or `bigint` where that loses digits.
 * Source: django/core/signing.py, loads.
 * @throws {BadSignature} {SignatureExpired} {BadPayload} {JSONDecodeError} {PayloadTooLarge} {UnknownDjangoVersion}
 */
export function loads(
  text: string,
  {
    salt = DUMPS_SALT,
    maxAge,
    maxInflatedBytes,
    ...options
  }: SigningOptions & AgeLimit & ObjectLimits & { salt?: string },
): PythonValue {
  return createTimestampSigner({ ...options, salt }).unsignObject(text, {
    ...(maxAge !== undefined && { maxAge }),
    ...(maxInflatedBytes !== undefined && { maxInflatedBytes }),
  })
}

/** Opens the signer of a site, with the algorithms and keys of its version. @throws {UnknownDjangoVersion} {TypeError} */
export function openSigner({
  secretKeys,
  djangoVersion,
  defaultHashingAlgorithm,
  salt,
  separator = ':',
}: Omit<SignerOptions, 'now'> & { salt: string }): signing.Signer {
  if (UNSAFE_SEPARATOR.test(separator))
    throw new TypeError(
      `${JSON.stringify(separator)} is not a safe separator; it must not be empty or consist of letters, digits and - _ = only`,
    )
  const profile = versionProfile(djangoVersion, { defaultHashingAlgorithm })
  const keys = profile.usesFallbackKeys ? secretKeys : ([secretKeys[0]] as const)
  return signing.createSigner({ secretKeys: keys, salt, separator, algorithms: profile.signatureAlgorithms })
}

const SIGNER_SALT = 'django.core.signing.Signer'
const TIMESTAMP_SIGNER_SALT = 'django.core.signing.TimestampSigner'
const DUMPS_SALT = 'django.core.signing'
const MAX_INFLATED_BYTES = 16 * 1024 * 1024

/** Source: django/core/signing.py, _SEP_UNSAFE. Its range `A-z` includes some punctuation. */
const UNSAFE_SEPARATOR = /^[A-z0-9-_=]*$/
