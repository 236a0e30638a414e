/** The stored form of django.contrib.messages. Source: django/contrib/messages/storage/. */
import { quoteCookieValue } from './cookie.ts'
import { JSONDecodeError, type PythonValue, parseValue, stringifyValue } from './json.ts'
import {
  BadPayload,
  BadSignature,
  constantTimeCompare,
  createSigner,
  dumps,
  loads,
  PayloadTooLarge,
  type SecretKey,
  saltedHmac,
  sign,
  unsign,
} from './signing.ts'
import type { MessagesCookieFormat, MessagesRules, VersionProfile } from './versions.ts'

/** Django's default message levels. Source: django/contrib/messages/constants.py. */
export const MESSAGE_LEVELS = { debug: 10, info: 20, success: 25, warning: 30, error: 40 } as const

/** The session key of the messages, which are JSON text. */
export const MESSAGES_SESSION_KEY = '_messages'

/** The name of the cookie with the messages. */
export const MESSAGES_COOKIE = 'messages'

/** One message. Source: base.py, Message. */
export interface Message {
  readonly level: number
  readonly text: string
  /** Additional CSS classes; null for none. */
  readonly extraTags: string | null
  /** Whether the text is marked as safe: HTML that must not be escaped again. */
  readonly isSafe: boolean
}

/** Returns the value of `_messages` in the session. Source: SessionStorage.serialize_messages. */
export function writeSessionMessages(messages: readonly Message[], rules: MessagesRules): string {
  const separator = rules.spacesSession ? ', ' : ','
  return list(
    messages.map((message) => encode(message, rules, separator)),
    separator,
  )
}

/**
 * Returns the messages in the session.
 * Unlike Django, which answers 500 to invalid JSON and shows an item that is not a message unchanged: both are ignored.
 * Source: SessionStorage.deserialize_messages.
 */
export function readSessionMessages(stored: unknown): Message[] {
  return typeof stored === 'string' ? (decode(stored)?.messages ?? []) : []
}

/** Returns `messages` without `others`; each of `others` removes one equal message. */
export function messagesExcept(messages: readonly Message[], others: readonly Message[]): Message[] {
  const counts = new Map<string, number>()
  for (const other of others.map(identityOf)) counts.set(other, (counts.get(other) ?? 0) + 1)
  return messages.filter((message) => {
    const identity = identityOf(message)
    const count = counts.get(identity) ?? 0
    counts.set(identity, count - 1)
    return count <= 0
  })
}

function identityOf({ level, text, extraTags, isSafe }: Message): string {
  // Before 4.1, '' and null are stored in the same way.
  return stringifyValue([level, text, extraTags ?? '', isSafe])
}

/** The content of the cookie. */
export interface CookieMessages {
  readonly messages: Message[]
  /** Whether the cookie had room for all messages; if not, the others may be in the session. */
  readonly isComplete: boolean
}

/** Keys and version of the cookie. */
export interface MessagesCookieOptions {
  /** The first key signs. Each key verifies, if the Django version supports fallbacks; otherwise only the first. */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  readonly profile: VersionProfile
  readonly now?: () => Date
}

/** Writes and reads the cookie. */
export interface MessagesCookie {
  /**
   * Returns the cookie value, and the messages for which MAX_COOKIE_SIZE left no room: the newest or the oldest. A null
   * value means no messages: the cookie is deleted. Source: CookieStorage._store.
   */
  write(
    messages: readonly Message[],
    options: { drops: 'oldest' | 'newest' },
  ): { value: string | null; unstored: Message[] }
  /** Null if the signature does not match, or the value is not a list. Source: CookieStorage._decode. */
  read(value: string): CookieMessages | null
}

/** Characters of the value, including quotes and escapes: half of the 4 KiB that uWSGI allows for all headers. */
const MAX_COOKIE_SIZE = 2048

/** Largest size of a decompressed cookie, in bytes. A header of 16 KiB could decompress to 16 MiB. */
const MAX_INFLATED_BYTES = 1024 ** 2

const NOT_FINISHED = '__messagesnotfinished__'
const MESSAGE_KEY = '__json_message'
const SALT = 'django.contrib.messages'

