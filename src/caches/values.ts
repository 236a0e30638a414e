import { NotAnObject, parseObject, type SessionData, stringifyObject } from '../django/json.ts'
import { parsePickledObject, pickleObject } from '../django/pickle/pickle.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { PayloadTooLarge } from '../django/signing.ts'
import { type Compressor, decompressed } from './compressors.ts'

/** Converts a dictionary to bytes and back. */
export interface Serializer {
  dumps(data: SessionData, limits: { maxBytes: number }): Buffer
  /** @throws if the bytes are not a dictionary that can be read here. */
  loads(bytes: Buffer, limits: { maxBytes: number }): SessionData
}

/** The serializer of every cache, except where the SERIALIZER of django-redis names another. */
export const pickleSerializer: Serializer = { dumps: pickleObject, loads: parsePickledObject }

/**
 * The JSONSerializer of django-redis, with Python's default separators. Source: django_redis/serializers/json.py.
 */
export const jsonSerializer: Serializer = {
  dumps: (data) => Buffer.from(withSpaces(stringifyObject(data).replace(NON_ASCII, escapeUnit))),
  loads: (bytes) => parseObject(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)),
}

/** The format of the values in a cache: serialized, and compressed if a compressor is configured. */
export interface ValueFormat {
  /**
   * @throws {PayloadTooLarge} if `decode` would reject the value for its size.
   * @throws {NotSerializable}
   */
  encode(data: SessionData): Buffer
  /** @throws {UnreadableSession} for every value that cannot be read; never another error. */
  decode(bytes: Buffer): SessionData
}

export interface ValueFormatOptions {
  readonly serializer: Serializer
  readonly compressor: Compressor | null
  /** Largest size of a value in bytes, also after decompression. */
  readonly maxBytes: number
}

/**
 * Creates the value format of one cache.
 * Source: encode and decode in django_redis/client/default.py; RedisSerializer in django/core/cache/backends/redis.py.
 */
export function createValueFormat({ serializer, compressor, maxBytes }: ValueFormatOptions): ValueFormat {
  return {
    encode(data) {
      const bytes = dump(serializer, data, maxBytes)
      return compressor === null || bytes.length <= compressor.minLength ? bytes : compressor.compress(bytes)
    },
    decode(bytes) {
      // Both backends read digits as an integer before they try anything else.
      if (bytes.length <= MAX_INT_LENGTH && PYTHON_INT.test(bytes.toString('latin1')))
        throw new UnreadableSession('not-an-object')
      const plain = compressor === null ? bytes : decompressed(compressor, bytes, maxBytes)
      return load(serializer, plain, maxBytes)
    },
  }
}

/** Serializes. @throws {PayloadTooLarge} if `load` would reject the value for its size. @throws {NotSerializable} */
export function dump(serializer: Serializer, data: SessionData, maxBytes: number): Buffer {
  const bytes = serializer.dumps(data, { maxBytes })
  if (bytes.length <= maxBytes) return bytes
  throw new PayloadTooLarge(
    `The session is larger than ${maxBytes} bytes, the limit for cached sessions; store less in it`,
  )
}

/** Deserializes. @throws {UnreadableSession} for every value that cannot be read; never another error. */
export function load(serializer: Serializer, bytes: Buffer, maxBytes: number): SessionData {
  if (bytes.length > maxBytes) throw new UnreadableSession('too-large')
  try {
    return serializer.loads(bytes, { maxBytes })
  } catch (error) {
    if (error instanceof PayloadTooLarge) throw new UnreadableSession('too-large', { cause: error })
    throw new UnreadableSession(error instanceof NotAnObject ? 'not-an-object' : 'payload', { cause: error })
  }
}

/** Matches what Python's `int(bytes)` accepts; a pickle or JSON object never matches. Python rejects more than 4300 digits. */
const PYTHON_INT = /^\s*[+-]?\d+(?:_\d+)*\s*$/
const MAX_INT_LENGTH = 10_000

const NON_ASCII = /[\x7f-\uffff]/g

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Adds a space after each comma and colon outside strings, as Python's `json.dumps` does. */
function withSpaces(json: string): string {
  return json.replace(STRING_OR_SEPARATOR, (found, separator) => (separator ? `${separator} ` : found))
}

const STRING_OR_SEPARATOR = /"(?:[^"\\]|\\.)*"|([,:]) ?/g
