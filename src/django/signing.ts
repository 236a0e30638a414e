/** Signed text. Source: django/core/signing.py and django/utils/crypto.py. */
import { createHash, createHmac, createSecretKey, type Hmac, timingSafeEqual } from 'node:crypto'
import { deflateSync, inflateSync } from 'node:zlib'
import { encodeJson } from './json.ts'
import type { HashAlgorithm } from './versions.ts'

/** Text counts as its UTF-8 bytes. */
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
 * What was signed is not what `dumps` writes: its time stamp, base64 or zlib stream is broken.
 * Unlike Django, where a ValueError, binascii.Error or zlib.error comes through.
 */
export class BadPayload extends Error {
  override name = 'BadPayload'
  readonly code: string = 'ERR_BAD_PAYLOAD'
}

/** What was signed, or is to be, is larger than the limit, perhaps only once inflated. Django knows no limit. */
export class PayloadTooLarge extends Error {
  override name = 'PayloadTooLarge'
  readonly code: string = 'ERR_PAYLOAD_TOO_LARGE'
}

export interface SignerOptions {
  /** The first signs; each of them verifies (SECRET_KEY, then SECRET_KEY_FALLBACKS). */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  /** Django's: `django.core.signing.Signer`, `django.core.signing.TimestampSigner`, for dumps `django.core.signing`. */
  readonly salt: string
  /** The first signs; each of them verifies. See `VersionProfile.signatureAlgorithms`. */
  readonly algorithms?: readonly [HashAlgorithm, ...HashAlgorithm[]]
}

/** Django's Signer: `value:signature`. */
export interface Signer {
  sign(value: string): string
  /** @throws {BadSignature} when no key has made this signature. */
  unsign(signedValue: string): Unsigned
}

export interface Unsigned {
  /** What was signed. */
  readonly value: string
  /** Which of the secret keys verified it, from 0. */
  readonly keyIndex: number
}

export interface UnsignOptions {
  /** In seconds; a signature exactly that old is fine, and so is one from the future. */
  readonly maxAge?: number
  readonly now: () => Date
}

/**
 * Makes HMACs whose key is derived from a salt and a secret key: here, once, since sessions are read at each request.
 * Source: django/utils/crypto.py, salted_hmac.
 */
export function saltedHmac(salt: string, secretKey: SecretKey, algorithm: HashAlgorithm): () => Hmac {
  // Bytes would do too, but Node takes four times as long to tell that they are no KeyObject than to sign.
  const key = createSecretKey(createHash(algorithm).update(salt).update(secretKey).digest())
  return () => createHmac(algorithm, key)
}

