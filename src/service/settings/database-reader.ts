import { resolve } from 'node:path'
import { readMysql } from './database-mysql.ts'
import { readPostgresql } from './database-postgresql.ts'
import type { DatabaseSettings, Limits, SqliteSettings, UrlContext } from './database-settings.ts'
import { type DatabaseUrl, parseDatabaseUrl } from './database-url.ts'

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
