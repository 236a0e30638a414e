/** fastify and @fastify/session with the store of connect-pg-simple; other statements through pg. */
import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import { serveByFastify } from './fastify-site.ts'
import { count, createSessionTable, db } from './pg-pool.ts'

const PgStore = connectPgSimple(session)
await createSessionTable('fastify_sessions')
await serveByFastify(new PgStore({ pool: db, tableName: 'fastify_sessions' }), count)
