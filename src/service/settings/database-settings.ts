import type { TlsSettings } from './database-tls.ts'

export type { TlsSettings } from './database-tls.ts'

/** What a database's URL says, read. */
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
  /** The runs of a statement before it is prepared by name; null: it never is. */
  readonly prepareThreshold: number | null
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

/** What the reader for one kind of database gets. */
export interface UrlContext {
  readonly cwd: string
  /** A reader removes each option that it understands. */
  readonly options: Map<string, string>
  readonly problems: string[]
  /** For an option without effect here. */
  ignore(option: string, reason: string): void
}
