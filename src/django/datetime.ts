import { UnreadableSession } from './unreadable-session.ts'

/**
 * USE_TZ and TIME_ZONE as `startproject` writes them; and `DATABASES[…]['TIME_ZONE']` where it is not set.
 * Source: django/conf/project_template/project_name/settings.py-tpl; django/db/backends/base/base.py, timezone.
 */
export const TIME_DEFAULTS = { useTz: true, timeZone: 'UTC', databaseTimeZone: 'UTC' } as const

/** The databases whose `expire_date` columns we know. */
export type DatabaseKind = 'mysql' | 'sqlite' | 'postgresql'

/** An instant ⇄ the text of an `expire_date` column; milliseconds are kept, microseconds are cut. */
export interface DateColumn {
  toColumn(instant: Date): string
  /** @throws {UnreadableDate} when the text is no date that Django reads. */
  fromColumn(text: string): Date
}

/**
 * How a Django with these settings writes `expire_date`: on MySQL and SQLite the digits of UTC, or of the database's own
 * TIME_ZONE (in DATABASES), or of TIME_ZONE where USE_TZ is False; on PostgreSQL an instant. Texts sort as the instants
 * do, but for the hour that a zone's clock repeats, so they can be compared in SQL.
 * Source: `adapt_datetimefield_value` and `convert_datetimefield_value`, django/db/backends/…/operations.py; `timezone`,
 * django/db/backends/base/base.py.
 */
export function createDateColumn(options: {
  database: DatabaseKind
  useTz: boolean
  timeZone: string
  /** `DATABASES[…]['TIME_ZONE']`, with USE_TZ; default: UTC. */
  databaseTimeZone?: string | undefined
}): DateColumn {
  const { database, useTz, timeZone, databaseTimeZone = TIME_DEFAULTS.databaseTimeZone } = options
  // Unlike Django, which relies on the connection's zone, PostgreSQL gets the offset with each text: no setting of the
  // connection can then change what it means.
  const clock = wallClock(database === 'postgresql' ? 'UTC' : useTz ? databaseTimeZone : timeZone)
  const suffix = database === 'postgresql' ? '+00:00' : ''
  const fraction = database === 'sqlite' ? 'unless zero' : 'always'
  return {
    toColumn(instant) {
      // Unlike Django, which fails where the zone moves a date out of the years that Python and MySQL know.
      const digits = Math.min(Math.max(clock.digits(instant), FIRST_DIGITS), LAST_DIGITS)
      return writeDigits(digits, { separator: ' ', fraction }) + suffix
    },
    fromColumn(text) {
      const reading = readIsoDate(text) ?? readIsoDate(tidied(text))
      if (reading === null) throw new UnreadableDate('expire-date')
      const { digits, offset } = reading
      return offset === null ? clock.instant(digits) : new Date(digits - offset)
    },
  }
}

/** The first and the last moment of Python's years 1 to 9999, on any wall. */
export const FIRST_DIGITS: number = Date.parse('0001-01-01T00:00:00.000Z')
export const LAST_DIGITS: number = Date.parse('9999-12-31T23:59:59.999Z')

/** A column's text that is no date: such a session cannot be read. Unlike Django, which answers 500 to its visitor. */
export class UnreadableDate extends UnreadableSession {
  override name = 'UnreadableDate'
  override readonly code: string = 'ERR_EXPIRE_DATE'
}

/** Whether this is the name of a time zone (`Asia/Seoul`, `UTC`) as TIME_ZONE holds it, not an offset (`+09:00`). */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false
  try {
    offsetFormat(name)
    return true
  } catch {
    return false
  }
}

/**
 * The clock on a zone's wall. Its digits are milliseconds since 1970-01-01 00:00 *on that wall*, the counterpart of
 * Python's naive datetime: adding to them ignores any change of the clock.
 */
export interface WallClock {
  digits(instant: Date): number
  /**
   * Digits shown twice mean the first time, digits never shown count from before the gap: Python's `fold=0`. With
   * `fold` 1 they mean the second time, and count from behind the gap.
   */
  instant(digits: number, fold?: 0 | 1): Date
}

/** @throws {RangeError} when there is no such zone. */
export function wallClock(timeZone: string): WallClock {
  if (timeZone === 'UTC') return UTC
  const format = offsetFormat(timeZone)
  const offsetAt = (time: number): number => readOffset(format.format(time))
  return {
    digits: (instant) => instant.getTime() + offsetAt(instant.getTime()),
    instant(digits, fold = 0) {
      const early = offsetAt(digits - DAY)
      const late = offsetAt(digits + DAY)
      const [first, second] = fold === 0 ? [early, late] : [late, early]
      for (const offset of [first, second]) {
        if (offsetAt(digits - offset) === offset) return new Date(digits - offset)
      }
      return new Date(digits - first)
    },
  }
}

