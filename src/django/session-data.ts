/** The `session_data` column. Source: django/contrib/sessions/backends/base.py, encode and decode. */
import { encodeJson, NotAnObject, parseObject, type SessionData, stringifyObject } from './json.ts'
import { parsePickledObject, pickleObject } from './pickle/pickle.ts'
import type { SerializerName } from './session-serializers.ts'
import {
  BadSignature,
  constantTimeCompare,
  createSigner,
  decodeBase64,
  dumps,
  type LoadsOptions,
  loads,
  PayloadTooLarge,
  type SecretKey,
  type SignerOptions,
  saltedHmac,
  type Unsigned,
} from './signing.ts'
import { type UnreadableReason, UnreadableSession } from './unreadable-session.ts'
import type { SessionFormat, VersionProfile } from './versions.ts'

export { type UnreadableReason, UnreadableSession } from './unreadable-session.ts'

/** A decoded `session_data`. */
export interface DecodedSession {
  readonly data: SessionData
  readonly format: SessionFormat
  /** Index of the key that matched: 0 is SECRET_KEY, n the nth of SECRET_KEY_FALLBACKS. */
  readonly keyIndex: number
}

/** Decodes and encodes the `session_data` column. */
export interface SessionCodec {
  /**
   * Decodes a row, in any format that this Django reads.
   * Unlike Django, which treats unreadable data as an empty session and overwrites it at the next save (and answers 500 for
   * JSON that is not an object, before 3.1 also for malformed base64), every such row is an error here.
   * @throws {UnreadableSession} for every row that cannot be read; never another error.
   */
  decode(sessionData: string): DecodedSession
  /**
   * Encodes a row in the format that this Django writes, signed with SECRET_KEY.
   * @throws {PayloadTooLarge} if `decode` would reject the row for its size.
   * @throws {NotSerializable} if the format is JSON, and a key or value can only be stored as a pickle.
   */
  encode(data: SessionData): string
}

/** Keys, version and limits of a codec. */
export interface SessionCodecOptions {
  /** SECRET_KEY, then SECRET_KEY_FALLBACKS, which Django uses since 4.1. */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  readonly profile: VersionProfile
  /** The `__qualname__` of the site's session store, part of the salt; the same for Django's db, cached_db and file. */
  readonly storeClass?: string
  /** The salt of the signed format, if it does not contain the class name: signed_cookies. */
  readonly salt?: string
  /** Maximum age of a signature in the signed format, in seconds; default: no limit, for sessions with an expiry date. */
  readonly maxAge?: number
  /** SESSION_SERIALIZER; default: JSON. */
  readonly serializer?: SerializerName
  /** Largest size of the JSON text or pickle in bytes, also after decompression; default: 16 MiB. Django has no limit. */
  readonly maxInflatedBytes?: number
  readonly now: () => Date
}

/** Creates a codec. Its keys are derived once, because sessions are read at each request. */
export function createSessionCodec({
  secretKeys,
  profile,
  storeClass = 'SessionStore',
  salt = `django.contrib.sessions.${storeClass}`,
  maxAge,
  serializer: name = 'json',
  maxInflatedBytes = 16 * 1024 * 1024,
  now,
}: SessionCodecOptions): SessionCodec {
  const formats: Record<SessionFormat, Format> = {
    signed: createSignedFormat(
      {
        secretKeys: profile.usesFallbackKeys ? secretKeys : [secretKeys[0]],
        salt,
        algorithms: profile.signatureAlgorithms,
      },
      { maxInflatedBytes, now, ...(maxAge !== undefined && { maxAge }) },
    ),
    legacy: createLegacyFormat(secretKeys[0], storeClass),
  }
  const serializer = name === 'pickle' ? createPickleSerializer(maxInflatedBytes) : JSON_SERIALIZER
  function checkSize(serialized: string): void {
    if (serialized.length > maxInflatedBytes)
      throw new PayloadTooLarge(`The session is larger than ${maxInflatedBytes} bytes; store less in it`)
  }

  return {
    decode(sessionData) {
      let failure: UnreadableSession | undefined
      for (const format of profile.reads) {
        try {
          // The signature is verified first: unsigned data is never parsed.
          const { value: serialized, keyIndex } = formats[format].open(sessionData)
          checkSize(serialized)
          return { data: serializer.parse(serialized), format, keyIndex }
        } catch (error) {
          // If both formats are tried, report the failure of the one in which the row is written.
          if (failure === undefined || failure.reason === 'format') failure = unreadable(error)
        }
      }
      throw failure
    },
    encode(data) {
      const serialized = serializer.stringify(data)
      checkSize(serialized)
      return formats[profile.writes].seal(serialized)
    },
  }
}