/** Creates the cookie format of one Django version. Source: CookieStorage. */
export function createMessagesCookie({
  secretKeys,
  profile,
  now = () => new Date(),
}: MessagesCookieOptions): MessagesCookie {
  const rules = profile.messages
  const [format] = rules.cookieFormats
  const keys = profile.usesFallbackKeys ? secretKeys : ([secretKeys[0]] as const)
  const [firstKey, ...otherKeys] = keys
  const signer = createSigner({
    secretKeys: [cookieKey(firstKey), ...otherKeys.map(cookieKey)],
    salt: SALT,
    algorithms: profile.signatureAlgorithms,
  })
  const hmac = saltedHmac(SALT, firstKey, 'sha1')
  const hashOf = (json: string) => hmac().update(json).digest('hex')

  function protect(json: string): string {
    if (format === 'hash') return `${hashOf(json)}$${json}`
    if (format === 'signed-json') return sign(signer, json, { now })
    return dumps(signer, json, { compress: true, now })
  }

  /** @throws {BadSignature} {BadPayload} {PayloadTooLarge} */
  function verify(value: string, as: MessagesCookieFormat): string {
    if (as === 'signed') return loads(signer, value, { now, maxInflatedBytes: MAX_INFLATED_BYTES }).value
    if (as === 'signed-json') return unsign(signer, value, { now }).value
    const dollar = value.indexOf('$')
    const json = value.slice(dollar + 1)
    if (dollar !== -1 && constantTimeCompare(value.slice(0, dollar), hashOf(json))) return json
    throw new BadSignature('The hash does not match')
  }

  function read(value: string): CookieMessages | null {
    for (const as of rules.cookieFormats) {
      try {
        const found = decode(verify(value, as))
        if (found !== null) return found
      } catch (error) {
        // Unlike Django, where a broken zlib stream is not caught and becomes a 500.
        if (!isUnreadable(error)) throw error
      }
    }
    return null
  }

  function write(messages: readonly Message[], { drops }: { drops: 'oldest' | 'newest' }) {
    if (messages.length === 0) return { value: null, unstored: [] }
    const items = messages.map((message) => encode(message, rules))
    const whole = protect(list(items))
    if (fits(whole)) return { value: whole, unstored: [] }
    const keep = <T>(all: readonly T[], count: number) =>
      drops === 'oldest' ? all.slice(all.length - count) : all.slice(0, count)
    const cut = (count: number) => protect(list([...keep(items, count), stringifyValue(NOT_FINISHED)]))
    // A binary search, as in Django since 5.0: each further message makes the value longer.
    let [least, most] = [0, messages.length - 1]
    while (least < most) {
      const middle = Math.ceil((least + most) / 2)
      if (fits(cut(middle))) least = middle
      else most = middle - 1
    }
    const unstored = drops === 'oldest' ? messages.slice(0, messages.length - least) : messages.slice(least)
    return { value: cut(least), unstored }
  }

  return { read, write }
}

function fits(value: string): boolean {
  return quoteCookieValue(value).length <= MAX_COOKIE_SIZE
}

/** Source: django/core/signing.py, get_cookie_signer. */
function cookieKey(secretKey: SecretKey): SecretKey {
  return Buffer.concat([Buffer.from('django.http.cookies'), Buffer.from(secretKey)])
}

function isUnreadable(error: unknown): boolean {
  return error instanceof BadSignature || error instanceof BadPayload || error instanceof PayloadTooLarge
}

function list(items: readonly string[], separator = ','): string {
  return `[${items.join(separator)}]`
}

/** Source: MessageEncoder. */
function encode({ level, text, extraTags, isSafe }: Message, rules: MessagesRules, separator = ','): string {
  const parts = [MESSAGE_KEY, isSafe ? 1 : 0, level, text]
  if (extraTags !== null && (rules.writesEmptyTags || extraTags !== '')) parts.push(extraTags)
  return list(parts.map(stringifyValue), separator)
}

/** Null if the text is not JSON or not a list. Source: MessageDecoder. */
function decode(json: string): CookieMessages | null {
  const items = parse(json)
  if (!Array.isArray(items)) return null
  const messages = items.map(messageOf).filter((message) => message !== null)
  return { messages, isComplete: items.at(-1) !== NOT_FINISHED }
}

function parse(json: string): PythonValue {
  try {
    return parseValue(json)
  } catch (error) {
    if (error instanceof JSONDecodeError) return null
    throw error
  }
}

/** Null for an item that is not a message: Django's Message would fail on it, or show it unchanged. */
function messageOf(item: PythonValue): Message | null {
  if (!Array.isArray(item) || item.length < 4 || item.length > 5) return null
  const [key, safe, givenLevel, text, extraTags = null] = item
  const level = levelOf(givenLevel)
  if (key !== MESSAGE_KEY || level === null || typeof text !== 'string') return null
  if (extraTags !== null && typeof extraTags !== 'string') return null
  return { level, text, extraTags, isSafe: Boolean(safe) }
}

/** Python's `int(level)`; null where that fails. */
function levelOf(level: PythonValue | undefined): number | null {
  if (typeof level === 'string' && !/^\s*[+-]?\d+\s*$/.test(level)) return null
  if (typeof level === 'object' || level === undefined) return null
  const integer = Math.trunc(Number(level))
  return Number.isSafeInteger(integer) ? integer : null
}
