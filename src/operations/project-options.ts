import type { WithProfile } from '../site/django-version.ts'
import type { UserSessionsSite } from '../site/user-sessions.ts'
import type { Project } from './open-project.ts'

/** The project as options of the library, for its sessions. */
export function siteOptionsOf({
  settings,
  sessionDb,
  secretKeys,
  profile,
  useTz,
  now,
}: Project): WithProfile<UserSessionsSite> {
  const { session, cache, timeZone, sessionDatabaseTimeZone, database, auth } = settings
  return {
    ...session,
    ...(cache !== null && { cache }),
    db: sessionDb,
    secretKeys,
    profile,
    useTz,
    timeZone,
    databaseTimeZone: sessionDatabaseTimeZone,
    userModel: auth.userModel,
    conflictTimeout: database.timeout * 1000,
    now,
  }
}
