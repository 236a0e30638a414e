import { UnsupportedCache } from './cache-errors.ts'

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
  /** The query of the LOCATION, of which redis-py takes its options. */
  readonly query: ReadonlyMap<string, string>
}

/**
 * Reads one of `redis://[[username]:password@]host[:port][/db]`, `rediss://…` and `unix://[…@]/path[?db=0]`.
 * The query wins over the path; what the URL leaves out is taken from `options`. Source: redis/connection.py, parse_url.
 * @throws {UnsupportedCache} for another text, without quoting it: it may hold a password.
 */
export function parseRedisLocation(
  location: string,
  options: { username?: string | null; password?: string | null; db?: number | null } = {},
): RedisAddress {
  const match = LOCATION.exec(location)
  if (match?.groups === undefined || Number(match.groups.port ?? 0) > 65535) throw notAUrl()
  const { scheme, userinfo, host = '', port, path = '', query: search = '' } = match.groups
  const query = new Map(new URLSearchParams(search))
  const [, username = '', password = ''] = /^([^:]*)(?::(.*))?$/s.exec(userinfo ?? '') ?? []
  const isSocket = scheme === 'unix'
  const db = query.get('db') ?? (isSocket ? '' : decode(path).replaceAll('/', ''))
  return {
    host: host === '' ? 'localhost' : decode(host.replace(/^\[(.*)\]$/, '$1')).toLowerCase(), // as urlparse does
    port: port === undefined || port === '' ? 6379 : Number(port),
    path: isSocket ? decode(path) : null,
    tls: scheme === 'rediss',
    username: decode(username) || query.get('username') || options.username || null,
    password: decode(password) || query.get('password') || options.password || null,
    db: /^\d+$/.test(db) ? Number(db) : (options.db ?? 0),
    query,
  }
}

/** Python's urlparse: the last `@` ends the userinfo, in which anything may stand but `/`, `?` and `#`. */
const LOCATION =
  /^(?<scheme>rediss?|unix):\/\/(?:(?<userinfo>[^/?#]*)@)?(?<host>\[[^\]/?#]*\]|[^:/?#]*)(?::(?<port>\d*))?(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?(?:#.*)?$/s

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
