import type { SecureVersion } from 'node:tls'
import { readServer, takeOption, type UrlParts } from './database-server.ts'
import type { Limits, PostgresqlSettings, UrlContext } from './database-settings.ts'
import { type TlsModes, type TlsSettings, tlsOf } from './database-tls.ts'
import type { DatabaseUrl } from './database-url.ts'

/** The settings in a PostgreSQL URL, whose options are those of libpq, of Django and `currentSchema` of dj-database-url. */
export function readPostgresql(url: DatabaseUrl, limits: Limits, context: UrlContext): PostgresqlSettings {
  const { options, problems } = context
  const server = readServer(url, context, { defaultPort: 5432, parts: PARTS })
  const settings: PostgresqlSettings = {
    kind: 'postgresql',
    ...limits,
    ...server,
    writableOnly: readWritableOnly(context) || server.writableOnly,
    options: readServerOptions(options),
    applicationName:
      [takeOption(options, 'application_name'), takeOption(options, 'fallback_application_name')].find(
        (name) => name !== null,
      ) ?? APPLICATION_NAME,
    ...readAuthentication(context),
    prepareThreshold: readPrepareThreshold(context),
    tls: readTls(context),
  }
  if (settings.requiresChannelBinding && settings.tls?.use !== 'required')
    problems.push('its option channel_binding=require needs TLS; also write sslmode=require')
  for (const [names, reason] of IGNORED) {
    for (const name of names) if (takeOption(options, name) !== null) context.ignore(name, reason)
  }
  for (const name of options.keys()) {
    const remedy = INSTEAD.find(([pattern]) => pattern.test(name))?.[1]
    if (remedy === undefined) continue
    problems.push(`its option ${name} is not supported; ${remedy}`)
    options.delete(name)
  }
  return settings
}

/** The default of the URL's application_name. */
export const APPLICATION_NAME = 'koa-django-sessions'

/** libpq's names. */
const PARTS: UrlParts = {
  host: 'host',
  port: 'port',
  user: ['user'],
  password: ['password'],
  database: ['dbname', 'database'],
}

/** Options without effect here, and the reason. */
const IGNORED: readonly (readonly [names: readonly string[], reason: string])[] = [
  [['connect_timeout', 'tcp_user_timeout'], 'DATABASE_TIMEOUT limits the waits for the database'],
  [
    ['keepalives', 'keepalives_idle', 'keepalives_interval', 'keepalives_count'],
    'DATABASE_TIMEOUT finds dead connections',
  ],
  [['client_encoding'], 'it is UTF8, as in Django'],
  [['sslcompression', 'sslsni', 'sslcertmode'], "Node's TLS decides it"],
  [['krbsrvname', 'gsslib', 'gssdelegation'], 'GSSAPI is not used'],
  [['load_balance_hosts'], 'the hosts are tried in their order, which may differ between processes'],
  [['min_protocol_version', 'max_protocol_version'], 'version 3.0 of the protocol is used'],
  [['isolation_level'], 'each statement here is a transaction of its own'],
  [['server_side_binding', 'pool'], 'it is for psycopg'],
]

/** Options that choose another server, user, encryption or schema: ignoring one would talk to the wrong thing. */
const INSTEAD: readonly (readonly [option: RegExp, remedy: string])[] = [
  [/^hostaddr$/, "write the address in the host's place"],
  [/^passfile$/, 'write the password into the URL'],
  [/^service(file)?$/, 'write host, port, user, password and name into the URL'],
  [/^requirepeer$/, "keep the socket in a folder where only the server's user may write"],
  [/^(scram_|oauth_)/, 'write a user and a password into the URL'],
  [/^replication$/, 'write a URL of a connection that takes SQL'],
  [/^(schema|search_path)$/, 'write currentSchema=… as dj-database-url has it'],
  [/^sslcrldir$/, 'write sslcrl=FILE'],
  [/^(ssl|gss)/, 'write sslmode, sslrootcert, sslcert, sslkey, sslpassword, sslcrl or sslnegotiation'],
]

/** Sessions are written: of several hosts, one that accepts writes is needed, even with `any`. */
function readWritableOnly({ options, problems }: UrlContext): boolean {
  const attributes = takeOption(options, 'target_session_attrs')
  if (!['any', 'read-write', 'primary', null].includes(attributes))
    problems.push(
      'its option target_session_attrs is not read-write; write read-write, since sessions are written',
    )
  return attributes === 'read-write' || attributes === 'primary'
}

/** Source: dj-database-url, apply_current_schema; Django's `assume_role` (base.py, ensure_role), which also is a parameter. */
function readServerOptions(options: Map<string, string>): string | null {
  const schema = takeOption(options, 'currentSchema')
  const given = takeOption(options, 'options')
  const role = takeOption(options, 'assume_role')
  const all = [
    schema === null ? given : `-c search_path=${schema}`,
    role === null ? null : `-c role=${escapeWord(role)}`,
  ].filter((text) => text !== null)
  return all.length === 0 ? null : all.join(' ')
}

