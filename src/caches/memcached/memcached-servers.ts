import zlib from 'node:zlib'
import { quoted } from '../../checks/quoted.ts'
import { UnsupportedCache } from '../cache-errors.ts'

/** A server, and the name by which the Python clients hash it. */
export interface MemcachedServer {
  readonly name: string
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string }
}

/**
 * Parses one LOCATION: `host`, `host:port`, `[::1]:port`, `unix:/path` and `/path`; python-memcached's `inet:` and `inet6:`.
 * Source: normalize_server_spec in pymemcache/client/base.py, translate_server_spec in pylibmc/client.py, _Host in
 * memcache.py.
 * @throws {UnsupportedCache} for any other text, e.g. with `udp:` or a weight.
 */
export function parseMemcachedLocation(location: string): MemcachedServer {
  const path = /^(?:unix:)?(\/.*)$/s.exec(location)?.[1] ?? /^unix:(.+)$/s.exec(location)?.[1]
  if (path !== undefined) return { name: path, address: { path } }
  const [, v6, v4, digits = '11211'] =
    /^(?:inet6?:)?(?:\[([^[\]]+)\]|([^[\]:/\s]+))(?::(\d{1,5}))?$/.exec(location) ?? []
  const host = v6 ?? v4
  const port = Number(digits)
  if (host === undefined || port > 65535) {
    throw new UnsupportedCache(
      `LOCATION ${quoted(location)} is not supported; write host:port or unix:/path, as in Django`,
    )
  }
  return { name: `${host}:${port}`, address: { host, port } }
}

/** Returns the index of the server that stores a key. */
export type ServerOfKey = (key: string) => number

/**
 * Rendezvous hashing, as pymemcache's HashClient: the server with the highest hash of its name and the key.
 * Source: pymemcache/client/rendezvous.py.
 */
export function rendezvous(names: readonly string[]): ServerOfKey {
  return (key) => {
    let [winner, highest] = [0, -1]
    for (const [index, name] of names.entries()) {
      const score = murmur3([...`${name}-${key}`].map((character) => (character.codePointAt(0) ?? 0) & 0xff))
      if (score > highest || (score === highest && name > (names[winner] ?? ''))) {
        ;[winner, highest] = [index, score]
      }
    }
    return winner
  }
}

/** The default of libmemcached, and so of pylibmc: the hash of the key modulo the number of servers. */
export function oneAtATimeModulo(count: number): ServerOfKey {
  return (key) => oneAtATime(key) % count
}

/**
 * libmemcached's consistent hashing, `ketama` in pylibmc: each server has a hundred points on a circle, and stores the keys
 * up to each point. The default port is left out of the server's name.
 * Source: libmemcached/hosts.cc, update_continuum; measured with 1.0.16.
 */
export function ketama(names: readonly string[]): ServerOfKey {
  const circle = names
    .flatMap((name, index) => {
      const host = name.replace(/:11211$/, '')
      return Array.from({ length: 100 }, (_, point) => ({ position: oneAtATime(`${host}-${point}`), index }))
    })
    .sort((a, b) => a.position - b.position)
  return (key) => {
    const hash = oneAtATime(key)
    const { index } = circle.find(({ position }) => position >= hash) ?? circle[0] ?? { index: 0 }
    return index
  }
}

/** The distribution of python-memcached. Source: memcache.py, cmemcache_hash and _get_server. */
export function crc32Modulo(count: number): ServerOfKey {
  return (key) => ((zlib.crc32(key) >>> 16) & 0x7fff || 1) % count
}

/** Bob Jenkins' hash. Source: libhashkit/one_at_a_time.cc. */
function oneAtATime(key: string): number {
  let hash = 0
  for (const byte of new Int8Array(Buffer.from(key))) {
    hash = (hash + byte) | 0 // C's char is signed
    hash = (hash + (hash << 10)) | 0
    hash ^= hash >>> 6
  }
  hash = (hash + (hash << 3)) | 0
  hash ^= hash >>> 11
  return (hash + (hash << 15)) >>> 0
}

/** MurmurHash3, 32 bits, seed 0. Source: pymemcache/client/murmur3.py. */
function murmur3(bytes: readonly number[]): number {
  const byteAt = (index: number): number => bytes[index] ?? 0
  const mixed = (word: number): number => {
    const product = Math.imul(word, 0xcc9e2d51)
    return Math.imul((product << 15) | (product >>> 17), 0x1b873593)
  }
  const end = bytes.length - (bytes.length % 4)
  let hash = 0
  for (let at = 0; at < end; at += 4) {
    hash ^= mixed(byteAt(at) | (byteAt(at + 1) << 8) | (byteAt(at + 2) << 16) | (byteAt(at + 3) << 24))
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
  }
  if (end < bytes.length) hash ^= mixed(byteAt(end) | (byteAt(end + 1) << 8) | (byteAt(end + 2) << 16))
  hash ^= bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
