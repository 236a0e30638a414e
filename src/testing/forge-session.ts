import type { User } from '../auth/user.ts'
import { checkMethods, checkObject } from '../checks/check-values.ts'
import type { DjangoSite } from '../site/django-site.ts'
import { UnknownUser } from '../site/user-sessions.ts'

/** Whose session, and what is in it. Without a user: the session of a visitor who is not logged in. */
export interface ForgeSessionOptions {
  /** A user whom this site returned. */
  readonly user?: User
  /** The primary key of a user in the user table. */
  readonly userId?: string | number | bigint
  /** One of AUTHENTICATION_BACKENDS; default: the first. */
  readonly backend?: string
  /** What the session holds besides the login; `_session_expiry` sets its expiry. */
  readonly data?: Readonly<Record<string, unknown>>
}

/** The user could not be logged in. */
export class SessionNotForged extends Error {
  override name = 'SessionNotForged'
  readonly code: string = 'ERR_SESSION_NOT_FORGED'
}

/**
 * Stores a session where the site keeps its sessions, logged in without a password, and returns the Cookie header of its
 * browser: for tests, as Django's `Client.force_login`. `last_login` of the user changes, as at each login.
 * @throws {UnknownUser} {SessionNotForged}
 */
export async function forgeSession(site: DjangoSite, options: ForgeSessionOptions = {}): Promise<string> {
  const from = 'what openDjangoSite returns'
  checkMethods('forgeSession', { name: 'site', value: site, from }, ['open', 'authenticate'])
  checkObject('forgeSession', 'the session', options)
  const { user, userId, backend, data = {} } = options
  if (user !== undefined && userId !== undefined)
    throw new TypeError('forgeSession: both user and userId are given; give one of them')
  checkObject('forgeSession', 'data', data)

  const request = site.open(undefined)
  const session = await request.session.load()
  const found = user ?? (userId === undefined ? null : await findUser(site, userId))
  if (found !== null) {
    await request.login(found, backend === undefined ? {} : { backend })
    const { user: visitor, verdict } = await site.auth.identify(session)
    if (!visitor.isAuthenticated) {
      await session.flush() // The login has stored it.
      throw new SessionNotForged(whyNot(found, verdict))
    }
  }
  session.update(data)
  const { setCookie } = await request.respond(200)
  const [cookie] = (setCookie ?? '').split(';')
  if (!cookie) throw new SessionNotForged('the session is empty, so it has no cookie; give a user or data')
  return cookie
}

async function findUser(site: DjangoSite, userId: string | number | bigint): Promise<User> {
  const user = await site.auth.findUser(userId)
  if (user !== null) return user
  throw new UnknownUser(
    'forgeSession: the user table has no user of this userId; create the user first, with a password of any text',
  )
}

function whyNot({ isActive }: User, verdict: string): string {
  return isActive
    ? `the site does not recognize the user after the login (${verdict}); check backend, userModel and sessionHash`
    : 'the user is not active, so Django would not log it in; set is_active, or give AllowAllUsersModelBackend as the backend'
}
