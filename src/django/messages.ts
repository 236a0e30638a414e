/** What django.contrib.messages stores. Source: django/contrib/messages/storage/. */
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

/** Source: django/contrib/messages/constants.py. */
export const MESSAGE_LEVELS = { debug: 10, info: 20, success: 25, warning: 30, error: 40 } as const

/** Where the session keeps them, as JSON text. */
export const MESSAGES_SESSION_KEY = '_messages'

/** The cookie that keeps them. */
export const MESSAGES_COOKIE = 'messages'

/** Source: base.py, Message. */
export interface Message {
  readonly level: number
  readonly text: string
  /** More CSS classes; null for none. */
  readonly extraTags: string | null
  /** Whether Django marked the text as safe: HTML that is not to be escaped. */
  readonly isSafe: boolean
}

/** The value of `_messages` in the session. Source: SessionStorage.serialize_messages. */
export function writeSessionMessages(messages: readonly Message[], rules: MessagesRules): string {
  const separator = rules.spacesSession ? ', ' : ','
  return list(
    messages.map((message) => encode(message, rules, separator)),
    separator,
  )
}

/**
 * The messages that are stored in the session.
 * Unlike Django, which answers 500 to a text that is no JSON and shows what is no message as it is: neither counts.
 * Source: SessionStorage.deserialize_messages.
 */
export function readSessionMessages(stored: unknown): Message[] {
  return typeof stored === 'string' ? (decode(stored)?.messages ?? []) : []
}

/** Those of `messages` that are not among `others`: one for one, as far as they are equal. */
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
  // '' and null are the same before 4.1.
  return stringifyValue([level, text, extraTags ?? '', isSafe])
}

/** What the cookie holds. */
export interface CookieMessages {
  readonly messages: Message[]
  /** Whether it holds all there were; if not, the others may be in the session. */
  readonly isComplete: boolean
}

export interface MessagesCookieOptions {
  /** The first signs; each of them verifies, as far as the version knows fallbacks. */
  readonly secretKeys: readonly [SecretKey, ...SecretKey[]]
  readonly profile: VersionProfile
  readonly now?: () => Date
}

export interface MessagesCookie {
  /**
   * The cookie's value, as long as MAX_COOKIE_SIZE allows, and the messages that found no room: the newest, or the
   * oldest. Null for no messages: the cookie goes. Source: CookieStorage._store.
   */
  write(
    messages: readonly Message[],
    options: { drops: 'oldest' | 'newest' },
  ): { value: string | null; unstored: Message[] }
  /** Null when it does not verify, or is no list of messages. Source: CookieStorage._decode. */
  read(value: string): CookieMessages | null
}

/** Characters of the value, quotes and escapes included: half of what uWSGI takes for all headers. */
const MAX_COOKIE_SIZE = 2048

/** Bytes that a cookie's payload may inflate to. A header holds 16 KiB, which zlib could make 16 MiB of. */
const MAX_INFLATED_BYTES = 1024 ** 2

const NOT_FINISHED = '__messagesnotfinished__'
const MESSAGE_KEY = '__json_message'
const SALT = 'django.contrib.messages'

/** The cookie of one Django version. Source: CookieStorage. */
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

  /** @throws BadSignature {BadPayload} {PayloadTooLarge} */
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
        // Unlike Django, where a broken zlib stream comes through and is a 500.
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
    // By halves, as Django since 5.0: a message more makes it longer.
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

/** Source: MessageDecoder. Null where the text is no JSON or no list. */
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

/** Null for what Django's Message would not take, or shows as what it is. */
function messageOf(item: PythonValue): Message | null {
  if (!Array.isArray(item) || item.length < 4 || item.length > 5) return null
  const [key, safe, givenLevel, text, extraTags = null] = item
  const level = levelOf(givenLevel)
  if (key !== MESSAGE_KEY || level === null || typeof text !== 'string') return null
  if (extraTags !== null && typeof extraTags !== 'string') return null
  return { level, text, extraTags, isSafe: Boolean(safe) }
}

/** Python's `int(level)`, or null where that fails. */
function levelOf(level: PythonValue | undefined): number | null {
  if (typeof level === 'string' && !/^\s*[+-]?\d+\s*$/.test(level)) return null
  if (typeof level === 'object' || level === undefined) return null
  const integer = Math.trunc(Number(level))
  return Number.isSafeInteger(integer) ? integer : null
}
