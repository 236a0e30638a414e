/** Python's dates and times, exact to the microsecond, as values of a session. */
import { isTimeZone, wallClock } from '../datetime.ts'

const SECONDS_A_DAY = 86_400

/** Python's timedelta, normalized as in Python: `seconds` from 0 to 86399, `microseconds` from 0 to 999999. */
export class PythonTimedelta {
  readonly days: number
  readonly seconds: number
  readonly microseconds: number

  constructor({ days = 0, seconds = 0, microseconds = 0 }: Partial<PythonTimedelta> = {}) {
    const carried = seconds + Math.floor(microseconds / 1e6)
    this.days = days + Math.floor(carried / SECONDS_A_DAY)
    this.seconds = modulo(carried, SECONDS_A_DAY)
    this.microseconds = modulo(microseconds, 1e6)
  }

  /** Source: timedelta.total_seconds. */
  totalSeconds(): number {
    return ((this.days * SECONDS_A_DAY + this.seconds) * 1e6 + this.microseconds) / 1e6
  }
}

/** The arguments of a tzinfo, by the class or function that creates it in Python. */
export type ZoneSource =
  | { readonly kind: 'datetime.timezone'; readonly offset: PythonTimedelta; readonly name: string | null }
  | { readonly kind: 'pytz._UTC' }
  | { readonly kind: 'pytz.FixedOffset'; readonly minutes: number }
  /** `local` is null for a time zone whose offset never changes. */
  | { readonly kind: 'pytz._p'; readonly zone: string; readonly local: PytzLocal | null }
  | {
      readonly kind: 'zoneinfo.ZoneInfo' | 'backports.zoneinfo.ZoneInfo'
      readonly zone: string
      readonly fromCache: boolean
    }

/** The offsets, in seconds, and the name that pytz stores in the tzinfo when it localizes a datetime. */
export interface PytzLocal {
  readonly utcOffset: number
  readonly dst: number
  readonly name: string
}

/** Python's tzinfo: `datetime.timezone`, or a time zone of `zoneinfo` or pytz. */
export class PythonTimezone {
  static readonly utc: PythonTimezone = new PythonTimezone({
    kind: 'datetime.timezone',
    offset: new PythonTimedelta(),
    name: null,
  })
  static readonly pytzUtc: PythonTimezone = new PythonTimezone({ kind: 'pytz._UTC' })

  readonly source: ZoneSource

  constructor(source: ZoneSource) {
    this.source = source
  }

  /**
   * Returns the offset from UTC in microseconds (positive: east) at these wall clock digits (see `WallClock`). Null if the
   * time zone is unknown, or if its offset depends on a date and `digits` is null.
   */
  offsetAt(digits: number | null, fold: 0 | 1): number | null {
    const { source } = this
    switch (source.kind) {
      case 'datetime.timezone':
        return (source.offset.days * SECONDS_A_DAY + source.offset.seconds) * 1e6 + source.offset.microseconds
      case 'pytz._UTC':
        return 0
      case 'pytz.FixedOffset':
        return source.minutes * 60e6
      case 'pytz._p':
        return source.local === null ? offsetOf(source.zone, digits, fold) : source.local.utcOffset * 1e6
      default:
        return offsetOf(source.zone, digits, fold)
    }
  }
}

/** Python's date. */
export class PythonDate {
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly day: number

  constructor({ year, month, day }: Pick<PythonDate, 'year' | 'month' | 'day'>) {
    this.year = year
    this.month = month
    this.day = day
  }

  isoformat(): string {
    return `${pad(this.year, 4)}-${pad(this.month)}-${pad(this.day)}`
  }

  toString(): string {
    return this.isoformat()
  }
}

/** A time of day. `fold` 1 means the second occurrence of a time that the clock shows twice, when it goes back. */
export interface ClockParts {
  readonly hour?: number
  readonly minute?: number
  readonly second?: number
  readonly microsecond?: number
  readonly fold?: 0 | 1
  /** Null: naive. */
  readonly timezone?: PythonTimezone | null
}

/** Python's time. */
export class PythonTime implements Required<ClockParts> {
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly microsecond: number
  readonly fold: 0 | 1
  readonly timezone: PythonTimezone | null

  constructor({ hour = 0, minute = 0, second = 0, microsecond = 0, fold = 0, timezone = null }: ClockParts) {
    this.hour = hour
    this.minute = minute
    this.second = second
    this.microsecond = microsecond
    this.fold = fold
    this.timezone = timezone
  }

  isoformat(): string {
    return clockText(this) + offsetText(this.timezone?.offsetAt(null, this.fold) ?? null)
  }

