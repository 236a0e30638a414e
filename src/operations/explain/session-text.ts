import { JSONDecodeError, parseObject, type SessionData } from '../../django/json.ts'
import { PickleRefused } from '../../django/pickle/errors.ts'
import { parsePickledObject } from '../../django/pickle/pickle.ts'
import {
  createSessionCodec,
  type DecodedSession,
  type SessionCodecOptions,
  UnreadableSession,
} from '../../django/session-data.ts'
import type { SerializerName } from '../../django/session-serializers.ts'
import {
  BadPayload,
  createSigner,
  decodeBase64,
  loads,
  PayloadTooLarge,
  SignatureExpired,
  signedAt,
  unsign,
} from '../../django/signing.ts'
import type { VersionProfile } from '../../django/versions.ts'
import { SIGNED_COOKIES_SALT } from '../../engines/signed-cookies.ts'
import type { CauseId, Fact, Finding, Outcome } from './causes.ts'
import { type Discovered, findSignature } from './find-signature.ts'
import { counted, siteTime, timeFrom } from './site-time.ts'

/** What decides how a session's text is read. */
export interface TextRules {
  readonly secretKeys: readonly [string, ...string[]]
  /** The rules of Django; for `keptIn: 'cookie'` those of its signed cookies, see `textRulesOf`. */
  readonly profile: VersionProfile
  /** SESSION_STORE_CLASS, or `SessionStore`. */
  readonly storeClass: string
  readonly serializer: SerializerName
  readonly maxInflatedBytes: number
  /** SESSION_COOKIE_AGE, in seconds. */
  readonly cookieAge: number
  readonly timeZone: string
  /** Where the text is kept: in the visitor's cookie (signed_cookies), or on the server. */
  readonly keptIn: 'cookie' | 'server'
  readonly now: () => Date
}

/** What Django and this service make of the text of a session. */
export interface TextReading {
  /** What this service reads; null where it cannot. */
  readonly decoded: DecodedSession | null
  readonly findings: readonly Finding[]
  readonly facts: readonly Fact[]
}

/** Seconds by which clocks may differ before it is worth a note. */
const CLOCK_TOLERANCE = 60

/** Bytes of a cookie's name and value that a browser keeps, and by how much a cut one may be shorter. */
const LARGEST_COOKIE = 4096
const CUT_TOLERANCE = 10

/**
 * Reads the text of a session as this service does, and finds out why it cannot. `columnLength`: how many characters the
 * column holds, where that is known; `cookieName`: with it, a cookie that was cut off is recognized.
 */
export function explainSessionData(
  text: string,
  rules: TextRules,
  { columnLength = null, cookieName = '' }: { columnLength?: number | null; cookieName?: string } = {},
): TextReading {
  const size: Fact = ['stored', counted(text.length, 'character')]
  const codec = createSessionCodec(codecOptions(rules))
  try {
    const decoded = codec.decode(text)
    return {
      decoded,
      findings: notesOn(text, decoded, rules),
      facts: [...factsOf(text, decoded, rules), size],
    }
  } catch (error) {
    if (!(error instanceof UnreadableSession)) throw error
    const finding = whyUnreadable(text, error, { rules, columnLength, cookieName })
    const django = djangoOutcome(text, error, { rules, finding })
    return { decoded: null, findings: [{ django, ...finding }], facts: [...stampFacts(text, rules), size] }
  }
}

function codecOptions(rules: TextRules): SessionCodecOptions {
  const { keptIn, cookieAge, ...options } = rules
  return keptIn === 'cookie' ? { ...options, salt: SIGNED_COOKIES_SALT, maxAge: cookieAge } : options
}

// ── A text that can be read ──

function factsOf(text: string, { format, keyIndex }: DecodedSession, rules: TextRules): Fact[] {
  const parts =
    format === 'legacy'
      ? ['legacy, as before Django 3.1']
      : [
          'signed, as since Django 3.1',
          ...(text.startsWith('.') ? ['compressed'] : []),
          rules.serializer === 'pickle' ? 'a pickle' : 'JSON',
        ]
  const key = keyIndex === 0 ? 'DJANGO_SECRET_KEY' : `fallback key ${keyIndex}`
  return [['format', parts.join(', ')], ['verified by', key], ...stampFacts(text, rules)]
}

function stampFacts(text: string, { timeZone, now }: TextRules): Fact[] {
  const stamp = signedAt(text)
  return stamp === null ? [] : [['signed', `${siteTime(stamp, timeZone)}, ${timeFrom(now(), stamp)}`]]
}

