import { FIRST_DIGITS, LAST_DIGITS, wallClock, writeDigits } from '../../django/datetime.ts'

/** An instant as the site's own clock shows it, e.g. `2026-03-01 10:00:00 Asia/Seoul`. */
export function siteTime(instant: Date, timeZone: string): string {
  const digits = wallClock(timeZone).digits(instant)
  const shown = Math.floor(Math.min(Math.max(digits, FIRST_DIGITS), LAST_DIGITS) / 1000) * 1000
  return `${writeDigits(shown, { separator: ' ', fraction: 'unless zero' })} ${timeZone}`
}

/** `2 hours ago`, `in 13 days`, `now`. */
export function timeFrom(now: Date, instant: Date): string {
  const seconds = Math.round((instant.getTime() - now.getTime()) / 1000)
  if (seconds === 0) return 'now'
  const text = durationText(Math.abs(seconds))
  return seconds < 0 ? `${text} ago` : `in ${text}`
}

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ['year', 365 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** The two largest units, the second rounded down, e.g. `2 days 3 hours`. JSON of Python may also hold infinity and NaN. */
export function durationText(seconds: number): string {
  if (!Number.isFinite(seconds)) return `${seconds} seconds`
  const at = UNITS.findIndex(([, size]) => seconds >= size)
  const [first, second] = UNITS.slice(at === -1 ? UNITS.length - 1 : at)
  if (first === undefined) return '0 seconds'
  const whole = Math.floor(seconds / first[1])
  const rest = second === undefined ? 0 : Math.floor((seconds - whole * first[1]) / second[1])
  const text = counted(whole, first[0])
  return second === undefined || rest === 0 ? text : `${text} ${counted(rest, second[0])}`
}

/** `1 row`, `1,200 rows`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}
