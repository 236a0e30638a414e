import { UnsupportedCache } from '../cache-errors.ts'

/** Keyword arguments of redis-py. */
export type RedisKwargs = Readonly<Record<string, unknown>>

/** The address and credentials of a Redis server, from one LOCATION and the OPTIONS. */
export interface RedisAddress {
  /** The host; with sentinels, the name of the service. */
  readonly host: string
  readonly port: number
  /** A Unix socket, instead of host and port. */
  readonly path: string | null
  readonly tls: boolean
  readonly username: string | null
  readonly password: string | null
  readonly db: number
  /** The keyword arguments that redis-py passes to its connections: those of the URL, then those of the options. */
  readonly kwargs: RedisKwargs
}

/**
 * Parses one of `redis://[[username]:password@]host[:port][/db]`, `rediss://…` and `unix://[…@]/path[?db=0]`.
 * The query overrides the path, and the URL overrides `options`. Source: redis/connection.py, parse_url and from_url.
 * @throws {UnsupportedCache} for any other text, which is not quoted since it may contain a password; and for values on
 * which redis-py or the server fails.
 */
export function parseRedisLocation(location: string, options: RedisKwargs = {}): RedisAddress {
  const match = LOCATION.exec(location)
  if (match?.groups === undefined || Number(match.groups.port ?? 0) > 65535) throw notAUrl()
  const { scheme, userinfo, host = '', port = '', path = '', query = '' } = match.groups
  const [, username = '', password = ''] = /^([^:]*)(?::(.*))?$/s.exec(userinfo ?? '') ?? []
  const isSocket = scheme === 'unix'
  const parameters = readQuery(query)
  const kwargs: RedisKwargs = {
    ...options,
    ...(!isSocket && databaseIn(path)),
    ...parameters,
    ...(username !== '' && { username: decode(username) }),
    ...(password !== '' && { password: decode(password) }),
    // Normalized as by Python's urlparse.
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

/** As Python's urlparse: the last `@` ends the userinfo, which may contain anything except `/`, `?` and `#`. */
const LOCATION =
  /^(?<scheme>rediss?|unix):\/\/(?:(?<userinfo>[^/?#]*)@)?(?<host>\[[^\]/?#]*\]|[^:/?#]*)(?::(?<port>\d*))?(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?(?:#.*)?$/s

/** The first value of each name; empty values are skipped. Source: urllib.parse.parse_qs. */
function readQuery(query: string): RedisKwargs {
  const found: Record<string, unknown> = {}
  for (const [name, text] of new URLSearchParams(query)) {
    if (text === '' || Object.hasOwn(found, name)) continue
    const value = (PARSERS.get(name) ?? asText)(text)
    if (value === undefined)
      throw new UnsupportedCache(
        `${name} in the query of a LOCATION has a value that redis-py cannot parse; correct it, as in Django`,
      )
    found[name] = value
  }
  return found
}

const asText = (text: string): string => text
const asBoolean = (text: string): boolean => !/^(?:0|f|false|n|no)$/i.test(text)

/** undefined if the text is not an integer. Unlike Python's int, accepts only ASCII digits. */
function asInteger(text: string): number | undefined {
  return /^\s*[+-]?\d+(?:_\d+)*\s*$/.test(text) ? Number(text.replaceAll('_', '')) : undefined
}

function asFloat(text: string): number | undefined {
  const isNumber = /^\s*[+-]?(?:\d+(?:_\d+)*\.?|(?:\d+(?:_\d+)*)?\.\d+(?:_\d+)*)(?:e[+-]?\d+)?\s*$/i.test(
    text,
  )
  return isNumber ? Number(text.replaceAll('_', '')) : undefined
}

/** Source: redis/connection.py, URL_QUERY_ARGUMENT_PARSERS, of redis-py 4.6 to 8.1; any other name keeps its text. */
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

/** The database in the path; a path that is not a number is ignored. */
function databaseIn(path: string): { db?: number } {
  const text = decode(path).replaceAll('/', '')
  const db = asInteger(text)
  if (db !== undefined) return { db }
  if (/\p{Nd}/u.test(text.replace(/[0-9]/g, ''))) throw notAUrl() // Python also accepts digits of other scripts
  return {}
}

/** redis-py sends the value unchanged, and the server accepts only digits, without sign or leading zeros. */
function databaseOf(db: unknown): number {
  if (isFalsy(db)) return 0
  const isNumber = typeof db === 'number' || (typeof db === 'string' && /^(?:0|[1-9]\d*)$/.test(db))
  if (isNumber && Number.isSafeInteger(Number(db)) && Number(db) >= 0) return Number(db)
  throw new UnsupportedCache('OPTIONS.db is not a database number; write it as in Django, such as 10 or "10"')
}

function portOf(port: unknown = 6379): number {
  const number = typeof port === 'string' ? asInteger(port) : port
  if (typeof number === 'number' && Number.isInteger(number) && number > 0 && number <= 65535) return number
  throw new UnsupportedCache('OPTIONS.port is not a port number from 1 to 65535; write it as in Django')
}

/** A keyword argument that redis-py sends as text, which includes numbers. Null if it is not set. @throws {UnsupportedCache} */
export function sentText(kwargs: RedisKwargs, name: string): string | null {
  const value = kwargs[name]
  if (isFalsy(value)) return null
  if (typeof value === 'string' || typeof value === 'number') return String(value)
  throw new UnsupportedCache(`OPTIONS.${name} is not a string; write it as in Django`)
}

/** Whether a JSON value is falsy in Python. */
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
    'a LOCATION is not a Redis URL; write redis://, rediss:// or unix://, as in Django',
  )
}
