import { createDateColumn, type DateColumn } from '../../django/datetime.ts'
import type { Settings } from './settings.ts'

/** How the database of the sessions stores dates. */
export function sessionDates(
  { database, sessionDatabase, timeZone, sessionDatabaseTimeZone }: Settings,
  { useTz }: { useTz: boolean },
): DateColumn {
  return createDateColumn({
    database: (sessionDatabase ?? database).kind,
    useTz,
    timeZone,
    databaseTimeZone: sessionDatabaseTimeZone,
  })
}
