/** fastify and @fastify/session with the store of express-mysql-session; other statements through mysql2. */
import mySqlStore from 'express-mysql-session'
import session from 'express-session'
import { serveByFastify } from './fastify-site.ts'
import { count, db } from './mysql2-pool.ts'

const MySqlStore = mySqlStore(session as never)
const store = new MySqlStore({ schema: { tableName: 'fastify_sessions' } }, db as never)
await store.onReady() // until its table is created
await serveByFastify(store, count)