/** Whether two texts are equal, in a time that tells nothing but whether their lengths are. */
export function constantTimeCompare(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

/** A Signer that has derived its keys already. */
export function createSigner({ secretKeys, salt, algorithms = ['sha256'] }: SignerOptions): Signer {
  const verifiers = secretKeys.flatMap((secretKey, keyIndex) =>
    algorithms.map((algorithm) => ({ keyIndex, hmac: saltedHmac(`${salt}signer`, secretKey, algorithm) })),
  )
  const hmac = saltedHmac(`${salt}signer`, secretKeys[0], algorithms[0])
  return {
    sign: (value) => `${value}:${hmac().update(value).digest('base64url')}`,
    unsign(signedValue) {
      const colon = signedValue.lastIndexOf(':')
      if (colon === -1) throw new BadSignature('No ":" found in value')
      const value = signedValue.slice(0, colon)
      const signature = signedValue.slice(colon + 1)
      for (const { keyIndex, hmac } of verifiers) {
        if (constantTimeCompare(signature, hmac().update(value).digest('base64url')))
          return { value, keyIndex }
      }
      throw new BadSignature('The signature does not match under any of the secret keys')
    },
  }
}

/** `value:timestamp:signature`. Source: TimestampSigner.sign. */
export function sign(signer: Signer, value: string, { now }: { now: () => Date }): string {
  return signer.sign(`${value}:${b62Encode(Math.floor(now().getTime() / 1000))}`)
}

/**
 * What `sign` was given. Source: TimestampSigner.unsign.
 * @throws {BadSignature} when no key has made this signature; {SignatureExpired} when it is older than `maxAge`.
 * @throws {BadPayload} when what was signed has no time stamp.
 */
export function unsign(signer: Signer, signedValue: string, { maxAge, now }: UnsignOptions): Unsigned {
  const { value: stamped, keyIndex } = signer.unsign(signedValue)
  const colon = stamped.lastIndexOf(':')
  if (colon === -1) throw new BadPayload('What was signed has no time stamp')
  const signedAt = b62Decode(stamped.slice(colon + 1))
  if (maxAge !== undefined) {
    const age = now().getTime() / 1000 - Number(signedAt)
    if (age > maxAge) throw new SignatureExpired(`Signature age ${age} > ${maxAge} seconds`)
  }
  return { value: stamped.slice(0, colon), keyIndex }
}

/**
 * JSON text, signed: `[.]base64:timestamp:signature`, with a dot when compressed. Source: signing.dumps.
 * zlib's output is not the same bytes everywhere (Node's differs from CPython's): compare what is inside, never the text.
 */
export function dumps(
  signer: Signer,
  json: string,
  { compress = false, now }: { compress?: boolean; now: () => Date },
): string {
  const data = encodeJson(json)
  const deflated = compress && mayShrink(data) ? deflateSync(data) : data
  // Django compresses only when that saves more than the dot costs (Signer.sign_object).
  const smaller = deflated.length < data.length - 1
  const payload = smaller ? `.${deflated.toString('base64url')}` : data.toString('base64url')
  return sign(signer, payload, { now })
}

export interface LoadsOptions extends UnsignOptions {
  /** How many bytes a compressed payload may inflate to; no limit unless given. */
  readonly maxInflatedBytes?: number
}

/**
 * The JSON text that was signed, unread. Source: signing.loads.
 * @throws {BadSignature} {SignatureExpired} {BadPayload} as `unsign`; {PayloadTooLarge}.
 */
export function loads(signer: Signer, signedValue: string, options: LoadsOptions): Unsigned {
  const { value: payload, keyIndex } = unsign(signer, signedValue, options)
  const data = payload.startsWith('.')
    ? inflate(decodeBase64Url(payload.slice(1)), options.maxInflatedBytes)
    : decodeBase64Url(payload)
  return { value: data.toString('latin1'), keyIndex }
}

/**
 * Base64 as CPython's b64decode reads it: characters that are not in the standard alphabet are skipped, and the first
 * complete padding ends the text. Source: Modules/binascii.c, a2b_base64.
 * @throws {BadPayload} when the padding is missing.
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
  if (data.length % 4 !== 0) throw new BadPayload('The base64 text is cut or lacks its padding')
  return Buffer.from(data, 'base64')
}

/** An integer in base 62, `-` before a negative one. Source: b62_encode; before 4.0 django/utils/baseconv.py. */
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
 * Source: b62_decode; as there, `-` alone is 0. Unlike Django, no more than 64 digits are read: the work grows with
 * their square, and no clock needs more than 11.
 * @throws {BadPayload} when the text is empty or no number in base 62.
 */
export function b62Decode(text: string): bigint {
  if (!BASE62_NUMBER.test(text)) throw new BadPayload('The time stamp is no number in base 62')
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
 * False where deflate is of no use: in so short a text only what comes twice could be saved. The session of an anonymous
 * visitor is one, and to make zlib's stream would cost more than all else that is done to it.
 */
function mayShrink(data: Buffer): boolean {
  return data.length > SHORT || HAS_REPETITION.test(data.toString('latin1'))
}

const SHORT = 24
/** Three characters that come again; deflate refers back to no fewer. */
const HAS_REPETITION = /(?=(...)).+\1/s

/** Source: b64_decode; the standard alphabet is understood too. */
function decodeBase64Url(text: string): Buffer {
  if (text.length % 4 !== 1 && CLEAN_BASE64_URL.test(text)) return Buffer.from(text, 'base64url')
  const padding = '='.repeat(-Buffer.byteLength(text) & 3)
  return decodeBase64(text.replaceAll('-', '+').replaceAll('_', '/') + padding)
}

/** zlib.decompress: one complete zlib stream, and whatever follows it is ignored. */
function inflate(data: Buffer, maxInflatedBytes: number | undefined): Buffer {
  try {
    return inflateSync(data, maxInflatedBytes === undefined ? {} : { maxOutputLength: maxInflatedBytes })
  } catch (error) {
    if (error instanceof RangeError) {
      throw new PayloadTooLarge(`The payload inflates to more than ${maxInflatedBytes} bytes`, {
        cause: error,
      })
    }
    throw new BadPayload('The compressed payload is no complete zlib stream', { cause: error })
  }
}
