import { UnreadableSession } from './unreadable-session.ts'

/**
 * USE_TZ and TIME_ZONE as `startproject` writes them; and `DATABASES[…]['TIME_ZONE']` where it is not set.
 * Source: django/conf/project_template/project_name/settings.py-tpl; django/db/backends/base/base.py, timezone.
 */
export const TIME_DEFAULTS = { useTz: true, timeZone: 'UTC', databaseTimeZone: 'UTC' } as const

/** The databases whose `expire_date` columns are supported. */
export type DatabaseKind = 'mysql' | 'sqlite' | 'postgresql'

/** Converts an instant to the text of an `expire_date` column and back. Microseconds are truncated to milliseconds. */
export interface DateColumn {
  toColumn(instant: Date): string
  /** @throws {UnreadableDate} if Django could not read the text as a date. */
  fromColumn(text: string): Date
}

/**
 * Creates the conversion for a Django with these settings. On PostgreSQL the column stores an instant. On MySQL and SQLite
 * it stores the wall clock time in UTC, or in the database's own TIME_ZONE (in DATABASES), or, if USE_TZ is False, in
 * TIME_ZONE. The texts sort like the instants, except in the hour that a time zone repeats, so SQL can compare them.
 * Source: `adapt_datetimefield_value` and `convert_datetimefield_value`, django/db/backends/…/operations.py; `timezone`,
 * django/db/backends/base/base.py.
 */
export function createDateColumn(options: {
  database: DatabaseKind
  useTz: boolean
  timeZone: string
  /** `DATABASES[…]['TIME_ZONE']`, used if USE_TZ is True; default: UTC. */
  databaseTimeZone?: string | undefined
}): DateColumn {
  const { database, useTz, timeZone, databaseTimeZone = TIME_DEFAULTS.databaseTimeZone } = options
  // Unlike Django, which relies on the time zone of the connection, each text for PostgreSQL contains the offset, so that
  // no setting of the connection can change its meaning.
  const clock = wallClock(database === 'postgresql' ? 'UTC' : useTz ? databaseTimeZone : timeZone)
  const suffix = database === 'postgresql' ? '+00:00' : ''
  const fraction = database === 'sqlite' ? 'unless zero' : 'always'
  return {
    toColumn(instant) {
      // Unlike Django, which fails if the time zone moves a date out of the years that Python and MySQL support.
      const digits = Math.min(Math.max(clock.digits(instant), FIRST_DIGITS), LAST_DIGITS)
      return writeDigits(digits, { separator: ' ', fraction }) + suffix
    },
    fromColumn(text) {
      const date = readIsoDate(text) ?? readIsoDate(normalized(text))
      if (date === null) throw new UnreadableDate('expire-date')
      const { digits, offset } = date
      return offset === null ? clock.instant(digits) : new Date(digits - offset)
    },
  }
}

/** The first and the last wall clock time that Python supports: years 1 to 9999. */
export const FIRST_DIGITS: number = Date.parse('0001-01-01T00:00:00.000Z')
export const LAST_DIGITS: number = Date.parse('9999-12-31T23:59:59.999Z')

/** The column does not contain a date, so the session cannot be read. Unlike Django, which answers 500 to the visitor. */
export class UnreadableDate extends UnreadableSession {
  override name = 'UnreadableDate'
  override readonly code: string = 'ERR_EXPIRE_DATE'
}

/** Whether this is a time zone name that TIME_ZONE may contain (`Asia/Seoul`, `UTC`); an offset (`+09:00`) is not. */
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
 * The wall clock of a time zone. Its `digits` are the milliseconds from 1970-01-01 00:00 to the time that the clock shows,
 * like Python's naive datetime. Adding to them ignores any change of the clock.
 */
export interface WallClock {
  digits(instant: Date): number
  /**
   * With `fold` 0, Python's default: digits that the clock shows twice mean the first time; digits that it skips are
   * converted with the offset before the gap. With `fold` 1: the second time, and the offset after the gap.
   */
  instant(digits: number, fold?: 0 | 1): Date
}

