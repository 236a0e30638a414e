/** express, express-session and better-sqlite3-session-store; other statements through better-sqlite3. */
import { createRequire } from 'node:module'
import session, { type Store } from 'express-session'
import { serveByExpress } from './express-site.ts'
import { countAll, databaseUrl } from './site.ts'

/** What is used of better-sqlite3, which brings no types; nor does the store. */
interface Database {
  prepare(sql: string): { get(): { total: number } }
}

const require = createRequire(import.meta.url)
const Database = require('better-sqlite3') as new (file: string) => Database
const sqliteStore = require('better-sqlite3-session-store') as (
  library: typeof session,
) => new (
  options: object,
) => Store

const db = new Database(decodeURIComponent(databaseUrl.slice('sqlite:///'.length)))
const SqliteStore = sqliteStore(session)
const count = async (statement: string): Promise<number> => db.prepare(statement).get().total
serveByExpress(new SqliteStore({ client: db }), () => countAll(count))
