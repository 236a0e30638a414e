import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'

/** Who tried too often is to wait; status 429. */
export class TooManyTries extends Error {
  override name = 'TooManyTries'
  readonly code: string = 'ERR_TOO_MANY_TRIES'
  /** What was tried too often. */
  readonly by: 'name' | 'address'
  /** Seconds. */
  readonly retryAfter: number

  constructor(by: 'name' | 'address', retryAfter: number) {
    super(`too many tries to log in by this ${by}`)
    this.by = by
    this.retryAfter = retryAfter
  }
}

export interface LoginTriesOptions {
  /** How many tries with one account may fail within the window. */
  readonly byName: number
  /** How many from one address: an office may share one. */
  readonly byAddress: number
  /** Seconds. */
  readonly window: number
  /** How many accounts and how many addresses are kept in mind, of some 200 bytes each; more push the oldest out. */
  readonly capacity?: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

export interface LoginTries {
  /** Counts nothing: before the database is asked. @throws {TooManyTries} */
  checkAddress(address: string): void
  /**
   * Counts a try before its password is looked at, so that a hundred at once are a hundred. `account` is what
   * `authenticate` names: one text for all spellings that find the same user, or would.
   * @throws {TooManyTries} whether there is such a user or not.
   */
  begin(account: string, address: string): Try
}

/** A try that does nothing more has failed. */
export interface Try {
  /** The account's failures are forgotten, and this try. */
  succeeded(): void
  /** Nobody learned anything: this try does not count. */
  undone(): void
}

/**
 * Limits how often logging in may fail. Each process counts on its own, so n processes let n times as many through, and
 * a new one knows of none: a brake on guessing, at the price of no statement.
 */
export function createLoginTries({
  byName,
  byAddress,
  window,
  capacity = 100_000,
  now = () => performance.now(),
}: LoginTriesOptions): LoginTries {
  const accounts = createCounter({ limit: byName, window, capacity, now })
  const addresses = createCounter({ limit: byAddress, window, capacity, now })

  function check(by: TooManyTries['by'], wait: number): void {
    if (wait > 0) throw new TooManyTries(by, wait)
  }

  return {
    checkAddress: (address) => check('address', addresses.waitFor(digestOf(networkOf(address)))),

    begin(name, address) {
      const [account, network] = [digestOf(name), digestOf(networkOf(address))]
      check('name', accounts.waitFor(account))
      check('address', addresses.waitFor(network))
      accounts.add(account, 1)
      addresses.add(network, 1)
      return {
        succeeded() {
          accounts.forget(account)
          addresses.add(network, -1)
        },
        undone() {
          accounts.add(account, -1)
          addresses.add(network, -1)
        },
      }
    },
  }
}

interface Counter {
  /** Seconds until another is allowed; 0 for at once. */
  waitFor(key: string): number
  add(key: string, count: 1 | -1): void
  forget(key: string): void
}

function createCounter({
  limit,
  window,
  capacity,
  now,
}: {
  limit: number
  window: number
  capacity: number
  now: () => number
}): Counter {
  // In order of their ends, since every window is as long: the first is the one to go.
  const counts = new Map<string, { count: number; readonly ends: number }>()

  function find(key: string): { count: number; readonly ends: number } | undefined {
    const found = counts.get(key)
    if (found === undefined || found.ends > now()) return found
    counts.delete(key)
    return undefined
  }

  return {
    waitFor(key) {
      const found = find(key)
      if (found === undefined || found.count < limit) return 0
      return Math.ceil((found.ends - now()) / 1000)
    },
    add(key, count) {
      const found = find(key)
      if (found !== undefined) found.count = Math.max(0, found.count + count)
      if (found !== undefined || count < 0) return
      if (counts.size >= capacity) counts.delete(counts.keys().next().value ?? '')
      counts.set(key, { count, ends: now() + window * 1000 })
    },
    forget(key) {
      counts.delete(key)
    },
  }
}

/** As long for every text: what is kept in mind is bounded in bytes, too. */
function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}

/**
 * Whose address this is: of IPv6 the network of 64 bits, since a visitor may take any address in it. A port is left out:
 * some proxies (Azure's) write one into X-Forwarded-For, another for each connection.
 */
export function networkOf(address: string): string {
  const host = withoutPort(address.trim())
  const [ipv6 = ''] = host.split('%') // the zone
  if (!isIPv6(ipv6)) return host
  const groups = groupsOf(ipv6)
  if (EMBEDDED_IPV4.has(groups.slice(0, 6).join()))
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 255])
      .join('.')
  return groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(':')
}

/** `192.0.2.7:1234`, `[2001:db8::1]:1234` and `[2001:db8::1]` without port and brackets. */
function withoutPort(address: string): string {
  return /^\[([^\]]*)\](?::\d+)?$/.exec(address)?.[1] ?? /^([^:]*):\d+$/.exec(address)?.[1] ?? address
}

/** The eight groups of 16 bits of a valid IPv6 address. */
function groupsOf(ipv6: string): number[] {
  const [head = [], tail] = ipv6.split('::').map((part) => part.split(':').flatMap(readGroup))
  if (tail === undefined) return head
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

/** A group, two for a dotted IPv4 address, none for ''. */
function readGroup(text: string): number[] {
  if (text === '') return []
  if (!text.includes('.')) return [Number.parseInt(text, 16)]
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return [(a << 8) | b, (c << 8) | d]
}

/** ::ffff:0:0/96 and 64:ff9b::/96, where the last 32 bits are an IPv4 address. Source: RFC 4291, 2.5.5.2; RFC 6052, 2.1. */
const EMBEDDED_IPV4: ReadonlySet<string> = new Set(['0,0,0,0,0,65535', '100,65435,0,0,0,0'])