/** Returns the wall clock of a time zone. @throws {RangeError} if the time zone does not exist. */
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

/** Formats digits as `2035-11-28 22:13:20.123000`. The fraction has six digits, as in Python, or is omitted. */
export function writeDigits(
  digits: number,
  { separator, fraction }: { separator: ' ' | 'T'; fraction: 'always' | 'unless zero' },
): string {
  const iso = new Date(digits).toISOString()
  const [date, seconds, milliseconds] = [iso.slice(0, 10), iso.slice(11, 19), iso.slice(20, 23)]
  const isBare = fraction === 'unless zero' && milliseconds === '000'
  return `${date}${separator}${seconds}${isBare ? '' : `.${milliseconds}000`}`
}

/** A parsed date: wall clock digits, and the offset from UTC in milliseconds; the offset is null for a naive datetime. */
export interface IsoDate {
  readonly digits: number
  readonly offset: number | null
}

/**
 * Parses a date like `datetime.fromisoformat` of Python 3.11 and later; null where that raises. Microseconds are truncated
 * to milliseconds. Any character may separate date and time; dates may be `20231115`, `2023-W46-3` or `2023W463`.
 * Unlike Python's C code, but like its Python code, a stray character before the offset is an error.
 */
export function readIsoDate(text: string): IsoDate | null {
  const usual = USUAL_DATE.exec(text)
  if (usual !== null) {
    const [, date = '', time = '', fraction = '', isUtc] = usual
    const digits = digitsOf(date, time, fraction)
    return digits === null ? null : { digits, offset: isUtc === undefined ? null : 0 }
  }
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
  const digits = digitsOf(date, `${hour}:${minute}:${second}`, fraction)
  if (digits === null) return null
  const offset = offsetOf(parts)
  return offset !== null && Math.abs(offset) >= DAY ? null : { digits, offset }
}

/** `2026-12-14` and `02:15:20` as wall clock digits; null if there is no such date or time. */
function digitsOf(date: string, time: string, fraction: string): number | null {
  const digits = Date.parse(`${date}T${time}.${fraction.slice(0, 3).padEnd(3, '0')}Z`)
  if (Number.isNaN(digits) || date.startsWith('0000')) return null
  // Unlike Python, Date.parse accepts 31 February and 24:00, which overflow into another day, and the year 0.
  return new Date(digits).getUTCDate() === Number(date.slice(8)) ? digits : null
}

/** As the databases return an `expire_date`; all other forms take four times as long to read. */
const USUAL_DATE = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(\+00(?::00)?)?$/

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

/** Pads single digits and removes spaces before the offset, which the `datetime_re` of Django accepts. */
function normalized(text: string): string {
  // A column of SQLite may contain any type, even bytes.
  return String(text)
    .trim()
    .replace(/(?<![\d.,])\d(?!\d)/g, '0$&')
    .replace(/(?<!\s)\s+(?=Z$|[+-])/, '') // the lookbehind keeps the work linear for a million spaces
}

/** The day as `YYYY-MM-DD`; '' if the year does not have this week. */
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

/** One formatter for each time zone: creating one costs as much as a thousand uses. */
const offsetFormats = new Map<string, Intl.DateTimeFormat>()

function offsetFormat(timeZone: string): Intl.DateTimeFormat {
  let format = offsetFormats.get(timeZone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' })
    offsetFormats.set(timeZone, format)
  }
  return format
}

/** Parses `11/23/2026, GMT+05:30` to milliseconds. Plain `GMT` is zero; historical offsets may include seconds. */
function readOffset(formatted: string): number {
  const match = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(formatted)
  const [, sign, hours, minutes, seconds] = match ?? []
  return offsetOf({ sign, hours, minutes, seconds }) ?? 0
}
