import express, { type RequestHandler } from 'express'
import session, { type Store } from 'express-session'
import { type Counts, createPage, secretKey, serve } from './site.ts'

declare module 'express-session' {
  interface SessionData {
    num_visits: number
  }
}

/** express-session with this store, alike for all that use it. */
export function expressSession(store: Store): RequestHandler {
  return session({
    store,
    secret: secretKey,
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 1_209_600_000 },
  })
}

/** Serves the home page by express, with sessions in this store. */
export function serveByExpress(store: Store, readCounts: () => Promise<Counts>): void {
  const page = createPage()
  const app = express()
  app.use(expressSession(store))
  app.get('/catalog/', async (request, response) => {
    const counts = await readCounts()
    const numVisits = (request.session.num_visits ?? 0) + 1
    request.session.num_visits = numVisits
    response.type('html').send(page(counts, numVisits))
  })
  serve(app)
}
