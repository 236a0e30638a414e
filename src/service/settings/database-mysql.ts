import { isIP } from 'node:net'
import { readServer, takeOption, type UrlParts } from './database-server.ts'
import type { IsolationLevel, Limits, MysqlSettings, UrlContext } from './database-settings.ts'
import { type TlsModes, type TlsSettings, tlsOf } from './database-tls.ts'
import type { DatabaseUrl } from './database-url.ts'

/** The settings in a MySQL URL, whose options are those of mysqlclient, of PyMySQL and of MySQL's own client. */
export function readMysql(url: DatabaseUrl, limits: Limits, context: UrlContext): MysqlSettings {
  const { options, problems } = context
  const server = readServer(url, context, { defaultPort: 3306, parts: PARTS })
  const socket = takeOption(options, 'unix_socket')
  if (socket !== null && server.hosts.length > 1)
    problems.push('its option unix_socket contradicts its hosts; write only one of the two')
  const settings: MysqlSettings = {
    kind: 'mysql',
    ...limits,
    ...server,
    ...(socket !== null && { hosts: [{ host: socket, port: 3306 }] }),
    charset: readCharset(context),
    isolationLevel: readIsolationLevel(context),
    tls: readTls(context),
  }
  if (settings.tls?.verify === 'host' && settings.hosts.some(({ host }) => isIP(host) > 0)) {
    // For an address, mysql2 looks for `localhost` in the certificate.
    problems.push(
      'its option ssl_mode=VERIFY_IDENTITY needs the name of the host; write the name, or ssl_mode=VERIFY_CA',
    )
  }
  for (const [names, reason] of IGNORED) {
    for (const name of names) if (takeOption(options, name) !== null) context.ignore(name, reason)
  }
  for (const name of options.keys()) {
    if (!/^read_default_/.test(name)) continue
    problems.push(
      `its option ${name} is not supported; write host, port, user, password and name into the URL, ssl_ca and the like as its options`,
    )
    options.delete(name)
  }
  return settings
}

/** mysqlclient's names. */
const PARTS: UrlParts = {
  host: 'host',
  port: 'port',
  user: ['user'],
  password: ['password', 'passwd'],
  database: ['db', 'database'],
}

/** Options without effect here, and the reason. */
const IGNORED: readonly (readonly [names: readonly string[], reason: string])[] = [
  [
    ['connect_timeout', 'read_timeout', 'write_timeout'],
    'DATABASE_TIMEOUT limits the waits for the database',
  ],
  [['init_command', 'sql_mode', 'autocommit'], 'connections are set up by the service itself'],
  [['collation'], "the tables' own collations decide"],
]

/** A charset, or one of its collations, which begins with its name. */
function readCharset({ options, problems }: UrlContext): string {
  const given = takeOption(options, 'charset') ?? 'utf8mb4'
  const charset = given.toLowerCase().replace(/_.*/, '').replace('utf8mb3', 'utf8')
  if (CHARSETS.has(charset)) return charset
  problems.push(
    'its option charset is not known; write utf8mb4, as in Django, or utf8mb3, latin1 or another of MySQL',
  )
  return 'utf8mb4'
}

/** The charsets of mysql2, without those that MySQL forbids to clients (its manual, "Impermissible Client Character Sets"). */
const CHARSETS: ReadonlySet<string> = new Set([
  ...['utf8mb4', 'utf8', 'latin1', 'latin2', 'latin5', 'latin7', 'ascii', 'big5', 'dec8', 'cp850', 'cp852'],
  ...['cp866', 'cp932', 'cp1250', 'cp1251', 'cp1256', 'cp1257', 'koi8r', 'koi8u', 'swe7', 'ujis', 'sjis'],
  ...['hebrew', 'tis620', 'euckr', 'gb2312', 'gbk', 'gb18030', 'greek', 'armscii8', 'keybcs2', 'macce'],
  ...['macroman', 'eucjpms', 'geostd8', 'hp8'],
])

/** Source: django/db/backends/mysql/base.py, isolation_levels. */
const ISOLATION_LEVELS: readonly IsolationLevel[] = [
  'READ UNCOMMITTED',
  'READ COMMITTED',
  'REPEATABLE READ',
  'SERIALIZABLE',
]

function readIsolationLevel({ options, problems }: UrlContext): IsolationLevel | null {
  const given = takeOption(options, 'isolation_level')
  if (given === null) return null
  const level = ISOLATION_LEVELS.find((each) => each === given.toUpperCase().replace(/[-_]/g, ' '))
  if (level === undefined)
    problems.push(`its option isolation_level is not one of ${ISOLATION_LEVELS.join(', ').toLowerCase()}`)
  return level ?? null
}

