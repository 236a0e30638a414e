/** express, express-session and express-mysql-session; other statements through mysql2. */
import express from 'express'
import mySqlStore from 'express-mysql-session'
import session from 'express-session'
import mysql, { type RowDataPacket } from 'mysql2/promise'
import { countAll, createPage, databaseUrl, POOL_SIZE, secretKey, serve } from './site.ts'

declare module 'express-session' {
  interface SessionData {
    num_visits: number
  }
}

const db = mysql.createPool({ uri: databaseUrl, connectionLimit: POOL_SIZE })
const MySqlStore = mySqlStore(session as never)
const store = new MySqlStore({ schema: { tableName: 'mysql_sessions' } }, db as never)
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
await store.onReady() // until its table is created
serve(app)

async function count(statement: string): Promise<number> {
  const [rows] = await db.query<RowDataPacket[]>(statement)
  return rows[0]?.total
}
