import type { Context, Middleware } from 'koa'
import { checkObject, checkProfile, checkSecretKeys } from '../../checks/check-values.ts'
import {
  type CookieSettings,
  deleteCookie,
  readCookie,
  setCookie,
  varyOnCookie,
} from '../../django/cookie.ts'
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
} from '../../django/messages.ts'
import type { VersionProfile } from '../../django/versions.ts'
import { checkSession } from './session-middleware.ts'

declare module 'koa' {
  interface ExtendableContext {
    /** django.contrib.messages: notes to the visitor, shown once, on whichever side shows a page next. */
    messages: Messages
  }
}

export interface AddOptions {
  /** More CSS classes. */
  readonly extraTags?: string
  /** Whether the text is HTML, as Django's `mark_safe` says. It must hold nothing that a visitor wrote. */
  readonly isSafe?: boolean
}

export interface Messages {
  /** Keeps a message for the next page; empty ones, and those below MESSAGE_LEVEL, are not kept. */
  add(level: number, text: string, options?: AddOptions): void
  debug(text: string, options?: AddOptions): void
  info(text: string, options?: AddOptions): void
  success(text: string, options?: AddOptions): void
  warning(text: string, options?: AddOptions): void
  error(text: string, options?: AddOptions): void
  /** What is to be shown on this page, oldest first; the response then forgets it. The same again at a second call. */
  take(): Promise<readonly ShownMessage[]>
}

/** A message as a template needs it. Escape `text` unless `isSafe`. */
export interface ShownMessage extends Message {
  /** The level's name, e.g. `warning`; '' for a level that has none. */
  readonly levelTag: string
  /** For the `class` attribute: the extra tags and the level's. */
  readonly tags: string
}

export type MessageStorage = 'cookie' | 'session' | 'fallback'

/** Django's MESSAGE_… settings, with Django's defaults, and what else decides. */
export interface MessagesMiddlewareOptions {
  /** MESSAGE_STORAGE. `fallback`: in the cookie, and what finds no room there in the session. */
  readonly storage?: MessageStorage
  /** MESSAGE_LEVEL. */
  readonly level?: number
  /** MESSAGE_TAGS: level to tag, besides Django's. */
  readonly tags?: Readonly<Record<number, string>>
  readonly secretKeys: MessagesCookieOptions['secretKeys']
  readonly profile: VersionProfile
  /** SESSION_COOKIE_DOMAIN, _SECURE, _HTTPONLY and _SAMESITE, which count for the cookie of messages, too. */
  readonly sessionCookie: Pick<CookieSettings, 'domain' | 'secure' | 'httpOnly' | 'sameSite'>
  readonly now?: () => Date
}

const DEFAULT_TAGS: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(MESSAGE_LEVELS).map(([name, level]) => [level, name]),
)

/**
 * Gives each request `ctx.messages`. It stands inside the session middleware, and outside the error pages if they show
 * messages. Source: django/contrib/messages/middleware.py and storage/base.py.
 */
