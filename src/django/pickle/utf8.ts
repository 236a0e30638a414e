/** UTF-8 as in Python's pickles, with the error handler `surrogatepass`: a lone surrogate is three bytes. */
import { UnpicklingError } from './errors.ts'
import { PythonStr } from './python-values.ts'

/** Encodes a string; lone surrogates become three bytes each. */
export function encodeUtf8(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8')
  const bytes = Buffer.alloc(text.length * 3)
  let end = 0
  for (let at = 0; at < text.length; at += 1) {
    const codePoint = text.codePointAt(at) ?? 0
    if (codePoint > 0xffff) at += 1
    if (isSurrogate(codePoint)) end = writeThree(bytes, codePoint, end)
    else end += bytes.write(String.fromCodePoint(codePoint), end)
  }
  return bytes.subarray(0, end)
}

function isSurrogate(codePoint: number): boolean {
  return codePoint >= 0xd800 && codePoint < 0xe000
}

function writeThree(bytes: Buffer, unit: number, at: number): number {
  bytes[at] = 0xe0 | (unit >> 12)
  bytes[at + 1] = 0x80 | ((unit >> 6) & 0x3f)
  bytes[at + 2] = 0x80 | (unit & 0x3f)
  return at + 3
}

/** The lowest code point for each number of continuation bytes. */
const LOWEST = [0, 0x80, 0x800, 0x10000]

/** Decodes a str byte by byte. @throws {UnpicklingError} if Python would not decode it. */
export function decodeStrictly(bytes: Buffer): string | PythonStr {
  const units = new Uint16Array(bytes.length)
  let length = 0
  let at = 0
  while (at < bytes.length) {
    const lead = bytes[at] ?? 0
    const more = lead < 0x80 ? 0 : lead < 0xc0 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf8 ? 3 : -1
    if (more < 0) throw invalidUtf8()
    let codePoint = more === 0 ? lead : lead & (0x3f >> more)
    for (let next = 1; next <= more; next += 1) {
      const byte = bytes[at + next] ?? 0
      if ((byte & 0xc0) !== 0x80) throw invalidUtf8()
      codePoint = (codePoint << 6) | (byte & 0x3f)
    }
    if (codePoint < (LOWEST[more] ?? 0) || codePoint > 0x10ffff) throw invalidUtf8()
    at += more + 1
    if (codePoint < 0x10000) {
      units[length] = codePoint
      length += 1
    } else {
      units[length] = 0xd7c0 + (codePoint >> 10)
      units[length + 1] = 0xdc00 | (codePoint & 0x3ff)
      length += 2
    }
  }
  const text = Buffer.from(units.buffer, 0, length * 2).toString('utf16le')
  // JavaScript joins two adjacent surrogates to one character; Python does not.
  return encodeUtf8(text).equals(bytes) ? text : new PythonStr(new Uint8Array(bytes))
}

function invalidUtf8(): UnpicklingError {
  return new UnpicklingError('A str is not UTF-8')
}
