/** How a `session_data` that cannot be read under the settings reads under others: evidence of which setting is wrong. */
import { inflateSync } from 'node:zlib'
import { PickleRefused } from './pickle/errors.ts'
import {
  createSessionCodec,
  type DecodedSession,
  type SessionCodecOptions,
  type UnreadableReason,
  UnreadableSession,
} from './session-data.ts'
import type { SerializerName } from './session-serializers.ts'
import { type SecretKey, signedAt } from './signing.ts'
import { type SessionFormat, versionProfile } from './versions.ts'

/** The format that a text has, whether its signature is right or not. `cut`: the beginning of one. */
export type SessionShape = SessionFormat | 'cut' | 'unknown'

/** A setting with another value than the one with which a text was written. */
export type DifferingSetting =
  | 'DJANGO_SECRET_KEY'
  | 'SESSION_STORE_CLASS'
  | 'DJANGO_VERSION'
  | 'SESSION_SERIALIZER'

/** What a text of `session_data` is. */
export interface Diagnosis {
  readonly shape: SessionShape
  /** The time stamp beside the signature, which was not verified; null in a text without one. */
  readonly signedAt: Date | null
  /** The session under these settings, or else under those of `explanation`; null if there is none. */
  readonly decoded: DecodedSession | null
  /** Why it cannot be read under these settings; null if it can be. */
  readonly reason: UnreadableReason | null
  /** Settings under which its signature is right; null if it can be read under these, and if none is known. */
  readonly explanation: Explanation | null
}

/** The settings under which a text was written. */
export interface Explanation {
  /** Those that differ. */
  readonly differs: readonly DifferingSetting[]
  readonly storeClass: string
  readonly serializer: SerializerName
  /** What is wrong with the configured secret key: characters around Django's. */
  readonly keySpelling: KeySpelling | null
}

/** How a key that was copied may differ from Django's. */
export type KeySpelling =
  | 'has blanks around it'
  | 'has quotation marks around it'
  | 'lacks a line break at its end'

/**
 * Salts of session stores. The `db`, `cached_db` and `file` engines of Django, django-qsessions and django-user-sessions call
 * their class `SessionStore`; the others are names in documentation and packages.
 */
const STORE_CLASSES = ['SessionStore', 'CustomSessionStore', 'DBSessionStore', 'MySessionStore']

/** Creates a function that says what a text is. The keys of other settings are derived when the first text needs them. */
export function createDiagnosis(options: SessionCodecOptions): (sessionData: string) => Diagnosis {
  const codec = createSessionCodec(options)
  let others: readonly Variant[] | undefined
  return (sessionData) => {
    const shape = shapeOf(sessionData)
    const savedAt = shape === 'signed' ? signedAt(sessionData) : null
    try {
      return { shape, signedAt: savedAt, decoded: codec.decode(sessionData), reason: null, explanation: null }
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw error
      others ??= variantsOf(options)
      return { shape, signedAt: savedAt, reason: error.reason, ...explain(sessionData, others) }
    }
  }
}

interface Variant extends Omit<Explanation, 'differs'> {
  readonly settings: readonly DifferingSetting[]
  readonly decode: (sessionData: string) => DecodedSession
}

/** The first of the variants, which differ in ever more settings, under which the signature is right. */
function explain(
  sessionData: string,
  variants: readonly Variant[],
): Pick<Diagnosis, 'decoded' | 'explanation'> {
  for (const { settings, decode, ...explanation } of variants) {
    try {
      return { decoded: decode(sessionData), explanation: { ...explanation, differs: settings } }
    } catch (error) {
      if (!(error instanceof UnreadableSession)) throw error
      // A pickle of classes that are not loaded is a pickle none the less.
      if (error.cause instanceof PickleRefused)
        return { decoded: null, explanation: { ...explanation, differs: settings } }
    }
  }
  return { decoded: null, explanation: null }
}

