// A default import: an older Node lacks some of these functions, and named imports would fail before check-node.ts can
// say which Node is needed.
import zlib from 'node:zlib'
import { UnreadableSession } from '../django/session-data.ts'

/** A compressor of django-redis. Source: django_redis/compressors/. */
export interface Compressor {
  /** Values of at most this many bytes are stored uncompressed. */
  readonly minLength: number
  compress(bytes: Buffer): Buffer
  decompress(bytes: Buffer, options: { maxOutputLength: number }): Buffer
}

/** Keyed by the dotted path in OPTIONS; null: no compression. LZ4 and LZMA are missing, because Node does not have them. */
export const compressors: ReadonlyMap<string, Compressor | null> = new Map<string, Compressor | null>([
  ['django_redis.compressors.identity.IdentityCompressor', null],
  [
    'django_redis.compressors.zlib.ZlibCompressor',
    {
      minLength: 15,
      compress: (bytes) => zlib.deflateSync(bytes, { level: 6 }),
      decompress: (bytes, options) => zlib.inflateSync(bytes, options),
    },
  ],
  [
    'django_redis.compressors.gzip.GzipCompressor',
    {
      minLength: 15,
      compress: (bytes) => zlib.gzipSync(bytes, { level: 9 }),
      decompress: (bytes, options) => zlib.gunzipSync(bytes, options),
    },
  ],
  [
    'django_redis.compressors.zstd.ZStdCompressor',
    {
      minLength: 15,
      compress: (bytes) => zlib.zstdCompressSync(bytes),
      decompress: (bytes, options) => zlib.zstdDecompressSync(bytes, options),
    },
  ],
])

/**
 * Inflates a zlib stream, as python-memcached and pylibmc write it.
 * @throws {UnreadableSession}
 */
export function inflated(bytes: Buffer, maxBytes: number): Buffer {
  try {
    return zlib.inflateSync(bytes, { maxOutputLength: maxBytes })
  } catch (error) {
    throw new UnreadableSession(isTooLarge(error) ? 'too-large' : 'payload', { cause: error })
  }
}

/**
 * Decompresses a value. Returns bytes that are not compressed unchanged: a short value, or one that was stored before the
 * compressor was configured.
 * @throws {UnreadableSession} if the result is larger than `maxBytes`.
 */
export function decompressed(compressor: Compressor, bytes: Buffer, maxBytes: number): Buffer {
  try {
    return compressor.decompress(bytes, { maxOutputLength: maxBytes })
  } catch (error) {
    if (isTooLarge(error)) throw new UnreadableSession('too-large')
    return bytes
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
}
