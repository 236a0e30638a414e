/** The `session_data` column. Source: django/contrib/sessions/backends/base.py, encode and decode. */
import { encodeJson, NotAnObject, parseObject, type SessionData, stringifyObject } from './json.ts'
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
import type { SessionFormat, VersionProfile } from './versions.ts'

export type { SecretKey } from './signing.ts'

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
  /** How large a session's JSON text may be, also once inflated; 16 MiB unless given. Django knows no limit. */
  readonly maxInflatedBytes?: number
  readonly now: () => Date
}

/**
 * - `format`: no text that this Django writes; another Django, perhaps, than the one configured.
 * - `signature`: no secret key verifies it; SECRET_KEY is probably not that Django's.
 * - `payload`: verified, but its contents cannot be read; another serializer, perhaps.
 * - `not-an-object`: verified, but not a dictionary.
 * - `too-large`: verified, but it is larger than the limit, or would be once inflated.
 * - `expire-date`: `expire_date` holds no date that Django reads.
 */
export type UnreadableReason =
  | 'format'
  | 'signature'
  | 'payload'
  | 'not-an-object'
  | 'too-large'
  | 'expire-date'

/** A stored session that cannot be read. */
export class UnreadableSession extends Error {
  override name = 'UnreadableSession'
  readonly code: string = 'ERR_SESSION_UNREADABLE'
  readonly reason: UnreadableReason

  constructor(reason: UnreadableReason, options?: ErrorOptions) {
    super(MESSAGES[reason], options)
    this.reason = reason
  }
}

/** A codec that has derived its keys already: sessions are read at each request. */
export function createSessionCodec({
  secretKeys,
  profile,
  storeClass = 'SessionStore',
  salt = `django.contrib.sessions.${storeClass}`,
  maxAge,
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
  function checkSize(json: string): void {
    if (json.length > maxInflatedBytes)
      throw new PayloadTooLarge(`The session is larger than ${maxInflatedBytes} bytes; store less in it`)
  }

  return {
    decode(sessionData) {
      let failure: UnreadableSession | undefined
      for (const format of profile.reads) {
        try {
          const { value: json, keyIndex } = formats[format].open(sessionData)
          checkSize(json)
          return { data: parseObject(json), format, keyIndex }
        } catch (error) {
          // Where Django reads both formats, the one that the row is in says most about it.
          if (failure === undefined || failure.reason === 'format') failure = unreadable(error)
        }
      }
      throw failure
    },
    encode(data) {
      const json = stringifyObject(data)
      checkSize(json)
      return formats[profile.writes].seal(json)
    },
  }
}

/** One way to keep JSON text in the column. */
interface Format {
  /** The JSON text, verified but not read. */
  open(sessionData: string): Unsigned
  seal(json: string): string
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

const MESSAGES: Readonly<Record<UnreadableReason, string>> = {
  format: 'The stored session is in no format that this Django reads; check which Django version writes it',
  signature:
    'The stored session verifies under no secret key; check that the keys are those of the Django project',
  payload: 'The stored session verifies, but is not the JSON that Django writes; check SESSION_SERIALIZER',
  'not-an-object': 'The stored session verifies, but is no JSON object; Django itself fails on it',
  'too-large': 'The stored session verifies, but is larger than the limit',
  'expire-date': 'The stored session has an expire_date that is no date; Django itself fails on it',
}