function variantsOf(options: SessionCodecOptions): Variant[] {
  const {
    secretKeys,
    profile,
    storeClass: configuredClass = 'SessionStore',
    serializer: own = 'json',
  } = options
  const variants: Variant[] = []
  for (const [keyIndex, secretKey] of secretKeys.entries()) {
    for (const { key, keySpelling } of spellingsOf(secretKey)) {
      for (const storeClass of new Set([configuredClass, ...STORE_CLASSES])) {
        for (const serializer of [own, own === 'json' ? 'pickle' : 'json'] as const) {
          for (const isKnownFormat of [true, false]) {
            const settings: DifferingSetting[] = [
              ...(keySpelling === null ? [] : (['DJANGO_SECRET_KEY'] as const)),
              ...(storeClass === configuredClass ? [] : (['SESSION_STORE_CLASS'] as const)),
              ...(isKnownFormat ? [] : (['DJANGO_VERSION'] as const)),
              ...(serializer === own ? [] : (['SESSION_SERIALIZER'] as const)),
            ]
            if (settings.length === 0) continue
            const codec = createSessionCodec({
              ...options,
              secretKeys: [key],
              // 3.2 reads both formats and both hash algorithms.
              profile: isKnownFormat ? profile : versionProfile('3.2'),
              storeClass,
              serializer,
            })
            const decode = (text: string) => ({ ...codec.decode(text), keyIndex })
            variants.push({ settings, storeClass, serializer, keySpelling, decode })
          }
        }
      }
    }
  }
  return variants.sort((a, b) => a.settings.length - b.settings.length)
}

function spellingsOf(key: SecretKey): { key: SecretKey; keySpelling: KeySpelling | null }[] {
  if (typeof key !== 'string') return [{ key, keySpelling: null }]
  const [, unquoted = ''] = /^(?:'(.*)'|"(.*)")$/s.exec(key)?.filter((part) => part !== undefined) ?? []
  return [
    { key, keySpelling: null },
    ...(key.trim() === key ? [] : [{ key: key.trim(), keySpelling: 'has blanks around it' as const }]),
    ...(unquoted === '' ? [] : [{ key: unquoted, keySpelling: 'has quotation marks around it' as const }]),
    { key: `${key}\n`, keySpelling: 'lacks a line break at its end' },
  ]
}

/** Which format a text has. Nothing of it is verified. */
export function shapeOf(sessionData: string): SessionShape {
  const [, signature] = SIGNED_PARTS.exec(sessionData) ?? []
  if (signature !== undefined) return SIGNATURE_LENGTHS.has(signature.length) ? 'signed' : 'cut'
  const decoded = Buffer.from(sessionData.slice(0, 4 * Math.ceil(LEGACY_HEAD / 3)), 'base64').toString(
    'latin1',
  )
  if (/^[0-9a-f]{40}:/.test(decoded)) return isWholeLegacy(sessionData) ? 'legacy' : 'cut'
  // The beginning of `{`, of a zlib stream or of a pickle in base64.
  return /^(?:e[\w-]|\.eJ|gA)[\w-]*:?$|^\.?[\w-]+:[\w-]+:?$/.test(sessionData) ? 'cut' : 'unknown'
}

const SIGNED_PARTS = /^\.?[\w-]*:[\w-]*:([\w-]+)$/
/** Of SHA-1 and SHA-256 in base64 without padding. */
const SIGNATURE_LENGTHS: ReadonlySet<number> = new Set([27, 43])
/** The hash and its colon, in bytes. */
const LEGACY_HEAD = 41

function isWholeLegacy(sessionData: string): boolean {
  if (sessionData.length % 4 !== 0) return false
  const json = Buffer.from(sessionData, 'base64').toString('latin1').slice(LEGACY_HEAD)
  return !json.startsWith('{') || json.endsWith('}')
}

/**
 * The content of a text whose signature may be wrong, to look for the setting that is wrong; null if there is none. Not for
 * anything else: anybody may have written it.
 */
export function unverifiedContent(sessionData: string): string | null {
  const shape = shapeOf(sessionData)
  const payload = sessionData.slice(0, Math.max(sessionData.indexOf(':'), 0))
  try {
    if (shape === 'legacy') return Buffer.from(sessionData, 'base64').toString('latin1').slice(LEGACY_HEAD)
    if (shape !== 'signed') return null
    if (!payload.startsWith('.')) return Buffer.from(payload, 'base64url').toString('latin1')
    const bytes = Buffer.from(payload.slice(1), 'base64url')
    return inflateSync(bytes, { maxOutputLength: LARGEST_CONTENT }).toString('latin1')
  } catch {
    return null // not a zlib stream, or a very large one
  }
}

const LARGEST_CONTENT = 1024 * 1024