export function createMessagesMiddleware({
  secretKeys,
  profile,
  storage = 'fallback',
  level: minimum = MESSAGE_LEVELS.info,
  tags: ownTags = {},
  sessionCookie,
  now = () => new Date(),
}: MessagesMiddlewareOptions): Middleware {
  checkSecretKeys('createMessagesMiddleware', secretKeys)
  checkProfile('createMessagesMiddleware', profile)
  checkObject('createMessagesMiddleware', 'sessionCookie', sessionCookie)
  const codec = createMessagesCookie({ secretKeys, profile, now })
  const cookie: CookieSettings = { ...sessionCookie, name: MESSAGES_COOKIE, path: '/' }
  const tags: Readonly<Record<number, string>> = { ...DEFAULT_TAGS, ...ownTags }

  async function load(ctx: Context): Promise<Loaded> {
    if (storage === 'session') return { ...NOTHING, inSession: await loadSession(ctx) }
    const value = readCookie(ctx.get('Cookie'), MESSAGES_COOKIE)
    vary(ctx)
    const inCookie = value === undefined || value === '' ? null : codec.read(value)
    const isBroken = storage === 'cookie' && inCookie === null && Boolean(value)
    const goesOn = storage === 'fallback' && inCookie?.isComplete === false
    return { inCookie, inSession: goesOn ? await loadSession(ctx) : [], isBroken }
  }

  /** The messages `shown` go, those to keep are added, and what another request stored meanwhile stays. */
  async function storeInSession(
    ctx: Context,
    { shown, kept }: { shown: readonly Message[]; kept: readonly Message[] },
  ): Promise<void> {
    const session = await ctx.session.load<Record<string, unknown>>()
    if (kept.length === 0 && !session.has(MESSAGES_SESSION_KEY)) return
    session.compute(MESSAGES_SESSION_KEY, (stored) => {
      const messages = [...messagesExcept(readSessionMessages(stored), shown), ...kept]
      return messages.length === 0 ? undefined : writeSessionMessages(messages, profile.messages)
    })
  }

  /** Gives what found no room. */
  function storeInCookie(
    ctx: Context,
    messages: readonly Message[],
    { drops }: { drops: 'oldest' | 'newest' },
  ): Message[] {
    const { value, unstored } = codec.write(messages, { drops })
    ctx.append(
      'Set-Cookie',
      value === null
        ? deleteCookie(cookie, profile)
        : setCookie(cookie, value, { maxAge: null, now: now(), profile }),
    )
    vary(ctx)
    return unstored
  }

  /** Source: BaseStorage.update and the _store of each storage. */
  async function store(
    ctx: Context,
    { inCookie, inSession, isBroken }: Loaded,
    { isUsed, added }: { isUsed: boolean; added: readonly Message[] },
  ): Promise<void> {
    const fromCookie = inCookie?.messages ?? []
    if (storage === 'session') {
      return storeInSession(ctx, { shown: isUsed ? inSession : [], kept: added })
    }
    const messages = isUsed ? added : [...fromCookie, ...inSession, ...added]
    if (storage === 'cookie') {
      if (messages.length > 0 || fromCookie.length > 0 || isBroken)
        storeInCookie(ctx, messages, { drops: 'oldest' })
      return
    }
    let kept: readonly Message[] = messages
    if (messages.length > 0) kept = storeInCookie(ctx, messages, { drops: 'newest' })
    else if (fromCookie.length > 0) storeInCookie(ctx, [], { drops: 'newest' })
    if (kept.length > 0 || inSession.length > 0) await storeInSession(ctx, { shown: inSession, kept })
  }

  // Unlike Django's, so that no cache gives one visitor's messages to another.
  function vary(ctx: Context): void {
    ctx.set('Vary', varyOnCookie(String(ctx.res.getHeader('Vary') ?? ''), profile))
  }

  function show(message: Message): ShownMessage {
    const levelTag = tags[message.level] ?? ''
    const all = [message.extraTags, levelTag].filter(Boolean).join(' ')
    return { ...message, levelTag, tags: all }
  }

  return async function messagesMiddleware(ctx, next) {
    if (storage !== 'cookie') checkSession(ctx, `createMessagesMiddleware with the storage ${storage}`)
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
    ctx.messages = {
      add,
      debug: addAt(MESSAGE_LEVELS.debug),
      info: addAt(MESSAGE_LEVELS.info),
      success: addAt(MESSAGE_LEVELS.success),
      warning: addAt(MESSAGE_LEVELS.warning),
      error: addAt(MESSAGE_LEVELS.error),
      async take() {
        loading ??= load(ctx)
        const { inCookie, inSession } = await loading
        shown = [...(shown ?? [...(inCookie?.messages ?? []), ...inSession]), ...added]
        added = []
        return shown.map(show)
      },
    }
    try {
      await next()
    } finally {
      if ((shown !== null || added.length > 0) && !ctx.headerSent) {
        loading ??= load(ctx)
        await store(ctx, await loading, { isUsed: shown !== null, added })
      }
    }
  }
}

/** What the request came with. */
interface Loaded {
  readonly inCookie: CookieMessages | null
  readonly inSession: readonly Message[]
  /** A cookie that cannot be read, which the cookie storage removes (and the fallback leaves, as in Django). */
  readonly isBroken: boolean
}

const NOTHING: Loaded = { inCookie: null, inSession: [], isBroken: false }

async function loadSession(ctx: Context): Promise<Message[]> {
  const session = await ctx.session.load<Record<string, unknown>>()
  return readSessionMessages(session.get(MESSAGES_SESSION_KEY))
}
