/** Signed text. Source: django/core/signing.py and django/utils/crypto.py. */
import { createHash, createHmac, createSecretKey, type Hmac, timingSafeEqual } from 'node:crypto'
import { deflateSync, inflateSync } from 'node:zlib'
import { encodeJson } from './json.ts'
import type { HashAlgorithm } from './versions.ts'

/** A secret key; text is used as its UTF-8 bytes. */
export type SecretKey = string | Uint8Array

/** The signature does not match. */
export class BadSignature extends Error {
  override name = 'BadSignature'
  readonly code: string = 'ERR_BAD_SIGNATURE'
}

/** The signature matches, but is older than `maxAge`. */
export class SignatureExpired extends BadSignature {
  override name = 'SignatureExpired'
  override readonly code: string = 'ERR_SIGNATURE_EXPIRED'
}

/**
 * The signed value was not written by `dumps`: its timestamp, base64 or zlib stream is malformed.
 * Unlike Django, which raises ValueError, binascii.Error or zlib.error.
 */
export class BadPayload extends Error {
  override name = 'BadPayload'
  readonly code: string = 'ERR_BAD_PAYLOAD'
}

/** The value is larger than the limit, perhaps only after decompression. Django has no limit. */
export class PayloadTooLarge extends Error {
  override name = 'PayloadTooLarge'
  readonly code: string = 'ERR_PAYLOAD_TOO_LARGE'
}

/** Keys, salt and algorithms of a Signer. */
export interface SignerOptions {
  /** SECRET_KEY, then SECRET_KEY_FALLBACKS. The first key signs; every key verifies. */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  /** In Django `django.core.signing.Signer`, `django.core.signing.TimestampSigner`, or for dumps `django.core.signing`. */
  readonly salt: string
  /** The first algorithm signs; every algorithm verifies. See `VersionProfile.signatureAlgorithms`. */
  readonly algorithms?: readonly [HashAlgorithm, ...HashAlgorithm[]]
  /** Between the value, the timestamp and the signature; default: `:`. */
  readonly separator?: string
}

/** Django's Signer: `value:signature`. */
export interface Signer {
  readonly separator: string
  sign(value: string): string
  /** @throws {BadSignature} if the signature matches none of the keys. */
  unsign(signedValue: string): Unsigned
}

/** A verified value. */
export interface Unsigned {
  /** The value that was signed. */
  readonly value: string
  /** Index of the secret key that matched, from 0. */
  readonly keyIndex: number
}

/** How old a signature may be. */
export interface UnsignOptions {
  /** In seconds; default: no limit. A signature of exactly this age is valid, and so is one from the future. */
  readonly maxAge?: number
  readonly now: () => Date
}

/**
 * Derives a key from a salt and a secret key, and returns a function that creates HMACs with it. The key is derived only
 * once, because sessions are read at each request.
 * Source: django/utils/crypto.py, salted_hmac.
 */
export function saltedHmac(salt: string, secretKey: SecretKey, algorithm: HashAlgorithm): () => Hmac {
  // A KeyObject, not bytes: to convert bytes at each call, Node needs four times as long as to sign.
  const key = createSecretKey(createHash(algorithm).update(salt).update(secretKey).digest())
  return () => createHmac(algorithm, key)
}

