import { setTimeout as delay } from 'node:timers/promises'
import { runSql } from './databases.ts'

/** Waits until a statement in this database waits for a lock that another one holds. @throws Error after 30 s. */
export async function waitForLockWait(url: string): Promise<void> {
  await waitFor(url, url.startsWith('postgresql:') ? POSTGRESQL : MYSQL)
}

/** The same of a lock on a whole table. Returns the id of the connection that waits. @throws Error after 30 s. */
export function waitForTableLockWait(url: string): Promise<number> {
  return waitFor(url, url.startsWith('postgresql:') ? POSTGRESQL : MYSQL_TABLE)
}

async function waitFor(url: string, sql: string): Promise<number> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const [row] = await runSql(url, sql)
    if (row !== undefined) return Number(Object.values(row)[0])
    if (performance.now() > deadline) throw new Error('no statement waits for a lock')
    await delay(150)
  }
}

// InnoDB renews these tables only when no client has read them for a tenth of a second.
const MYSQL = `SELECT trx_id FROM information_schema.innodb_trx
  JOIN information_schema.processlist ON id = trx_mysql_thread_id WHERE db = DATABASE() AND trx_state = 'LOCK WAIT'`

const MYSQL_TABLE = `SELECT id FROM information_schema.processlist
  WHERE db = DATABASE() AND state LIKE 'Waiting for table%lock'`

const POSTGRESQL =
  "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
