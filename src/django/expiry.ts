import {
  FIRST_DIGITS,
  type IsoDate,
  LAST_DIGITS,
  readIsoDate,
  type WallClock,
  wallClock,
  writeDigits,
} from './datetime.ts'
import { PythonDatetime, PythonTimedelta, PythonTimezone } from './pickle/datetimes.ts'
import type { PickledValue } from './pickle/javascript.ts'
import { PythonTuple } from './pickle/python-values.ts'

/** The settings that decide when a session expires. */
export interface ExpiryRules {
  /** SESSION_COOKIE_AGE, in seconds. */
  readonly cookieAge: number
  /** SESSION_EXPIRE_AT_BROWSER_CLOSE. */
  readonly expireAtBrowserClose: boolean
  /** USE_TZ. If it is False, Django calculates with wall clock times, and ignores changes of the clock in between. */
  readonly useTz: boolean
  /** TIME_ZONE, an IANA name. */
  readonly timeZone: string
  /** Rule of the Django version: whether `_session_expiry` may be ISO 8601 text. */
  readonly storesIsoExpiry: boolean
  /**
   * Set if sessions are pickled. Before 4.1 `_session_expiry` is then a datetime, whose UTC comes from this Python module
   * (`VersionProfile.pickledUtc`).
   */
  readonly pickledUtc?: 'pytz' | 'datetime' | undefined
}

/** `_session_expiry` contains, or would contain, a value for which Django raises with this version and these settings. */
export class InvalidSessionExpiry extends TypeError {
  override name = 'InvalidSessionExpiry'
  readonly code: string = 'ERR_SESSION_EXPIRY'
}

/**
 * Returns the seconds until a session that is modified now expires; negative if it has expired. `expiry` is the value of
 * `_session_expiry`; 0 ("at browser close") counts as `cookieAge`, `true` as one second.
 * Source: django/contrib/sessions/backends/base.py, get_expiry_age.
 * @throws {InvalidSessionExpiry}
 */
export function getExpiryAge(expiry: PickledValue | undefined, rules: ExpiryRules, now: Date): number {
  if (isFalsy(expiry)) return rules.cookieAge
  if (typeof expiry !== 'string' && !(expiry instanceof PythonDatetime)) return secondsOf(expiry)
  const { digits, offset } = readExpiry(expiry, rules)
  if ((offset !== null) !== rules.useTz) {
    throw new InvalidSessionExpiry(
      rules.useTz
        ? '_session_expiry is a date without an offset, but USE_TZ is True; set USE_TZ as in settings.py'
        : '_session_expiry is a date with an offset, but USE_TZ is False; set USE_TZ as in settings.py',
    )
  }
  return Math.floor((digits - (offset ?? 0) - clockOf(rules).digits(now)) / 1000)
}

/**
 * Returns when a session that is modified now expires: the value of `expire_date`.
 * Source: django/contrib/sessions/backends/base.py, get_expiry_date.
 * @throws {InvalidSessionExpiry}
 */
export function getExpiryDate(expiry: PickledValue | undefined, rules: ExpiryRules, now: Date): Date {
  // Unlike get_expiry_age, Django's get_expiry_date tries to parse even an empty string as a date.
  const isText = typeof expiry === 'string' && (expiry !== '' || rules.storesIsoExpiry)
  if (isText || expiry instanceof PythonDatetime) {
    const { digits, offset } = readExpiry(expiry, rules)
    // A naive date is in TIME_ZONE even if USE_TZ is True (DateTimeField.get_prep_value).
    return offset === null ? wallClock(rules.timeZone).instant(digits) : new Date(digits - offset)
  }
  const clock = clockOf(rules)
  const seconds = isFalsy(expiry) ? rules.cookieAge : secondsOf(expiry)
  return clock.instant(addSeconds(clock.digits(now), seconds))
}

/**
 * Returns the seconds until a session expires if only the time of its last save is known, as with files; 0 or less if it
 * has expired. As in Django, a number of seconds in `_session_expiry` counts from now, not from the save, so such a
 * session ends only with its cookie. Source: django/contrib/sessions/backends/file.py, _expiry_date and load.
 * @throws {InvalidSessionExpiry}
 */
export function getExpiryAgeSince(
  savedAt: Date,
  expiry: PickledValue | undefined,
  { rules, now }: { rules: ExpiryRules; now: Date },
): number {
  if (!isFalsy(expiry)) return getExpiryAge(expiry, rules, now)
  const clock = clockOf(rules)
  return Math.floor((addSeconds(clock.digits(savedAt), rules.cookieAge) - clock.digits(now)) / 1000)
}