function notesOn(text: string, { data, format, keyIndex }: DecodedSession, rules: TextRules): Finding[] {
  const stamp = format === 'signed' ? signedAt(text) : null
  const isFuture = stamp !== null && stamp.getTime() > rules.now().getTime() + CLOCK_TOLERANCE * 1000
  const findings: Finding[] = []
  if (rules.serializer === 'json' && hasRawUtf8(data)) findings.push({ cause: 'raw-utf8' })
  if (keyIndex > 0) findings.push({ cause: 'secret-rotated', detail: `fallback key ${keyIndex}` })
  if (isFuture) findings.push({ cause: 'timestamp-future', detail: timeFrom(rules.now(), stamp) })
  return findings
}

/** Whether keys or values have two bytes of UTF-8, read as two characters. Django itself writes ASCII only. */
function hasRawUtf8(data: SessionData): boolean {
  return [...data].some(([key, text]) => UTF8_AS_LATIN1.test(key) || UTF8_AS_LATIN1.test(text))
}

const UTF8_AS_LATIN1 = /[\xc2-\xf4][\x80-\xbf]/

// ── A text that cannot be read ──

interface Circumstances {
  readonly rules: TextRules
  readonly columnLength: number | null
  readonly cookieName: string
}

function whyUnreadable(text: string, error: UnreadableSession, circumstances: Circumstances): Finding {
  const { rules } = circumstances
  const { reason, cause } = error
  if (reason === 'too-large')
    return { cause: 'too-large', detail: `more than ${rules.maxInflatedBytes.toLocaleString('en')} bytes` }
  if (reason === 'not-an-object') return { cause: 'not-an-object' }
  if (cause instanceof SignatureExpired) return { cause: 'cookie-too-old', detail: ageOf(text, rules) }
  const signature = findSignature(text, rules)
  if (signature === null) return whyUnsigned(text, circumstances)
  return whyNotAccepted(signature, rules) ?? whyNoContent(text, signature, rules)
}

function ageOf(text: string, { now }: TextRules): string | undefined {
  const stamp = signedAt(text)
  return stamp === null ? undefined : `it was signed ${timeFrom(now(), stamp)}`
}

/** The signature is right, but not one that this Django accepts here. */
function whyNotAccepted(signature: Discovered, { profile, keptIn }: TextRules): Finding | null {
  const { format, store, keyIndex, spelling, algorithm } = signature
  if (!profile.reads.includes(format))
    return { cause: format === 'legacy' ? 'legacy-format' : 'signed-format' }
  if (store !== null) {
    const isCookie = store === SIGNED_COOKIES_SALT
    return isCookie && keptIn === 'server'
      ? { cause: 'cookie-holds-session' }
      : { cause: 'other-salt', detail: `its salt is that of ${store}` }
  }
  if (spelling !== null) return { cause: 'secret-key-spelling', detail: spelling, django: 'loads' }
  if (keyIndex > 0 && (format === 'legacy' || !profile.usesFallbackKeys))
    return { cause: 'fallback-not-used', detail: `fallback key ${keyIndex}` }
  if (format === 'signed' && !profile.signatureAlgorithms.includes(algorithm))
    return { cause: 'other-algorithm', detail: algorithm }
  return null
}

/** The signature is accepted, so the content is broken. */
function whyNoContent(
  text: string,
  { format, secretKey, salt, algorithm }: Discovered,
  rules: TextRules,
): Finding {
  if (format === 'legacy') return whyNotParsed(legacyContent(text), rules)
  const { now, maxInflatedBytes } = rules
  const signer = createSigner({ secretKeys: [secretKey], salt, algorithms: [algorithm] })
  let payload: string
  try {
    payload = unsign(signer, text, { now }).value
  } catch (error) {
    if (error instanceof BadPayload) return { cause: 'invalid-timestamp' }
    throw error
  }
  try {
    return whyNotParsed(loads(signer, text, { now, maxInflatedBytes }).value, rules)
  } catch (error) {
    if (error instanceof PayloadTooLarge) return { cause: 'too-large' }
    if (!(error instanceof BadPayload)) throw error
    const encoded = payload.replace(/^\./, '')
    const isBase64 = /^[\w-]*$/.test(encoded) && encoded.length % 4 !== 1
    return { cause: isBase64 && payload.startsWith('.') ? 'invalid-zlib' : 'invalid-base64' }
  }
}

function legacyContent(text: string): string {
  const decoded = decodeBase64(text).toString('latin1')
  return decoded.slice(decoded.indexOf(':') + 1)
}

