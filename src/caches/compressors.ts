// Not by name: an older Node, which lacks some, is told so in our own words (check-node.ts).
import zlib from 'node:zlib'
import { UnreadableSession } from '../django/session-data.ts'

/** One of django-redis' compressors. Source: django_redis/compressors/. */
export interface Compressor {
  /** What is not longer than this is stored as it is. */
  readonly minLength: number
  compress(bytes: Buffer): Buffer
  decompress(bytes: Buffer, options: { maxOutputLength: number }): Buffer
}

/** By the dotted path in OPTIONS; null is no compression. LZ4 and LZMA, which Node lacks, are not among them. */
export const compressors: ReadonlyMap<string, Compressor | null> = new Map<string, Compressor | null>([
  ['django_redis.compressors.identity.IdentityCompressor', null],
  [
    'django_redis.compressors.zlib.ZlibCompressor',
    {
      minLength: 15,
      compress: (bytes) => zlib.deflateSync(bytes, { level: 6 }),
      decompress: zlib.inflateSync,
    },
  ],
  [
    'django_redis.compressors.gzip.GzipCompressor',
    { minLength: 15, compress: (bytes) => zlib.gzipSync(bytes, { level: 9 }), decompress: zlib.gunzipSync },
  ],
  [
    'django_redis.compressors.zstd.ZStdCompressor',
    { minLength: 15, compress: (bytes) => zlib.zstdCompressSync(bytes), decompress: zlib.zstdDecompressSync },
  ],
])

/** zlib's stream, as python-memcached and pylibmc write it. */
export function inflated(bytes: Buffer, maxBytes: number): Buffer {
  try {
    return zlib.inflateSync(bytes, { maxOutputLength: maxBytes })
  } catch (error) {
    throw new UnreadableSession(isTooLarge(error) ? 'too-large' : 'payload', { cause: error })
  }
}

/** What is not compressed is given back as it is: a short value, or one from before the compressor was set. */
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
