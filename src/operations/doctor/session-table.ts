import { checkTables } from '../../service/preflight.ts'
import { sessionTables } from '../../service/required-tables.ts'
import type { Check } from './check.ts'
import { failure } from './failure.ts'

/** Whether the database of the sessions answers, and has their table. */
export const SESSION_TABLE_CHECKS: readonly Check[] = [
  {
    id: 'database.E001',
    title: 'the database of the sessions answers',
    meaning:
      'Connects to the database that `SESSION_DATABASE_URL` or `DATABASE_URL` names. While it does not answer, every page is a 503.',
    remedy: 'The message names the setting, the host and what to do.',
    isCheap: true,
    async run({ project }) {
      try {
        await project.onSessionDatabase(() => project.sessionDb.raw('select 1'))
        return { outcome: 'ok', read: 'a statement was answered' }
      } catch (error) {
        return failure(error)
      }
    },
  },
  {
    id: 'database.E002',
    title: 'the tables of the sessions are there and can be read',
    meaning: 'Reads from each table in which sessions are kept. Without it, the service does not start.',
    remedy:
      'Run `manage.py migrate` at the Django site, or set `DATABASE_URL`, `SESSION_ENGINE` and `SESSION_DB_TABLE` as in its settings. For a missing right, run the `GRANT` of the message.',
    after: ['database.E001'],
    isCheap: true,
    async run({ project }) {
      const tables = sessionTables(project.settings)
      if (tables.length === 0) return { outcome: 'skipped', because: 'this engine keeps no table' }
      try {
        await project.onSessionDatabase(() => checkTables(project.sessionDb, tables))
        return { outcome: 'ok', read: tables.map(({ table }) => table).join(', ') }
      } catch (error) {
        return failure(error)
      }
    },
  },
]
