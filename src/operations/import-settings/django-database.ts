import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { DatabaseFacts, ProjectFacts } from './ask-django.ts'
import { readOptionFile, readPasswordFile, readServiceFile } from './client-files.ts'
import { isPythonObject, isRecord, type PlainValue, recordOf } from './plain-value.ts'

/** A database of the project as the value of DATABASE_URL. */
export interface DatabaseAsUrl {
  /** Null when it cannot be written as one; `refused` says why. */
  readonly url: string | null
  /** Why sharing would fail, each completing "DATABASES['default'] …". */
  readonly refused: readonly string[]
  /** What does not matter for sharing, but was not carried over. */
  readonly warnings: readonly string[]
}

/**
 * Writes an entry of DATABASES as the URL that this service reads, whatever its form: options, sockets, and the files of
 * MySQL's and PostgreSQL's clients, which must be those of this machine.
 * Source: Django's backends, get_connection_params; mysqlclient; libpq.
 */
export function databaseAsUrl(entry: DatabaseFacts, project: DatabasesOf): DatabaseAsUrl {
  const refused: string[] = []
  const warnings: string[] = []
  const context: Context = { project, refused, warnings }
  const url = writers[entry.vendor]?.(entry, context) ?? null
  if (!(entry.vendor in writers))
    refused.push(`is on ${entry.vendor}, which is not supported; use MySQL, MariaDB, PostgreSQL or SQLite`)
  return { url: refused.length > 0 ? null : url, refused, warnings }
}

/** What an entry of DATABASES is relative to. */
export type DatabasesOf = Pick<ProjectFacts, 'folder' | 'environment' | 'account'>

interface Context {
  readonly project: DatabasesOf
  readonly refused: string[]
  readonly warnings: string[]
}

const writers: Readonly<Record<string, (entry: DatabaseFacts, context: Context) => string>> = {
  sqlite: sqliteUrl,
  mysql: mysqlUrl,
  postgresql: postgresqlUrl,
}

function sqliteUrl({ NAME }: DatabaseFacts, { project, refused }: Context): string {
  const name = textOf(NAME)
  if (name === '' || name === ':memory:' || /^file:.*(?:mode=memory|:memory:)/.test(name))
    refused.push('is an SQLite database in memory, which no other process sees; use a file')
  else if (name.startsWith('file:'))
    refused.push('is a file: URI of SQLite, which is not supported; write the path of the file as its NAME')
  const path = resolve(project.folder, name).split('/').map(escaped).join('/')
  return `sqlite:///${path}`
}

/** MySQLdb's names, and those that were added later. */
const MYSQL_NAMES: Readonly<Record<string, string>> = { passwd: 'password', db: 'database' }

/** How Python code uses its connection; nothing of it is stored. */
const MYSQL_DROPPED = new Set(
  (
    'init_command sql_mode autocommit connect_timeout read_timeout write_timeout use_unicode conv cursorclass ' +
    'client_flag compress local_infile binary_prefix program_name named_pipe use_pure raise_on_warnings ' +
    'read_default_group isolation_level'
  ).split(' '),
)

function mysqlUrl(entry: DatabaseFacts, context: Context): string {
  const given = partsOf(entry)
  const options = recordOf(entry.OPTIONS)
  const isolation = textOf(options.isolation_level ?? null)
  const query = new URLSearchParams()
  if (isolation !== '') query.set('isolation_level', isolation)
  for (const [option, value] of Object.entries(options)) {
    if (MYSQL_DROPPED.has(option) || value === null) continue
    const name = MYSQL_NAMES[option] ?? option
    if (isPythonObject(value))
      context.refused.push(
        `has the option ${option}, a Python object (${value.__python__}), which cannot be carried over`,
      )
    else if (name in given || name === 'unix_socket') given[name] = textOf(value)
    else if (name === 'read_default_file') addOptionFile(given, query, { options, context })
    else if (name === 'ssl' && isRecord(value)) {
      if (Object.keys(value).length > 0) query.set('ssl', JSON.stringify(value))
    } else query.set(name, textOf(value))
  }
  const { host = '', unix_socket = '', ...rest } = given
  const place = unix_socket || (host === '' || host === 'localhost' ? localMysql(entry) : host)
  return serverUrl('mysql', { ...rest, host: place }, query)
}

