import { NotAnObject, parseObject, type SessionData, stringifyObject } from '../django/json.ts'
import { parsePickledObject, pickleObject } from '../django/pickle/pickle.ts'
import { UnreadableSession } from '../django/session-data.ts'
import { PayloadTooLarge } from '../django/signing.ts'
import { type Compressor, decompressed } from './compressors.ts'

/** How a dictionary becomes a cache's value. */
export interface Serializer {
  dumps(data: SessionData, limits: { maxBytes: number }): Buffer
  /** @throws when the bytes are no dictionary that we can read. */
  loads(bytes: Buffer, limits: { maxBytes: number }): SessionData
}

/** The serializer of every cache but a django-redis that is told otherwise. */
export const pickleSerializer: Serializer = { dumps: pickleObject, loads: parsePickledObject }

/**
 * django-redis' JSON, by Python's default separators. Source: django_redis/serializers/json.py.
 */
export const jsonSerializer: Serializer = {
  dumps: (data) => Buffer.from(spaced(stringifyObject(data).replace(BEYOND_ASCII, escapeUnit))),
  loads: (bytes) => parseObject(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)),
}

/** What stands in a cache for a dictionary. */
export interface ValueFormat {
  /**
   * @throws {PayloadTooLarge} when `decode` would refuse it for its size.
   * @throws {NotSerializable}
   */
  encode(data: SessionData): Buffer
  /** @throws {UnreadableSession} and nothing else. */
  decode(bytes: Buffer): SessionData
}

export interface ValueFormatOptions {
  readonly serializer: Serializer
  readonly compressor: Compressor | null
  /** How large a value may be, also once it is decompressed. */
  readonly maxBytes: number
}

/** Source: encode and decode in django_redis/client/default.py; RedisSerializer in django/core/cache/backends/redis.py. */
export function createValueFormat({ serializer, compressor, maxBytes }: ValueFormatOptions): ValueFormat {
  return {
    encode(data) {
      const bytes = dump(serializer, data, maxBytes)
      return compressor === null || bytes.length <= compressor.minLength ? bytes : compressor.compress(bytes)
    },
    decode(bytes) {
      // Both backends take digits for an integer before they try anything else.
      if (bytes.length <= MAX_INT_LENGTH && PYTHON_INT.test(bytes.toString('latin1')))
        throw new UnreadableSession('not-an-object')
      const plain = compressor === null ? bytes : decompressed(compressor, bytes, maxBytes)
      return load(serializer, plain, maxBytes)
    },
  }
}

/** @throws {PayloadTooLarge} when `load` would refuse it for its size. @throws {NotSerializable} */
export function dump(serializer: Serializer, data: SessionData, maxBytes: number): Buffer {
  const bytes = serializer.dumps(data, { maxBytes })
  if (bytes.length <= maxBytes) return bytes
  throw new PayloadTooLarge(`The session is larger than ${maxBytes} bytes; store less in it`)
}

/** @throws {UnreadableSession} and nothing else. */
export function load(serializer: Serializer, bytes: Buffer, maxBytes: number): SessionData {
  if (bytes.length > maxBytes) throw new UnreadableSession('too-large')
  try {
    return serializer.loads(bytes, { maxBytes })
  } catch (error) {
    if (error instanceof PayloadTooLarge) throw new UnreadableSession('too-large', { cause: error })
    throw new UnreadableSession(error instanceof NotAnObject ? 'not-an-object' : 'payload', { cause: error })
  }
}

/** What `int(bytes)` takes; neither a pickle nor a JSON object is that. Python refuses more than 4300 digits. */
const PYTHON_INT = /^\s*[+-]?\d+(?:_\d+)*\s*$/
const MAX_INT_LENGTH = 10_000

const BEYOND_ASCII = /[\x7f-\uffff]/g

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** JSON text with a blank behind each comma and colon that is not in a string. */
function spaced(json: string): string {
  return json.replace(STRING_OR_SEPARATOR, (found, separator) => (separator ? `${separator} ` : found))
}

const STRING_OR_SEPARATOR = /"(?:[^"\\]|\\.)*"|([,:]) ?/g
