import type { DatabaseKind } from '../django/datetime.ts'
import { SessionTooLarge } from '../django/session-too-large.ts'
import { codeOf, isHungUp, isTooLarge, isTooLargeForPacket, isTooLongForColumn } from './driver-errors.ts'
import { executorOf, type SqlDatabase, selectRows } from './executor.ts'

export interface RowSize {
  /**
   * Refuses a text (ASCII only) that MySQL would cut without an error, or a statement that it would not read; undefined
   * where the server need not be asked. A text that the server refuses by itself is sent: see `meaningOf`.
   * @throws {SessionTooLarge} by its promise
   */
  admit(text: number, statement?: number): Promise<void> | undefined
  /** Returns a SessionTooLarge where the error means that for a row with a text of so many characters; else the error. */
  meaningOf(error: unknown, text: number): Promise<unknown>
  /** Bytes of a statement at most; null where that is not known. */
  readonly packet: number | null
}

export interface RowSizeOptions {
  readonly kind: DatabaseKind
  /** Not quoted. */
  readonly table: string
  /** Not quoted. */
  readonly column: string
}

/** Characters that fit into every column of text, and every packet. */
const FITS = 255

/** No server has a smaller `max_allowed_packet`, and few sessions are larger. */
const MAY_EXCEED_A_PACKET = 64 * 1024

/**
 * How large a text of this column may be. MySQL is asked for its limits once, before the first row that may exceed one,
 * and again before a row is refused, since they may have been raised.
 */
export function createRowSize(db: SqlDatabase, { kind, table, column }: RowSizeOptions): RowSize {
  let known: Limits | null = null
  let asking: Promise<Limits> | null = null

  async function ask(): Promise<Limits> {
    const [row] = await selectRows(db, 'select @@sql_mode as mode, @@max_allowed_packet as packet')
    const isStrict = /\bSTRICT_(?:TRANS|ALL)_TABLES\b/.test(String(row?.mode))
    const type = isStrict ? null : await typeOf(db, kind, table, column)
    return { packet: Number(row?.packet), column: lengthOf(type) ?? Infinity, type }
  }

  async function limits(): Promise<Limits> {
    asking ??= ask().finally(() => {
      asking = null
    })
    known = await asking
    return known
  }

  /** The server hangs up after its refusal: the first question may still meet that connection, so it is asked twice. */
  async function packetAfterHangUp(): Promise<number | null> {
    const { packet } = await limits()
      .catch(limits)
      .catch(() => ({ packet: null }))
    return packet
  }

  async function admitAsked(text: number, statement: number): Promise<void> {
    const { packet, column: length, type } = await limits()
    if (text > length) throw tooLargeFor(text, type)
    if (statement > packet) throw tooLargeForPacket(text, packet)
  }

  function tooLargeFor(text: number, type: string | null, options?: ErrorOptions): SessionTooLarge {
    const length = lengthOf(type)
    const limit = length === null ? (type ?? 'its type') : `${type}: ${length}`
    return new SessionTooLarge(
      `The session needs ${text} characters, more than the column ${column} of ${table} can hold (${limit}); ` +
        `store less in it, or give the column the type ${WIDEST[kind]}, as Django does`,
      options,
    )
  }

  return {
    get packet() {
      return known?.packet ?? null
    },

    admit(text, statement = text) {
      if (kind !== 'mysql' || text <= FITS) return undefined
      if (known !== null && text <= known.column && statement <= known.packet) return undefined
      return admitAsked(text, statement)
    },

    async meaningOf(error, text) {
      if (kind === 'mysql' && text > MAY_EXCEED_A_PACKET && isHungUp(error)) {
        // The server may have hung up on a statement whose beginning says that it is too long.
        const packet = await packetAfterHangUp()
        if (packet !== null && text > packet) return tooLargeForPacket(text, packet, { cause: error })
      }
      if (!(error instanceof Error && isTooLarge(error))) return error
      const cause = { cause: error }
      if (isTooLargeForPacket(error)) return tooLargeForPacket(text, await packetAfterHangUp(), cause)
      if (isTooLongForColumn(error)) {
        // PostgreSQL does not name the column; MySQL does.
        if (kind === 'mysql' && !error.message.includes(`'${column}'`)) return error
        return tooLargeFor(text, await typeOf(db, kind, table, column).catch(() => null), cause)
      }
      return new SessionTooLarge(
        `The session needs ${text} characters, more than the table ${table} can hold in a row (${codeOf(error)}); ` +
          'store less in it, or look for an index or a trigger of your own on the table',
        cause,
      )
    },
  }
}

interface Limits {
  readonly packet: number
  /** Characters; Infinity where the server itself refuses a longer text. */
  readonly column: number
  readonly type: string | null
}

function tooLargeForPacket(text: number, packet: number | null, options?: ErrorOptions): SessionTooLarge {
  const limit = packet === null ? '' : ` (${packet} bytes)`
  return new SessionTooLarge(
    `The session needs ${text} characters, more than a statement of this server may have: its max_allowed_packet${limit}; ` +
      'store less in it, or raise max_allowed_packet',
    options,
  )
}

/** The type of Django's TextField. */
const WIDEST: Readonly<Record<DatabaseKind, string>> = {
  mysql: 'longtext',
  postgresql: 'text',
  sqlite: 'text',
}

/** The column's type as its server writes it; null where the server does not say. */
async function typeOf(
  db: SqlDatabase,
  kind: DatabaseKind,
  table: string,
  column: string,
): Promise<string | null> {
  const name = executorOf(db).quote(table)
  if (kind === 'sqlite') return null
  const [row] =
    kind === 'mysql'
      ? await selectRows(db, `show columns from ${name} where Field = ?`, [column])
      : await selectRows(
          db,
          'select format_type(atttypid, atttypmod) as "Type" from pg_attribute where attrelid = ?::regclass and attname = ?',
          [name, column],
        )
  return row === undefined ? null : String(row.Type)
}

/** How many characters of ASCII a column of this type can hold; null where that is not known. */
function lengthOf(type: string | null): number | null {
  const [, size, length] = /^(?:(tiny|medium|long|)(?:text|blob)\b|[\w ]+\((\d+)\))/.exec(type ?? '') ?? []
  if (length !== undefined) return Number(length)
  return size === undefined ? null : (TEXT_LENGTHS[size] ?? null)
}

/** MySQL's. */
const TEXT_LENGTHS: Readonly<Record<string, number>> = {
  tiny: 2 ** 8 - 1,
  '': 2 ** 16 - 1,
  medium: 2 ** 24 - 1,
  long: 2 ** 32 - 1,
}
