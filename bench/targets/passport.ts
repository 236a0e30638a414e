/**
 * express and passport, with express-mysql-session or connect-pg-simple: a logged-in visitor with permissions, and a
 * message that waits at each request. It looks up what the service looks up: the user, the permissions, the counts.
 */
import connectPgSimple from 'connect-pg-simple'
import express from 'express'
import mySqlStore from 'express-mysql-session'
import session, { type Store } from 'express-session'
import passport from 'passport'
import { expressSession } from './express-site.ts'
import { countAll, createPage, databaseUrl, serve } from './site.ts'

declare module 'express-session' {
  interface SessionData {
    /** Shown on the next page, and then removed. */
    messages: string[]
  }
}

interface Reader {
  readonly id: number
  readonly username: string
  readonly is_staff: boolean | number
  readonly permissions: ReadonlySet<string>
}

interface Database {
  readonly store: Store
  query(sql: string): Promise<readonly Record<string, unknown>[]>
}

const MESSAGE = 'The loan was renewed.'
const { store, query } = databaseUrl.startsWith('postgresql:') ? await openPostgresql() : await openMysql()
const page = createPage()

passport.serializeUser((user, done) => done(null, (user as Reader).id))
passport.deserializeUser((id: number, done) => {
  readReader(id).then((reader) => done(null, reader), done)
})

const app = express()
app.use(expressSession(store))
app.use(passport.session())
app.get('/login/:id', async (request, response, next) => {
  const reader = await readReader(Number(request.params.id))
  if (reader === null) return void response.sendStatus(404)
  request.login(reader, (error) => {
    if (error) return void next(error)
    request.session.messages = [MESSAGE]
    response.sendStatus(204)
  })
})
app.get('/catalog/', async (request, response) => {
  const counts = await countAll(async (statement) => Number((await query(statement))[0]?.total))
  const reader = (request.user as Reader | undefined) ?? null
  const messages = request.session.messages ?? []
  // Another message waits for the next page, so that each request shows one. It costs no statement of its own.
  if (reader !== null) request.session.messages = [MESSAGE]
  const numVisits = (request.session.num_visits ?? 0) + 1
  request.session.num_visits = numVisits
  const user =
    reader === null
      ? null
      : {
          name: reader.username,
          isStaff: Boolean(reader.is_staff),
          canMarkReturned: reader.permissions.has('catalog.can_mark_returned'),
          csrfToken: request.sessionID,
        }
  response.type('html').send(page(counts, numVisits, { user, messages }))
})
serve(app)

async function readReader(id: number): Promise<Reader | null> {
  const [user] = await query(`SELECT * FROM auth_user WHERE id = ${Number(id)} AND is_active`)
  if (user === undefined) return null
  const select = `SELECT app_label, codename FROM auth_permission
    JOIN django_content_type ON django_content_type.id = content_type_id`
  const permissions = await query(`${select}
    JOIN auth_user_user_permissions AS own ON own.permission_id = auth_permission.id WHERE own.user_id = ${Number(id)}
    UNION ${select}
    JOIN auth_group_permissions AS of_group ON of_group.permission_id = auth_permission.id
    JOIN auth_user_groups AS member ON member.group_id = of_group.group_id WHERE member.user_id = ${Number(id)}`)
  return {
    id,
    username: String(user.username),
    is_staff: Boolean(user.is_staff),
    permissions: new Set(permissions.map(({ app_label, codename }) => `${app_label}.${codename}`)),
  }
}

async function openMysql(): Promise<Database> {
  const { db } = await import('./mysql2-pool.ts')
  const MySqlStore = mySqlStore(session as never)
  const store = new MySqlStore({ schema: { tableName: 'passport_sessions' } }, db as never)
  await store.onReady() // until its table is created
  return { store: store as never, query: async (sql) => (await db.query(sql))[0] as never }
}

async function openPostgresql(): Promise<Database> {
  const { createSessionTable, db } = await import('./pg-pool.ts')
  const PgStore = connectPgSimple(session)
  await createSessionTable('passport_sessions')
  return {
    store: new PgStore({ pool: db, tableName: 'passport_sessions' }),
    query: async (sql) => (await db.query(sql)).rows,
  }
}
