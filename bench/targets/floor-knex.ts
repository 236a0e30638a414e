/** The floor with Knex's query builder and pool. */
import knex from 'knex'
import { ALL_COUNTS, pageByHand, serveFloor } from './floor-server.ts'
import { databaseUrl, POOL_SIZE } from './site.ts'

const db = knex({ client: 'mysql2', connection: databaseUrl, pool: { min: 0, max: POOL_SIZE } })
const rows = () => db('django_session')

serveFloor(
  {
    async load(key, now) {
      const row = await rows()
        .select('session_data')
        .where('session_key', key)
        .where('expire_date', '>', now)
        .first()
      return row?.session_data
    },
    insert: (key, data, expireDate) =>
      rows().insert({ session_key: key, session_data: data, expire_date: expireDate }),
    update: (key, data, expireDate) =>
      rows().where('session_key', key).update({ session_data: data, expire_date: expireDate }),
    countAll: () => db.first(db.raw(ALL_COUNTS.replace('SELECT ', ''))),
  },
  pageByHand(),
)
