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
  /** USE_TZ. Where it is False, Django reckons in the wall clock's digits, whatever the clock does meanwhile. */
  readonly useTz: boolean
  /** TIME_ZONE, an IANA name. */
  readonly timeZone: string
  /** The version's rule: whether `_session_expiry` may be ISO 8601 text. */
  readonly storesIsoExpiry: boolean
  /**
   * Given where sessions are pickled: before 4.1 `_session_expiry` is then a datetime, and its UTC that of this module
   * (`VersionProfile.pickledUtc`).
   */
  readonly pickledUtc?: 'pytz' | 'datetime' | undefined
}

/** `_session_expiry` holds, or would hold, what makes Django of this version and these settings raise. */
export class InvalidSessionExpiry extends TypeError {
  override name = 'InvalidSessionExpiry'
  readonly code: string = 'ERR_SESSION_EXPIRY'
}

/**
 * Seconds until a session that is modified now expires; negative once it has. `expiry` is what `_session_expiry`
 * holds; 0 ("at browser close") counts as `cookieAge`, `true` as one second.
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
        ? '_session_expiry is a date without an offset, but USE_TZ is True'
        : '_session_expiry is a date with an offset, but USE_TZ is False',
    )
  }
  return Math.floor((digits - (offset ?? 0) - clockOf(rules).digits(now)) / 1000)
}

/**
 * When a session that is modified now expires: what `expire_date` is set to.
 * Source: django/contrib/sessions/backends/base.py, get_expiry_date.
 * @throws {InvalidSessionExpiry}
 */
export function getExpiryDate(expiry: PickledValue | undefined, rules: ExpiryRules, now: Date): Date {
  // Unlike its sibling, get_expiry_date tries to read even an empty string as a date.
  const isText = typeof expiry === 'string' && (expiry !== '' || rules.storesIsoExpiry)
  if (isText || expiry instanceof PythonDatetime) {
    const { digits, offset } = readExpiry(expiry, rules)
    // A naive date is meant in TIME_ZONE even where USE_TZ is True (DateTimeField.get_prep_value).
    return offset === null ? wallClock(rules.timeZone).instant(digits) : new Date(digits - offset)
  }
  const clock = clockOf(rules)
  const seconds = isFalsy(expiry) ? rules.cookieAge : secondsOf(expiry)
  return clock.instant(addSeconds(clock.digits(now), seconds))
}

/**
 * Seconds until a session expires whose medium knows only when it was saved; 0 or less once it has. As there, a number
 * of seconds in `_session_expiry` is taken for what is left, whatever time has passed since: such a session ends with
 * its cookie alone. Source: django/contrib/sessions/backends/file.py, _expiry_date and load.
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
 * Whether the cookie is to last until the browser closes.
 * Source: django/contrib/sessions/backends/base.py, get_expire_at_browser_close.
 */
export function getExpireAtBrowserClose(expiry: PickledValue | undefined, rules: ExpiryRules): boolean {
  if (expiry === undefined || expiry === null) return rules.expireAtBrowserClose
  return expiry === 0 || expiry === 0n || expiry === false
}

/**
 * What `set_expiry` puts under `_session_expiry`; undefined removes it. A number of seconds is stored as it is, and
 * counts from each save; a Date, or `{ seconds }` from now (Django's timedelta), is stored as that instant's ISO text,
 * or before 4.1 as a datetime, which only a pickle can hold.
 * Source: django/contrib/sessions/backends/base.py, set_expiry.
 * @throws {InvalidSessionExpiry} for an instant where Django (before 4.1) cannot store one as JSON.
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
      'this version of Django (before 4.1) stores no date as session expiry; pass a number of seconds',
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

/** The clock whose digits `timezone.now()` shows. */
function clockOf({ useTz, timeZone }: ExpiryRules): WallClock {
  return wallClock(useTz ? 'UTC' : timeZone)
}

function readExpiry(text: string | PythonDatetime, { storesIsoExpiry }: ExpiryRules): IsoDate {
  if (text instanceof PythonDatetime) return readDatetime(text)
  const date = storesIsoExpiry ? readIsoDate(text) : null
  if (date !== null) return date
  throw new InvalidSessionExpiry(
    storesIsoExpiry
      ? '_session_expiry is text that is no ISO 8601 date'
      : '_session_expiry is text, which this version of Django (before 4.1) does not read',
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

/** What Python's `not expiry` says. */
function isFalsy(expiry: PickledValue | undefined): expiry is null | undefined | false | 0 | 0n | '' {
  if (expiry instanceof PythonTimedelta) return expiry.totalSeconds() === 0
  if (expiry instanceof Map || expiry instanceof Set) return expiry.size === 0
  if (expiry instanceof PythonTuple) return expiry.length === 0
  if (typeof expiry === 'object' && expiry !== null) return Object.keys(expiry).length === 0
  // NaN is true in Python.
  return !expiry && !Number.isNaN(expiry)
}

function secondsOf(expiry: PickledValue): number {
  const isNumber = typeof expiry === 'number' || typeof expiry === 'bigint' || typeof expiry === 'boolean'
  if (isNumber) return Number(expiry)
  throw new InvalidSessionExpiry('_session_expiry is neither a number nor a date')
}

/** `datetime + timedelta(seconds=…)`, cut to milliseconds. */
function addSeconds(digits: number, seconds: number): number {
  const whole = Math.trunc(seconds)
  const microseconds = Math.round((seconds - whole) * 1e6)
  const sum = digits + whole * 1000 + Math.floor(microseconds / 1000)
  if (sum >= FIRST_DIGITS && sum <= LAST_DIGITS) return sum
  throw new InvalidSessionExpiry('the session expiry is out of range: Python knows the years 1 to 9999')
}