/** What the settings do not say comes from the file. */
function addOptionFile(
  given: Record<string, string>,
  query: URLSearchParams,
  { options, context }: { options: Readonly<Record<string, PlainValue>>; context: Context },
): void {
  const file = fromHome(textOf(options.read_default_file ?? null), context.project)
  const text = contentOf(file)
  if (text === null) {
    context.refused.push(`reads the option file ${file}, which cannot be read here; make it readable`)
    return
  }
  if (/^\s*!include/m.test(text))
    context.warnings.push(`reads the option file ${file}, whose !include lines are not followed`)
  const found = readOptionFile(text, textOf(options.read_default_group ?? null) || 'client')
  for (const [name, part] of Object.entries(OPTION_FILE_PARTS)) {
    if (!given[part]) given[part] = found.get(name) ?? ''
  }
  for (const [name, option] of Object.entries(OPTION_FILE_OPTIONS)) {
    const value = found.get(name)
    if (value !== undefined && !query.has(option) && options[option] === undefined) query.set(option, value)
  }
}

const OPTION_FILE_PARTS: Readonly<Record<string, string>> = {
  host: 'host',
  port: 'port',
  user: 'user',
  password: 'password',
  database: 'database',
  socket: 'unix_socket',
}

const OPTION_FILE_OPTIONS: Readonly<Record<string, string>> = {
  default_character_set: 'charset',
  ssl_ca: 'ssl_ca',
  ssl_cert: 'ssl_cert',
  ssl_key: 'ssl_key',
  ssl_mode: 'ssl_mode',
}

/**
 * MySQL's C client takes `localhost` as its socket, and PyMySQL as an address. For an address, an account of MySQL may
 * differ: `'user'@'localhost'` may have no password on the socket.
 */
function localMysql({ driver }: DatabaseFacts): string {
  if (driver !== 'MySQLdb') return 'localhost'
  return MYSQL_SOCKETS.find((socket) => existsSync(socket)) ?? 'localhost'
}

/** Of Debian and Ubuntu, Red Hat, and MySQL itself. */
const MYSQL_SOCKETS = ['/run/mysqld/mysqld.sock', '/var/lib/mysql/mysql.sock', '/tmp/mysql.sock']

/** How psycopg uses its connection. */
const POSTGRESQL_DROPPED = new Set(
  (
    'isolation_level pool server_side_binding cursor_factory connection_factory row_factory context async_ ' +
    'prepare_threshold autocommit connect_timeout tcp_user_timeout keepalives keepalives_idle keepalives_interval ' +
    'keepalives_count client_encoding'
  ).split(' '),
)

/** libpq's variables for the parameters that decide to which server it talks, and how. */
const POSTGRESQL_VARIABLES: Readonly<Record<string, string>> = {
  PGHOST: 'host',
  PGHOSTADDR: 'hostaddr',
  PGPORT: 'port',
  PGUSER: 'user',
  PGPASSWORD: 'password',
  PGPASSFILE: 'passfile',
  PGOPTIONS: 'options',
  PGSSLMODE: 'sslmode',
  PGSSLROOTCERT: 'sslrootcert',
  PGSSLCERT: 'sslcert',
  PGSSLKEY: 'sslkey',
  PGSSLCRL: 'sslcrl',
  PGSSLNEGOTIATION: 'sslnegotiation',
  PGCHANNELBINDING: 'channel_binding',
  PGREQUIREAUTH: 'require_auth',
  PGTARGETSESSIONATTRS: 'target_session_attrs',
}

function postgresqlUrl(entry: DatabaseFacts, context: Context): string {
  const { project, refused } = context
  const parameters = new Map<string, string>()
  for (const [option, value] of Object.entries(recordOf(entry.OPTIONS))) {
    if (POSTGRESQL_DROPPED.has(option) || value === null) continue
    if (isPythonObject(value))
      refused.push(`has the option ${option}, a Python object, which cannot be carried over`)
    else parameters.set(option, textOf(value))
  }
  // Unlike in the MySQL backend, the settings win over the options.
  for (const [name, value] of Object.entries(partsOf(entry))) {
    const parameter = name === 'database' ? 'dbname' : name
    if (value !== '') parameters.set(parameter, value)
  }
  addService(parameters, context)
  for (const [variable, name] of Object.entries(POSTGRESQL_VARIABLES)) {
    const value = project.environment[variable]
    if (value && !parameters.has(name)) parameters.set(name, value)
  }
  const take = (name: string): string => {
    const value = parameters.get(name) ?? ''
    parameters.delete(name)
    return value
  }
  const port = take('port')
  const address = take('hostaddr')
  const host = address || take('host') || localPostgresql(port || '5432')
  parameters.delete('host')
  const user = take('user') || textOf(project.account)
  const database = take('dbname') || take('database') || 'postgres' // Django's default, for its own commands
  const passwordFile = take('passfile') || join(project.environment.HOME ?? '', '.pgpass')
  const password =
    take('password') || passwordIn(passwordFile, { host, port: port || '5432', database, user }, context)
  addCertificates(parameters, project)
  return serverUrl('postgres', { host, port, user, password, database }, new URLSearchParams([...parameters]))
}

