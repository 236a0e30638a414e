/** django.contrib.messages for any server. Source: django/contrib/messages/middleware.py and storage/. */
import { type CookieSettings, deleteCookie, readCookie, setCookie, varyOnCookie } from '../django/cookie.ts'
import {
  type CookieMessages,
  createMessagesCookie,
  MESSAGE_LEVELS,
  MESSAGES_COOKIE,
  MESSAGES_SESSION_KEY,
  type Message,
  type MessagesCookieOptions,
  messagesExcept,
  readSessionMessages,
  writeSessionMessages,
} from '../django/messages.ts'
import type { VersionProfile } from '../django/versions.ts'
import type { SessionHandle } from '../session/handle.ts'
import type { Session } from '../session/session.ts'
import { NO_HEADERS, type ResponseHeaders } from './response-headers.ts'

/** The options of a message. */
export interface AddOptions {
  /** More CSS classes. */
  readonly extraTags?: string
  /** Whether the text is HTML, as Django's `mark_safe` says. It must hold nothing that a visitor wrote. */
  readonly isSafe?: boolean
}

/** The messages of a request. */
export interface Messages {
  /** Keeps a message for the next page. Empty ones, and those below MESSAGE_LEVEL, are dropped. */
  add(level: number, text: string, options?: AddOptions): void
  debug(text: string, options?: AddOptions): void
  info(text: string, options?: AddOptions): void
  success(text: string, options?: AddOptions): void
  warning(text: string, options?: AddOptions): void
  error(text: string, options?: AddOptions): void
  /** Returns the messages to show on this page, oldest first; the response then removes them. A second call returns them again. */
  take(): Promise<readonly ShownMessage[]>
}

/** A message as a template needs it. Escape `text` unless `isSafe`. */
export interface ShownMessage extends Message {
  /** The level's name, e.g. `warning`; '' for a level that has none. */
  readonly levelTag: string
  /** For the `class` attribute: the extra tags and the level's. */
  readonly tags: string
}

/** MESSAGE_STORAGE, by the last part of its dotted path: CookieStorage, SessionStorage, FallbackStorage. */
export type MessageStorage = 'cookie' | 'session' | 'fallback'

/** Django's MESSAGE_… settings, with Django's defaults, and what else decides. */
export interface MessagesOptions {
  /** MESSAGE_STORAGE. `fallback`: in the cookie, and in the session what the cookie has no room for. */
  readonly storage?: MessageStorage
  /** MESSAGE_LEVEL. */
  readonly level?: number
  /** MESSAGE_TAGS: level to tag, besides Django's. */
  readonly tags?: Readonly<Record<number, string>>
  readonly secretKeys: MessagesCookieOptions['secretKeys']
  readonly profile: VersionProfile
  /** SESSION_COOKIE_DOMAIN, _SECURE, _HTTPONLY and _SAMESITE, which also apply to the cookie of messages. */
  readonly sessionCookie: Pick<CookieSettings, 'domain' | 'secure' | 'httpOnly' | 'sameSite'>
  readonly now?: () => Date
}

/** A request as messages need it. */
export interface MessagesRequest {
  readonly cookieHeader: string | undefined
  /** Needed for the storages `session` and `fallback`; null without sessions. */
  readonly session: Pick<SessionHandle, 'load'> | null
}

/** Messages without a framework. Each adapter uses them. */
export interface MessagesRequests {
  open(request: MessagesRequest): OpenMessagesRequest
  /** Returns the Vary header of a page on which messages were taken; null when the cookie does not decide them. */
  readonly vary: ResponseHeaders['vary']
}

export interface OpenMessagesRequest {
  readonly messages: Messages
  /** To be called once, before headers are sent: stores what was added, and removes what was shown. */
  respond(): Promise<ResponseHeaders>
}

const DEFAULT_TAGS: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(MESSAGE_LEVELS).map(([name, level]) => [level, name]),
)

/** What the request came with. */
interface Loaded {
  readonly inCookie: CookieMessages | null
  readonly inSession: readonly Message[]
  /** A cookie that cannot be read, which the cookie storage removes (and the fallback leaves, as in Django). */
  readonly isBroken: boolean
}

