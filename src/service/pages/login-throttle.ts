import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'

/** Too many failed logins; the visitor must wait. Status 429. */
export class TooManyTries extends Error {
  override name = 'TooManyTries'
  readonly code: string = 'ERR_TOO_MANY_TRIES'
  /** Whose limit was reached: that of the account or that of the address. */
  readonly by: 'name' | 'address'
  /** Seconds. */
  readonly retryAfter: number

  constructor(by: 'name' | 'address', retryAfter: number) {
    super(`too many failed logins by this ${by}`)
    this.by = by
    this.retryAfter = retryAfter
  }
}

export interface LoginThrottleOptions {
  /** Failed attempts with one account that are allowed within the window. */
  readonly byName: number
  /** Failed attempts from one address that are allowed; an office may share an address. */
  readonly byAddress: number
  /** Length of the window in seconds. */
  readonly window: number
  /** How many accounts, and how many addresses, are remembered, some 200 bytes each. The oldest are removed first. */
  readonly capacity?: number
  /** Milliseconds of a clock that never goes back; default: the system's own. */
  readonly monotonic?: () => number
}

export interface LoginThrottle {
  /** Checks the limit of the address, before the database is queried. Counts nothing. @throws {TooManyTries} */
  checkAddress(address: string): void
  /**
   * Counts an attempt before its password is checked, so that 100 attempts at once count as 100. `account` comes from
   * `authenticate`: it is the same text for all spellings that find, or would find, the same user.
   * @throws {TooManyTries} whether such a user exists or not.
   */
  begin(account: string, address: string): LoginAttempt
}

/** An attempt counts as failed unless one of these is called. */
export interface LoginAttempt {
  /** Resets the count of the account, and does not count this attempt for the address. */
  succeed(): void
  /** Does not count this attempt, because its password was not checked. */
  discard(): void
}

/**
 * Limits how often logging in may fail. Each process counts in its own memory: n processes allow n times as many
 * attempts, and a restart resets the counts. In return it costs no statement.
 */
export function createLoginThrottle({
  byName,
  byAddress,
  window,
  capacity = 100_000,
  monotonic = () => performance.now(),
}: LoginThrottleOptions): LoginThrottle {
  const accounts = createCounter({ limit: byName, window, capacity, monotonic })
  const addresses = createCounter({ limit: byAddress, window, capacity, monotonic })

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
        succeed() {
          accounts.forget(account)
          addresses.add(network, -1)
        },
        discard() {
          accounts.add(account, -1)
          addresses.add(network, -1)
        },
      }
    },
  }
}

interface Counter {
  /** Seconds until the next attempt is allowed; 0 for now. */
  waitFor(key: string): number
  add(key: string, count: 1 | -1): void
  forget(key: string): void
}

function createCounter({
  limit,
  window,
  capacity,
  monotonic,
}: {
  limit: number
  window: number
  capacity: number
  monotonic: () => number
}): Counter {
  // In the order in which the windows end, because all have the same length. The first is removed first.
  const counts = new Map<string, { count: number; readonly ends: number }>()

  function find(key: string): { count: number; readonly ends: number } | undefined {
    const found = counts.get(key)
    if (found === undefined || found.ends > monotonic()) return found
    counts.delete(key)
    return undefined
  }

  return {
    waitFor(key) {
      const found = find(key)
      if (found === undefined || found.count < limit) return 0
      return Math.ceil((found.ends - monotonic()) / 1000)
    },
    add(key, count) {
      const found = find(key)
      if (found !== undefined) found.count = Math.max(0, found.count + count)
      if (found !== undefined || count < 0) return
      if (counts.size >= capacity) counts.delete(counts.keys().next().value ?? '')
      counts.set(key, { count, ends: monotonic() + window * 1000 })
    },
    forget(key) {
      counts.delete(key)
    },
  }
}

/** A digest has a fixed length, so the memory is bounded in bytes, too. */
function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}

/**
 * Returns the address that is counted. For IPv6 it is the /64 network, because a visitor may use any address in it. A
 * port is removed: some proxies (Azure's) add one to X-Forwarded-For, a different one for each connection.
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

/** Removes port and brackets from `192.0.2.7:1234`, `[2001:db8::1]:1234` and `[2001:db8::1]`. */
function withoutPort(address: string): string {
  return /^\[([^\]]*)\](?::\d+)?$/.exec(address)?.[1] ?? /^([^:]*):\d+$/.exec(address)?.[1] ?? address
}

/** The eight groups of 16 bits of a valid IPv6 address. */
function groupsOf(ipv6: string): number[] {
  const [head = [], tail] = ipv6.split('::').map((part) => part.split(':').flatMap(readGroup))
  if (tail === undefined) return head
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}

/** One group; two groups for a dotted IPv4 address; none for ''. */
function readGroup(text: string): number[] {
  if (text === '') return []
  if (!text.includes('.')) return [Number.parseInt(text, 16)]
  const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number)
  return [(a << 8) | b, (c << 8) | d]
}

/** ::ffff:0:0/96 and 64:ff9b::/96, where the last 32 bits are an IPv4 address. Source: RFC 4291, 2.5.5.2; RFC 6052, 2.1. */
const EMBEDDED_IPV4: ReadonlySet<string> = new Set(['0,0,0,0,0,65535', '100,65435,0,0,0,0'])
