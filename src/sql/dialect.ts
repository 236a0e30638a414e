import { createHash } from 'node:crypto'
import type { DatabaseKind } from '../django/datetime.ts'
import { executorOf, type SqlDatabase } from './executor.ts'
import type { Binding, SqlPart } from './port.ts'

/** What a statement says differently on each database. */
export interface Dialect {
  /** Selects a column of dates as the text that it holds, under its own name. */
  dateAsText(column: string): string
  /** Converts an expression to text, so that it can be united with any other text. */
  asText(expression: string): string
  /** Compares a column of text with a value, to the byte. */
  textEquals(column: string, text: string): BoundText
  /** A value with its placeholder, whatever a visitor may have put into it. */
  bind(value: Binding): BoundText<Binding>
  /** A text to compare with a column by the column's own collation, whatever the text contains. */
  comparable(text: string): SqlPart
  /** How many rows an UPDATE or DELETE found, from the driver's result. */
  changes(result: unknown): number
}

/** A part of a statement with one placeholder, and the value for that. */
export interface BoundText<Value = string> {
  readonly sql: string
  readonly value: Value
}

/** Which of Django's databases this is. @throws {TypeError} for a database that is not supported. */
export function databaseKindOf(db: SqlDatabase): DatabaseKind {
  return executorOf(db).dialect
}

/** From this length on, MySQL compares a digest instead of the text: it costs half at 100 kB. */
export const DIGEST_FROM = 4096

/**
 * mysql2 writes values into the statement, and escapes them with backslashes, even where sql_mode says that those escape
 * nothing. A NUL is an error on PostgreSQL; see `isStorableKey`.
 */
const NEEDS_ESCAPES = /[\0'"\\]/

const asIs = (value: Binding): BoundText<Binding> => ({ sql: '?', value })

const asBound = (text: string): SqlPart => ({ sql: '?', bindings: [text] })

/**
 * MySQL's default collations ignore case, accents and trailing blanks, and base64 texts may differ in case alone: texts
 * are compared in binary. Only the value is cast, so that an index of the column can be used.
 */
export const dialects: Readonly<Record<DatabaseKind, Dialect>> = {
  mysql: {
    dateAsText: (column) => `CAST(${column} AS CHAR) AS ${column}`,
    // With one collation for all, whatever the column's or the connection's: else a UNION is an error (1271).
    asText: (expression) => `CONVERT(CAST(${expression} AS CHAR) USING utf8mb4)`,
    textEquals: (column, text) =>
      text.length >= DIGEST_FROM || NEEDS_ESCAPES.test(text)
        ? { sql: `SHA2(${column}, 256) = ?`, value: createHash('sha256').update(text).digest('hex') }
        : { sql: `${column} = CAST(? AS BINARY)`, value: text },
    bind: (value) =>
      typeof value === 'string' && NEEDS_ESCAPES.test(value)
        ? { sql: 'CONVERT(UNHEX(?) USING utf8mb4)', value: Buffer.from(value).toString('hex') }
        : asIs(value),
    // A literal: a CONVERT has a collation of its own, which may not fit the column's (error 1267).
    comparable: (text) =>
      NEEDS_ESCAPES.test(text)
        ? { sql: `_utf8mb4 x'${Buffer.from(text).toString('hex')}'`, bindings: [] }
        : asBound(text),
    changes: (result) => (result as [{ affectedRows: number }])[0].affectedRows,
  },
  postgresql: {
    dateAsText: (column) => `${column}::text AS ${column}`,
    asText: (expression) => `CAST(${expression} AS text)`,
    // No digest: sha256() came with PostgreSQL 11, and Django 2.2 runs on older ones.
    textEquals: (column, text) => ({ sql: `${column} = ? COLLATE "C"`, value: text }),
    bind: asIs,
    comparable: asBound,
    changes: (result) => (result as { rowCount: number }).rowCount,
  },
  sqlite: {
    dateAsText: (column) => column,
    asText: (expression) => `CAST(${expression} AS TEXT)`,
    textEquals: (column, text) => ({ sql: `${column} = ? COLLATE BINARY`, value: text }),
    bind: asIs,
    comparable: asBound,
    changes: (result) => (result as { changes: number }).changes,
  },
}
