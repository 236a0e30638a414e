import { UnsupportedCache } from '../cache-errors.ts'

/** Keyword arguments of redis-py. */
export type RedisKwargs = Readonly<Record<string, unknown>>

/** Where a Redis is and how to get in, by one LOCATION and the options beside it. */
export interface RedisAddress {
  /** Of a server, or with sentinels the name of the service. */
  readonly host: string
  readonly port: number
  /** A Unix socket, instead of host and port. */
  readonly path: string | null
  readonly tls: boolean
  readonly username: string | null
  readonly password: string | null
  readonly db: number
  /** All that redis-py hands to its connections: what the URL says, and what it leaves to the options. */
  readonly kwargs: RedisKwargs
}

/**
 * Reads one of `redis://[[username]:password@]host[:port][/db]`, `rediss://…` and `unix://[…@]/path[?db=0]`.
 * The query wins over the path, and the URL over `options`. Source: redis/connection.py, parse_url and from_url.
 * @throws {UnsupportedCache} for another text, without quoting it: it may hold a password; and for what redis-py or the
 * server fails on.
 */
export function parseRedisLocation(location: string, options: RedisKwargs = {}): RedisAddress {
  const match = LOCATION.exec(location)
  if (match?.groups === undefined || Number(match.groups.port ?? 0) > 65535) throw notAUrl()
  const { scheme, userinfo, host = '', port = '', path = '', query = '' } = match.groups
  const [, username = '', password = ''] = /^([^:]*)(?::(.*))?$/s.exec(userinfo ?? '') ?? []
  const isSocket = scheme === 'unix'
  const asked = readQuery(query)
  const kwargs: RedisKwargs = {
    ...options,
    ...(!isSocket && databaseIn(path)),
    ...asked,
    ...(username !== '' && { username: decode(username) }),
    ...(password !== '' && { password: decode(password) }),
    // As urlparse reads a host.
    ...(!isSocket && host !== '' && { host: decode(host.replace(/^\[(.*)\]$/, '$1')).toLowerCase() }),
    ...(!isSocket && Number(port) > 0 && { port: Number(port) }),
    ...(isSocket && path !== '' && { path: decode(path) }),
  }
  return {
    host: sentText(kwargs, 'host') ?? 'localhost',
    port: portOf(kwargs.port),
    path: isSocket ? sentText(kwargs, 'path') : null,
    tls: scheme === 'rediss',
    username: sentText(kwargs, 'username'),
    password: sentText(kwargs, 'password'),
    db: databaseOf(kwargs.db),
    kwargs,
  }
}

/** Python's urlparse: the last `@` ends the userinfo, in which anything may stand but `/`, `?` and `#`. */
const LOCATION =
  /^(?<scheme>rediss?|unix):\/\/(?:(?<userinfo>[^/?#]*)@)?(?<host>\[[^\]/?#]*\]|[^:/?#]*)(?::(?<port>\d*))?(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?(?:#.*)?$/s

/** The first of each name, unless it is empty. Source: urllib.parse.parse_qs. */
function readQuery(query: string): RedisKwargs {
  const found: Record<string, unknown> = {}
  for (const [name, text] of new URLSearchParams(query)) {
    if (text === '' || Object.hasOwn(found, name)) continue
    const value = (PARSERS.get(name) ?? asText)(text)
    if (value === undefined)
      throw new UnsupportedCache(`${name} in the query of a LOCATION has a value that redis-py does not read`)
    found[name] = value
  }
  return found
}

const asText = (text: string): string => text
const asBoolean = (text: string): boolean => !/^(?:0|f|false|n|no)$/i.test(text)

/** undefined for what is none. Python's own takes more: the digits of every script. */
function asInteger(text: string): number | undefined {
  return /^\s*[+-]?\d+(?:_\d+)*\s*$/.test(text) ? Number(text.replaceAll('_', '')) : undefined
}

function asFloat(text: string): number | undefined {
  const isNumber = /^\s*[+-]?(?:\d+(?:_\d+)*\.?|(?:\d+(?:_\d+)*)?\.\d+(?:_\d+)*)(?:e[+-]?\d+)?\s*$/i.test(
    text,
  )
  return isNumber ? Number(text.replaceAll('_', '')) : undefined
}

/** Source: redis/connection.py, URL_QUERY_ARGUMENT_PARSERS, of redis-py 4.6 to 8.1; text is taken for any other name. */
const PARSERS: ReadonlyMap<string, (text: string) => unknown> = new Map<string, (text: string) => unknown>([
  ...[
    'db',
    'max_connections',
    'health_check_interval',
    'socket_read_size',
    'ssl_min_version',
    'protocol',
  ].map((name) => [name, asInteger] as const),
  ...['socket_timeout', 'socket_connect_timeout', 'timeout'].map((name) => [name, asFloat] as const),
  ...['socket_keepalive', 'retry_on_timeout', 'ssl_check_hostname', 'legacy_responses'].map(
    (name) => [name, asBoolean] as const,
  ),
])

/** A path that is no number counts as none. */
function databaseIn(path: string): { db?: number } {
  const text = decode(path).replaceAll('/', '')
  const db = asInteger(text)
  if (db !== undefined) return { db }
  if (/\p{Nd}/u.test(text.replace(/[0-9]/g, ''))) throw notAUrl() // Python reads the digits of other scripts
  return {}
}

/** Sent to the server as it is, which reads digits without anything before them. */
function databaseOf(db: unknown): number {
  if (isFalsy(db)) return 0
  const isNumber = typeof db === 'number' || (typeof db === 'string' && /^(?:0|[1-9]\d*)$/.test(db))
  if (isNumber && Number.isSafeInteger(Number(db)) && Number(db) >= 0) return Number(db)
  throw new UnsupportedCache(
    'OPTIONS.db is no number of a database; write it as in Django, such as 10 or "10"',
  )
}

function portOf(port: unknown = 6379): number {
  const number = typeof port === 'string' ? asInteger(port) : port
  if (typeof number === 'number' && Number.isInteger(number) && number > 0 && number <= 65535) return number
  throw new UnsupportedCache('OPTIONS.port is no port; write it as in Django')
}

/** What redis-py sends as text: numbers too. Null for none. @throws {UnsupportedCache} */
export function sentText(kwargs: RedisKwargs, name: string): string | null {
  const value = kwargs[name]
  if (isFalsy(value)) return null
  if (typeof value === 'string' || typeof value === 'number') return String(value)
  throw new UnsupportedCache(`OPTIONS.${name} is no text; write it as in Django`)
}

/** What Python's `not` says of a JSON value. */
export function isFalsy(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return !value
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw notAUrl()
  }
}

function notAUrl(): UnsupportedCache {
  return new UnsupportedCache(
    'a LOCATION is no Redis URL; write redis://, rediss:// or unix://, as in Django',
  )
}