/** `content`: one character for each byte. */
function whyNotParsed(content: string, { serializer, maxInflatedBytes }: TextRules): Finding {
  const asPickle = attempt(() =>
    parsePickledObject(Buffer.from(content, 'latin1'), { maxBytes: maxInflatedBytes }),
  )
  if (asPickle instanceof PickleRefused) {
    const detail = `it names ${printableName(asPickle.what)}`
    return serializer === 'pickle' ? { cause: 'pickle-class', detail } : { cause: 'pickle', detail }
  }
  if (asPickle === null) return { cause: 'pickle' }
  const asJson = attempt(() => parseObject(content))
  if (serializer === 'pickle' && asJson === null) return { cause: 'json-not-pickle' }
  if (asJson instanceof JSONDecodeError && /^\s*[{["]/.test(content))
    return { cause: 'invalid-json', detail: asJson.message }
  return { cause: 'other-serializer' }
}

/** A dotted path from a pickle; other bytes may stand in its place. */
function printableName(what: string): string {
  return what.replace(/[^\w.<> -]/g, '?').slice(0, 100)
}

/** The error that `work` throws; null without one. */
function attempt(work: () => unknown): unknown {
  try {
    work()
    return null
  } catch (error) {
    return error
  }
}

/** No key and no salt that are known here made the signature. */
function whyUnsigned(text: string, { rules, columnLength, cookieName }: Circumstances): Finding {
  if (text === '') return { cause: 'not-session-data', detail: 'it is empty' }
  if (isPlainJson(text)) return { cause: 'unsigned-json' }
  if (rules.keptIn === 'cookie') {
    const size = cookieName.length + text.length
    if (size > LARGEST_COOKIE - CUT_TOLERANCE && size <= LARGEST_COOKIE + 1)
      return {
        cause: 'cookie-truncated',
        detail: `its name and value have ${size.toLocaleString('en')} bytes`,
      }
  }
  if (columnLength !== null && text.length >= columnLength)
    return { cause: 'truncated', detail: `the column holds ${counted(columnLength, 'character')}` }
  if (WHOLE_SIGNED.test(text)) return { cause: 'wrong-key' }
  const legacy = legacyJson(text)
  if (legacy !== null) return { cause: isCutJson(legacy) ? 'truncated' : 'wrong-key' }
  return { cause: CUT_SIGNED.test(text) && text.length > SHORTEST_CUT ? 'truncated' : 'not-session-data' }
}

/** SHA-256 signatures have 43 characters, SHA-1 ones 27. */
const WHOLE_SIGNED = /^\.?[\w-]*:[\w-]*:(?:[\w-]{43}|[\w-]{27})$/

/** The beginning of a text of the signed format: it ends in the content, the time stamp or the signature. */
const CUT_SIGNED = /^\.?[\w-]+(?::[\w-]*){0,2}$/
const SHORTEST_CUT = 20

function isPlainJson(text: string): boolean {
  const decoded = attemptText(() => decodeBase64(text).toString('latin1'))
  return [text, decoded].some((one) => /^\s*\{/.test(one) && attempt(() => parseObject(one)) === null)
}

function attemptText(work: () => string): string {
  try {
    return work()
  } catch (error) {
    if (error instanceof BadPayload) return ''
    throw error
  }
}

/** What follows the hash in the format before 3.1, also of a text that was cut; null for another format. */
function legacyJson(text: string): string | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return null
  const decoded = Buffer.from(text, 'base64').toString('latin1')
  return /^[0-9a-f]{40}:/.test(decoded) ? decoded.slice(41) : null
}

/** Longest part of a value after whose beginning Python's json gives up: `\u00e9` or `Infinity`. */
const LONGEST_ATOM = 9

function isCutJson(json: string): boolean {
  const error = attempt(() => parseObject(json))
  return error instanceof JSONDecodeError && error.position >= json.length - LONGEST_ATOM
}

// ── What Django does with it ──

/**
 * What Django does with a text that cannot be read here. Source: django/contrib/sessions/backends/base.py, decode, of 2.2
 * (base64 outside the try), 3.2 (a second try with the old format) and later; signed_cookies.py, load.
 */
function djangoOutcome(
  text: string,
  { reason }: UnreadableSession,
  { rules, finding }: { rules: TextRules; finding: Finding },
): Outcome {
  const { profile, serializer, keptIn } = rules
  if (reason === 'not-an-object') return 'fails'
  // Django has no limit, and imports what a pickle names.
  if (reason === 'too-large' || (finding.cause === 'pickle-class' && serializer === 'pickle')) return 'loads'
  if (keptIn === 'cookie') return 'empty'
  const isUnsigned = reason === 'signature' || reason === 'format'
  const triesLegacy = profile.reads.includes('legacy') && !(profile.reads.includes('signed') && isUnsigned)
  return triesLegacy && failsAsLegacy(text) ? 'fails' : 'overwrites'
}

/** Whether `base64.b64decode(session_data.encode('ascii'))` raises. */
function failsAsLegacy(text: string): boolean {
  return /[^\0-\x7f]/.test(text) || attempt(() => decodeBase64(text)) !== null
}

/** The cause that stands for a session whose data is there but cannot be read, where there is no text: in a cache. */
export const CAUSE_OF_REASON: Readonly<Record<UnreadableSession['reason'], CauseId>> = {
  format: 'not-session-data',
  signature: 'wrong-key',
  payload: 'other-serializer',
  'not-an-object': 'not-an-object',
  'too-large': 'too-large',
  'expire-date': 'expire-date-unreadable',
}
