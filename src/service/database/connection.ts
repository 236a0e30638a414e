import type { Duplex } from 'node:stream'
import { isNotReady, isReadOnly } from '../../sql/driver-errors.ts'
import type { DatabaseHost } from '../settings/database-settings.ts'

/** The server did not answer in time; its connection was closed. */
export class DatabaseTimeout extends Error {
  override name = 'DatabaseTimeout'
  readonly code: string = 'ERR_DATABASE_TIMEOUT'
}

/** The server does not accept these settings, and waiting does not help. The message says what to change. */
export class DatabaseMismatch extends Error {
  override name = 'DatabaseMismatch'
  readonly code: string = 'ERR_DATABASE_MISMATCH'
}

/** The server answers but accepts no writes. `code` or `errno` is that of the error that a write would meet there. */
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

/** The part of a driver's connection that is used here. */
export interface QueriedConnection {
  query(...statementAndCallback: unknown[]): unknown
  /** mysql2's socket. */
  stream?: Duplex
  /** pg's protocol handler, with its socket. */
  connection?: { stream: Duplex }
  /** pg's type parsers of this connection. */
  setTypeParser?(type: number, parse: (text: string) => unknown): void
}

/** How connections to MySQL and to PostgreSQL differ. */
export interface ServerDialect {
  readonly protocol: 'mysql' | 'postgresql'
  /** Whether the first attempt is encrypted. */
  encrypts(host: DatabaseHost): boolean
  /** The driver's options for one attempt. */
  address(host: DatabaseHost, attempt: { milliseconds: number; isEncrypted: boolean }): object
  /** How to retry after a failure: with TLS, without TLS, or not at all (null). @throws {DatabaseMismatch} */
  retryAfter(error: unknown, attempt: { isEncrypted: boolean }): { isEncrypted: boolean } | null
  /**
   * Returns the milliseconds after its time limit in which the server may end a statement by itself.
   * @throws {UnfitServer} {DatabaseMismatch}
   */
  setUp(connection: QueriedConnection): Promise<number>
  /** Asks the server to end the running statement. Does nothing if the server ends it by itself. */
  cancel(connection: QueriedConnection, host: DatabaseHost): void
}

/** Runs one statement and returns its rows. */
export function query(connection: QueriedConnection, statement: string): Promise<Record<string, unknown>[]> {
  return new Promise((resolve, reject) => {
    connection.query(statement, (error: unknown, result: Rows | { rows: Rows }) => {
      if (error) reject(error)
      else resolve('rows' in result ? result.rows : result)
    })
  })
}

type Rows = Record<string, unknown>[]

/** Closes a connection whose server did not answer in time. */
export function closeUnanswered(connection: QueriedConnection, milliseconds: number): void {
  const error = new DatabaseTimeout(`The database did not answer within ${Math.round(milliseconds)} ms`)
  socketOf(connection)?.destroy(error)
}

/** The socket of mysql2's or pg's connection. */
export function socketOf(connection: QueriedConnection): Duplex | undefined {
  return connection.stream ?? connection.connection?.stream
}

const retired = new WeakSet<object>()

/** Whether the pool must replace this connection: its server accepts no writes any more, or a statement was cancelled. */
export function isRetired(connection: object): boolean {
  return retired.has(connection)
}

/**
 * Milliseconds after its time limit in which the server must end a statement: in the first half by itself, in the second
 * half because it was asked to.
 */
const GRACE = 500

/**
 * Closes the connection of a statement that is not answered in time: the server may hang, or the network be interrupted.
 * The drivers' own time-outs leave such a connection in the pool, and Knex's `timeout` does not cover BEGIN and COMMIT.
 */
export function limitStatements(
  connection: QueriedConnection,
  { milliseconds, cancel }: { milliseconds: number; cancel: () => void },
): void {
  const send = connection.query
  let running = 0
  let closing: NodeJS.Timeout | undefined
  // One for all statements of the connection, which it answers in turn: to restart it costs a third of a new one.
  const timer = setTimeout(onLate, milliseconds + GRACE / 2).unref()
  function onLate(): void {
    if (running === 0) return
    closing = setTimeout(() => closeUnanswered(connection, milliseconds + GRACE), GRACE / 2)
    retired.add(connection) // A late cancellation must not end the next statement.
    cancel()
  }
  connection.query = (...args) => {
    const callback = args.pop()
    // Only Knex calls this, always with a callback, except for a stream, which its reader limits.
    if (typeof callback !== 'function') return send.call(connection, ...args, callback)
    running += 1
    if (running === 1) timer.refresh()
    const settle = (...result: unknown[]) => {
      running -= 1
      clearTimeout(closing)
      if (running > 0) timer.refresh()
      if (isReadOnly(result[0]) || isNotReady(result[0])) retired.add(connection)
      callback(...result)
    }
    return send.call(connection, ...args, settle)
  }
}
