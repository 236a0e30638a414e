/** fastify and @fastify/session with the store of connect-pg-simple; other statements through pg. */
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import fastify from 'fastify'
import pg from 'pg'
import { announce, countAll, createPage, databaseUrl, POOL_SIZE, secretKey } from './site.ts'

declare module 'fastify' {
  interface Session {
    num_visits?: number
  }
}

const db = new pg.Pool({ connectionString: databaseUrl, max: POOL_SIZE })
const PgStore = connectPgSimple(session)
// Its own table.sql, whose index would have the name of that of the other target.
await db.query(`CREATE TABLE IF NOT EXISTS fastify_sessions
  (sid varchar NOT NULL PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
  CREATE INDEX IF NOT EXISTS fastify_sessions_expire ON fastify_sessions (expire)`)
const store = new PgStore({ pool: db, tableName: 'fastify_sessions' })
const page = createPage()

const app = fastify()
app.register(fastifyCookie)
app.register(fastifySession, {
  secret: secretKey,
  // It takes express-session's stores; only the types of the two sessions differ.
  store: store as never,
  saveUninitialized: false,
  cookie: { secure: false, maxAge: 1_209_600_000 },
})
app.get('/catalog/', async (request, reply) => {
  const counts = await countAll(count)
  const numVisits = (request.session.num_visits ?? 0) + 1
  request.session.num_visits = numVisits
  return reply.type('text/html; charset=utf-8').send(page(counts, numVisits))
})
await app.listen({ host: '127.0.0.1', port: 0 })
announce(app.server.address())

async function count(statement: string): Promise<number> {
  const { rows } = await db.query<{ total: string }>(statement)
  return Number(rows[0]?.total)
}
