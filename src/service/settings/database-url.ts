/** What dj-database-url makes of a DATABASE_URL, before any database's own rules. */
export interface DatabaseUrl {
  /** Lower case, without `://`. */
  readonly scheme: string
  readonly user: string
  readonly password: string
  /** One, or several in the order of trying. */
  readonly hosts: readonly UrlHost[]
  /** The database, or SQLite's file. */
  readonly name: string
  /** The query, as text; the last value of a name counts. */
  readonly options: ReadonlyMap<string, string>
}

export interface UrlHost {
  /** May be a socket's path, written `%2Fvar%2Frun…`; IPv6 without its brackets. Empty when missing. */
  readonly host: string
  /** Null when missing. */
  readonly port: number | null
}

/**
 * Parses a DATABASE_URL. Returns null for any other text: often a URL whose password holds a `#`, `/`, `?` or `@`
 * that is not percent-escaped. Not WHATWG's URL, which knows neither `postgres://user:password@/name` nor `sqlite://:memory:`.
 * Unlike Django, whose URL names one server: several hosts, each with its port, as libpq's URIs have them.
 * Source: dj_database_url/__init__.py, parse; Python's urllib.parse, urlsplit.
 */
export function parseDatabaseUrl(url: string): DatabaseUrl | null {
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?$/i.exec(url.trim())
  if (parts === null) return null
  const [, scheme = '', authority = '', path = '', query = ''] = parts
  const location = { scheme: scheme.toLowerCase(), name: unquote(path.slice(1)), options: readQuery(query) }
  // dj-database-url too takes this one before it looks for a port.
  if (authority === ':memory:')
    return { ...location, name: ':memory:', user: '', password: '', hosts: [{ host: '', port: null }] }

  const at = authority.lastIndexOf('@')
  const [, user = '', password = ''] = /^([^:]*):?(.*)$/s.exec(authority.slice(0, Math.max(at, 0))) ?? []
  const servers = authority.slice(at + 1).split(',')
  const hosts = servers.map(readHost).filter((host) => host !== null)
  if (hosts.length < servers.length || (hosts.length > 1 && hosts.some(({ host }) => host === '')))
    return null
  return { ...location, user: unquote(user), password: unquote(password), hosts }
}

function readHost(text: string): UrlHost | null {
  const server = /^(?:\[([^[\]]*)\]|([^:[\]]*))(?::(\d*))?$/.exec(text)
  const port = Number(server?.[3] ?? '')
  if (server === null || port > 65_535) return null
  return { host: unquote(lowerCaseHost(server[1] ?? server[2] ?? '')), port: port === 0 ? null : port }
}

function readQuery(query: string): Map<string, string> {
  return new Map(new URLSearchParams(query).entries().filter(([, value]) => value !== ''))
}

// Python leaves alone what follows a `%`: an IPv6 zone, and with it a socket's path (urllib.parse, hostname).
function lowerCaseHost(host: string): string {
  return host.replace(/^[^%]*/, (name) => name.toLowerCase())
}

// decodeURIComponent throws for a lone `%`; Python's unquote leaves it.
function unquote(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => Buffer.from(run.replaceAll('%', ''), 'hex').toString())
}
