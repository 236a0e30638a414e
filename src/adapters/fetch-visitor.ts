import type { AnonymousUser, User } from '../auth/user.ts'
import type { Session } from '../session/session.ts'
import type { DjangoSite, RequestOrCookie } from '../site/django-site.ts'

/** What Next's `cookies()` returns. */
export interface CookieJar {
  getAll(): readonly { readonly name: string; readonly value: string }[]
}

/** A session that is only read, and its user. */
export interface FetchVisitor {
  readonly session: ReadonlySession
  readonly user: User | AnonymousUser
}

/** The methods of a session that change nothing. */
export type ReadonlySession = Pick<Session, (typeof READING)[number]>

const READING = ['get', 'has', 'keys'] as const

/** Who sends this request. Reads alone: nothing is written. */
export async function readVisitor(
  site: Pick<DjangoSite, 'authenticate'>,
  request: RequestOrCookie | CookieJar,
): Promise<FetchVisitor> {
  const { session, user } = await site.authenticate(isJar(request) ? cookieHeaderOf(request) : request)
  return { session: readonlyView(session), user }
}

function isJar(request: unknown): request is CookieJar {
  return (
    typeof request === 'object' &&
    request !== null &&
    'getAll' in request &&
    typeof request.getAll === 'function'
  )
}

function cookieHeaderOf(jar: CookieJar): string {
  return jar
    .getAll()
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ')
}

function readonlyView(session: Session): ReadonlySession {
  const entries = READING.map((name) => [name, session[name].bind(session)] as const)
  return Object.fromEntries(entries) as unknown as ReadonlySession
}
