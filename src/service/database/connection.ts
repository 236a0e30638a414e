import type { Duplex } from 'node:stream'
import type { DatabaseHost } from '../settings/database-settings.ts'

/** The server did not answer in time; its connection is gone. */
export class DatabaseTimeout extends Error {
  override name = 'DatabaseTimeout'
  readonly code: string = 'ERR_DATABASE_TIMEOUT'
}

/** The server answers, but not with these settings, and waiting does not mend that. The message says what does. */
export class DatabaseMismatch extends Error {
  override name = 'DatabaseMismatch'
  readonly code: string = 'ERR_DATABASE_MISMATCH'
}

/** A server that answers but takes no writes. Its `code` or `errno` is what one would have met there. */
export class UnfitServer extends Error {
  override name = 'UnfitServer'
  readonly code: string
  readonly errno: number | undefined

  constructor(message: string, { code, errno }: { code: string; errno?: number }) {
    super(message)
    this.code = code
    this.errno = errno
  }
}

/** What we use of a driver's connection. */
export interface QueriedConnection {
  query(...statementAndCallback: unknown[]): unknown
  /** mysql2's socket. */
  stream?: Duplex
  /** pg's protocol handler, and its socket. */
  connection?: { stream: Duplex }
  /** pg's, for one connection. */
  setTypeParser?(type: number, parse: (text: string) => unknown): void
}

/** What differs between MySQL and PostgreSQL while a connection is made and kept. */
export interface ServerDialect {
  readonly protocol: 'mysql' | 'postgresql'
  /** Whether the first attempt is encrypted. */
  encrypts(host: DatabaseHost): boolean
  /** What the driver is to be told for one attempt. */
  address(host: DatabaseHost, attempt: { milliseconds: number; isEncrypted: boolean }): object
  /** How to try again after a failure: encrypted, in clear, or (null) not at all. @throws {DatabaseMismatch} */
  again(error: unknown, attempt: { isEncrypted: boolean }): { isEncrypted: boolean } | null
  /** @throws {UnfitServer} {DatabaseMismatch} */
  setUp(connection: QueriedConnection): Promise<void>
  /** Asks the server to end the statement that runs there; where it does so by itself, nothing. */
  cancel(connection: QueriedConnection, host: DatabaseHost): void
}

/** Gives the rows. */
export function query(connection: QueriedConnection, statement: string): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    connection.query(statement, (error: unknown, result: Rows | { rows: Rows }) => {
      if (error) reject(error)
      else resolve('rows' in result ? result.rows : result)
    })
  })
}

type Rows = Record<string, unknown>[]

/** Ends a connection whose server was waited for in vain. */
export function giveUp(connection: QueriedConnection, milliseconds: number): void {
  const error = new DatabaseTimeout(`The database did not answer within ${Math.round(milliseconds)} ms`)
  socketOf(connection)?.destroy(error)
}

export function socketOf(connection: QueriedConnection): Duplex | undefined {
  return connection.stream ?? connection.connection?.stream
}
