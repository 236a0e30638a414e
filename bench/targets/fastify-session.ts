/** fastify and @fastify/session with the store of express-mysql-session; other statements through mysql2. */
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import mySqlStore from 'express-mysql-session'
import session from 'express-session'
import fastify from 'fastify'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { announce, countAll, createPage, databaseUrl, POOL_SIZE, secretKey } from './site.ts'

declare module 'fastify' {
  interface Session {
    num_visits?: number
  }
}

const db = mysql.createPool({ uri: databaseUrl, connectionLimit: POOL_SIZE })
const MySqlStore = mySqlStore(session as never)
const store = new MySqlStore({ schema: { tableName: 'fastify_sessions' } }, db as never)
const page = createPage()

const app = fastify()
app.register(fastifyCookie)
app.register(fastifySession, {
  secret: secretKey,
  // Its promises are not used: fastify's plugin passes callbacks, which the store also supports.
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
await store.onReady() // until its table is created
await app.listen({ host: '127.0.0.1', port: 0 })
announce(app.server.address())

async function count(statement: string): Promise<number> {
  const [rows] = await db.query<RowDataPacket[]>(statement)
  return rows[0]?.total
}
