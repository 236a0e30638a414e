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

export interface DecodedSession {
  readonly data: SessionData
  readonly format: SessionFormat
  /** Which key verified it: 0 is SECRET_KEY, n the nth of SECRET_KEY_FALLBACKS. */
  readonly keyIndex: number
}

export interface SessionCodec {
  /**
   * What a row holds, in any format that this Django reads.
   * Unlike Django, which takes what it cannot read for an empty session and overwrites it at the next save (and answers
   * 500 to JSON that is no object, or before 3.1 to broken base64), all of that is refused.
   * @throws {UnreadableSession} and nothing else.
   */
  decode(sessionData: string): DecodedSession
  /**
   * The row's text, in the format that this Django writes, under SECRET_KEY.
   * @throws {PayloadTooLarge} when `decode` would refuse it for its size.
   * @throws {NotSerializable} for a value or a key that only a pickle holds, if this writes JSON.
   */
  encode(data: SessionData): string
}

export interface SessionCodecOptions {
  /** SECRET_KEY, then SECRET_KEY_FALLBACKS, which a Django older than 4.1 does not try. */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  readonly profile: VersionProfile
  /** The `__qualname__` of the site's session store, a part of the salt; Django's db, cached_db and file agree on it. */
  readonly storeClass?: string
  /** The salt of the signed format, where the class's name is not in it: signed_cookies. */
  readonly salt?: string
  /** How old a signature may be, in seconds, of the signed format; sessions with an expiry date of their own have no limit. */
  readonly maxAge?: number
  /** SESSION_SERIALIZER; JSON unless given. */
  readonly serializer?: SerializerName
  /** How large a session's JSON text or pickle may be, also once inflated; 16 MiB unless given. Django knows no limit. */
  readonly maxInflatedBytes?: number
  readonly now: () => Date
}

/** A codec that has derived its keys already: sessions are read at each request. */
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
          // Verified: nothing that a secret key has not signed is ever read.
          const { value: serialized, keyIndex } = formats[format].open(sessionData)
          checkSize(serialized)
          return { data: serializer.parse(serialized), format, keyIndex }
        } catch (error) {
          // Where Django reads both formats, the one that the row is in says most about it.
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

/** Session data as one text, whose characters are the bytes of what Django's serializer writes, or JSON's own. */
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

/** One way to keep serialized data in the column. */
interface Format {
  /** What was serialized, verified but not read. */
  open(sessionData: string): Unsigned
  seal(serialized: string): string
}

/**
 * Since 3.1: signing.dumps, compressed. The time stamp must be one, but unless there is a `maxAge` no session is too old
 * (that is expire_date's).
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

/** Before 3.1, and read up to 3.2: `base64(hash:json)`, SHA-1 always. Source: _legacy_encode, _legacy_decode. */
function createLegacyFormat(secretKey: SecretKey, storeClass: string): Format {
  // The class's __name__, and no dot before it: unlike the signed format's salt.
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

/** What each format looks like; tells a wrong key from a wrong format, and decides nothing else. */
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