/** Source: storage/base.py. */
export function createMessagesRequests({
  secretKeys,
  profile,
  storage = 'fallback',
  level: minimum = MESSAGE_LEVELS.info,
  tags: ownTags = {},
  sessionCookie,
  now = () => new Date(),
}: MessagesOptions): MessagesRequests {
  const codec = createMessagesCookie({ secretKeys, profile, now })
  const cookie: CookieSettings = { ...sessionCookie, name: MESSAGES_COOKIE, path: '/' }
  const tags: Readonly<Record<number, string>> = { ...DEFAULT_TAGS, ...ownTags }
  // Unlike Django's, so that no cache serves one visitor's messages to another.
  const vary = storage === 'session' ? null : (existing: string): string => varyOnCookie(existing, profile)

  async function load(request: MessagesRequest): Promise<Loaded> {
    if (storage === 'session')
      return { inCookie: null, inSession: await readSession(request), isBroken: false }
    const value = readCookie(request.cookieHeader, MESSAGES_COOKIE)
    const inCookie = value === undefined || value === '' ? null : codec.read(value)
    const isBroken = storage === 'cookie' && inCookie === null && Boolean(value)
    const goesOn = storage === 'fallback' && inCookie?.isComplete === false
    return { inCookie, inSession: goesOn ? await readSession(request) : [], isBroken }
  }

  /** Removes the messages `shown`, adds those to keep, and leaves what another request stored meanwhile. */
  async function storeInSession(
    request: MessagesRequest,
    { shown, kept }: { shown: readonly Message[]; kept: readonly Message[] },
  ): Promise<void> {
    const session = await loadSession(request)
    if (kept.length === 0 && !session.has(MESSAGES_SESSION_KEY)) return
    session.compute(MESSAGES_SESSION_KEY, (stored) => {
      const messages = [...messagesExcept(readSessionMessages(stored), shown), ...kept]
      return messages.length === 0 ? undefined : writeSessionMessages(messages, profile.messages)
    })
  }

  /** The Set-Cookie header for these messages, and those that the cookie has no room for. */
  function cookieFor(
    messages: readonly Message[],
    { drops }: { drops: 'oldest' | 'newest' },
  ): { header: string; unstored: readonly Message[] } {
    const { value, unstored } = codec.write(messages, { drops })
    const header =
      value === null
        ? deleteCookie(cookie, profile)
        : setCookie(cookie, value, { maxAge: null, now: now(), profile })
    return { header, unstored }
  }

  /** Returns the Set-Cookie header, or null for none. Source: BaseStorage.update and the _store of each storage. */
  async function store(
    request: MessagesRequest,
    { inCookie, inSession, isBroken }: Loaded,
    { isUsed, added }: { isUsed: boolean; added: readonly Message[] },
  ): Promise<string | null> {
    if (storage === 'session') {
      await storeInSession(request, { shown: isUsed ? inSession : [], kept: added })
      return null
    }
    const fromCookie = inCookie?.messages ?? []
    const messages = isUsed ? added : [...fromCookie, ...inSession, ...added]
    const isCookieWritten = messages.length > 0 || fromCookie.length > 0 || isBroken
    const drops = storage === 'cookie' ? 'oldest' : 'newest'
    const written = isCookieWritten ? cookieFor(messages, { drops }) : null
    const kept = written?.unstored ?? []
    if (storage === 'fallback' && (kept.length > 0 || inSession.length > 0))
      await storeInSession(request, { shown: inSession, kept })
    return written?.header ?? null
  }

  function show(message: Message): ShownMessage {
    const levelTag = tags[message.level] ?? ''
    const all = [message.extraTags, levelTag].filter(Boolean).join(' ')
    return { ...message, levelTag, tags: all }
  }

  return {
    vary,
    open(request) {
      let loading: Promise<Loaded> | null = null
      let added: Message[] = []
      let shown: readonly Message[] | null = null

      function add(level: number, text: string, { extraTags = '', isSafe = false }: AddOptions = {}): void {
        if (text !== '' && level >= minimum) added.push({ level, text, extraTags, isSafe })
      }
      const addAt =
        (level: number) =>
        (text: string, options?: AddOptions): void =>
          add(level, text, options)
      const messages: Messages = {
        add,
        debug: addAt(MESSAGE_LEVELS.debug),
        info: addAt(MESSAGE_LEVELS.info),
        success: addAt(MESSAGE_LEVELS.success),
        warning: addAt(MESSAGE_LEVELS.warning),
        error: addAt(MESSAGE_LEVELS.error),
        async take() {
          loading ??= load(request)
          const { inCookie, inSession } = await loading
          shown = [...(shown ?? [...(inCookie?.messages ?? []), ...inSession]), ...added]
          added = []
          return shown.map(show)
        },
      }
      return {
        messages,
        async respond() {
          if (shown === null && added.length === 0) return NO_HEADERS
          loading ??= load(request)
          const setCookie = await store(request, await loading, { isUsed: shown !== null, added })
          return { setCookie, vary }
        },
      }
    },
  }
}

async function loadSession({ session }: MessagesRequest): Promise<Session<Record<string, unknown>>> {
  if (session === null)
    throw new TypeError(
      'messages need a session, unless their storage is cookie; open the request with its session',
    )
  return session.load<Record<string, unknown>>()
}

async function readSession(request: MessagesRequest): Promise<Message[]> {
  const session = await loadSession(request)
  return readSessionMessages(session.get(MESSAGES_SESSION_KEY))
}
