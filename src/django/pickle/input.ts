import { UnpicklingError } from './errors.ts'

/** The bytes of a pickle, read from front to back. */
export interface Input {
  readonly position: number
  byte(): number
  /** So many bytes as an unsigned little-endian number, up to 2^53. */
  unsigned(size: number): number
  take(length: number): Buffer
  /** Up to the next line feed, which is left out; latin-1. */
  line(): string
}

/** Each of its functions throws an UnpicklingError where the bytes end too early. */
export function createInput(bytes: Uint8Array): Input {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let position = 0

  function take(length: number): Buffer {
    if (length > buffer.length - position) throw new UnpicklingError('The pickle ends too early', position)
    position += length
    return buffer.subarray(position - length, position)
  }

  return {
    get position() {
      return position
    },
    byte() {
      const byte = buffer[position]
      if (byte === undefined) throw new UnpicklingError('The pickle ends too early', position)
      position += 1
      return byte
    },
    unsigned(size) {
      const number = take(size)
      return size === 8 ? Number(number.readBigUInt64LE()) : number.readUIntLE(0, size)
    },
    take,
    line() {
      const end = buffer.indexOf(0x0a, position)
      if (end === -1) throw new UnpicklingError('The pickle ends too early', position)
      const line = buffer.toString('latin1', position, end)
      position = end + 1
      return line
    },
  }
}
