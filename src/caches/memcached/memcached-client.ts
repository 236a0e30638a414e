import { connect } from 'node:net'
import { PayloadTooLarge } from '../../django/signing.ts'
import { CacheUnavailable } from '../cache-errors.ts'
import {
  createMemcachedConnection,
  type MemcachedConnection,
  type MemcachedReply,
  unexpectedReply,
} from './memcached-connection.ts'

/**
 * A client for one memcached server: one connection, pipelined commands. No package does all that is needed: values as
 * bytes (`memcache` decodes text), chosen flags (`memcache-client` sets its own), compare-and-swap (`memjs` has none), and
 * the remaining time of an item (none has it).
 * The caller must validate keys: they are written into the protocol unchanged.
 * Source: memcached's doc/protocol.txt.
 */
export interface MemcachedClient {
  get(key: string): Promise<MemcachedItem | null>
  add(key: string, item: NewMemcachedItem): Promise<'stored' | 'taken'>
  /** Unlike `ms` of the meta protocol, keeps the old item if the new value is too large. */
  cas(key: string, item: NewMemcachedItem, unique: string): Promise<'stored' | 'missing' | 'changed'>
  delete(key: string): Promise<void>
  close(): Promise<void>
}

/** An item that memcached returned. */
export interface MemcachedItem {
  /** Null if it is larger than `maxBytes`. */
  readonly value: Buffer | null
  readonly flags: number
  /** The version number that `cas` compares. */
  readonly unique: string
  /** Whole seconds; null if the item never expires, or the server (before 1.6.9) cannot tell. */
  readonly secondsLeft: number | null
}

/** An item to store. */
export interface NewMemcachedItem {
  readonly value: Buffer
  readonly flags: number
  /** In memcached's form: seconds up to 30 days, else a Unix time; negative: already expired; 0: never expires. */
  readonly expiry: number
}

/** Server and limits of one client. */
export interface MemcachedClientOptions {
  readonly address: { readonly host: string; readonly port: number } | { readonly path: string }
  /** Milliseconds. */
  readonly connectTimeout: number
  /** Milliseconds. */
  readonly commandTimeout: number
  /** Larger values are received but not kept in memory. */
  readonly maxBytes: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

/** Milliseconds after a failure in which commands fail at once: each attempt could take a whole timeout. */
const PAUSE_AFTER_FAILURE = 300

/** Creates the client. It connects at the first command, and reconnects after each loss. */
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
    return new CacheUnavailable(`memcached at ${name} is unavailable: ${reason}`)
  }

  function open(): MemcachedConnection {
    if (monotonic() - failedAt < PAUSE_AFTER_FAILURE)
      throw unavailable(`it failed less than ${PAUSE_AFTER_FAILURE} ms ago`)
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
    command: (supportsMeta: boolean) => string | readonly [string, Buffer],
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
        `The session has ${value.length} bytes, more than memcached at ${name} accepts for an item; store less in it, or raise memcached's -I`,
      )
    }
    return line
  }

  return {
    async get(key) {
      const reply = await ask((supportsMeta) => (supportsMeta ? `mg ${key} v f c t` : `gets ${key}`))
      if (reply.line === 'EN' || reply.line === 'END') return null
      const [, flags, unique, left = '-1'] =
        /^VA \d+ f(\d+) c(\d+) t(-?\d+)$/.exec(reply.line) ??
        /^VALUE \S+ (\d+) \d+ (\d+)$/.exec(reply.line) ??
        []
      if (flags === undefined || unique === undefined) throw unavailable(unexpectedReply(reply.line))
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
      throw unavailable(unexpectedReply(line))
    },
    async cas(key, item, unique) {
      const line = await store(`cas ${key}`, item, ` ${unique}`)
      if (line === 'STORED') return 'stored'
      if (line === 'NOT_FOUND') return 'missing'
      if (line === 'EXISTS') return 'changed'
      throw unavailable(unexpectedReply(line))
    },
    async delete(key) {
      const { line } = await ask(() => `delete ${key}`)
      if (line !== 'DELETED' && line !== 'NOT_FOUND') throw unavailable(unexpectedReply(line))
    },
    async close() {
      connection?.end('it was closed', { isFailure: false })
    },
  }
}
