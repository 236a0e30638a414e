/** The floor with SQL texts on Knex's pool and driver, without the query builder, as in the service. */
import knex from 'knex'
import { runStatement, selectRows } from '../../src/sql/executor.ts'
import { ALL_COUNTS, INSERT, LOAD, pageByHand, serveFloor, UPDATE } from './floor-server.ts'
import { type Counts, databaseUrl, POOL_SIZE } from './site.ts'

const db = knex({
  client: 'mysql2',
  connection: { uri: databaseUrl, dateStrings: true },
  pool: { min: 0, max: POOL_SIZE },
})

serveFloor(
  {
    async load(key, now) {
      const [row] = await selectRows(db, LOAD, [key, now])
      return row === undefined ? undefined : String(row.session_data)
    },
    insert: (key, data, expireDate) => runStatement(db, INSERT, [data, expireDate, key]),
    update: (key, data, expireDate) => runStatement(db, UPDATE, [data, expireDate, key]),
    async countAll() {
      const [row] = await selectRows(db, ALL_COUNTS)
      return row as Counts
    },
  },
  pageByHand(),
)
