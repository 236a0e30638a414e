import test, { type ExecutionContext } from 'ava'
import { readSettings, type Settings, SettingsError } from '../../../src/service/settings/settings.ts'

type Server = Exclude<Settings['database'], { kind: 'sqlite' }>

/** Options of a PostgreSQL URL, and what the settings hold then. */
const postgresql: Record<string, object> = {
  '': { tls: { use: 'preferred', verify: 'nothing' }, options: null, writableOnly: false },
  'sslmode=disable': { tls: null },
  'sslmode=allow': { tls: { use: 'allowed', verify: 'nothing' } },
  'sslmode=prefer': { tls: { use: 'preferred', verify: 'nothing' } },
  'sslmode=require': { tls: { use: 'required', verify: 'nothing' } },
  'sslmode=verify-ca': { tls: { use: 'required', verify: 'authority' } },
  'sslmode=verify-full': { tls: { use: 'required', verify: 'host', ca: null } },
  'sslmode=require&sslrootcert=/ca.pem': { tls: { use: 'required', verify: 'authority', ca: '/ca.pem' } },
  'sslmode=prefer&sslrootcert=/ca.pem': { tls: { use: 'preferred', verify: 'authority', ca: '/ca.pem' } },
  'sslrootcert=/ca.pem': { tls: { use: 'required', verify: 'authority', ca: '/ca.pem' } },
  'sslrootcert=system': { tls: { use: 'required', verify: 'host', ca: 'system' } },
  'sslmode=verify-full&sslrootcert=system': { tls: { use: 'required', verify: 'host', ca: 'system' } },
  'sslcert=/me.pem&sslkey=/me.key&sslpassword=secret': {
    tls: { use: 'preferred', cert: '/me.pem', key: '/me.key', passphrase: 'secret' },
  },
  'sslmode=verify-ca&sslcrl=/revoked.pem': { tls: { crl: '/revoked.pem', verify: 'authority' } },
  'ssl_min_protocol_version=TLSv1.2&ssl_max_protocol_version=TLSv1.3': {
    tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' },
  },
  'sslmode=require&sslnegotiation=direct': { tls: { use: 'required', isDirect: true } },
  'sslnegotiation=postgres': { tls: { isDirect: false } },
  'ssl=true': { tls: { use: 'required' } },
  'sslmode=require&channel_binding=require': { requiresChannelBinding: true },
  'channel_binding=prefer': { requiresChannelBinding: false },
  'prepare_threshold=0': { prepareThreshold: 0 },
  'prepare_threshold=None': { prepareThreshold: null },
  'require_auth=scram-sha-256,md5': { authMethods: ['scram-sha-256', 'md5'] },
  'require_auth=!password,!none': { authMethods: ['md5', 'gss', 'sspi', 'scram-sha-256', 'oauth'] },
  'target_session_attrs=any': { writableOnly: false },
  'target_session_attrs=primary': { writableOnly: true },
  'currentSchema=site': { options: '-c search_path=site' },
  'options=-c%20search_path%3Dsite': { options: '-c search_path=site' },
  'assume_role=library%20owner': { options: '-c role=library\\ owner' },
  'options=-c%20search_path%3Dsite&assume_role=owner': { options: '-c search_path=site -c role=owner' },
  'application_name=library': { applicationName: 'library' },
  'fallback_application_name=library': { applicationName: 'library' },
  'gssencmode=disable': { kind: 'postgresql' },
  'gssencmode=prefer': { kind: 'postgresql' },
  'user=user&port=5432': { user: 'user', hosts: [{ host: 'host', port: 5432 }] },
}

/** What changes nothing is warned about. */
const postgresqlIgnored: readonly string[] = [
  ...[
    'connect_timeout=10',
    'tcp_user_timeout=5',
    'keepalives=1',
    'keepalives_idle=30',
    'keepalives_interval=5',
  ],
  ...['keepalives_count=3', 'client_encoding=UTF8', 'sslcompression=0', 'sslsni=1', 'sslcertmode=allow'],
  ...['krbsrvname=postgres', 'gsslib=gssapi', 'load_balance_hosts=random', 'min_protocol_version=3.0'],
  ...['isolation_level=3', 'pool=true', 'server_side_binding=true', 'what_is_that=1'],
]

