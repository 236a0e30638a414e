import mysql, { type Pool, type RowDataPacket } from 'mysql2/promise'
import { databaseUrl, POOL_SIZE } from './site.ts'

/** The pool of the targets that ask MariaDB through mysql2. */
export const db: Pool = mysql.createPool({ uri: databaseUrl, connectionLimit: POOL_SIZE })

/** The number that one of `COUNTS` asks for. */
export async function count(statement: string): Promise<number> {
  const [rows] = await db.query<RowDataPacket[]>(statement)
  return rows[0]?.total
}