/** Source: PostgreSQL's src/backend/utils/init/postinit.c, pg_split_opts. */
function escapeWord(text: string): string {
  return text.replace(/[\\\s]/g, '\\$&')
}

/** psycopg's `prepare_threshold`, with its default; Django's own is None, for the sake of poolers. */
function readPrepareThreshold({ options, problems }: UrlContext): number | null {
  const text = takeOption(options, 'prepare_threshold') ?? '5'
  if (text.toLowerCase() === 'none') return null
  if (!/^\d{1,6}$/.test(text))
    problems.push('its option prepare_threshold is not a number; write a number of runs, or none')
  return Number(text)
}

function readAuthentication({
  options,
  problems,
}: UrlContext): Pick<PostgresqlSettings, 'authMethods' | 'requiresChannelBinding'> {
  const binding = takeOption(options, 'channel_binding') ?? 'prefer'
  if (!['disable', 'prefer', 'require'].includes(binding))
    problems.push('its option channel_binding is not one of disable, prefer, require')

  const asked = takeOption(options, 'require_auth')?.split(',') ?? []
  const names = asked.map((name) => name.replace(/^!/, ''))
  const negated = asked.filter((name) => name.startsWith('!')).length
  if (names.some((name) => !AUTH_METHODS.has(name)) || (negated > 0 && negated < asked.length)) {
    problems.push(
      `its option require_auth is not a list of ${[...AUTH_METHODS].join(', ')}, each with a ! before it, or each without`,
    )
  }
  const methods = negated > 0 ? [...AUTH_METHODS].filter((name) => !names.includes(name)) : names
  return {
    authMethods: asked.length === 0 ? null : methods,
    requiresChannelBinding: binding === 'require',
  }
}

/** The names that libpq knows. */
const AUTH_METHODS: ReadonlySet<string> = new Set([
  ...['password', 'md5', 'gss', 'sspi', 'scram-sha-256', 'oauth', 'none'],
])

const MODES: TlsModes = new Map([
  ['disable', null],
  ['allow', { use: 'allowed', verify: 'nothing' }],
  ['prefer', { use: 'preferred', verify: 'nothing' }],
  ['require', { use: 'required', verify: 'nothing' }],
  ['verify-ca', { use: 'required', verify: 'authority' }],
  ['verify-full', { use: 'required', verify: 'host' }],
])

const VERSIONS: readonly SecureVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

/** Source: PostgreSQL's manual, "SSL Support", and src/interfaces/libpq/fe-connect.c, pqConnectOptions2. */
function readTls(context: UrlContext): TlsSettings | null {
  const { options, problems } = context
  const ssl = takeOption(options, 'ssl')?.toLowerCase() ?? null
  const jdbc = ssl === null ? null : ssl === 'true' ? 'require' : 'disable'
  const word = takeOption(options, 'sslmode') ?? jdbc
  const mode = word === null ? undefined : MODES.get(word)
  if (word !== null && mode === undefined)
    problems.push(`its option sslmode is not one of ${[...MODES.keys()].join(', ')}`)
  if (takeOption(options, 'gssencmode') === 'require')
    problems.push(
      'its option gssencmode=require is not supported; write sslmode=verify-full to encrypt by TLS',
    )
  const negotiation = takeOption(options, 'sslnegotiation') ?? 'postgres'
  if (!['postgres', 'direct'].includes(negotiation))
    problems.push('its option sslnegotiation is not one of postgres, direct')
  const ca = takeOption(options, 'sslrootcert')
  const isSystem = ca === 'system'
  if (isSystem && word !== null && word !== 'verify-full')
    problems.push('its option sslrootcert=system needs sslmode=verify-full; write sslmode=verify-full')
  const tls = tlsOf(isSystem ? MODES.get('verify-full') : mode, {
    ca,
    cert: takeOption(options, 'sslcert'),
    key: takeOption(options, 'sslkey'),
    passphrase: takeOption(options, 'sslpassword'),
    crl: takeOption(options, 'sslcrl'),
    minVersion: readVersion(context, 'ssl_min_protocol_version'),
    maxVersion: readVersion(context, 'ssl_max_protocol_version'),
    isDirect: negotiation === 'direct',
  })
  if (tls?.isDirect === true && tls.use !== 'required')
    problems.push('its option sslnegotiation=direct needs TLS; also write sslmode=require')
  if (tls !== null && (tls.cert === null) !== (tls.key === null))
    problems.push('it has only one of sslcert and sslkey; write both')
  return tls
}

function readVersion({ options, problems }: UrlContext, name: string): SecureVersion | null {
  const text = takeOption(options, name)
  const version = VERSIONS.find((each) => each === text) ?? null
  if (text !== null && version === null)
    problems.push(`its option ${name} is not one of ${VERSIONS.join(', ')}`)
  return version
}
