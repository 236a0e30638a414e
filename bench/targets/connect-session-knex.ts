/** express, express-session and connect-session-knex; other statements through Knex. */
import { ConnectSessionKnexStore } from 'connect-session-knex'
import knex from 'knex'
import { serveByExpress } from './express-site.ts'
import { databaseUrl, POOL_SIZE } from './site.ts'

const db = knex({ client: 'mysql2', connection: databaseUrl, pool: { min: 0, max: POOL_SIZE } })
const count = async (table: string, where: object = {}): Promise<number> =>
  Number((await db(table).where(where).count({ total: '*' }))[0]?.total)

serveByExpress(new ConnectSessionKnexStore({ knex: db, tableName: 'knex_sessions' }), async () => {
  const [books, copies, copiesAvailable, authors] = await Promise.all([
    count('catalog_book'),
    count('catalog_bookinstance'),
    count('catalog_bookinstance', { status: 'a' }),
    count('catalog_author'),
  ])
  return { books, copies, copiesAvailable, authors }
})
