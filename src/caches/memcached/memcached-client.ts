import { connect } from 'node:net'
import { PayloadTooLarge } from '../../django/signing.ts'
import { CacheUnavailable } from '../cache-errors.ts'
import {
  createMemcachedConnection,
  type MemcachedConnection,
  type MemcachedReply,
  said,
} from './memcached-connection.ts'

/**
 * One memcached server over one connection, commands pipelined. Our own, for want of a package that is all of: safe
 * with bytes (`memcache` reads text), free to set the flags (`memcache-client` sets its own), able to compare and swap
 * (`memjs` is not) and to tell what time is left to an item (none is).
 * Keys must be checked before: they stand in the protocol as they are.
 * Source: memcached's doc/protocol.txt.
 */
export interface MemcachedClient {
  get(key: string): Promise<MemcachedItem | null>
  add(key: string, item: NewMemcachedItem): Promise<'stored' | 'taken'>
  /** Unlike `ms` of the meta protocol, keeps what is there when the new value is too large. */
  cas(key: string, item: NewMemcachedItem, unique: string): Promise<'stored' | 'missing' | 'changed'>
  delete(key: string): Promise<void>
  close(): Promise<void>
}

export interface MemcachedItem {
  /** Null when it is larger than the limit. */
  readonly value: Buffer | null
  readonly flags: number
  /** What `cas` compares with. */
  readonly unique: string
  /** Whole seconds; null where the server does not tell, or the item stays for good. */
  readonly secondsLeft: number | null
}

export interface NewMemcachedItem {
  readonly value: Buffer
  readonly flags: number
  /** As memcached takes it: seconds, or from 30 days on a Unix time; negative for at once, 0 for never. */
  readonly expiry: number
}

export interface MemcachedClientOptions {
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string }
  /** Milliseconds. */
  readonly connectTimeout: number
  /** Milliseconds. */
  readonly commandTimeout: number
  /** Larger values are not kept in memory. */
  readonly maxBytes: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

/** How long nothing is tried after a failure, in milliseconds: each try may take a time-out. */
const REST = 300

/** Connects when first needed, and again after each loss. */
export function createMemcachedClient({
  address,
  connectTimeout,
  commandTimeout,
  maxBytes,
  monotonic = () => performance.now(),
}: MemcachedClientOptions): MemcachedClient {
  const name = 'path' in address ? address.path : `${address.host}:${address.port}`
  let connection: MemcachedConnection | null = null
  let failedAt = -Infinity

  function unavailable(reason: string): CacheUnavailable {
    return new CacheUnavailable(`memcached at ${name} does not serve: ${reason}`)
  }

  function open(): MemcachedConnection {
    if (monotonic() - failedAt < REST) throw unavailable('it has just failed')
    const opened: MemcachedConnection = createMemcachedConnection({
      socket: connect(address),
      connectTimeout,
      commandTimeout,
      maxBytes,
      unavailable,
      onEnd(isFailure) {
        if (connection === opened) connection = null
        if (isFailure) failedAt = monotonic()
      },
    })
    return opened
  }

  async function ask(
    command: (speaksMeta: boolean) => string | readonly [string, Buffer],
  ): Promise<MemcachedReply> {
    connection ??= open()
    const { send, ready } = connection
    return send(command(await ready))
  }

  async function store(
    head: string,
    { value, flags, expiry }: NewMemcachedItem,
    unique = '',
  ): Promise<string> {
    const { line } = await ask(() => [`${head} ${flags} ${expiry} ${value.length}${unique}`, value])
    if (/^SERVER_ERROR object too large/.test(line)) {
      throw new PayloadTooLarge(
        `The session has ${value.length} bytes, more than memcached at ${name} takes for an item; store less in it, or raise memcached's -I`,
      )
    }
    return line
  }

  return {
    async get(key) {
      const reply = await ask((speaksMeta) => (speaksMeta ? `mg ${key} v f c t` : `gets ${key}`))
      if (reply.line === 'EN' || reply.line === 'END') return null
      const [, flags, unique, left = '-1'] =
        /^VA \d+ f(\d+) c(\d+) t(-?\d+)$/.exec(reply.line) ??
        /^VALUE \S+ (\d+) \d+ (\d+)$/.exec(reply.line) ??
        []
      if (flags === undefined || unique === undefined) throw unavailable(said(reply.line))
      return {
        value: reply.data,
        flags: Number(flags),
        unique,
        secondsLeft: left === '-1' ? null : Number(left),
      }
    },
    async add(key, item) {
      const line = await store(`add ${key}`, item)
      if (line === 'STORED') return 'stored'
      if (line === 'NOT_STORED') return 'taken'
      throw unavailable(said(line))
    },
    async cas(key, item, unique) {
      const line = await store(`cas ${key}`, item, ` ${unique}`)
      if (line === 'STORED') return 'stored'
      if (line === 'NOT_FOUND') return 'missing'
      if (line === 'EXISTS') return 'changed'
      throw unavailable(said(line))
    },
    async delete(key) {
      const { line } = await ask(() => `delete ${key}`)
      if (line !== 'DELETED' && line !== 'NOT_FOUND') throw unavailable(said(line))
    },
    async close() {
      connection?.end('it was closed', { isFailure: false })
    },
  }
}