/** Whether two texts are equal. The time reveals only whether their lengths are equal. */
export function constantTimeCompare(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

/** Creates a Signer; derives its keys once. */
export function createSigner({
  secretKeys,
  salt,
  algorithms = ['sha256'],
  separator = ':',
}: SignerOptions): Signer {
  const verifiers = secretKeys.flatMap((secretKey, keyIndex) =>
    algorithms.map((algorithm) => ({ keyIndex, hmac: saltedHmac(`${salt}signer`, secretKey, algorithm) })),
  )
  const hmac = saltedHmac(`${salt}signer`, secretKeys[0], algorithms[0])
  return {
    separator,
    sign: (value) => `${value}${separator}${hmac().update(value).digest('base64url')}`,
    unsign(signedValue) {
      const end = signedValue.lastIndexOf(separator)
      if (end === -1) throw new BadSignature(`No "${separator}" found in value`)
      const value = signedValue.slice(0, end)
      const signature = signedValue.slice(end + separator.length)
      for (const { keyIndex, hmac } of verifiers) {
        if (constantTimeCompare(signature, hmac().update(value).digest('base64url')))
          return { value, keyIndex }
      }
      throw new BadSignature('The signature does not match under any of the secret keys')
    },
  }
}

/** Returns `value:timestamp:signature`. Source: TimestampSigner.sign. */
export function sign(signer: Signer, value: string, { now }: { now: () => Date }): string {
  return signer.sign(`${value}${signer.separator}${b62Encode(Math.floor(now().getTime() / 1000))}`)
}

/**
 * Verifies the result of `sign` and returns its value. Source: TimestampSigner.unsign.
 * @throws {BadSignature} if the signature matches none of the keys; {SignatureExpired} if it is older than `maxAge`.
 * @throws {BadPayload} if the signed text has no timestamp.
 */
export function unsign(signer: Signer, signedValue: string, { maxAge, now }: UnsignOptions): Unsigned {
  const { value: stamped, keyIndex } = signer.unsign(signedValue)
  const end = stamped.lastIndexOf(signer.separator)
  if (end === -1) throw new BadPayload('The signed value has no timestamp')
  const signedAt = b62Decode(stamped.slice(end + signer.separator.length))
  if (maxAge !== undefined) {
    const age = now().getTime() / 1000 - Number(signedAt)
    if (age > maxAge) throw new SignatureExpired(`Signature age ${age} > ${maxAge} seconds`)
  }
  return { value: stamped.slice(0, end), keyIndex }
}

/**
 * When a text was signed, as its time stamp says; null if it has none. The signature is not verified: for anything but a
 * display, verify it first.
 */
export function signedAt(signed: string): Date | null {
  const stamp = TIME_STAMP.exec(signed)?.[1]
  const date = new Date(stamp === undefined ? Number.NaN : Number(b62Decode(stamp)) * 1000)
  return Number.isNaN(date.getTime()) ? null : date
}

/** In `value:timestamp:signature`. JavaScript's last date has 8 digits. */
const TIME_STAMP = /:(-?[0-9A-Za-z]{1,8}):[^:]*$/

/**
 * Signs JSON text: `[.]base64:timestamp:signature`, with a dot if it is compressed. Source: signing.dumps.
 * zlib's output differs between Node and CPython: compare the decoded content, never the text.
 */
export function dumps(
  signer: Signer,
  json: string,
  { compress = false, now }: { compress?: boolean; now: () => Date },
): string {
  return sign(signer, packObject(json, { compress }), { now })
}

/** JSON text as `[.]base64`, with a dot if it is compressed. Source: Signer.sign_object. */
export function packObject(json: string, { compress }: { compress: boolean }): string {
  const data = encodeJson(json)
  const deflated = compress && mayShrink(data) ? deflateSync(data) : data
  // Django compresses only when that saves more than the dot costs.
  const smaller = deflated.length < data.length - 1
  return smaller ? `.${deflated.toString('base64url')}` : data.toString('base64url')
}

/** Limits of `loads`. */
export interface LoadsOptions extends UnsignOptions {
  /** Largest size of a payload after decompression, in bytes; default: no limit. */
  readonly maxInflatedBytes?: number
}

/**
 * Verifies the result of `dumps` and returns its JSON text, not parsed. Source: signing.loads.
 * @throws {BadSignature} {SignatureExpired} {BadPayload} as `unsign`; {PayloadTooLarge}.
 */
export function loads(signer: Signer, signedValue: string, options: LoadsOptions): Unsigned {
  const { value: payload, keyIndex } = unsign(signer, signedValue, options)
  return { value: unpackObject(payload, options), keyIndex }
}

/** Reads the result of `packObject`. @throws {BadPayload} {PayloadTooLarge} */
export function unpackObject(
  payload: string,
  { maxInflatedBytes }: Pick<LoadsOptions, 'maxInflatedBytes'>,
): string {
  const data = payload.startsWith('.')
    ? inflate(decodeBase64Url(payload.slice(1)), maxInflatedBytes)
    : decodeBase64Url(payload)
  return data.toString('latin1')
}

/**
 * Decodes base64 like CPython's b64decode: characters outside the standard alphabet are skipped, and the first complete
 * padding ends the text. Source: Modules/binascii.c, a2b_base64.
 * @throws {BadPayload} if the padding is missing.
 */
export function decodeBase64(text: string): Buffer {
  if (text.length % 4 === 0 && CLEAN_BASE64.test(text)) return Buffer.from(text, 'base64')
  let data = ''
  let pads = 0
  for (const char of text) {
    const filled = data.length % 4
    if (char === '=') {
      if (filled < 2) continue
      pads += 1
      if (filled + pads >= 4) return Buffer.from(data, 'base64')
    } else if (BASE64_CHARACTER.test(char)) {
      data += char
      pads = 0
    }
  }
  if (data.length % 4 !== 0) throw new BadPayload('The base64 text is incomplete or lacks its padding')
  return Buffer.from(data, 'base64')
}

/** Writes an integer in base 62, with `-` if it is negative. Source: b62_encode; before 4.0 django/utils/baseconv.py. */
export function b62Encode(integer: number | bigint): string {
  let rest = BigInt(integer)
  if (rest < 0n) return `-${b62Encode(-rest)}`
  let digits = ''
  do {
    digits = BASE62.charAt(Number(rest % 62n)) + digits
    rest /= 62n
  } while (rest > 0n)
  return digits
}

/**
 * Reads an integer in base 62; `-` alone is 0, as in Django. Source: b62_decode.
 * Unlike Django, at most 64 digits are accepted: the work grows with their square, and a timestamp has at most 11.
 * @throws {BadPayload} if the text is empty or not a number in base 62.
 */
export function b62Decode(text: string): bigint {
  if (!BASE62_NUMBER.test(text)) throw new BadPayload('The timestamp is not a number in base 62')
  let integer = 0n
  for (const digit of text.replace('-', '')) integer = integer * 62n + BigInt(BASE62.indexOf(digit))
  return text.startsWith('-') ? -integer : integer
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const BASE62_NUMBER = /^(?:-|[0-9A-Za-z])[0-9A-Za-z]{0,63}$/
const CLEAN_BASE64 = /^[A-Za-z0-9+/]*={0,2}$/
const CLEAN_BASE64_URL = /^[\w-]*$/
const BASE64_CHARACTER = /^[A-Za-z0-9+/]$/

/**
 * False if compression cannot make the text shorter: a short text shrinks only if it contains a repetition. This saves
 * time for the short session of an anonymous visitor, for which deflate would cost more than all other steps.
 */
function mayShrink(data: Buffer): boolean {
  return data.length > MAX_SHORT_LENGTH || HAS_REPETITION.test(data.toString('latin1'))
}

const MAX_SHORT_LENGTH = 24
/** Three characters that occur twice: the shortest repetition that deflate can use. */
const HAS_REPETITION = /(?=(...)).+\1/s

/** Decodes base64url; the standard alphabet is accepted, too. Source: b64_decode. */
function decodeBase64Url(text: string): Buffer {
  if (text.length % 4 !== 1 && CLEAN_BASE64_URL.test(text)) return Buffer.from(text, 'base64url')
  const padding = '='.repeat(-Buffer.byteLength(text) & 3)
  return decodeBase64(text.replaceAll('-', '+').replaceAll('_', '/') + padding)
}

/** Python's zlib.decompress: the text must begin with a complete zlib stream; the rest is ignored. */
function inflate(data: Buffer, maxInflatedBytes: number | undefined): Buffer {
  try {
    return inflateSync(data, maxInflatedBytes === undefined ? {} : { maxOutputLength: maxInflatedBytes })
  } catch (error) {
    if (error instanceof RangeError) {
      throw new PayloadTooLarge(`The payload decompresses to more than ${maxInflatedBytes} bytes`, {
        cause: error,
      })
    }
    throw new BadPayload('The compressed payload is not a complete zlib stream', { cause: error })
  }
}