/** Converts session data to text. The characters of a pickle are its bytes; those of JSON are the JSON text. */
interface Serializer {
  stringify(data: SessionData): string
  parse(serialized: string): SessionData
}

const JSON_SERIALIZER: Serializer = { stringify: stringifyObject, parse: parseObject }

function createPickleSerializer(maxBytes: number): Serializer {
  return {
    stringify: (data) => pickleObject(data, { maxBytes }).toString('latin1'),
    parse: (serialized) => parsePickledObject(Buffer.from(serialized, 'latin1'), { maxBytes }),
  }
}

/** A format of the column: serialized data with its signature. */
interface Format {
  /** Verifies the signature and returns the serialized data, not parsed. */
  open(sessionData: string): Unsigned
  seal(serialized: string): string
}

/**
 * The format since 3.1: signing.dumps, compressed. The timestamp must be valid, but without `maxAge` a session is never too
 * old, since expire_date decides.
 */
function createSignedFormat(signing: SignerOptions, options: LoadsOptions): Format {
  const signer = createSigner(signing)
  const { now } = options
  return {
    open(sessionData) {
      try {
        return loads(signer, sessionData, options)
      } catch (error) {
        if (error instanceof BadSignature && !SIGNED.test(sessionData)) throw new UnreadableSession('format')
        throw error
      }
    },
    seal: (json) => dumps(signer, json, { compress: true, now }),
  }
}

/** The format before 3.1, read up to 3.2: `base64(hash:json)`, always SHA-1. Source: _legacy_encode, _legacy_decode. */
function createLegacyFormat(secretKey: SecretKey, storeClass: string): Format {
  // Unlike the salt of the signed format: the __name__ of the class, without a dot before it.
  const hmac = saltedHmac(`django.contrib.sessions${storeClass.replace(/^.*\./, '')}`, secretKey, 'sha1')
  const hashOf = (json: string) => hmac().update(json, 'latin1').digest('hex')
  return {
    open(sessionData) {
      const text = decodeLegacyBase64(sessionData)
      const colon = text.indexOf(':')
      const json = text.slice(colon + 1)
      if (constantTimeCompare(text.slice(0, Math.max(colon, 0)), hashOf(json)))
        return { value: json, keyIndex: 0 }
      throw LEGACY.test(text) ? new BadSignature('The hash does not match') : new UnreadableSession('format')
    },
    seal(json) {
      const serialized = encodeJson(json).toString('latin1')
      return Buffer.from(`${hashOf(serialized)}:${serialized}`, 'latin1').toString('base64')
    },
  }
}

/** The shapes of the formats; used only to report a wrong format instead of a wrong key. */
const SIGNED = /^\.?[\w-]*:[\w-]*:[\w-]+$/
const LEGACY = /^[0-9a-f]{40}:/i

function decodeLegacyBase64(sessionData: string): string {
  if (NON_ASCII.test(sessionData)) throw new UnreadableSession('format')
  try {
    return decodeBase64(sessionData).toString('latin1')
  } catch (error) {
    throw new UnreadableSession('format', { cause: error })
  }
}

const NON_ASCII = /[^\0-\x7f]/

function unreadable(error: unknown): UnreadableSession {
  if (error instanceof UnreadableSession) return error
  return new UnreadableSession(reasonOf(error), { cause: error })
}

function reasonOf(error: unknown): UnreadableReason {
  if (error instanceof BadSignature) return 'signature'
  if (error instanceof PayloadTooLarge) return 'too-large'
  if (error instanceof NotAnObject) return 'not-an-object'
  return 'payload'
}
