/** express, express-session and connect-session-knex; other statements through Knex. */
import { ConnectSessionKnexStore } from 'connect-session-knex'
import express from 'express'
import session from 'express-session'
import knex from 'knex'
import { createPage, databaseUrl, POOL_SIZE, secretKey, serve } from './site.ts'

declare module 'express-session' {
  interface SessionData {
    num_visits: number
  }
}

const db = knex({ client: 'mysql2', connection: databaseUrl, pool: { min: 0, max: POOL_SIZE } })
const store = new ConnectSessionKnexStore({ knex: db, tableName: 'knex_sessions' })
const page = createPage()
const count = async (table: string, where: object = {}): Promise<number> =>
  Number((await db(table).where(where).count({ total: '*' }))[0]?.total)

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
  const [books, copies, copiesAvailable, authors] = await Promise.all([
    count('catalog_book'),
    count('catalog_bookinstance'),
    count('catalog_bookinstance', { status: 'a' }),
    count('catalog_author'),
  ])
  const numVisits = (request.session.num_visits ?? 0) + 1
  request.session.num_visits = numVisits
  response.type('html').send(page({ books, copies, copiesAvailable, authors }, numVisits))
})
serve(app)
