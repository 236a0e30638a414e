import { kindOf } from '../checks/check-values.ts'
import { driverOf, executorOf, type SqlDatabase } from '../sql/executor.ts'

/** @throws {TypeError} for what is not a database. @throws {UnusableDatabase} for a pool that breaks a promise. */
export function checkDatabase(caller: string, db: unknown): asserts db is SqlDatabase {
  if (driverOf(db) === null)
    throw new TypeError(
      `${caller}: db is ${nearlyRight(db) ?? kindOf(db)}; it must be a Knex: knex({ client: 'mysql2', connection: DATABASE_URL }), ` +
        'or a pool of mysql2 or pg, or a database of better-sqlite3 or node:sqlite',
    )
  executorOf(db as SqlDatabase)
}

/** What a program may take for its database, and what to pass instead. */
function nearlyRight(db: unknown): string | null {
  if ((typeof db !== 'object' && typeof db !== 'function') || db === null) return null
  if ('$client' in db) return 'a Drizzle database: pass what it was made with, db.$client'
  if ('$queryRawUnsafe' in db)
    return 'a Prisma client: pass the Pool of pg that its adapter PrismaPg was made with; on other databases open one beside it'
  if (typeof db === 'function') return 'unsafe' in db && 'begin' in db ? 'a client of postgres.js' : null
  if ('getConnection' in db) return 'a pool of another package than mysql2'
  if ('query' in db && ('connect' in db || 'threadId' in db || 'connection' in db))
    return 'a single connection, which nothing would replace after a failure: pass a pool'
  return null
}
