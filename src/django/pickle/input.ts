import { UnpicklingError } from './errors.ts'
import type { PythonStr } from './python-values.ts'
import { decodeStrictly } from './utf8.ts'

/** Reads the bytes of a pickle in order. Its methods throw an UnpicklingError at the end of the bytes. */
export class Input {
  readonly #buffer: Buffer
  #position = 0

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get position(): number {
    return this.#position
  }

  byte(): number {
    const byte = this.#buffer[this.#position]
    if (byte === undefined) throw this.#endsEarly()
    this.#position += 1
    return byte
  }

  /** Reads `size` bytes as an unsigned little-endian number; exact up to 2^53. */
  unsigned(size: 2 | 4 | 8): number {
    const at = this.#skip(size)
    if (size === 2) return this.#buffer.readUInt16LE(at)
    return size === 4 ? this.#buffer.readUInt32LE(at) : Number(this.#buffer.readBigUInt64LE(at))
  }

  int32(): number {
    return this.#buffer.readInt32LE(this.#skip(4))
  }

  double(): number {
    return this.#buffer.readDoubleBE(this.#skip(8))
  }

  /** Reads `length` bytes as a str. */
  text(length: number): string | PythonStr {
    const at = this.#skip(length)
    const text = this.#buffer.toString('utf8', at, at + length)
    // Bytes that are not UTF-8 are decoded to this character, too.
    return text.includes('\ufffd') ? decodeStrictly(this.#buffer.subarray(at, at + length)) : text
  }

  take(length: number): Buffer {
    const at = this.#skip(length)
    return this.#buffer.subarray(at, at + length)
  }

  /** Returns the position before the bytes that it skips. */
  #skip(length: number): number {
    const at = this.#position
    if (length > this.#buffer.length - at) throw this.#endsEarly()
    this.#position = at + length
    return at
  }

  /** Reads up to the next line feed, which is not returned, as latin-1. */
  line(): string {
    const end = this.#buffer.indexOf(0x0a, this.#position)
    if (end === -1) throw this.#endsEarly()
    const line = this.#buffer.toString('latin1', this.#position, end)
    this.#position = end + 1
    return line
  }

  #endsEarly(): UnpicklingError {
    return new UnpicklingError('The pickle is incomplete', this.#position)
  }
}
