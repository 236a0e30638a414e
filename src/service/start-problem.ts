import {
  codesOf,
  type ErrorClass,
  isConnectionRefused,
  isDiskFull,
  isEndedByServer,
  isHungUp,
  isMissingColumn,
  isNeverSent,
  isNotReady,
  isOutOfResources,
  isReadOnly,
  isTimedOut,
  isTooManyConnections,
  isUnavailable,
} from '../sql/driver-errors.ts'
import type { DatabaseSettings } from './settings/database-settings.ts'

/** The service cannot start, and waiting does not help. The message says what to do; it holds no password and no key. */
export class CannotStart extends Error {
  override name = 'CannotStart'
  readonly code: string = 'ERR_CANNOT_START'
}

/** The database that failed, and the setting that names it. */
export interface Place {
  readonly setting: string
  readonly database: DatabaseSettings
}

/** What a database's error means for a start. */
export interface StartProblem {
  /** Whether waiting may help; null when the table has no rule for it. */
  readonly passes: boolean | null
  /** One line: what is wrong, and what to do. It never holds the password. */
  readonly message: string
  readonly code: string | null
}

/** Explains an error of a driver, or its cause, to the operator, by the first rule that fits. */
export function startProblem(error: unknown, place: Place): StartProblem {
  const cause = innermost(error)
  const codes = codesOf(cause)
  const said = wordsOf(cause)
  const rule = RULES.find(
    (one) =>
      (one.codes.some((code) => (typeof code === 'function' ? code(cause) : codes.has(code))) &&
        (one.when?.test(said) ?? true)) ||
      [said, ...codes].some((text) => one.words?.test(String(text))),
  )
  const text = rule?.text(termsOf(place, said)) ?? `${hostsOf(place.database)} cannot be used as it is`
  const [code = null] = codes
  const says = isOfAllHosts(error) ? messageOf(error) : said
  const source = [code, says].filter((part) => part !== null && part !== '').join(': ')
  return {
    passes: rule?.passes ?? null,
    message: `${place.setting}: ${text}${source === '' ? '' : ` (${source})`}`,
    code: code === null ? null : String(code),
  }
}

/** The values in the texts. */
interface Terms {
  /** `host:port`, a socket, or a file. */
  readonly where: string
  /** For the operator, e.g. `the user "site" without a password`. */
  readonly user: string
  readonly setting: string
  /** The database's name. */
  readonly name: string
  readonly server: string
  readonly tlsMode: string
  readonly tlsAuthority: string
  readonly said: string
}

interface Rule {
  readonly passes: boolean
  /** Codes, or classes of errors. */
  readonly codes: readonly (string | number | ErrorClass)[]
  /** For errors without a code. */
  readonly words?: RegExp
  /** What the message of an error with one of the codes must also match. */
  readonly when?: RegExp
  readonly text: (terms: Terms) => string
}

/** Waiting may help with these: the network, a name service or a clock at boot, a server that starts, stops or is full. */
const waits = (
  codes: Rule['codes'],
  text: Rule['text'],
  condition: Pick<Rule, 'words' | 'when'> = {},
): Rule => ({ passes: true, codes, text, ...condition })

/** Waiting does not help with these. */
const ends = (...parameters: Parameters<typeof waits>): Rule => ({ ...waits(...parameters), passes: false })

const WRONG_PASSWORD = ({ where, user, setting }: Terms) =>
  `${where} does not accept ${user}; set user and password in ${setting} as in the DATABASES of the Django site, with # / ? @ : and % percent-escaped`

const NOT_YET_VALID = ({ where }: Terms) =>
  `the certificate of ${where} is not valid yet; set the clock of this machine, or renew the certificate`

/**
 * The errors of the drivers (mysql2, pg, better-sqlite3), of Node and of the servers at a start. The first rule that fits
 * counts.
 * Sources: mysql2's lib/commands and lib/constants/errors.js; MySQL's and MariaDB's error references; PostgreSQL's
 * appendix "Error Codes"; pg's lib/connection.js and lib/crypto/sasl.js; Node's "Errors" and "TLS"; PgBouncer's client.c.
 */
