import { userModel } from '../../auth/user-model.ts'
import {
  CATALOG_TABLES,
  checkReads,
  checkUpdate,
  checkWrites,
  hasCatalog,
  type ReadTable,
} from '../../service/preflight.ts'
import { servesLogin, sessionTables, usersTable } from '../../service/required-tables.ts'
import { retryRead } from '../../sql/retry.ts'
import type { Project } from '../open-project.ts'
import type { Check } from './check.ts'
import { failure } from './failure.ts'
import { readTableSchema, tablesWith } from './table-schema.ts'

/** Whether the database user may do what the service does. */
export const DATABASE_RIGHTS_CHECKS: readonly Check[] = [
  {
    id: 'database.E007',
    title: 'sessions can be written',
    meaning:
      'Tries each kind of write in a transaction that is rolled back; no row is changed or locked. On SQLite, where a transaction locks the file, it compiles the statements and looks at the rights on the file and its folder. It fails for a missing right, a read-only server, and an SQLite file or folder that this process may not write. Then no visit can be saved.',
    remedy:
      'Run the `GRANT` of the message, name the primary instead of a replica, or give this process the right to write the file and its folder.',
    after: ['database.E001', 'database.E002', 'database.E003'],
    isCheap: true,
    async run({ project }) {
      const { settings, sessionDb } = project
      const tables = sessionTables(settings)
      if (tables.length === 0) return { outcome: 'skipped', because: 'this engine keeps no table' }
      const timeout = settings.database.timeout * 1000
      try {
        for (const table of tables)
          await project.onSessionDatabase(() => retryRead(() => checkWrites(sessionDb, table), { timeout }))
        return { outcome: 'ok', read: 'INSERT, UPDATE and DELETE are possible' }
      } catch (error) {
        return failure(error)
      }
    },
  },
  {
    id: 'database.E008',
    title: 'the tables of users, permissions and the home page can be read',
    meaning:
      'Tries to read each table that the pages of this service read, and, where it serves the login page, to write `last_login`, without changing it. Without a right, the service does not start, or a page is a 500 for some users.',
    remedy: 'Run the `GRANT` of the message.',
    after: ['database.E001'],
    isCheap: true,
    async run({ project }) {
      try {
        const tables = await project.onUserDatabase(() => readableTables(project))
        if (tables.length === 0) return { outcome: 'skipped', because: 'no page here reads a table' }
        return { outcome: 'ok', read: tables.map(({ table }) => table).join(', ') }
      } catch (error) {
        return failure(error)
      }
    },
  },
]

/** The tables that were read. @throws {MissingRight} {MissingTables} */
async function readableTables({ db, settings }: Project): Promise<readonly ReadTable[]> {
  const hasHome = await hasCatalog(db)
  const catalog = hasHome ? CATALOG_TABLES : []
  const hasLogin = servesLogin(settings)
  if (settings.auth.sessionHash === 'custom' || !(hasHome || hasLogin)) return catalog
  const model = userModel(settings.auth.userModel)
  const users = usersTable(settings, { servesLogin: hasLogin })
  const { columns } = await readTableSchema(db, model.table)
  const has = (column: string | null) => columns.some(({ name }) => name === column)
  // The models with PermissionsMixin have these tables; only the home page asks for permissions.
  const permissions =
    hasHome && has(model.columns.isSuperuser)
      ? [
          ...['auth_permission', 'auth_group_permissions', 'django_content_type'],
          ...[model.groupsTable, model.permissionsTable],
        ].map((table) => ({ table, setting: 'AUTH_USER_MODEL', rights: 'SELECT' }))
      : []
  // MySQL denies access to a table that does not exist, too. users.E001 explains that where another table fits.
  const isElsewhere = columns.length === 0 && (await tablesWith(db, ['password', 'last_login'])).length > 0
  const read = [...(isElsewhere ? [] : [users]), ...permissions]
  await checkReads(db, read)
  const { lastLogin } = model.columns
  if (hasLogin && lastLogin !== null && has(lastLogin)) {
    const timeout = settings.database.timeout * 1000
    await retryRead(() => checkUpdate(db, users, lastLogin), { timeout })
  }
  return [...catalog, ...read]
}
