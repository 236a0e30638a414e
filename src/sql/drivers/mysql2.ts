import type { Binding, SqlExecutor } from '../port.ts'
import { quoteName } from '../quote.ts'
import { checkedFirst, UnusableDatabase } from '../unusable-database.ts'

/** A pool of mysql2 or of mysql2/promise. */
export interface MysqlPool {
  readonly getConnection: (...parameters: never[]) => unknown
  readonly query: (...parameters: never[]) => unknown
  readonly execute: (...parameters: never[]) => unknown
}

/** The parts of mysql2's pool with callbacks that are used here. */
interface CallbackPool {
  readonly config: { readonly connectionConfig: { readonly clientFlags: number; readonly typeCast: unknown } }
  query(
    options: { sql: string; values: readonly Binding[]; rowsAsArray: false; typeCast?: TypeCast },
    callback: (error: Error | null, rows: unknown, fields: unknown) => void,
  ): void
}

type TypeCast = (field: unknown, next: () => unknown) => unknown

/** Source: mysql2/lib/constants/client.js. */
const CLIENT_FOUND_ROWS = 0x2

/** Source: mysql2/lib/constants/server_status.js. */
const SERVER_STATUS_IN_TRANS = 0x1
const SERVER_STATUS_AUTOCOMMIT = 0x2

/** What an `Ok` of the server contains. */
interface Ok {
  readonly serverStatus?: number
}

const AS_MYSQL2_READS_IT: TypeCast = (_field, next) => next()

/**
 * A pool of mysql2. Statements are sent as text, as Knex sends them. What the pool is set up with and a statement can
 * override is overridden: `rowsAsArray`, `typeCast`. Dates are selected as text, so `dateStrings` and `timezone` change
 * nothing. Values are lists, which `namedPlaceholders` leaves alone.
 * @throws {UnusableDatabase}
 */
export function createMysqlExecutor(given: MysqlPool): SqlExecutor {
  // A pool of mysql2/promise wraps one with callbacks.
  const pool = ('pool' in given ? given.pool : given) as CallbackPool
  const { clientFlags, typeCast } = pool.config.connectionConfig
  if ((clientFlags & CLIENT_FOUND_ROWS) === 0)
    throw new UnusableDatabase(
      "the pool of mysql2 is created with the flag -FOUND_ROWS: an UPDATE that changes nothing would look like another request's " +
        'change, and the save would fail; leave that flag out of `flags`, as Django does',
    )
  const options = {
    rowsAsArray: false,
    ...(typeof typeCast === 'function' && { typeCast: AS_MYSQL2_READS_IT }),
  } as const

  const run = (sql: string, values: readonly Binding[]): Promise<[rows: unknown, fields: unknown]> =>
    new Promise((resolve, reject) => {
      pool.query({ ...options, sql, values }, (error, rows, fields) => {
        if (error) reject(error)
        else resolve([rows, fields])
      })
    })

  const check = checkedFirst(async () => {
    const [rows] = await run('select @@autocommit as autocommit, @@character_set_client as charset', [])
    const [row] = rows as [{ autocommit: number; charset: string }]
    if (Number(row.autocommit) !== 1) throw new UnusableDatabase(NO_AUTOCOMMIT)
    if (!/^utf8(?:mb[34])?$/.test(row.charset))
      throw new UnusableDatabase(
        `the connections of the mysql2 pool use the character set ${row.charset}, in which a value can change its meaning; ` +
          "set `charset: 'utf8mb4'`",
      )
  })

  return {
    dialect: 'mysql',
    async query(sql, bindings) {
      const checking = check()
      if (checking !== undefined) await checking
      const result = await run(sql, bindings)
      requireCommitted(result[0] as Ok)
      return result
    },
    quote: (name) => quoteName(name, 'mysql'),
  }
}

const NO_AUTOCOMMIT =
  'the connections of the mysql2 pool have autocommit = 0: nothing would commit what is saved; leave autocommit on, and ' +
  'begin transactions where you need them'

/** The server says with each `Ok` of a write whether it is committed. Rows say nothing. */
function requireCommitted({ serverStatus }: Ok): void {
  if (serverStatus === undefined) return
  if ((serverStatus & SERVER_STATUS_AUTOCOMMIT) === 0) throw new UnusableDatabase(NO_AUTOCOMMIT)
  if ((serverStatus & SERVER_STATUS_IN_TRANS) !== 0)
    throw new UnusableDatabase(
      'the mysql2 pool has given out a connection inside a transaction: what is saved is not committed; commit or roll back ' +
        'each transaction before its connection is released',
    )
}
