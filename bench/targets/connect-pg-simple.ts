/** express, express-session and connect-pg-simple; other statements through pg. */
import connectPgSimple from 'connect-pg-simple'
import express from 'express'
import session from 'express-session'
import pg from 'pg'
import { countAll, createPage, databaseUrl, POOL_SIZE, secretKey, serve } from './site.ts'

declare module 'express-session' {
  interface SessionData {
    num_visits: number
  }
}

const db = new pg.Pool({ connectionString: databaseUrl, max: POOL_SIZE })
const PgStore = connectPgSimple(session)
const store = new PgStore({ pool: db, tableName: 'pg_sessions', createTableIfMissing: true })
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
  const { rows } = await db.query<{ total: string }>(statement)
  return Number(rows[0]?.total)
}
