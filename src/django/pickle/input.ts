import { UnpicklingError } from './errors.ts'

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
  unsigned(size: number): number {
    const number = this.take(size)
    return size === 8 ? Number(number.readBigUInt64LE()) : number.readUIntLE(0, size)
  }

  take(length: number): Buffer {
    if (length > this.#buffer.length - this.#position) throw this.#endsEarly()
    this.#position += length
    return this.#buffer.subarray(this.#position - length, this.#position)
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
