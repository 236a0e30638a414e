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
  /** How many tries with one name may fail within the window. */
  readonly byName: number
  /** How many from one address: an office may share one. */
  readonly byAddress: number
  /** Seconds. */
  readonly window: number
  /** How many names and how many addresses are kept in mind; more push the oldest out. */
  readonly capacity?: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

export interface LoginTries {
  /**
   * Counts a try before its password is looked at, so that a hundred at once are a hundred.
   * @throws {TooManyTries} whether there is such a user or not.
   */
  begin(username: string, address: string): Try
}

/** A try that does nothing more has failed. */
export interface Try {
  /** The name's failures are forgotten, and this try. */
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
  const names = createCounter({ limit: byName, window, capacity, now })
  const addresses = createCounter({ limit: byAddress, window, capacity, now })
  return {
    begin(username, address) {
      const [name, network] = [nameOf(username), networkOf(address)]
      const [waitOfName, waitOfNetwork] = [names.waitFor(name), addresses.waitFor(network)]
      if (waitOfName > 0) throw new TooManyTries('name', waitOfName)
      if (waitOfNetwork > 0) throw new TooManyTries('address', waitOfNetwork)
      names.add(name, 1)
      addresses.add(network, 1)
      return {
        succeeded() {
          names.forget(name)
          addresses.add(network, -1)
        },
        undone() {
          names.add(name, -1)
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

/** No longer than a name may be, and the same for spellings that a database may take for one. */
function nameOf(username: string): string {
  return username.slice(0, 300).normalize('NFKC').trim().toLowerCase()
}

/** An IPv6 network of 64 bits is one visitor's, who may take any address in it. */
export function networkOf(address: string): string {
  const mapped = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!mapped.includes(':')) return mapped
  const [head = '', tail] = mapped.split('::')
  const groups = head.split(':').filter((group) => group !== '')
  const missing =
    tail === undefined ? 0 : 8 - groups.length - tail.split(':').filter((group) => group !== '').length
  const all = [
    ...groups,
    ...Array.from({ length: Math.max(0, missing) }, () => '0'),
    ...(tail ?? '').split(':'),
  ]
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
