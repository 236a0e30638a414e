import { isRefused } from '../driver-errors.ts'
import type { Binding, SqlExecutor } from '../port.ts'
import { quoteName } from '../quote.ts'
import { checkedFirst, UnusableDatabase } from '../unusable-database.ts'

/** A pool of pg. */
export interface PgPool {
  readonly connect: (...parameters: never[]) => unknown
  readonly query: (...parameters: never[]) => unknown
  readonly totalCount: number
  readonly idleCount: number
}

/** The parts of pg's Pool that are used here. */
interface CallbackPool {
  readonly options?: { readonly binary?: unknown }
  connect(callback: (error: Error | undefined, client: Client, release: Release) => void): void
  listenerCount(event: 'error'): number
  on(event: 'error', listener: () => void): void
}

interface Client {
  query(query: object, callback: (error: Error | null, result: Result) => void): void
  getTypeParser(oid: number, format?: string): Parser
  /** `I` outside a transaction. Since pg 8.18. */
  getTransactionStatus?(): string | null
  on(event: 'error', listener: (error: Error) => void): void
  off(event: 'error', listener: (error: Error) => void): void
}

/** With an error, the pool closes the connection. */
type Release = (error?: Error) => void
type Parser = (text: string) => unknown

interface Result {
  readonly rows: readonly Record<string, unknown>[]
}

const asText: Parser = (text) => text

/**
 * Whatever parsers the program has set for its own columns. "char", name, text, bpchar, varchar; bool.
 * Source: PostgreSQL's pg_type.dat.
 */
const PARSERS: ReadonlyMap<number, Parser> = new Map<number, Parser>([
  [16, (text) => text === 't'],
  ...[18, 19, 25, 1042, 1043].map((oid): [number, Parser] => [oid, asText]),
])

/**
 * A pool of pg. Each value is a parameter of the protocol. Unlike `pool.query`, a connection whose statement was refused
 * stays in the pool, and only a connection in doubt is closed.
 * @throws {UnusableDatabase}
 */
export function createPgExecutor(given: PgPool): SqlExecutor {
  const pool = given as unknown as CallbackPool
  if (pool.options?.binary)
    throw new UnusableDatabase(
      'the pool of pg is created with `binary: true`, which changes the form of the values; leave it out',
    )
  // Without a listener, Node ends the process when the server ends an idle connection, which the pool replaces by itself.
  if (pool.listenerCount('error') === 0) pool.on('error', () => {})

  const run = (text: string, values: readonly Binding[]): Promise<Result> =>
    new Promise((resolve, reject) => {
      pool.connect((noClient, client, release) => {
        if (noClient) return reject(noClient)
        if ((client.getTransactionStatus?.() ?? 'I') !== 'I') {
          release()
          return reject(
            new UnusableDatabase(
              'the pool of pg has given out a connection inside a transaction: what is saved would not be committed; commit or ' +
                'roll back each transaction before its client is released',
            ),
          )
        }
        let isReleased = false
        const end = (error: Error | null): boolean => {
          if (isReleased) return false
          isReleased = true
          client.off('error', onLost)
          release(error === null || isRefused(error) ? undefined : error)
          return true
        }
        const onLost = (error: Error): void => {
          if (end(error)) reject(error)
        }
        client.on('error', onLost)
        const types = {
          getTypeParser: (oid: number, format?: string) =>
            PARSERS.get(oid) ?? client.getTypeParser(oid, format),
        }
        try {
          client.query({ text, values, types }, (error, result) => {
            if (!end(error)) return
            if (error) reject(error)
            else resolve(result)
          })
        } catch (error) {
          onLost(error as Error)
        }
      })
    })

  const check = checkedFirst(async () => {
    const sql = "select current_setting('DateStyle') as style, current_setting('client_encoding') as encoding"
    const [row] = (await run(sql, [])).rows
    if (!/^ISO\b/.test(String(row?.style)))
      throw new UnusableDatabase(
        `the connections of the pg pool have DateStyle ${String(row?.style)}, in which no expiry could be read; ` +
          "set it to ISO for them: `options: '-c datestyle=ISO'`",
      )
    if (!/^(?:UTF8|SQL_ASCII)$/.test(String(row?.encoding)))
      throw new UnusableDatabase(
        `the connections of the pg pool have client_encoding ${String(row?.encoding)}, but pg writes UTF8; leave it out`,
      )
  })

  return {
    dialect: 'postgresql',
    async query(sql, bindings) {
      const checking = check()
      if (checking !== undefined) await checking
      return run(numbered(sql), bindings)
    },
    quote: (name) => quoteName(name, 'postgresql'),
  }
}

/** With `$1` for the first `?`, and so on. Quoted names stay as they are. */
function numbered(sql: string): string {
  let count = 0
  return sql.replace(/"[^"]*"|\?/g, (match) => {
    if (match !== '?') return match
    count += 1
    return `$${count}`
  })
}
