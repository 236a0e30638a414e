import { whyNoPasswords } from '../auth/backends.ts'
import { userModel } from '../auth/user-model.ts'
import { sessionTableOf } from '../django/session-engines.ts'
import { usesDatabaseCache } from './open-storage.ts'
import type { ReadTable, WrittenTable } from './preflight.ts'
import type { Settings } from './settings/settings.ts'

const READ_AND_WRITE_ROWS = 'SELECT, INSERT, UPDATE, DELETE'

/** The tables in which sessions are written. */
export function sessionTables(settings: Settings): WrittenTable[] {
  const { cache, session } = settings
  const table = session.table ?? sessionTableOf(session.engine)
  const ofEngine: WrittenTable[] =
    table === null
      ? []
      : [
          {
            table,
            setting: session.table === null ? 'DATABASE_URL' : 'SESSION_DB_TABLE',
            rights: READ_AND_WRITE_ROWS,
            columns: ['session_key', 'session_data', 'expire_date'],
          },
        ]
  if (cache === null || !usesDatabaseCache(settings)) return ofEngine
  const ofCache = cache.location.map(
    (location): WrittenTable => ({
      table: location,
      setting: 'CACHES',
      rights: READ_AND_WRITE_ROWS,
      columns: ['cache_key', 'value', 'expires'],
    }),
  )
  return [...ofEngine, ...ofCache]
}

/** The table of the user model. */
export function usersTable({ auth }: Settings, { servesLogin }: { servesLogin: boolean }): ReadTable {
  const rights = servesLogin ? 'SELECT, UPDATE' : 'SELECT' // UPDATE for last_login
  return { table: userModel(auth.userModel).table, setting: 'AUTH_USER_MODEL', rights }
}

/** Why users cannot log in by name and password here, whatever SERVE_LOGIN says; null if they can. */
export function whyNoLogin({ auth: { backends, userModel, sessionHash } }: Settings): string | null {
  return whyNoPasswords(backends, { password: userModel.columns.password, sessionHash })
}

/** Whether the login page is served here: SERVE_LOGIN, for users with passwords that can be checked. */
export function servesLogin(settings: Settings): boolean {
  return settings.login.isServed && whyNoLogin(settings) === null
}