  toString(): string {
    return this.isoformat()
  }
}

/** Python's datetime. */
export class PythonDatetime extends PythonDate implements Required<ClockParts> {
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly microsecond: number
  readonly fold: 0 | 1
  readonly timezone: PythonTimezone | null

  constructor(parts: Pick<PythonDate, 'year' | 'month' | 'day'> & ClockParts) {
    super(parts)
    const { hour, minute, second, microsecond, fold, timezone } = new PythonTime(parts)
    this.hour = hour
    this.minute = minute
    this.second = second
    this.microsecond = microsecond
    this.fold = fold
    this.timezone = timezone
  }

  /** Creates a datetime from an instant: aware in UTC by default; naive, with the time in UTC, if `timezone` is null. */
  static fromDate(instant: Date, timezone: PythonTimezone | null = PythonTimezone.utc): PythonDatetime {
    return new PythonDatetime({
      year: instant.getUTCFullYear(),
      month: instant.getUTCMonth() + 1,
      day: instant.getUTCDate(),
      hour: instant.getUTCHours(),
      minute: instant.getUTCMinutes(),
      second: instant.getUTCSeconds(),
      microsecond: instant.getUTCMilliseconds() * 1000,
      timezone,
    })
  }

  /** Milliseconds from 1970-01-01 00:00 to this wall clock time; microseconds are truncated. */
  get digits(): number {
    const { year, month, day, hour, minute, second, microsecond } = this
    const date = new Date(0)
    date.setUTCFullYear(year, month - 1, day)
    date.setUTCHours(hour, minute, second, Math.floor(microsecond / 1000))
    return date.getTime()
  }

  /** The instant, truncated to milliseconds; null for a naive datetime, or for a time zone that this Node does not know. */
  toDate(): Date | null {
    const offset = this.timezone?.offsetAt(this.digits, this.fold) ?? null
    if (offset === null) return null
    return new Date(this.digits + Math.floor(((this.microsecond % 1000) - offset) / 1000))
  }

  override isoformat(): string {
    const offset = this.timezone?.offsetAt(this.digits, this.fold) ?? null
    return `${super.isoformat()}T${clockText(this)}${offsetText(offset)}`
  }
}

/** Whether the date is valid in Python (years 1 to 9999). */
export function isDate({ year, month, day }: Pick<PythonDate, 'year' | 'month' | 'day'>): boolean {
  if (!within(year, 1, 9999) || !within(month, 1, 12)) return false
  const last = new Date(0)
  last.setUTCFullYear(year, month, 0)
  return within(day, 1, last.getUTCDate())
}

/** Whether the time of day is valid in Python. */
export function isClock({ hour, minute, second, microsecond }: Required<ClockParts>): boolean {
  return (
    within(hour, 0, 23) && within(minute, 0, 59) && within(second, 0, 59) && within(microsecond, 0, 999_999)
  )
}

/** Whether the duration is valid in Python. */
export function isTimedelta({ days, seconds, microseconds }: PythonTimedelta): boolean {
  return (
    within(days, -999_999_999, 999_999_999) &&
    within(seconds, 0, SECONDS_A_DAY - 1) &&
    within(microseconds, 0, 999_999)
  )
}

function within(number: number, min: number, max: number): boolean {
  return Number.isInteger(number) && number >= min && number <= max
}

function modulo(number: number, divisor: number): number {
  return ((number % divisor) + divisor) % divisor
}

function offsetOf(zone: string, digits: number | null, fold: 0 | 1): number | null {
  if (digits === null || !isTimeZone(zone)) return null
  return (digits - wallClock(zone).instant(digits, fold).getTime()) * 1000
}

function clockText({ hour, minute, second, microsecond }: Required<ClockParts>): string {
  const fraction = microsecond === 0 ? '' : `.${pad(microsecond, 6)}`
  return `${pad(hour)}:${pad(minute)}:${pad(second)}${fraction}`
}

/** `+09:00`, with seconds and microseconds if they are not zero; '' for null. */
function offsetText(offset: number | null): string {
  if (offset === null) return ''
  const size = Math.abs(offset)
  const seconds = Math.floor(size / 1e6)
  const text = clockText({
    hour: Math.floor(seconds / 3600),
    minute: Math.floor(seconds / 60) % 60,
    second: seconds % 60,
    microsecond: Math.round(size - seconds * 1e6),
    fold: 0,
    timezone: null,
  })
  return (offset < 0 ? '-' : '+') + (text.endsWith(':00') ? text.slice(0, 5) : text)
}

function pad(number: number, width = 2): string {
  return String(number).padStart(width, '0')
}
