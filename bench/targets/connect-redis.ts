/** express, express-session and connect-redis; other statements through mysql2. */
import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { createClient } from 'redis'
import { countAll, createPage, databaseUrl, POOL_SIZE, redisUrl, secretKey, serve } from './site.ts'

declare module 'express-session' {
  interface SessionData {
    num_visits: number
  }
}

const db = mysql.createPool({ uri: databaseUrl, connectionLimit: POOL_SIZE })
const store = new RedisStore({ client: await createClient({ url: redisUrl }).connect() })
const page = createPage()

const app = express()
app.use(
  session({
    store,
    secret: secretKey,
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 1_209_600_000 },
  }),
)
app.get('/catalog/', async (request, response) => {
  const counts = await countAll(count)
  const numVisits = (request.session.num_visits ?? 0) + 1
  request.session.num_visits = numVisits
  response.type('html').send(page(counts, numVisits))
})
serve(app)

async function count(statement: string): Promise<number> {
  const [rows] = await db.query<RowDataPacket[]>(statement)
  return rows[0]?.total
}
