import test from 'ava'
import { readSettings } from '../../src/service/settings/settings.ts'
import { startProblem } from '../../src/service/start-problem.ts'

const place = (DATABASE_URL: string) => ({
  setting: 'DATABASE_URL',
  database: readSettings({ DATABASE_URL, DJANGO_SECRET_KEY: 'x' }, { cwd: '/' }).database,
})
const mysql = place('mysql://site:hunter2@db.example:3307/library')
const postgresql = place('postgres://site:hunter2@db.example:5433/library')

type Told = string | { code?: string; errno?: number; message?: string; fatal?: boolean }

function errorOf(told: Told): Error {
  const { message = '', ...rest } = typeof told === 'string' ? { code: told } : told
  return Object.assign(new Error(message), rest)
}

/** What the tests' servers cannot be made to say, too; by what becomes of the start. */
const MYSQL: Readonly<Record<'ends' | 'waits', readonly Told[]>> = {
  ends: [
    // Codes of mysql2
    {
      code: 'AUTH_SWITCH_PLUGIN_ERROR',
      fatal: true,
      message: 'Server requests authentication using unknown plugin client_ed25519. See TODO: add plugins',
    },
    { code: 'MYSQL_CLEAR_PASSWORD_NOT_ENABLED', fatal: true },
    { code: 'HANDSHAKE_NO_SSL_SUPPORT', fatal: true },
    { code: 'HANDSHAKE_SSL_ERROR', fatal: true, message: 'self-signed certificate in certificate chain' },
    { code: 'HANDSHAKE_UNKNOWN_ERROR', fatal: true },
    { code: 'PROTOCOL_UNEXPECTED_PACKET', fatal: true },
    { code: 'PROTOCOL_ERROR', fatal: true },
    // Of the servers
    ...[
      'ER_ACCESS_DENIED_ERROR',
      'ER_DBACCESS_DENIED_ERROR',
      'ER_BAD_DB_ERROR',
      'ER_TABLEACCESS_DENIED_ERROR',
    ],
    ...['ER_COLUMNACCESS_DENIED_ERROR', 'ER_NOT_SUPPORTED_AUTH_MODE', 'ER_ACCESS_DENIED_NO_PASSWORD_ERROR'],
    ...['ER_ACCOUNT_HAS_BEEN_LOCKED', 'ER_MUST_CHANGE_PASSWORD', 'ER_MUST_CHANGE_PASSWORD_LOGIN'],
    ...[
      'ER_SECURE_TRANSPORT_REQUIRED',
      'ER_HOST_NOT_PRIVILEGED',
      'ER_HOST_IS_BLOCKED',
      'ER_PLUGIN_IS_NOT_LOADED',
    ],
    ...['ER_BINLOG_STMT_MODE_AND_ROW_ENGINE', 'ER_HANDSHAKE_ERROR', 'ER_SERVER_IS_IN_SECURE_AUTH_MODE'],
    { code: 'ER_BULK_PARSER_INCOMPLETE_ESCAPE_SEQUENCE', errno: 4151 }, // MariaDB's lock, under the name that MySQL has for the number
    // Of Node
    ...['ERR_TLS_CERT_ALTNAME_INVALID', 'CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ...['SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    ...['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'ERR_OSSL_PEM_NO_START_LINE'],
    ...['EACCES', 'EPERM'],
  ],
  waits: [
    ...['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EPIPE'],
    ...['ENOTFOUND', 'EAI_AGAIN', 'ENOENT', 'PROTOCOL_CONNECTION_LOST', 'PROTOCOL_SEQUENCE_TIMEOUT'],
    ...['ER_CON_COUNT_ERROR', 'ER_TOO_MANY_USER_CONNECTIONS', 'ER_USER_LIMIT_REACHED', 'ER_OUT_OF_RESOURCES'],
    ...['ER_SERVER_SHUTDOWN', 'ER_NORMAL_SHUTDOWN', 'ER_SERVER_OFFLINE_MODE', 'ER_OPTION_PREVENTS_STATEMENT'],
    ...['ER_UNKNOWN_COM_ERROR', 'CERT_NOT_YET_VALID', 'ERR_DATABASE_TIMEOUT'],
    { code: 'HANDSHAKE_SSL_ERROR', fatal: true, message: 'certificate is not yet valid' },
    {
      code: 'HANDSHAKE_SSL_ERROR',
      fatal: true,
      message: 'Client network socket disconnected before secure TLS connection was established',
    },
    { message: 'Knex: Timeout acquiring a connection. The pool is probably full.' },
  ],
}

const POSTGRESQL: typeof MYSQL = {
  ends: [
    ...['28000', '28P01', '3D000', '42501', '3F000'],
    { code: '08P01', message: 'no such database: library' }, // PgBouncer's
    { code: '08P01', message: 'unsupported startup parameter: options' },
    { code: '08P01', message: 'server login failed: FATAL password authentication failed for user "site"' },
    { message: 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string' },
    { message: 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string' },
    { message: 'SASL: Only mechanism(s) SCRAM-SHA-256 are supported' },
    { message: 'SASL: SCRAM-SERVER-FINAL-MESSAGE: server signature does not match' },
    { message: 'SASL: SCRAM-SERVER-FIRST-MESSAGE: server nonce is too short' },
    { message: 'Unknown authenticationOk message type 7' },
    { message: 'The server does not support SSL connections' },
    { message: 'There was an error establishing an SSL connection' },
    { message: 'Received unexpected copyData message from backend.' },
    ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'ERR_TLS_CERT_ALTNAME_INVALID', 'CERT_HAS_EXPIRED'],
  ],
  waits: [
    ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'CERT_NOT_YET_VALID'],
    ...['57P01', '57P02', '57P03', '53300', '53200', '08001', '08006', '25006'],
    { message: 'Connection terminated unexpectedly' },
    { message: 'Connection terminated due to connection timeout' },
    { message: 'timeout expired' },
    { message: 'Client network socket disconnected before secure TLS connection was established' },
    { code: '08P01', message: 'server login has been failing, try again later (server_login_retry)' },
    { code: '08P01', message: 'no more connections allowed (max_client_conn)' },
    { code: '08P01', message: 'query_wait_timeout' },
  ],
}

for (const [where, table, name] of [
  [mysql, MYSQL, 'mysql'],
  [postgresql, POSTGRESQL, 'postgresql'],
] as const) {
  for (const [becomes, errors] of Object.entries(table)) {
    test(`the error of ${name} is known, and the start ${becomes}`, (t) => {
      for (const told of errors) {
        const { passes, message } = startProblem(errorOf(told), where)
        const label = JSON.stringify(told)
        t.is(passes, becomes === 'waits', label)
        t.regex(message, /^DATABASE_URL: .+; .+$/, label)
        t.notRegex(message, /hunter2|undefined|\bcannot be used as it is/, label)
        t.notRegex(message, /\n/, label)
      }
    })
  }
}

test('a message names the place, the setting and what to do', (t) => {
  const message = (error: Told, where = mysql) => startProblem(errorOf(error), where).message
  t.regex(message('ECONNREFUSED'), /db\.example:3307 refuses connections; .*DATABASE_URL \(ECONNREFUSED\)$/)
  t.regex(
    message('ER_ACCESS_DENIED_ERROR'),
    /the user "site" with this password; set user and password in DATABASE_URL/,
  )
  t.regex(
    message({ code: 'AUTH_SWITCH_PLUGIN_ERROR', message: 'using unknown plugin client_ed25519. See' }),
    /log in by plugin client_ed25519, .*ALTER USER/,
  )
  t.regex(message('HANDSHAKE_NO_SSL_SUPPORT'), /ssl_mode/)
  t.regex(message({ message: 'The server does not support SSL connections' }, postgresql), /sslmode/)
  t.regex(message('3D000', postgresql), /"library" at db\.example:5433/)
  const ipv6 = place('postgres://site@[::1]:5432,[::2]:5433/library')
  t.regex(message('ECONNREFUSED', ipv6), /\[::1\]:5432,\[::2\]:5433 refuses/)
})

test('of nested errors, the innermost counts; of several hosts, all reasons are shown', (t) => {
  const cause = errorOf({ code: 'ER_ACCESS_DENIED_ERROR' })
  const all = Object.assign(
    new Error('no database host gives a connection: a:1 (ECONNREFUSED), b:2 (1045)', { cause }),
    {
      code: 'ERR_NO_DATABASE_HOST',
    },
  )
  const { passes, message } = startProblem(all, mysql)
  t.false(passes)
  t.regex(message, /a:1 \(ECONNREFUSED\), b:2/)
})

test('an error without a rule is left to the caller, with its message in one line', (t) => {
  const { passes, message, code } = startProblem(
    errorOf({ code: '42704', message: 'select 1 - unrecognized\nparameter' }),
    postgresql,
  )
  t.is(passes, null)
  t.is(code, '42704')
  t.regex(message, /\(42704: unrecognized parameter\)$/)
})