const postgresqlRefused: Record<string, RegExp> = {
  'sslmode=prefered': /sslmode is not one of disable, allow, prefer, require, verify-ca, verify-full$/,
  'sslmode=require&sslrootcert=system': /needs sslmode=verify-full/,
  'sslnegotiation=direct': /also write sslmode=require/,
  'sslmode=require&sslnegotiation=now': /sslnegotiation is not one of postgres, direct/,
  'channel_binding=require': /also write sslmode=require/,
  'prepare_threshold=off': /prepare_threshold is not a number; write a number of runs, or none$/,
  'channel_binding=perhaps': /channel_binding is not one of disable, prefer, require/,
  'require_auth=scram': /require_auth is not a list of password, md5,/,
  'require_auth=md5,!none': /require_auth is not a list of/,
  'ssl_min_protocol_version=1.2': /not one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3/,
  'gssencmode=require': /write sslmode=verify-full/,
  'hostaddr=10.0.0.1': /write the address in the host's place/,
  'passfile=/pgpass': /write the password into the URL/,
  'service=main': /write host, port, user, password and name into the URL/,
  'requirepeer=postgres': /a folder where only the server's user may write/,
  'scram_client_key=x': /write a user and a password/,
  'oauth_issuer=x': /write a user and a password/,
  'schema=site': /write currentSchema=/,
  'sslcrldir=/crls': /write sslcrl=FILE/,
  'sslkey_file=/key': /write sslmode, sslrootcert/,
  'target_session_attrs=standby': /write read-write, since sessions are written/,
  'user=other': /contradicts the rest of the URL/,
  'host=elsewhere': /contradicts the rest of the URL/,
}

const mysql: Record<string, object> = {
  '': { tls: { use: 'preferred', verify: 'nothing' }, isolationLevel: null },
  'ssl_mode=DISABLED': { tls: null },
  'ssl-mode=PREFERRED': { tls: { use: 'preferred' } },
  'ssl-mode=REQUIRED': { tls: { use: 'required', verify: 'nothing' } },
  'ssl_mode=required': { tls: { use: 'required', verify: 'nothing' } },
  'sslMode=VERIFY_CA': { tls: { use: 'required', verify: 'authority' } },
  'ssl-mode=VERIFY-IDENTITY': { tls: { use: 'required', verify: 'host' } },
  'sslmode=require': { tls: { use: 'required', verify: 'nothing' } },
  'sslmode=verify-full&ssl_ca=/ca.pem': { tls: { use: 'required', verify: 'host', ca: '/ca.pem' } },
  'ssl_ca=/ca.pem': { tls: { use: 'required', verify: 'authority', ca: '/ca.pem' } },
  'ssl-ca=/ca.pem': { tls: { use: 'required', verify: 'authority', ca: '/ca.pem' } },
  'ssl-cert=/me.pem&ssl_key=/me.key': { tls: { use: 'preferred', cert: '/me.pem', key: '/me.key' } },
  'ssl={"ca":"/ca.pem","cert":"/me.pem","key":"/me.key"}': {
    tls: { use: 'required', verify: 'authority', ca: '/ca.pem', cert: '/me.pem', key: '/me.key' },
  },
  "ssl={'ca': '/ca.pem', 'check_hostname': True}": { tls: { verify: 'host', ca: '/ca.pem' } },
  'ssl={"rejectUnauthorized":true}': { tls: { use: 'required', verify: 'host' } },
  'ssl=true': { tls: { use: 'required' } },
  'ssl=False': { tls: null },
  'ssl={}': { tls: { use: 'preferred' } },
  'ssl_disabled=true': { tls: null },
  'useSSL=false': { tls: null },
  'ssl_verify_cert=true&ssl_verify_identity=true&ssl_ca=/ca.pem': { tls: { verify: 'host', ca: '/ca.pem' } },
  'isolation_level=repeatable%20read': { isolationLevel: 'REPEATABLE READ' },
  'isolation_level=READ-COMMITTED': { isolationLevel: 'READ COMMITTED' },
  'charset=utf8mb3': { charset: 'utf8' },
  'charset=UTF8MB4': { charset: 'utf8mb4' },
  'charset=utf8mb4_unicode_ci': { charset: 'utf8mb4' },
  'charset=latin1': { charset: 'latin1' },
}

const mysqlIgnored: readonly string[] = [
  ...['connect_timeout=10', 'init_command=SET%20x', 'collation=utf8mb4_bin', 'autocommit=true'],
  ...['ssl_cipher=AES256-SHA', 'tls_version=TLSv1.3', 'what_is_that=1'],
]

const mysqlRefused: Record<string, RegExp> = {
  'charset=utf9': /charset is not known; write utf8mb4/,
  'charset=utf16': /charset is not known; write utf8mb4/,
  'charset=constructor': /charset is not known; write utf8mb4/,
  'ssl_mode=SOMETIMES': /ssl_mode is not one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY$/,
  'ssl={"ca"': /ssl_mode is not one of/,
  'ssl_capath=/cas': /write ssl_ca=FILE/,
  'ssl_crl=/crl': /write ssl_mode, ssl_ca, ssl_cert or ssl_key/,
  'ssl_cert=/me.pem': /one of ssl_cert and ssl_key; write both/,
  'isolation_level=snapshot': /not one of read uncommitted, read committed, repeatable read, serializable$/,
  'read_default_file=my.cnf': /write host, port, user, password and name into the URL/,
  'db=other': /contradicts the rest of the URL/,
}

