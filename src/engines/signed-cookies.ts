import type { ExpiryRules } from '../django/expiry.ts'
import { type SessionCodec, UnreadableSession } from '../django/session-data.ts'
import { SignatureExpired, signedAt } from '../django/signing.ts'
import type { KeyedSession, NewSession, SessionEngine } from '../session/engine.ts'
import { expireDateSince } from './stored-expiry.ts'

/** The salt of the codec that this engine needs. Source: django/contrib/sessions/backends/signed_cookies.py. */
export const SIGNED_COOKIES_SALT = 'django.contrib.sessions.backends.signed_cookies'

/** The options of `createSignedCookiesEngine`. */
export interface SignedCookiesEngineOptions {
  /** Reads and writes the signed format only, with the salt SIGNED_COOKIES_SALT, and SESSION_COOKIE_AGE as `maxAge`. */
  readonly codec: SessionCodec
  /** SESSION_COOKIE_NAME: it is part of the cookie's size. */
  readonly cookieName: string
  readonly rules: ExpiryRules
  readonly now?: () => Date
}

/** The session needs a larger cookie than browsers keep. The message has its size, never its content. */
export class SessionCookieTooLarge extends Error {
  override name = 'SessionCookieTooLarge'
  readonly code: string = 'ERR_SESSION_COOKIE_TOO_LARGE'
}

/** Bytes of a cookie's name and value together: a browser ignores a larger one (RFC 6265bis, 5.7). */
const LARGEST_COOKIE = 4096

/**
 * Sessions that are their own key: the cookie holds the data, signed but not encrypted. Nothing is kept on the server, so
 * there is nothing to compare with and nothing to delete. Of two answers at once the browser keeps the last, whole. A copy
 * of a cookie is valid until SESSION_COOKIE_AGE is over, even after a logout. All this is as in Django. Unlike Django,
 * this engine limits the size: there browsers lose a session that has grown too large.
 * Source: django/contrib/sessions/backends/signed_cookies.py.
 */
export function createSignedCookiesEngine({
  codec,
  cookieName,
  rules,
  now = () => new Date(),
}: SignedCookiesEngineOptions): SessionEngine {
  async function sign(session: NewSession): Promise<KeyedSession> {
    const sessionKey = codec.encode(session.data)
    const size = cookieName.length + sessionKey.length
    if (size > LARGEST_COOKIE) {
      throw new SessionCookieTooLarge(
        `The session needs a cookie ${cookieName} of ${size} bytes, and browsers keep no cookie above ${LARGEST_COOKIE}; ` +
          'store less in it, or use an engine that keeps sessions on the server',
      )
    }
    return { ...session, sessionKey, revision: sessionKey }
  }

  return {
    async load(cookie) {
      try {
        const { data } = codec.decode(cookie)
        return { data, expireDate: expireDateSince(savedAt(cookie, now()), data, rules), revision: cookie }
      } catch (error) {
        if (error instanceof UnreadableSession && error.cause instanceof SignatureExpired) return null
        throw error
      }
    },
    keepsNothing: true,
    exists: async () => false,
    create: (_offered, session) => sign(session),
    update: (_cookie, session) => sign(session),
    async delete() {},
    clearExpired: async () => 0,
  }
}

/** The time of the signature; now, if that is in the future. */
function savedAt(cookie: string, now: Date): Date {
  return new Date(Math.min(signedAt(cookie)?.getTime() ?? now.getTime(), now.getTime()))
}
