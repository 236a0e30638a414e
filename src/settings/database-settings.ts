import { resolve } from 'node:path'
import { type DatabaseUrl, parseDatabaseUrl } from './database-url.ts'

export type DatabaseSettings = MysqlSettings | PostgresqlSettings | SqliteSettings

/** MySQL or MariaDB. */
export interface MysqlSettings extends ServerSettings {
  readonly kind: 'mysql'
  /** As MySQL names it, e.g. `utf8mb4`. */
  readonly charset: string
}

export interface PostgresqlSettings extends ServerSettings {
  readonly kind: 'postgresql'
  /** libpq's `options`, e.g. `-c search_path=library`; null for none. */
  readonly options: string | null
  /** What `pg_stat_activity` shows. */
  readonly applicationName: string
}

export interface SqliteSettings extends Limits {
  readonly kind: 'sqlite'
  /** Absolute. */
  readonly filename: string
  /** Whether it is the demo's own file, which the service makes; any other belongs to Django. */
  readonly embedded: boolean
}

/** How to encrypt the connection and whom to believe; file names, not contents. */
export interface TlsSettings {
  /** File of the certificate authority; null for those Node knows. */
  readonly ca: string | null
  /** What of the server's certificate is checked: nothing, its authority, or its host name too. */
  readonly verify: 'nothing' | 'authority' | 'host'
}

/** One of the machines that serve the database. */
export interface DatabaseHost {
  /** A name or address; the absolute path of a socket (PostgreSQL: of its folder) when it begins with `/`. */
  readonly host: string
  readonly port: number
}

interface ServerSettings extends Limits {
  /** At least one; several are a cluster, or a server and its standbys. */
  readonly hosts: readonly DatabaseHost[]
  /** Whether a server that takes no writes is left for the next; of several hosts some may be such. */
  readonly writableOnly: boolean
  readonly user: string
  readonly password: string
  readonly database: string
  /** Null for no encryption. */
  readonly tls: TlsSettings | null
}

export interface Limits {
  /** Connections at most; SQLite has always one. */
  readonly poolSize: number
  /** Seconds: for a free connection, and for each statement. */
  readonly timeout: number
}

export interface DatabaseUrlContext {
  /** The setting that holds the URL; DATABASE_URL unless given. */
  readonly name?: string
  readonly cwd: string
  readonly problems: string[]
  readonly warnings: string[]
}

/**
 * The database that a DATABASE_URL names, or null with the reasons added to `problems`, which never quote the URL.
 * Source: dj-database-url and, for the options, Django's backends (django/db/backends/…/base.py, get_connection_params).
 */
export function readDatabaseUrl(
  url: string,
  limits: Limits,
  { name = 'DATABASE_URL', cwd, problems, warnings }: DatabaseUrlContext,
): DatabaseSettings | null {
  const parsed = parseDatabaseUrl(url)
  if (parsed === null) {
    problems.push(
      `${name} is no URL; write mysql://user:password@host:port/name, with # / ? @ : and % in the password percent-escaped`,
    )
    return null
  }
  const found: string[] = []
  const options = new Map(parsed.options)
  const settings = READERS.get(parsed.scheme)?.(parsed, limits, { cwd, options, problems: found })
  if (settings === undefined) {
    found.push(
      `its scheme ${parsed.scheme}:// is not supported; use one of ${[...READERS.keys()].join(', ')}`,
    )
    options.clear()
  }
  for (const option of options.keys()) {
    if (DANGEROUS_OPTION.test(option)) found.push(`its option ${option} is not supported; remove it`)
    else warnings.push(`${name}: the option ${option} is ignored`)
  }
  problems.push(...found.map((problem) => `${name}: ${problem}`))
  return found.length > 0 ? null : (settings ?? null)
}

interface Context {
  readonly cwd: string
  /** Readers take out what they understand. */
  readonly options: Map<string, string>
  readonly problems: string[]
}

type Reader = (url: DatabaseUrl, limits: Limits, context: Context) => DatabaseSettings

/** dj-database-url's schemes for the databases that are served here. */
const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['mysql', readMysql],
  ['mysql2', readMysql],
  ['postgres', readPostgresql],
  ['postgresql', readPostgresql],
  ['pgsql', readPostgresql],
  ['sqlite', readSqlite],
])