for (const [scheme, understood, ignored, refused] of [
  ['postgres', postgresql, postgresqlIgnored, postgresqlRefused],
  ['mysql', mysql, mysqlIgnored, mysqlRefused],
] as const) {
  const urlOf = (options: string) => `${scheme}://user:password@host/library?${options}`
  for (const [options, expected] of Object.entries(understood)) {
    test(`${scheme}://…?${options} is understood`, (t) => {
      const { database, warnings } = read(urlOf(encodeURI(decodeURIComponent(options))))
      t.like(database, expected)
      t.deepEqual(warnings, [])
    })
  }
  for (const option of ignored) {
    const name = option.replace(/=.*/, '')
    test(`${scheme}://…?${option} has no effect, and a warning says so`, (t) => {
      const { database, warnings } = read(urlOf(option))
      t.deepEqual(database, read(urlOf('')).database)
      t.is(warnings.length, 1)
      t.regex(
        warnings[0] ?? '',
        new RegExp(`^DATABASE_URL: the option ${name.replaceAll('_', '_?')} is ignored`),
      )
    })
  }
  for (const [options, expected] of Object.entries(refused)) {
    test(`${scheme}://…?${options} is refused, and the message says what to write`, (t) => {
      const problems = problemsOf(t, urlOf(encodeURI(decodeURIComponent(options))))
      t.is(problems.length, 1)
      t.regex(problems[0] ?? '', expected)
    })
  }
}

test('a part that the URL leaves out may be an option', (t) => {
  const where = (url: string) => {
    const { hosts, user, password, database } = read(url).database as Server
    return [user, password, ...hosts.map(({ host, port }) => `${host} ${port}`), database].join('|')
  }
  t.is(where('postgres:///?host=db&port=6543&user=u&password=p&dbname=n'), 'u|p|db 6543|n')
  t.is(
    where('postgres://u:p@/n?host=/cloudsql/project:region:one'),
    'u|p|/cloudsql/project:region:one 5432|n',
  )
  t.is(where('postgres:///n?host=db1,db2&port=1,2'), '||db1 1|db2 2|n')
  t.is(where('postgres://db1,db2/n?port=6543'), '||db1 6543|db2 6543|n')
  t.is(where('mysql:///?host=db&port=3307&user=u&passwd=p&db=n'), 'u|p|db 3307|n')
  t.regex(problemsOf(t, 'postgres:///n?port=x')[0] ?? '', /port is not a port/)
  t.regex(problemsOf(t, 'postgres://db1,db2/n?port=1,2,3')[0] ?? '', /each port after its host/)
})

test('each scheme of dj-database-url and django-environ selects its database', (t) => {
  const kindOf = (scheme: string) => read(`${scheme}://host/library`).database.kind
  for (const scheme of ['mysql', 'mysql2', 'mysqlgis', 'mysql-connector']) t.is(kindOf(scheme), 'mysql')
  for (const scheme of ['postgres', 'postgresql', 'pgsql', 'psql', 'postgis', 'timescale', 'timescalegis'])
    t.is(kindOf(scheme), 'postgresql')
  for (const scheme of ['sqlite', 'spatialite']) t.is(kindOf(scheme), 'sqlite')
  for (const scheme of ['oracle', 'cockroach', 'redshift', 'mssql', 'postgresql+psycopg', 'mysql+pymysql'])
    t.regex(problemsOf(t, `${scheme}://host/library`)[0] ?? '', /not supported; use one of mysql,/)
})

test('mysql2 cannot verify an address, so the message asks for a name', (t) => {
  const [problem = ''] = problemsOf(t, 'mysql://10.0.0.1/n?ssl_mode=VERIFY_IDENTITY')
  t.regex(problem, /VERIFY_IDENTITY needs the name of the host; write the name, or ssl_mode=VERIFY_CA/)
})

test("the colons in a socket's path must be escaped, and the message says so", (t) => {
  const [problem = ''] = problemsOf(t, 'postgres://u:p@%2Fcloudsql%2Fp:r:i/n')
  t.regex(problem, /: and % in the password or a socket's path percent-escaped/)
})

function read(DATABASE_URL: string): Settings {
  return readSettings({ DATABASE_URL, DJANGO_SECRET_KEY: 'x' }, { cwd: '/nowhere' })
}

function problemsOf(t: ExecutionContext, DATABASE_URL: string): readonly string[] {
  const error = t.throws(() => read(DATABASE_URL), { instanceOf: SettingsError })
  return error?.problems ?? []
}