const RULES: readonly Rule[] = [
  // The network
  waits(
    [isConnectionRefused],
    ({ where, setting }) =>
      `${where} refuses connections; start the database there, or correct host and port in ${setting}`,
  ),
  waits(
    ['ENOTFOUND', 'EAI_AGAIN'],
    ({ where, setting }) =>
      `the host name of ${where} does not resolve; correct it in ${setting}, or repair the name service`,
  ),
  waits(
    ['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN'],
    ({ where, setting }) =>
      `there is no route to ${where}; correct the host in ${setting}, or repair the network`,
  ),
  waits(
    [isTimedOut, 'ERR_DATABASE_TIMEOUT'],
    ({ where, server, setting }) =>
      `${where} does not answer in time; check that ${server} runs there, the firewalls, and ${setting}`,
    { words: /Timeout acquiring a connection|^operation timed out/ },
  ),
  waits(
    [isHungUp, isNeverSent],
    ({ where, server, setting }) =>
      `${where} closes the connection; check that ${server} runs there, and ${setting}`,
    { words: /disconnected before secure TLS/ },
  ),
  waits(
    ['ENOENT'],
    ({ where, setting }) =>
      `the socket ${where} does not exist; start the database, or correct the path in ${setting}`,
  ),
  ends(
    ['EACCES', 'EPERM'],
    ({ where, setting }) =>
      `this process may not use ${where}; give its user the right to read and write it, or correct ${setting}`,
  ),
  ends(
    [],
    ({ where, server, setting }) =>
      `the server at ${where} does not speak the protocol of ${server}; correct scheme, host and port in ${setting}`,
    {
      words:
        /^Received unexpected|^Unexpected packet|establishing an SSL connection$|^Unknown authenticationOk|invalid packet|out of order/i,
    },
  ),
  ends(
    [
      ...['HANDSHAKE_UNKNOWN_ERROR', 'PROTOCOL_UNEXPECTED_PACKET', 'PROTOCOL_INCORRECT_PACKET_SEQUENCE'],
      ...[
        'PROTOCOL_PACKETS_OUT_OF_ORDER',
        'PROTOCOL_ERROR',
        'ER_NOT_SUPPORTED_AUTH_MODE',
        'ER_HANDSHAKE_ERROR',
      ],
    ],
    ({ where, server, setting }) =>
      `${where} and the client do not agree on a protocol; check that ${server} runs there, and ${setting}`,
  ),

  // TLS
  waits(['CERT_NOT_YET_VALID', 'CRL_NOT_YET_VALID'], NOT_YET_VALID, {
    words: /certificate is not yet valid/,
  }),
  ends(
    ['HANDSHAKE_NO_SSL_SUPPORT'],
    ({ where, tlsMode, setting }) =>
      `${where} does not offer TLS, which ${setting} requires; turn TLS on there, or remove ${tlsMode} from ${setting}`,
    { words: /does not support SSL connections$/ },
  ),
  ends(
    [
      ...['HANDSHAKE_SSL_ERROR', 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_TLS_HANDSHAKE_TIMEOUT', 'EPROTO'],
      ...['UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_CRL', 'UNABLE_TO_DECRYPT_CERT_SIGNATURE'],
      ...['UNABLE_TO_DECRYPT_CRL_SIGNATURE', 'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY', 'CERT_SIGNATURE_FAILURE'],
      ...['CRL_SIGNATURE_FAILURE', 'CERT_HAS_EXPIRED', 'CRL_HAS_EXPIRED', 'ERROR_IN_CERT_NOT_BEFORE_FIELD'],
      ...[
        'ERROR_IN_CERT_NOT_AFTER_FIELD',
        'ERROR_IN_CRL_LAST_UPDATE_FIELD',
        'ERROR_IN_CRL_NEXT_UPDATE_FIELD',
      ],
      ...['OUT_OF_MEM', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'CERT_CHAIN_TOO_LONG'],
      ...[
        'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
        'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
        'CERT_REVOKED',
        'INVALID_CA',
      ],
      ...['PATH_LENGTH_EXCEEDED', 'INVALID_PURPOSE', 'CERT_UNTRUSTED', 'CERT_REJECTED', 'HOSTNAME_MISMATCH'],
    ],
    ({ where, tlsMode, tlsAuthority, setting }) =>
      `TLS with ${where} fails; set ${tlsAuthority} in ${setting} to the file of the authority that signed the server's certificate, or set ${tlsMode} to a mode that the server offers`,
    { words: /^ERR_(?:SSL|OSSL)_/ },
  ),
  ends(
    ['ER_SECURE_TRANSPORT_REQUIRED', 3159],
    ({ where, tlsMode, setting }) => `${where} accepts only TLS connections; add ${tlsMode} to ${setting}`,
  ),

  // The user
  ends(['ER_ACCESS_DENIED_ERROR', '28P01'], WRONG_PASSWORD, {
    words:
      /^SASL: .*(?:password|signature|server returned error)|server login failed: FATAL|(?:password|SASL|auth\w*) (?:authentication )?failed$/,
  }),
  ends(
    [],
    ({ where, user }) =>
      `${where} wants ${user} to log in by a method that is not supported; give the user a password by scram-sha-256 or md5 in pg_hba.conf`,
    { words: /^SASL: |^Unknown authentication/ },
  ),
  ends(
    [
      'AUTH_SWITCH_PLUGIN_ERROR',
      'MYSQL_CLEAR_PASSWORD_NOT_ENABLED',
      'ER_PLUGIN_IS_NOT_LOADED',
      'ER_SERVER_IS_IN_SECURE_AUTH_MODE',
      'ER_NO_SUCH_USER',
    ],
    ({ where, user, said }) =>
      `${where} wants ${user} to log in by ${/unknown plugin (\w+)|(mysql_clear_password)/.exec(said)?.[0].replace('unknown ', '') ?? 'a plugin'}, which fails or is not supported; change the user there to caching_sha2_password (MySQL) or mysql_native_password (MariaDB): ALTER USER … IDENTIFIED …`,
  ),
  ends(
    ['ER_ACCESS_DENIED_NO_PASSWORD_ERROR', 1698],
    ({ where, user, setting }) =>
      `${where} lets ${user} in without a password, but only through its socket (unix_socket, auth_socket); give the user a password there, or write the socket in ${setting}: mysql://user@%2Frun%2Fmysqld%2Fmysqld.sock/name`,
  ),
  ends(
    ['ER_ACCOUNT_HAS_BEEN_LOCKED', 3118, 4151], // the last is MariaDB's
    ({ where, user }) => `${where} has locked ${user}; run ALTER USER … ACCOUNT UNLOCK there`,
  ),
  ends(
    ['ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK', 3955],
    ({ where, user }) =>
      `${where} has locked ${user} after failed logins; run ALTER USER … ACCOUNT UNLOCK there`,
  ),
  ends(
    ['ER_MUST_CHANGE_PASSWORD', 'ER_MUST_CHANGE_PASSWORD_LOGIN', 1820, 1862],
    ({ where, user, setting }) =>
      `the password of ${user} at ${where} has expired; set a new one there (ALTER USER … IDENTIFIED BY …) and in ${setting}`,
  ),
  ends(
    ['ER_HOST_NOT_PRIVILEGED', 'ER_HOST_IS_BLOCKED'],
    ({ where, user }) =>
      `${where} does not accept connections from this machine; create ${user} for this machine's address there, and run FLUSH HOSTS`,
  ),
  ends(
    ['28000'],
    ({ where, user, setting }) =>
      `${where} does not let ${user} in; correct the user in ${setting}, give the role LOGIN, or add a line for it to pg_hba.conf`,
  ),
  // PgBouncer uses this one code for nearly all of its errors.
  waits(
    ['08P01'],
    ({ where }) => `the pooler at ${where} does not reach its database; see the pooler's log`,
    {
      when: /cannot connect|login_retry|wait_timeout|no more connections|server down|shutting down|suspended|paused|crashed|starting up|login_timeout|(?:idle|connect) timeout/,
    },
  ),
  ends(
    ['08P01'],
    ({ where, setting }) =>
      `the server at ${where} refuses this connection; correct host, port, name and options in ${setting}, or the pooler's own settings`,
  ),
  ends(
    ['ER_BAD_DB_ERROR', '3D000', '3F000'],
    ({ where, name, setting }) =>
      `there is no database "${name}" at ${where}; set the name in ${setting} to the NAME in the DATABASES of the Django site`,
  ),
  ends(
    [isMissingColumn],
    ({ where, name, setting }) =>
      `a table of "${name}" at ${where} lacks columns that Django creates; run \`manage.py migrate\` there, or set ${setting} to the database of the Django site`,
  ),
  ends([], ({ setting }) => `its option charset is unknown; write utf8mb4 in ${setting}, or remove it`, {
    words: /^Unknown charset/,
  }),
  ends(
    ['ER_DBACCESS_DENIED_ERROR'],
    ({ where, user, name }) =>
      `${user} may not use the database "${name}" at ${where}, or it does not exist; correct the name, or run GRANT SELECT, INSERT, UPDATE, DELETE ON \`${name}\`.* TO this user`,
  ),
  ends(
    ['42501'],
    ({ where, user, name }) =>
      `${user} has too few privileges on the database "${name}" at ${where}; run GRANT CONNECT ON DATABASE "${name}" TO this user, and GRANT USAGE ON its SCHEMA`,
  ),
  ends(
    ['ER_TABLEACCESS_DENIED_ERROR', 'ER_COLUMNACCESS_DENIED_ERROR', 'ER_SPECIFIC_ACCESS_DENIED_ERROR'],
    ({ where, user, name }) =>
      `${user} has too few privileges on the database "${name}" at ${where}; run GRANT SELECT, INSERT, UPDATE, DELETE ON \`${name}\`.* TO this user`,
  ),

  // A server that does not serve yet, or no longer
  waits(
    [isTooManyConnections, isOutOfResources],
    ({ where }) =>
      `${where} has no free connection; raise its limit or the user's, or lower DATABASE_POOL_SIZE`,
  ),
  waits([isDiskFull], ({ where }) => `the disk of ${where} is full; free space on it`),
  waits(
    [isEndedByServer, isNotReady, isUnavailable],
    ({ where }) => `${where} is not ready to serve; see its log if this lasts`,
  ),
  // Transient in a request, since it was writable at the start; at the start, this process most likely lacks the right.
  ends(
    ['SQLITE_READONLY', 'SQLITE_READONLY_DIRECTORY', 'SQLITE_READONLY_DBMOVED', 'SQLITE_READONLY_CANTLOCK'],
    ({ where }) =>
      `the file ${where} cannot be written; give this process the right to write it and its folder`,
  ),
  waits(
    [isReadOnly],
    ({ where, setting }) =>
      `${where} is read-only, but sessions are written; make it writable, or set ${setting} to the primary`,
  ),
  ends(
    ['ER_BINLOG_STMT_MODE_AND_ROW_ENGINE', 1665],
    ({ where, setting }) =>
      `${where} refuses to write under READ COMMITTED with binlog_format=STATEMENT; set binlog_format to ROW or MIXED there, or add isolation_level=repeatable%20read to ${setting}`,
  ),

  // SQLite
  ends(
    ['SQLITE_CANTOPEN', 'SQLITE_CANTOPEN_ISDIR', 'SQLITE_CANTOPEN_FULLPATH', 'SQLITE_PERM', 'SQLITE_AUTH'],
    ({ where, setting }) =>
      `the file ${where} cannot be opened; set ${setting} to the SQLite file of the Django site, and give this process the right to read and write it and its folder`,
    { words: /^unable to open database file$/ },
  ),
  ends(
    ['SQLITE_NOTADB', 'SQLITE_CORRUPT'],
    ({ where, setting }) =>
      `the file ${where} is not an SQLite database; set ${setting} to the one that \`manage.py migrate\` made`,
  ),
]

/** Whether it is our own error for several hosts, whose message has the reason of each host. */
function isOfAllHosts(error: unknown): boolean {
  return codesOf(error).has('ERR_NO_DATABASE_HOST')
}

/** The driver's error, which is the cause of our own errors. */
function innermost(error: unknown): unknown {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error ? innermost(cause) : error
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').trim()
}

/** The message of the driver or the server, without the statement that Knex puts before it. */
function wordsOf(error: unknown): string {
  const { sqlMessage } = error as { sqlMessage?: unknown }
  const message = typeof sqlMessage === 'string' ? sqlMessage : messageOf(error)
  return message
    .replace(/^(?:select|insert|update|delete|begin|show|set|pragma)\b.* - /i, '')
    .replace(/\s+/g, ' ')
}

function termsOf({ setting, database }: Place, said: string): Terms {
  const where = hostsOf(database)
  if (database.kind === 'sqlite')
    return { where, setting, said, user: '', name: '', server: 'SQLite', tlsMode: '', tlsAuthority: '' }
  const { user, password, database: name, kind } = database
  return {
    where,
    setting,
    said,
    name,
    user: `the user "${user}" ${password === '' ? 'without a password' : 'with this password'}`,
    ...(kind === 'mysql'
      ? { server: 'MySQL or MariaDB', tlsMode: 'ssl_mode', tlsAuthority: 'ssl-ca' }
      : { server: 'PostgreSQL', tlsMode: 'sslmode', tlsAuthority: 'sslrootcert' }),
  }
}

function hostsOf(database: DatabaseSettings): string {
  if (database.kind === 'sqlite') return database.filename
  return database.hosts
    .map(({ host, port }) => (host.startsWith('/') ? host : `${bracketed(host)}:${port}`))
    .join()
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
