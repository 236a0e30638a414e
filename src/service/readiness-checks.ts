import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import type { ReadinessCheck } from './monitoring/readiness.ts'
import { keepsSessionsInCacheAlone, probeCache, type Storage } from './open-storage.ts'
import { checkTables, type ReadTable, type WrittenTable } from './preflight.ts'
import type { Settings } from './settings/settings.ts'

/** Milliseconds for which a success of a check on the tables, the files or the cache counts. */
const MAX_AGE = 5000

const READ_AND_WRITE = constants.R_OK | constants.W_OK | constants.X_OK

export interface ReadinessChecksOptions {
  readonly read: readonly ReadTable[]
  readonly written: readonly WrittenTable[]
  /** Tries the writes of sessions, and changes nothing. */
  readonly tryWrites: () => Promise<void>
}

/** What `/health/ready` checks at this site. */
export function readinessChecks(
  settings: Settings,
  { db, sessionDb, cache }: Storage,
  { read, written, tryWrites }: ReadinessChecksOptions,
): ReadinessCheck[] {
  const { filePath } = settings.session
  const checks: ReadinessCheck[] = [
    {
      name: 'database',
      async run() {
        // From a table: a Galera node that is not ready still answers a bare SELECT 1.
        for (const [database, table] of new Map([
          [db, read[0]?.table],
          [sessionDb, written[0]?.table ?? read[0]?.table],
        ]))
          await (table === undefined
            ? database.raw('select 1')
            : database(table).select(database.raw('1')).limit(1))
      },
      maxAge: 0,
    },
    { name: 'session_write', run: tryWrites, maxAge: MAX_AGE },
    { name: 'site_tables', run: () => checkTables(db, read), maxAge: MAX_AGE },
  ]
  if (filePath !== null)
    checks.push({ name: 'session_files', run: () => access(filePath, READ_AND_WRITE), maxAge: MAX_AGE })
  if (cache !== null && keepsSessionsInCacheAlone(settings))
    checks.push({ name: 'cache', run: () => probeCache(cache), maxAge: MAX_AGE })
  return checks
}
