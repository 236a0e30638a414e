import pg from 'pg'
import { databaseUrl, POOL_SIZE } from './site.ts'

/** The pool of the targets that ask PostgreSQL through pg. */
export const db: pg.Pool = new pg.Pool({ connectionString: databaseUrl, max: POOL_SIZE })

/** The number that one of `COUNTS` asks for. */
export async function count(statement: string): Promise<number> {
  const { rows } = await db.query<{ total: string }>(statement)
  return Number(rows[0]?.total)
}

/** Creates a table for connect-pg-simple. The index of its own table.sql would have one name for all targets. */
export async function createSessionTable(name: string): Promise<void> {
  await db.query(`CREATE TABLE IF NOT EXISTS ${name}
    (sid varchar NOT NULL PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
    CREATE INDEX IF NOT EXISTS ${name}_expire ON ${name} (expire)`)
}