const MODES: TlsModes = new Map([
  ['DISABLED', null],
  ['PREFERRED', { use: 'preferred', verify: 'nothing' }],
  ['REQUIRED', { use: 'required', verify: 'nothing' }],
  ['VERIFY_CA', { use: 'required', verify: 'authority' }],
  ['VERIFY_IDENTITY', { use: 'required', verify: 'host' }],
])

/** libpq's words; the URLs of some hosting providers have them for MySQL, too. */
const LIBPQ_MODES: ReadonlyMap<string, string> = new Map([
  ['DISABLE', 'DISABLED'],
  ['PREFER', 'PREFERRED'],
  ['REQUIRE', 'REQUIRED'],
  ['VERIFY_FULL', 'VERIFY_IDENTITY'],
])

/**
 * `ssl-mode`, `ssl_mode` and `sslMode` are one option, and so is each `ca` of `ssl={"ca": …}`.
 * Source: MySQL's manual, "Command Options for Encrypted Connections"; MySQLdb/connections.py; pymysql/connections.py.
 */
function readTls(context: UrlContext): TlsSettings | null {
  const { options, problems, ignore } = context
  const given = new Map<string, string>()
  for (const [name, value] of options) {
    const word = name.toLowerCase().replace(/[-_]/g, '')
    if (!/^(ssl|tls|usessl$|requiressl$)/.test(word)) continue
    options.delete(name)
    if (word === 'ssl') for (const [key, text] of readSsl(value)) given.set(key, text)
    else given.set(word, value)
  }
  const take = (name: string): string | null => takeOption(given, name)
  const isTrue = (name: string): boolean => /^(true|1|yes|on)$/i.test(take(name) ?? '')

  const verifiesHost = isTrue('sslverifyidentity') || isTrue('sslcheckhostname')
  const verifies = isTrue('sslverifycert') || isTrue('sslverifyservercert')
  const implied =
    isTrue('ssldisabled') || /^(false|0|no|off)$/i.test(take('usessl') ?? '')
      ? 'DISABLED'
      : verifiesHost
        ? 'VERIFY_IDENTITY'
        : verifies
          ? 'VERIFY_CA'
          : isTrue('requiressl')
            ? 'REQUIRED'
            : null
  const text = take('sslmode')?.toUpperCase().replace(/-/g, '_') ?? implied
  const mode = text === null ? undefined : MODES.get(LIBPQ_MODES.get(text) ?? text)
  if (text !== null && mode === undefined)
    problems.push(`its option ssl_mode is not one of ${[...MODES.keys()].join(', ')}`)
  const tls = tlsOf(mode, {
    ca: take('sslca'),
    cert: take('sslcert'),
    key: take('sslkey'),
    passphrase: take('sslkeypassword'),
  })
  if (tls !== null && (tls.cert === null) !== (tls.key === null))
    problems.push('it has only one of ssl_cert and ssl_key; write both')
  for (const name of given.keys()) {
    if (/^(sslcipher|tlsversion|tlsciphersuites)$/.test(name)) ignore(name, "Node's TLS decides it")
    else if (name === 'sslcapath') problems.push('its option ssl_capath is not supported; write ssl_ca=FILE')
    else problems.push(`its option ${name} is not supported; write ssl_mode, ssl_ca, ssl_cert or ssl_key`)
  }
  return tls
}

/** `ssl=true`, `ssl=false`, or a dictionary as JSON or as Python writes it. */
function readSsl(text: string): [name: string, value: string][] {
  if (/^(true|1|yes|on|required?)$/i.test(text)) return [['sslmode', 'REQUIRED']]
  if (/^(false|0|no|off)$/i.test(text)) return [['sslmode', 'DISABLED']]
  const dictionary = parseDictionary(text) ?? parseDictionary(jsonOf(text))
  if (dictionary === null) return [['sslmode', text]]
  return Object.entries(dictionary).map(([key, value]) => {
    const name = `ssl${key.toLowerCase().replace(/[-_]/g, '')}`
    if (name !== 'sslrejectunauthorized') return [name, String(value)]
    return ['sslmode', value === false ? 'REQUIRED' : 'VERIFY_IDENTITY'] // mysql2's
  })
}

/** A Python dictionary of strings and booleans. */
function jsonOf(repr: string): string {
  return repr.replaceAll("'", '"').replace(/\b(?:True|False)\b/g, (word) => word.toLowerCase())
}

function parseDictionary(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
