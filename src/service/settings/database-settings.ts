import { resolve } from 'node:path'
import { readMysql } from './database-mysql.ts'
import { readPostgresql } from './database-postgresql.ts'
import type { TlsSettings } from './database-tls.ts'
import { type DatabaseUrl, parseDatabaseUrl } from './database-url.ts'

export type { TlsSettings } from './database-tls.ts'

export type DatabaseSettings = MysqlSettings | PostgresqlSettings | SqliteSettings

/** MySQL or MariaDB. */
export interface MysqlSettings extends ServerSettings {
  readonly kind: 'mysql'
  /** As mysql2 names it, e.g. `utf8mb4`. */
  readonly charset: string
  /** Null: Django's, READ COMMITTED, or REPEATABLE READ where the server's binary log does not allow that. */
  readonly isolationLevel: IsolationLevel | null
}

export type IsolationLevel = 'READ UNCOMMITTED' | 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE'

export interface PostgresqlSettings extends ServerSettings {
  readonly kind: 'postgresql'
  /** libpq's `options`, e.g. `-c search_path=library`; null for none. */
  readonly options: string | null
  /** What `pg_stat_activity` shows. */
  readonly applicationName: string
  /** The accepted ways to authenticate, as `require_auth` names them; null for all. */
  readonly authMethods: readonly string[] | null
  /** Whether only SCRAM that is bound to the TLS connection is accepted. */
  readonly requiresChannelBinding: boolean
}

export interface SqliteSettings extends Limits {
  readonly kind: 'sqlite'
  /** Absolute. */
  readonly filename: string
  /** Whether it is the demo's file, which the service creates; any other file belongs to Django. */
  readonly embedded: boolean
}

/** One of the machines that serve the database. */
export interface DatabaseHost {
  /** A name or address; the absolute path of a socket (PostgreSQL: of its folder) when it begins with `/`. */
  readonly host: string
  readonly port: number
}

export interface ServerSettings extends Limits {
  /** At least one; several are a cluster, or a server and its standbys. */
  readonly hosts: readonly DatabaseHost[]
  /** Whether a server that does not accept writes is skipped; of several hosts, some may be standbys. */
  readonly writableOnly: boolean
  readonly user: string
  readonly password: string
  readonly database: string
  /** Null for no encryption. */
  readonly tls: TlsSettings | null
}

export interface Limits {
  /** The most connections; SQLite always has one. */
  readonly poolSize: number
  /** The longest wait for a free connection, and for each statement, in seconds. */
  readonly timeout: number
}

export interface DatabaseUrlContext {
  /** The setting that holds the URL; default: DATABASE_URL. */
  readonly name?: string
  readonly cwd: string
  readonly problems: string[]
  readonly warnings: string[]
}

/**
 * Returns the database that a DATABASE_URL names; or null, and adds the reasons to `problems`. They never quote the URL.
 * Source: dj-database-url, django-environ and, for the options, Django's backends (django/db/backends/…/base.py,
 * get_connection_params), libpq (PostgreSQL's manual, "Parameter Key Words") and mysqlclient.
 */
export function readDatabaseUrl(
  url: string,
  limits: Limits,
  { name = 'DATABASE_URL', cwd, problems, warnings }: DatabaseUrlContext,
): DatabaseSettings | null {
  const parsed = parseDatabaseUrl(url)
  if (parsed === null) {
    problems.push(
      /^sqlite:/i.test(url)
        ? `${name} is not a URL; write sqlite:///relative/file or sqlite:////absolute/file`
        : `${name} is not a URL; write mysql://user:password@host:port/name, with # / ? @ : and % in the password or a socket's path percent-escaped`,
    )
    return null
  }
  const found: string[] = []
  const context: UrlContext = {
    cwd,
    options: new Map(parsed.options),
    problems: found,
    ignore: (option, reason) => warnings.push(`${name}: the option ${option} is ignored: ${reason}`),
  }
  const settings = READERS.get(parsed.scheme)?.(parsed, limits, context)
  if (settings === undefined) {
    found.push(
      `its scheme ${parsed.scheme}:// is not supported; use one of ${[...READERS.keys()].join(', ')}`,
    )
    context.options.clear()
  }
  for (const option of context.options.keys()) warnings.push(`${name}: the option ${option} is ignored`)
  problems.push(...found.map((problem) => `${name}: ${problem}`))
  return found.length > 0 ? null : (settings ?? null)
}

/** What the reader for one kind of database gets. */
export interface UrlContext {
  readonly cwd: string
  /** A reader removes each option that it understands. */
  readonly options: Map<string, string>
  readonly problems: string[]
  /** For an option without effect here. */
  ignore(option: string, reason: string): void
}

type Reader = (url: DatabaseUrl, limits: Limits, context: UrlContext) => DatabaseSettings

/** The schemes of dj-database-url and django-environ for the databases that are served here. */
const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ...['mysql', 'mysql2', 'mysqlgis', 'mysql-connector'].map((scheme) => [scheme, readMysql] as const),
  ...[...['postgres', 'postgresql', 'pgsql', 'psql', 'postgis'], ...['timescale', 'timescalegis']].map(
    (scheme) => [scheme, readPostgresql] as const,
  ),
  ...['sqlite', 'spatialite'].map((scheme) => [scheme, readSqlite] as const),
])

function readSqlite(
  { name, hosts }: DatabaseUrl,
  limits: Limits,
  { cwd, problems }: UrlContext,
): SqliteSettings {
  const [host] = hosts
  if (name === '' && host?.host) {
    problems.push(
      `it has a host after its two slashes, but names no file; write sqlite:///${host.host} for a file in this folder, or sqlite:////absolute/file`,
    )
  } else if (name === '' || name === ':memory:') {
    problems.push(
      'it names an SQLite database in memory, which Django cannot share; write sqlite:///relative/file or sqlite:////absolute/file',
    )
  }
  return { kind: 'sqlite', ...limits, filename: resolve(cwd, name), embedded: false }
}