/** Digits as `2035-11-28 22:13:20.123000`: the fraction has six places, as Python writes it, or is left out. */
export function writeDigits(
  digits: number,
  { separator, fraction }: { separator: ' ' | 'T'; fraction: 'always' | 'unless zero' },
): string {
  const iso = new Date(digits).toISOString()
  const [date, seconds, milliseconds] = [iso.slice(0, 10), iso.slice(11, 19), iso.slice(20, 23)]
  const isBare = fraction === 'unless zero' && milliseconds === '000'
  return `${date}${separator}${seconds}${isBare ? '' : `.${milliseconds}000`}`
}

/** Digits, and the offset from UTC in milliseconds that stands behind them, or null for a naive datetime. */
export interface IsoDate {
  readonly digits: number
  readonly offset: number | null
}

/**
 * What `datetime.fromisoformat` of Python 3.11 and later reads, or null where it raises; microseconds are cut to
 * milliseconds. Any character may stand between date and time; dates may be `20231115`, `2023-W46-3` or `2023W463`.
 * Unlike Python's C code (but like its Python code), a stray character before the offset makes it no date.
 */
export function readIsoDate(text: string): IsoDate | null {
  const parts = ISO_DATE.exec(text)?.groups
  if (parts === undefined) return null
  const {
    year = '',
    month,
    day,
    week,
    weekday = '1',
    hour = '00',
    minute = '00',
    second = '00',
    fraction = '',
  } = parts
  const date =
    week === undefined ? `${year}-${month}-${day}` : dateOfWeek(Number(year), Number(week), Number(weekday))
  const iso = `${date}T${hour}:${minute}:${second}.${fraction.slice(0, 3).padEnd(3, '0')}Z`
  const digits = Date.parse(iso)
  // Date.parse lets 31 February and 24:00 overflow, and knows a year 0; Python does not.
  if (year === '0000' || Number.isNaN(digits) || new Date(digits).toISOString() !== iso) return null
  const offset = offsetOf(parts)
  return offset !== null && Math.abs(offset) >= DAY ? null : { digits, offset }
}

const DAY = 24 * 60 * 60 * 1000

const UTC: WallClock = {
  digits: (instant) => instant.getTime(),
  instant: (digits) => new Date(digits),
}

const ISO_DATE = new RegExp(
  [
    String.raw`^(?<year>\d{4})(?<dash>-?)`,
    String.raw`(?:(?<month>\d\d)\k<dash>(?<day>\d\d)|W(?<week>\d\d)(?:\k<dash>(?<weekday>[1-7]))?)`,
    String.raw`(?:.(?<hour>\d\d)(?:(?<colon>:?)(?<minute>\d\d)(?:\k<colon>(?<second>\d\d)(?:[.,](?<fraction>\d+))?)?)?`,
    String.raw`(?:(?<utc>Z)|(?<sign>[+-])(?<hours>\d\d)(?:(?<colons>:?)(?<minutes>\d\d)`,
    String.raw`(?:\k<colons>(?<seconds>\d\d)(?:[.,]\d+)?)?)?)?)?$`,
  ].join(''),
  'su',
)

/** The text with its lone digits padded and no blank before the offset, as Django's own `datetime_re` tolerates it. */
function tidied(text: string): string {
  // SQLite keeps whatever it was given, bytes too.
  return String(text)
    .trim()
    .replace(/(?<![\d.,])\d(?!\d)/g, '0$&')
    .replace(/(?<!\s)\s+(?=Z$|[+-])/, '') // one try for each run of blanks, of which there may be a million
}

/** The day as `YYYY-MM-DD`; text that is no date for a week that the year has not. */
function dateOfWeek(year: number, week: number, weekday: number): string {
  const dayInFirstWeek = new Date(0)
  dayInFirstWeek.setUTCFullYear(year, 0, 4)
  const monday = dayInFirstWeek.getTime() + ((week - 1) * 7 - ((dayInFirstWeek.getUTCDay() + 6) % 7)) * DAY
  const isOfYear = new Date(monday + 3 * DAY).getUTCFullYear() === year
  return isOfYear ? new Date(monday + (weekday - 1) * DAY).toISOString().slice(0, 10) : ''
}

function offsetOf({
  utc,
  sign,
  hours,
  minutes = '0',
  seconds = '0',
}: Partial<Record<string, string>>): number | null {
  if (utc !== undefined) return 0
  if (sign === undefined) return null
  const size = ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000
  return sign === '-' ? 0 - size : size
}

/** One formatter per zone ever asked for: making one costs as much as a thousand readings. */
const offsetFormats = new Map<string, Intl.DateTimeFormat>()

function offsetFormat(timeZone: string): Intl.DateTimeFormat {
  let format = offsetFormats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
    offsetFormats.set(timeZone, format)
  }
  return format
}

/** Milliseconds from `11/23/2026, GMT+05:30`; plain `GMT` is zero, and seconds follow where a zone had them. */
function readOffset(formatted: string): number {
  const match = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(formatted)
  const [, sign, hours, minutes, seconds] = match ?? []
  return offsetOf({ sign, hours, minutes, seconds }) ?? 0
}
