/** fastify and @fastify/session with the store of connect-redis; other statements through mysql2. */
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { RedisStore } from 'connect-redis'
import fastify from 'fastify'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { createClient } from 'redis'
import { announce, countAll, createPage, databaseUrl, POOL_SIZE, redisUrl, secretKey } from './site.ts'

declare module 'fastify' {
  interface Session {
    num_visits?: number
  }
}

const db = mysql.createPool({ uri: databaseUrl, connectionLimit: POOL_SIZE })
const store = new RedisStore({ client: await createClient({ url: redisUrl }).connect() })
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
  const [rows] = await db.query<RowDataPacket[]>(statement)
  return rows[0]?.total
}
