/** express, express-session and express-mysql-session; other statements through mysql2. */
import mySqlStore from 'express-mysql-session'
import session from 'express-session'
import { serveByExpress } from './express-site.ts'
import { count, db } from './mysql2-pool.ts'
import { countAll } from './site.ts'

const MySqlStore = mySqlStore(session as never)
const store = new MySqlStore({ schema: { tableName: 'mysql_sessions' } }, db as never)
await store.onReady() // until its table is created
serveByExpress(store, () => countAll(count))
