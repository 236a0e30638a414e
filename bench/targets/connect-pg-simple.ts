/** express, express-session and connect-pg-simple; other statements through pg. */
import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import { serveByExpress } from './express-site.ts'
import { count, db } from './pg-pool.ts'
import { countAll } from './site.ts'

const PgStore = connectPgSimple(session)
const store = new PgStore({ pool: db, tableName: 'pg_sessions', createTableIfMissing: true })
serveByExpress(store, () => countAll(count))
