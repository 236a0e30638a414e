import { type CookieSettings, deleteCookie, readCookie, setCookie, varyOnCookie } from '../django/cookie.ts'
import type { VersionProfile } from '../django/versions.ts'
import type { SessionClient } from '../session/engine.ts'
import { guardEvents, type SessionEvents } from '../session/events.ts'
import type { SessionHandle, Sessions } from '../session/handle.ts'
import type { Session } from '../session/session.ts'
import type { ResponseHeaders } from './response-headers.ts'
import { withStatus } from './statuses.ts'

/** The options of `createSessionRequests`. */
export interface SessionRequestsOptions {
  readonly sessions: Sessions
  readonly cookie: CookieSettings
  readonly profile: VersionProfile
  /** SESSION_SAVE_EVERY_REQUEST. */
  readonly saveEveryRequest?: boolean
  readonly now?: () => Date
  /** Listeners: `lostChange` happens here. */
  readonly events?: Partial<SessionEvents>
}

/** Django's SessionMiddleware without a framework. Each adapter uses it. */
export interface SessionRequests {
  /** Opens the session of the request with this Cookie header, as Node has it; `client` is for engines that store it. */
  open(cookieHeader: string | undefined, client?: SessionClient): SessionRequest
}

/** One request's session: open, then `respond` once. */
export interface SessionRequest {
  readonly session: SessionHandle
  /**
   * To be called once, when the status is known and before headers are sent: saves the session, and returns the headers
   * for it. If it throws, the response must be an error: a visitor must not get a 200 whose session was not saved.
   * @throws {SessionInterrupted} with the status 400.
   */
  respond(status: number): Promise<SessionHeaders>
}

/** What a session adds to the headers of the response. */
export type SessionHeaders = ResponseHeaders

/** Source: django/contrib/sessions/middleware.py, process_request and process_response. */
export function createSessionRequests({
  sessions,
  cookie,
  profile,
  saveEveryRequest = false,
  now = () => new Date(),
  events,
}: SessionRequestsOptions): SessionRequests {
  const { lostChange } = guardEvents(events)
  const vary = (existing: string): string => varyOnCookie(existing, profile)

  async function processResponse(
    handle: SessionHandle,
    { sent, status }: { sent: string | undefined; status: number },
  ): Promise<SessionHeaders> {
    const maySave = profile.savesSession(status)
    try {
      await handle.loaded?.settled()
    } catch (error) {
      if (maySave) throw error
      // The response reports a failure already. The visitor keeps the cookie, and can repeat a logout, for example.
      return { setCookie: null, vary }
    }
    // Read before a save may load the session: an unknown key that was not looked up is not "empty" yet.
    const { accessed, modified, isEmpty, isUnreadable } = handle
    if (sent !== undefined && isEmpty) {
      // Unlike Django, the cookie of a row that does not verify stays unless the session was flushed: Django may be
      // able to read it.
      if (isUnreadable && !modified) return { setCookie: null, vary }
      return { setCookie: deleteCookie(cookie, profile), vary: profile.variesOnCookieDeletion ? vary : null }
    }
    const saves = (modified || saveEveryRequest) && !isEmpty
    if (!modified && !saves && lostChange !== null) tellLostChanges(handle, lostChange)
    if (!saves || !maySave) return { setCookie: null, vary: accessed ? vary : null }
    const session = await handle.load()
    if (handle.isUnreadable && !modified) return { setCookie: null, vary }
    maxAgeOf(session) // Throws for an expiry on which Django fails too: then nothing is saved.
    await session.save()
    const options = { maxAge: maxAgeOf(session), now: now(), profile }
    return {
      setCookie: setCookie(cookie, session.sessionKey ?? '', options),
      vary: accessed || profile.variesOnCookieSet ? vary : null,
    }
  }

  return {
    open(cookieHeader, client) {
      const sent = readCookie(cookieHeader, cookie.name)
      const session = sessions.open(sent, { client })
      return {
        session,
        async respond(status) {
          try {
            return await processResponse(session, { sent, status })
          } catch (error) {
            throw withStatus(error)
          }
        },
      }
    },
  }
}

function maxAgeOf(session: Session): number | null {
  return session.getExpireAtBrowserClose() ? null : session.getExpiryAge()
}

function tellLostChanges(handle: SessionHandle, lostChange: (keys: readonly string[]) => void): void {
  const keys = handle.loaded?.nestedChanges() ?? []
  if (keys.length > 0) lostChange(keys)
}