/**
 * Whether the cookie lasts until the browser closes.
 * Source: django/contrib/sessions/backends/base.py, get_expire_at_browser_close.
 */
export function getExpireAtBrowserClose(expiry: PickledValue | undefined, rules: ExpiryRules): boolean {
  if (expiry === undefined || expiry === null) return rules.expireAtBrowserClose
  return expiry === 0 || expiry === 0n || expiry === false
}

/**
 * Returns the value that `set_expiry` stores as `_session_expiry`; undefined removes it. A number of seconds is stored
 * unchanged, and counts from each save. A Date, or `{ seconds }` from now (Django's timedelta), is stored as the ISO text
 * of that instant; before 4.1 as a datetime, which only a pickle can contain.
 * Source: django/contrib/sessions/backends/base.py, set_expiry.
 * @throws {InvalidSessionExpiry} for an instant if sessions are JSON and Django is older than 4.1.
 */
export function expiryToStore(
  value: number | Date | { seconds: number } | null,
  rules: ExpiryRules,
  now: Date,
): number | string | PythonDatetime | undefined {
  if (value === null) return undefined
  if (typeof value === 'number') return value
  const { storesIsoExpiry, pickledUtc } = rules
  if (!storesIsoExpiry && pickledUtc === undefined) {
    throw new InvalidSessionExpiry(
      'this version of Django (before 4.1) cannot store a date as session expiry; pass a number of seconds',
    )
  }
  const clock = clockOf(rules)
  const isDate = value instanceof Date
  if (isDate && Number.isNaN(value.getTime())) throw new InvalidSessionExpiry('the expiry is an invalid Date')
  const digits = addSeconds(clock.digits(isDate ? value : now), isDate ? 0 : value.seconds)
  if (storesIsoExpiry) {
    return writeDigits(digits, { separator: 'T', fraction: 'unless zero' }) + (rules.useTz ? '+00:00' : '')
  }
  const utc = pickledUtc === 'pytz' ? PythonTimezone.pytzUtc : PythonTimezone.utc
  return PythonDatetime.fromDate(new Date(digits), rules.useTz ? utc : null)
}

/** The wall clock of Django's `timezone.now()`. */
function clockOf({ useTz, timeZone }: ExpiryRules): WallClock {
  return wallClock(useTz ? 'UTC' : timeZone)
}

function readExpiry(text: string | PythonDatetime, { storesIsoExpiry }: ExpiryRules): IsoDate {
  if (text instanceof PythonDatetime) return readDatetime(text)
  const date = storesIsoExpiry ? readIsoDate(text) : null
  if (date !== null) return date
  throw new InvalidSessionExpiry(
    storesIsoExpiry
      ? '_session_expiry is text that is not an ISO 8601 date'
      : '_session_expiry is text, which this version of Django (before 4.1) cannot read',
  )
}

function readDatetime(datetime: PythonDatetime): IsoDate {
  const { digits, timezone } = datetime
  if (timezone === null) return { digits, offset: null }
  const instant = datetime.toDate()
  if (instant === null)
    throw new InvalidSessionExpiry('_session_expiry is a date in a time zone that is unknown here')
  return { digits, offset: digits - instant.getTime() }
}

/** Whether the value is falsy in Python. */
function isFalsy(expiry: PickledValue | undefined): expiry is null | undefined | false | 0 | 0n | '' {
  if (expiry instanceof PythonTimedelta) return expiry.totalSeconds() === 0
  if (expiry instanceof Map || expiry instanceof Set) return expiry.size === 0
  if (expiry instanceof PythonTuple) return expiry.length === 0
  if (typeof expiry === 'object' && expiry !== null) return Object.keys(expiry).length === 0
  // NaN is truthy in Python.
  return !expiry && !Number.isNaN(expiry)
}

function secondsOf(expiry: PickledValue): number {
  const isNumber = typeof expiry === 'number' || typeof expiry === 'bigint' || typeof expiry === 'boolean'
  if (isNumber) return Number(expiry)
  throw new InvalidSessionExpiry('_session_expiry is neither a number nor a date')
}

/** `datetime + timedelta(seconds=…)`, truncated to milliseconds. */
function addSeconds(digits: number, seconds: number): number {
  const whole = Math.trunc(seconds)
  const microseconds = Math.round((seconds - whole) * 1e6)
  const sum = digits + whole * 1000 + Math.floor(microseconds / 1000)
  if (sum >= FIRST_DIGITS && sum <= LAST_DIGITS) return sum
  throw new InvalidSessionExpiry('the session would expire outside the years 1 to 9999, the range of Python')
}
