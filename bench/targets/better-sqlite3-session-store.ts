/** express, express-session and better-sqlite3-session-store; other statements through better-sqlite3. */
import { createRequire } from 'node:module'
import express from 'express'
import session, { type Store } from 'express-session'
import { countAll, createPage, databaseUrl, secretKey, serve } from './site.ts'

declare module 'express-session' {
  interface SessionData {
    num_visits: number
  }
}

/** What is used of better-sqlite3, which brings no types; nor does the store. */
interface Database {
  prepare(sql: string): { get(): { total: number } }
}

const require = createRequire(import.meta.url)
const Database = require('better-sqlite3') as new (file: string) => Database
const sqliteStore = require('better-sqlite3-session-store') as (
  library: typeof session,
) => new (
  options: object,
) => Store

const db = new Database(decodeURIComponent(databaseUrl.slice('sqlite:///'.length)))
const SqliteStore = sqliteStore(session)
const page = createPage()

const app = express()
app.use(
  session({
    store: new SqliteStore({ client: db }),
    secret: secretKey,
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 1_209_600_000 },
  }),
)
app.get('/catalog/', async (request, response) => {
  const counts = await countAll(async (statement) => db.prepare(statement).get().total)
  const numVisits = (request.session.num_visits ?? 0) + 1
  request.session.num_visits = numVisits
  response.type('html').send(page(counts, numVisits))
})
serve(app)
