import { InvalidArgumentError } from 'commander'

/** Reads a duration as seconds: `7d`, `12h`, `30m`, `90s`, or a number of seconds. @throws {InvalidArgumentError} */
export function durationOf(text: string): number {
  const [, number, unit = 's'] = /^(\d{1,9})([dhms]?)$/.exec(text) ?? []
  if (number === undefined) throw new InvalidArgumentError('Write a number of seconds, or 7d, 12h, 30m, 90s.')
  return Number(number) * (SECONDS[unit || 's'] ?? 1)
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** Reads a number of 1 or more, up to `most`. @throws {InvalidArgumentError} */
export function countUpTo(most: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,15}$/.test(text) && Number(text) >= 1 && Number(text) <= most) return Number(text)
    throw new InvalidArgumentError(`Write a whole number from 1 to ${most}.`)
  }
}