/** Options that choose another server, user, database, encryption or schema: ignoring one would talk to the wrong thing. */
const DANGEROUS_OPTION =
  /^(ssl.*|gss.*|host|hostaddr|port|user|passwd|password|passfile|db|dbname|database|service|servicefile|read_default_.*|require_auth|channel_binding|assume_role)$/

function readMysql(url: DatabaseUrl, limits: Limits, { options, problems }: Context): MysqlSettings {
  const server = readServer(url, 3306, problems)
  const socket = take(options, 'unix_socket')
  if (socket !== null && url.hosts.length > 1) problems.push('its option unix_socket contradicts its hosts')
  return {
    kind: 'mysql',
    ...limits,
    ...server,
    ...(socket !== null && { hosts: [{ host: socket, port: 3306 }] }),
    charset: take(options, 'charset') ?? 'utf8mb4',
    tls: readTls(MYSQL_TLS, options, problems, { mode: 'ssl_mode', ca: 'ssl-ca' }),
  }
}

function readPostgresql(
  url: DatabaseUrl,
  limits: Limits,
  { options, problems }: Context,
): PostgresqlSettings {
  const schema = take(options, 'currentSchema')
  const libpqOptions = take(options, 'options')
  const attributes = take(options, 'target_session_attrs')
  if (!['read-write', 'primary', null].includes(attributes)) {
    problems.push('its option target_session_attrs is not read-write; sessions are written')
  }
  const server = readServer(url, 5432, problems)
  return {
    kind: 'postgresql',
    ...limits,
    ...server,
    writableOnly: server.writableOnly || attributes !== null,
    options: schema === null ? libpqOptions : `-c search_path=${schema}`,
    applicationName: take(options, 'application_name') ?? 'koa-django-sessions',
    tls: readTls(POSTGRESQL_TLS, options, problems, { mode: 'sslmode', ca: 'sslrootcert' }),
  }
}

function readSqlite({ name }: DatabaseUrl, limits: Limits, { cwd, problems }: Context): SqliteSettings {
  if (name === '' || name === ':memory:') {
    problems.push(
      'it names an SQLite database in memory, which no Django can share; write sqlite:///relative/file or sqlite:////absolute/file',
    )
  }
  return { kind: 'sqlite', ...limits, filename: resolve(cwd, name), embedded: false }
}

function readServer(
  { hosts, user, password, name }: DatabaseUrl,
  defaultPort: number,
  problems: string[],
): Pick<ServerSettings, 'hosts' | 'writableOnly' | 'user' | 'password' | 'database'> {
  if (name === '') problems.push('it names no database; add /name after the host')
  // Unlike Django, whose drivers look for a socket where they were compiled to: one must be named here.
  const servers = hosts.map(({ host, port }) => ({ host: host || 'localhost', port: port ?? defaultPort }))
  return { hosts: servers, writableOnly: hosts.length > 1, user, password, database: name }
}

type Verification = TlsSettings['verify']

/** What each mode means; null for no encryption. */
const MYSQL_TLS: ReadonlyMap<string, Verification | null> = new Map([
  ['DISABLED', null],
  ['REQUIRED', 'nothing'],
  ['VERIFY_CA', 'authority'],
  ['VERIFY_IDENTITY', 'host'],
])

const POSTGRESQL_TLS: ReadonlyMap<string, Verification | null> = new Map([
  ['disable', null],
  ['require', 'nothing'],
  ['verify-ca', 'authority'],
  ['verify-full', 'host'],
])

/**
 * A named authority is checked even where the mode does not ask, as libpq and MySQL's client do.
 * Modes that would settle for no encryption (`prefer`) are refused: these drivers do not negotiate.
 */
function readTls(
  modes: ReadonlyMap<string, Verification | null>,
  options: Map<string, string>,
  problems: string[],
  names: { mode: string; ca: string },
): TlsSettings | null {
  const ca = take(options, names.ca)
  const mode = take(options, names.mode)
  const verify = mode === null ? (ca === null ? null : 'authority') : modes.get(mode)
  if (verify === undefined) {
    problems.push(`its option ${names.mode} is not one of ${[...modes.keys()].join(', ')}`)
    return null
  }
  if (verify === null) return null
  return { ca, verify: verify === 'nothing' && ca !== null ? 'authority' : verify }
}

function take(options: Map<string, string>, name: string): string | null {
  const value = options.get(name) ?? null
  options.delete(name)
  return value
}
