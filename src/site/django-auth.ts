import { type Auth, createAuth } from '../auth/auth.ts'
import { mapFailures } from '../concurrency/map-failures.ts'
import { createDateColumn, TIME_DEFAULTS } from '../django/datetime.ts'
import { withStatus, withStorageStatus } from '../http/statuses.ts'
import { databaseKindOf } from '../sql/dialect.ts'
import { checkDatabase } from './check-database.ts'
import { checkOptions } from './check-options.ts'
import { type WithProfile, withProfile } from './django-version.ts'
import type { DjangoAuthOptions } from './site-options.ts'

/**
 * Django's users, on the sessions that `djangoSessions` opens: who is logged in, login and logout.
 * @throws {UnknownDjangoVersion} {InvalidUserModel}
 */
export function djangoAuth(options: DjangoAuthOptions): Auth {
  checkOptions('djangoAuth', options)
  checkDatabase('djangoAuth', options.db)
  return openAuth(withProfile(options))
}

/** As `djangoAuth`, for options that are checked already. @throws {InvalidUserModel} */
export function openAuth({
  db,
  useTz = TIME_DEFAULTS.useTz,
  timeZone = TIME_DEFAULTS.timeZone,
  databaseTimeZone = TIME_DEFAULTS.databaseTimeZone,
  ...options
}: WithProfile<DjangoAuthOptions>): Auth {
  const database = databaseKindOf(db)
  const auth = createAuth({
    ...options,
    db,
    database,
    dates: createDateColumn({ database, useTz, timeZone, databaseTimeZone }),
    mapFailure: withStorageStatus,
  })
  return mapFailures(auth, withStatus)
}
