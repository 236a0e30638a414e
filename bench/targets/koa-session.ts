/** koa and koa-session with a Knex store on Django's rows: the peer that signs and compresses as Django does. */
import knex from 'knex'
import Koa from 'koa'
import koaSession from 'koa-session'
import { column, createRowCodec, inTwoWeeks, newSessionKey, type SessionObject } from './django-rows.ts'
import { createPage, databaseUrl, POOL_SIZE, secretKey, serve } from './site.ts'

const db = knex({ client: 'mysql2', connection: databaseUrl, pool: { min: 0, max: POOL_SIZE } })
const codec = createRowCodec(secretKey)
const page = createPage()

const store = {
  async get(key: string): Promise<SessionObject | null> {
    const row = await db('django_session')
      .select('session_data')
      .where('session_key', key)
      .where('expire_date', '>', column(Date.now()))
      .first()
    return row === undefined ? null : codec.decode(row.session_data)
  },
  async set(key: string, session: SessionObject): Promise<void> {
    await db('django_session')
      .insert({ session_key: key, session_data: codec.encode(session), expire_date: inTwoWeeks() })
      .onConflict('session_key')
      .merge()
  },
  async destroy(key: string): Promise<void> {
    await db('django_session').where('session_key', key).delete()
  },
}

const count = async (table: string, where: object = {}): Promise<number> =>
  Number((await db(table).where(where).count({ total: '*' }))[0]?.total)

const app = new Koa()
app.use(
  koaSession({ key: 'sessionid', signed: false, maxAge: 1_209_600_000, store, genid: newSessionKey }, app),
)
app.use(async (ctx) => {
  if (ctx.path !== '/catalog/') return
  const [books, copies, copiesAvailable, authors] = await Promise.all([
    count('catalog_book'),
    count('catalog_bookinstance'),
    count('catalog_bookinstance', { status: 'a' }),
    count('catalog_author'),
  ])
  // In this repository, `ctx.session` has this package's type.
  const session = ctx.session as unknown as SessionObject
  const numVisits = Number(session.num_visits ?? 0) + 1
  session.num_visits = numVisits
  ctx.type = 'html'
  ctx.body = page({ books, copies, copiesAvailable, authors }, numVisits)
})
serve(app.callback())
