/** Parses numbers and text in the notations of the old protocols. */
import { MAX_INT_DIGITS } from '../json.ts'
import { UnpicklingError } from './errors.ts'
import { HugeInt } from './nodes.ts'
import { PythonFloat, PythonStr } from './python-values.ts'
import { encodeUtf8 } from './utf8.ts'

/** The digits of INT and LONG, without the L at the end of LONG. INT also writes False as `00` and True as `01`. */
export function parseInteger(text: string): number | bigint {
  const digits = text.trim()
  if (!/^[-+]?\d+$/.test(digits)) throw new UnpicklingError('An int is not a number')
  // Python's own limit. Without it, the work would grow with the square of the number of digits.
  if (digits.replace(/^[-+]/, '').length > MAX_INT_DIGITS)
    throw new UnpicklingError(`An int has more than ${MAX_INT_DIGITS} digits`)
  return integerOf(BigInt(digits.replace('+', '')))
}

/** The bytes of LONG1 and LONG4. */
export function parseLong(bytes: Buffer): number | bigint | HugeInt {
  if (bytes.length === 0) return 0
  if (bytes.length <= 6) return bytes.readIntLE(0, bytes.length)
  if (bytes.length > MOST_BYTES) return new HugeInt(new Uint8Array(bytes))
  const integer = bigintOf(bytes)
  return isPrintable(integer) ? integerOf(integer) : new HugeInt(new Uint8Array(bytes))
}

/** Whether Python prints an int, so that JSON can represent it. */
export function isPrintable(integer: bigint): boolean {
  return -FIRST_UNPRINTABLE < integer && integer < FIRST_UNPRINTABLE
}

/** Reads an int in two's complement, little-endian. */
export function bigintOf(bytes: Uint8Array): bigint {
  const unsigned = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`)
  return (bytes.at(-1) ?? 0) > 0x7f ? unsigned - (1n << BigInt(bytes.length * 8)) : unsigned
}

/** The inverse of `bigintOf`. */
export function longOf(integer: bigint): Buffer {
  // One more bit for the sign.
  const size = Math.floor(((integer < 0n ? ~integer : integer).toString(16).length * 4) / 8) + 1
  const unsigned = integer < 0n ? integer + (1n << BigInt(size * 8)) : integer
  return Buffer.from(unsigned.toString(16).padStart(size * 2, '0'), 'hex').reverse()
}

/** The text of FLOAT. @throws {UnpicklingError} */
export function parseFloatText(text: string): PythonFloat {
  const spelled = text.trim()
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(spelled)) return new PythonFloat(Number(spelled))
  const [, sign, name] = /^([-+]?)(inf|nan)$/i.exec(spelled) ?? []
  if (name === undefined) throw new UnpicklingError('A float is not a number')
  if (name.toLowerCase() === 'nan') return new PythonFloat(Number.NaN)
  return new PythonFloat(sign === '-' ? -Infinity : Infinity)
}

/** The text of UNICODE: latin-1 with `\uXXXX` and `\UXXXXXXXX`; any other backslash is literal. */
export function parseRawUnicode(text: string): string | PythonStr {
  if (!text.includes('\\')) return text
  const parts: string[] = []
  let part = ''
  let end = 0
  for (const match of text.matchAll(/\\(?:u(.{0,4})|U(.{0,8})|[\s\S])/g)) {
    const character = unescaped(match)
    const isLow = /^[\udc00-\udfff]/.test(character)
    part += text.slice(end, match.index)
    // Two adjacent surrogates must not join to one character.
    if (isLow && match.index === end && /[\ud800-\udbff]$/.test(part)) {
      parts.push(part)
      part = ''
    }
    part += character
    end = match.index + match[0].length
  }
  part += text.slice(end)
  return parts.length === 0 ? part : new PythonStr(Buffer.concat([...parts, part].map(encodeUtf8)))
}

function unescaped([all, four, eight]: RegExpExecArray): string {
  if (four === undefined && eight === undefined) return all
  const isWhole = /^(?:[\da-f]{4}|[\da-f]{8})$/i.test(four ?? '') || (eight ?? '').length === 8
  const codePoint = isWhole ? Number(`0x${four ?? eight}`) : Number.NaN
  if (codePoint <= 0x10ffff) return String.fromCodePoint(codePoint)
  throw new UnpicklingError('A str has an invalid escape')
}

/** The text of STRING, BINSTRING and SHORT_BINSTRING, which Python 2 wrote; Python 3 reads only ASCII by default. */
export function parseAscii(bytes: Buffer): string {
  const text = bytes.toString('latin1')
  if (/[^\0-\x7f]/.test(text)) throw new UnpicklingError('A str of Python 2 is not ASCII')
  return text
}

/** The text of STRING in its quotes. @throws {UnpicklingError} also for escapes, which only Python 2 wrote. */
export function parseQuoted(line: string): string {
  const [, , text] = /^\s*(["'])([^\\]*)\1\s*$/.exec(line) ?? []
  if (text === undefined) throw new UnpicklingError('A str of Python 2 is not in quotes, or has escapes')
  return parseAscii(Buffer.from(text, 'latin1'))
}

const FIRST_UNPRINTABLE = 10n ** BigInt(MAX_INT_DIGITS)
const MOST_BYTES = FIRST_UNPRINTABLE.toString(16).length / 2 + 1

function integerOf(integer: bigint): number | bigint {
  const number = Number(integer)
  return Number.isSafeInteger(number) ? number : integer
}
