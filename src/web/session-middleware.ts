import type { Middleware, ParameterizedContext } from 'koa'
import {
  type CookieSettings,
  deletedSessionCookie,
  readCookie,
  sessionCookie,
  varyOnCookie,
} from '../django/cookie.ts'
import type { VersionProfile } from '../django/versions.ts'
import { SessionInterrupted } from '../session/commit.ts'
import type { SessionHandle, Sessions } from '../session/handle.ts'
import type { Session } from '../session/session.ts'

declare module 'koa' {
  interface ExtendableContext {
    /** The visitor's session, not yet loaded: `const session = await ctx.session.load()`. */
    session: SessionHandle
  }
}

export interface SessionMiddlewareOptions {
  readonly sessions: Sessions
  readonly cookie: CookieSettings
  readonly profile: VersionProfile
  /** SESSION_SAVE_EVERY_REQUEST. */
  readonly saveEveryRequest?: boolean
  readonly now?: () => Date
  /** Called with the keys of values that were changed inside but will not be saved; Django loses them silently. */
  readonly onLostChange?: (keys: readonly string[]) => void
}

/**
 * Django's SessionMiddleware: opens the visitor's session, and saves it before the response is sent.
 * A save that fails throws, so the visitor never gets a 200 whose session was not saved.
 * Source: django/contrib/sessions/middleware.py.
 */
export function createSessionMiddleware({
  sessions,
  cookie,
  profile,
  saveEveryRequest = false,
  now = () => new Date(),
  onLostChange,
}: SessionMiddlewareOptions): Middleware {
  return async function sessionMiddleware(ctx, next) {
    const sent = readCookie(ctx.get('Cookie'), cookie.name)
    const handle = sessions.open(sent)
    ctx.session = handle
    try {
      try {
        await next()
      } catch (error) {
        // Where no error page stands inside this middleware. Django has one there, so a 404 still saves the session.
        await processResponse(ctx, handle, { sent, status: statusOf(error) })
        throw withHeaders(error, ctx)
      }
      await processResponse(ctx, handle, { sent, status: ctx.status })
    } catch (error) {
      // Where Koa itself answers: a BadRequest, as in django/contrib/sessions/exceptions.py.
      if (error instanceof SessionInterrupted) Object.assign(error, { status: 400, expose: true })
      throw error
    }
  }

  async function processResponse(
    ctx: ParameterizedContext,
    handle: SessionHandle,
    { sent, status }: { sent: string | undefined; status: number },
  ): Promise<void> {
    const maySave = profile.savesSession(status)
    try {
      await handle.loaded?.settled()
    } catch (error) {
      if (maySave) throw error
      // The visitor is told of a failure already, and keeps the cookie: logging out, say, can be tried again.
      return vary(ctx)
    }
    // Sampled before a save may load: an unknown key that nobody looked at is not "empty" yet.
    const { accessed, modified, isEmpty, isUnreadable } = handle
    if (sent !== undefined && isEmpty) {
      // Unlike Django, the cookie of a row that does not verify stays unless the session was flushed: Django may be
      // able to read it.
      if (isUnreadable && !modified) return vary(ctx)
      ctx.append('Set-Cookie', deletedSessionCookie(cookie, profile))
      if (profile.variesOnCookieDeletion) vary(ctx)
      return
    }
    const saves = (modified || saveEveryRequest) && !isEmpty
    if (!modified && !saves && onLostChange !== undefined) warnOfLostChanges(handle, onLostChange)
    if (saves && maySave) {
      const session = await handle.load()
      if (handle.isUnreadable && !modified) return vary(ctx)
      maxAgeOf(session) // an expiry on which Django fails too: then nothing is saved
      await session.save()
      const options = { maxAge: maxAgeOf(session), now: now(), profile }
      ctx.append('Set-Cookie', sessionCookie(cookie, session.sessionKey ?? '', options))
      if (profile.variesOnCookieSet) vary(ctx)
    }
    if (accessed) vary(ctx)
  }

  function vary(ctx: ParameterizedContext): void {
    ctx.set('Vary', varyOnCookie(String(ctx.response.headers.vary ?? ''), profile))
  }
}

function maxAgeOf(session: Session): number | null {
  return session.getExpireAtBrowserClose() ? null : session.getExpiryAge()
}

function warnOfLostChanges(handle: SessionHandle, onLostChange: (keys: readonly string[]) => void): void {
  const keys = handle.loaded?.nestedChanges() ?? []
  if (keys.length > 0) onLostChange(keys)
}

function statusOf(error: unknown): number {
  const status = error instanceof Error && 'status' in error ? error.status : undefined
  return typeof status === 'number' ? status : 500
}

/**
 * Koa drops the headers set so far when it answers an error, all but those on the error itself. There they are not
 * enumerable: a cookie must not get into a log with the error.
 */
function withHeaders(error: unknown, ctx: ParameterizedContext): unknown {
  if (!(error instanceof Error)) return error
  const ours: Record<string, string | string[]> = {}
  for (const name of ['set-cookie', 'vary'] as const) {
    const value = ctx.response.headers[name]
    if (value !== undefined) ours[name] = value
  }
  const headers = 'headers' in error && typeof error.headers === 'object' ? error.headers : {}
  return Object.defineProperty(error, 'headers', { value: { ...headers, ...ours }, enumerable: false })
}