/** Adds what a service file says and the settings do not. */
function addService(parameters: Map<string, string>, { project, refused }: Context): void {
  const { PGSERVICE = '', PGSERVICEFILE = '', PGSYSCONFDIR = '', HOME = '' } = project.environment
  const service = parameters.get('service') ?? PGSERVICE
  const own = parameters.get('servicefile') ?? PGSERVICEFILE
  parameters.delete('service')
  parameters.delete('servicefile')
  if (service === '') return
  const files = [
    own || join(HOME, '.pg_service.conf'),
    ...[PGSYSCONFDIR, '/etc/postgresql-common', '/etc/sysconfig/pgsql', '/etc'].map((folder) =>
      join(folder, 'pg_service.conf'),
    ),
  ]
  for (const file of files.map((one) => fromHome(one, project))) {
    const found = readServiceFile(contentOf(file) ?? '', service)
    if (found === null) continue
    for (const [name, value] of found) if (!parameters.has(name)) parameters.set(name, value)
    return
  }
  refused.push(`names the service ${service}, which is in none of the files ${files.slice(0, 2).join(', ')}`)
}

/** libpq's default folder of the socket differs between its builds; this is where the server has its own. */
function localPostgresql(port: string): string {
  const folders = ['/var/run/postgresql', '/tmp', '/run/postgresql']
  return folders.find((folder) => existsSync(join(folder, `.s.PGSQL.${port}`))) ?? 'localhost'
}

function passwordIn(
  file: string,
  { host, ...wanted }: { host: string; port: string; database: string; user: string },
  { project, warnings }: Context,
): string {
  const path = fromHome(file, project)
  const text = contentOf(path)
  if (text === null) return ''
  if ((statSync(path).mode & 0o077) !== 0) {
    warnings.push(`has no PASSWORD, and ${path} is ignored as by libpq: others than its owner may read it`)
    return ''
  }
  return readPasswordFile(text, { host, ...wanted }) ?? ''
}

/** libpq's default files, which it takes where they exist. Source: PostgreSQL's manual, "SSL Support". */
function addCertificates(parameters: Map<string, string>, { environment }: DatabasesOf): void {
  const folder = join(environment.HOME ?? '', '.postgresql')
  const mode = parameters.get('sslmode') ?? ''
  const root = join(folder, 'root.crt')
  if (mode.startsWith('verify-') && !parameters.has('sslrootcert') && existsSync(root))
    parameters.set('sslrootcert', root)
  const [certificate, key] = [join(folder, 'postgresql.crt'), join(folder, 'postgresql.key')]
  if (mode === 'disable' || parameters.has('sslcert') || !existsSync(certificate) || !existsSync(key)) return
  parameters.set('sslcert', certificate)
  parameters.set('sslkey', key)
}

/** What Django's settings have, by the clients' names. */
function partsOf({ HOST, PORT, USER, PASSWORD, NAME }: DatabaseFacts): Record<string, string> {
  const host = textOf(HOST)
  return {
    host,
    port: textOf(PORT),
    user: textOf(USER),
    password: textOf(PASSWORD),
    database: textOf(NAME),
  }
}

function serverUrl(
  scheme: string,
  { host = '', port = '', user = '', password = '', database = '' }: Record<string, string>,
  query: URLSearchParams,
): string {
  const ports = port.split(',')
  const hosts = host.split(',').map((one, at) => {
    const own = ports.length > 1 ? ports[at] : ports[0]
    const name = /^[\da-f]*:[\da-f:.]*$/i.test(one) ? `[${one}]` : escaped(one)
    return own && !one.startsWith('/') ? `${name}:${own}` : name
  })
  // The name of a PostgreSQL socket contains the port, which a URL has after it.
  const socketPort = host.startsWith('/') && scheme === 'postgres' && port !== '' ? `:${port}` : ''
  const who = user === '' && password === '' ? '' : `${escaped(user)}:${escaped(password)}@`
  const options = query.size > 0 ? `?${query}` : ''
  return `${scheme}://${who}${hosts.join()}${socketPort}/${escaped(database)}${options}`
}

/** Percent-escapes all but what is literal in every part of a URL. */
function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function contentOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null
    throw error
  }
}

function fromHome(file: string, { environment, folder }: DatabasesOf): string {
  return resolve(folder, file.replace(/^~(?=\/)/, environment.HOME ?? '~'))
}

function textOf(value: PlainValue | { readonly error: string }): string {
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}
