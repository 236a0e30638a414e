/** UTF-8 as Python's pickle writes it, with the error handler `surrogatepass`. */
import { UnpicklingError } from './errors.ts'
import { PythonStr } from './values.ts'

/** @throws {UnpicklingError} when Python would not decode it. */
export function decodeUtf8(bytes: Buffer): string | PythonStr {
  const text = bytes.toString('utf8')
  return text.includes('\ufffd') ? decodeStrictly(bytes) : text
}

export function encodeUtf8(text: string): Uint8Array {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8')
  return Buffer.concat(
    text.split(LONE_SURROGATES).map((part) => {
      if (part.isWellFormed()) return Buffer.from(part, 'utf8')
      const bytes: number[] = []
      for (let at = 0; at < part.length; at += 1) bytes.push(...threeBytes(part.charCodeAt(at)))
      return Buffer.from(bytes)
    }),
  )
}

const LONE_SURROGATES = /((?:[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff])+)/

function threeBytes(unit: number): [number, number, number] {
  return [0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)]
}

/** Each surrogate is three bytes, ED A0..BF 80..BF, which nothing else in valid UTF-8 is. */
function decodeStrictly(bytes: Buffer): string | PythonStr {
  let text = ''
  let start = 0
  let afterHigh = -1
  for (let at = bytes.indexOf(0xed); at !== -1; at = bytes.indexOf(0xed, at + 1)) {
    const [second = 0, third = 0] = [bytes[at + 1], bytes[at + 2]]
    if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue
    text += decodeWhole(bytes.subarray(start, at))
    const unit = 0xd000 | ((second & 0x3f) << 6) | (third & 0x3f)
    if (unit >= 0xdc00 && afterHigh === at) return joined(bytes)
    text += String.fromCharCode(unit)
    start = at + 3
    if (unit < 0xdc00) afterHigh = start
  }
  return text + decodeWhole(bytes.subarray(start))
}

/** JavaScript would make one character of the two halves, which Python keeps apart. */
function joined(bytes: Buffer): PythonStr {
  decodeWhole(Buffer.from(bytes.toString('latin1').replace(/\xed[\xa0-\xbf][\x80-\xbf]/g, '?'), 'latin1'))
  return new PythonStr(new Uint8Array(bytes))
}

function decodeWhole(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new UnpicklingError('A str is no UTF-8')
  }
}
