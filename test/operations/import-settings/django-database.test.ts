import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import type { DatabaseFacts } from '../../../src/operations/import-settings/ask-django.ts'
import { databaseAsUrl } from '../../../src/operations/import-settings/django-database.ts'
import { readDatabaseUrl } from '../../../src/service/settings/database-reader.ts'

const folder = mkdtempSync(join(tmpdir(), 'home-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const project = { folder: '/srv/site', environment: { HOME: folder }, account: 'www-data' }

function entry(vendor: string, parts: Partial<DatabaseFacts>): DatabaseFacts {
  const none = {
    ENGINE: '',
    NAME: '',
    USER: '',
    PASSWORD: '',
    HOST: '',
    PORT: '',
    OPTIONS: {},
    TIME_ZONE: null,
  }
  return { ...none, driver: 'pymysql', vendor, ...parts }
}

/** What this service makes of the URL. */
function readBack(facts: DatabaseFacts, of: Parameters<typeof databaseAsUrl>[1] = project) {
  const { url, refused } = databaseAsUrl(facts, of)
  const problems: string[] = [...refused]
  const warnings: string[] = []
  const limits = { poolSize: 10, timeout: 2 }
  const settings = url === null ? null : readDatabaseUrl(url, limits, { cwd: '/', problems, warnings })
  return { settings, problems, warnings }
}

const PASSWORD = `p@ss:w/o?r#d%41+& '"\`$x \\ é`

for (const vendor of ['mysql', 'postgresql']) {
  test(`${vendor}: every character of names and passwords survives`, (t) => {
    const { settings, problems, warnings } = readBack(
      entry(vendor, { NAME: 'li/b?#r@ry', USER: 'a:b@c', PASSWORD, HOST: 'DB.example.com', PORT: 1234 }),
    )
    t.deepEqual([problems, warnings], [[], []])
    t.like(settings, {
      kind: vendor,
      database: 'li/b?#r@ry',
      user: 'a:b@c',
      password: PASSWORD,
      hosts: [{ host: 'db.example.com', port: 1234 }],
    })
  })

  test(`${vendor}: a socket, an IPv6 address, and no host`, (t) => {
    const hosts = (HOST: string) => {
      const { settings } = readBack(entry(vendor, { NAME: 'x', USER: 'u', HOST }))
      return settings !== null && 'hosts' in settings ? settings.hosts.map(({ host }) => host) : null
    }
    t.deepEqual(hosts('/run/My Socket/s'), ['/run/My Socket/s'])
    t.deepEqual(hosts('::1'), ['::1'])
    t.deepEqual(hosts('db'), ['db'])
  })
}

test('sqlite: relative to the folder of manage.py, with every character; in memory and file: are refused', (t) => {
  const { settings } = readBack(entry('sqlite', { NAME: 'my %41 #1?.db' }))
  t.like(settings, { kind: 'sqlite', filename: '/srv/site/my %41 #1?.db' })
  t.regex(readBack(entry('sqlite', { NAME: ':memory:' })).problems.join(), /in memory/)
  t.regex(readBack(entry('sqlite', { NAME: 'file:x?mode=ro' })).problems.join(), /file: URI/)
})

test('another database is refused', (t) => {
  t.regex(readBack(entry('oracle', { NAME: 'x' })).problems.join(), /is on oracle, which is not supported/)
})

test("mysql: TLS, the isolation level and the charset are carried over; what is Python's own is not", (t) => {
  const { settings, problems, warnings } = readBack(
    entry('mysql', {
      NAME: 'x',
      HOST: 'db',
      OPTIONS: {
        charset: 'utf8',
        isolation_level: 'serializable',
        ssl: { ca: '/etc/ca.pem', cert: '/etc/c.pem', key: '/etc/k.pem' },
        init_command: "SET sql_mode='STRICT_TRANS_TABLES'",
        connect_timeout: 5,
        use_unicode: true,
      },
    }),
  )
  t.deepEqual([problems, warnings], [[], []])
  t.like(settings, {
    isolationLevel: 'SERIALIZABLE',
    charset: 'utf8',
    tls: { use: 'required', ca: '/etc/ca.pem', cert: '/etc/c.pem', key: '/etc/k.pem' },
  })
})

test('mysql: a Python object among the options is refused', (t) => {
  const OPTIONS = { ssl: { __python__: 'ssl.SSLContext' } }
  t.regex(readBack(entry('mysql', { NAME: 'x', OPTIONS })).problems.join(), /the option ssl, a Python object/)
})

test('mysql: the options win over the settings, and both over the option file', (t) => {
  const file = join(folder, 'my.cnf')
  writeFileSync(file, '[client]\nhost=file\nuser=file\npassword=of the file\nport=7\nssl-ca=/ca\n')
  const { settings } = readBack(
    entry('mysql', {
      NAME: 'x',
      HOST: 'setting',
      OPTIONS: { read_default_file: '~/my.cnf', user: 'option' },
    }),
  )
  t.like(settings, {
    hosts: [{ host: 'setting', port: 7 }],
    user: 'option',
    password: 'of the file',
    tls: { ca: '/ca' },
  })
  const missing = readBack(entry('mysql', { NAME: 'x', OPTIONS: { read_default_file: '/nowhere' } }))
  t.regex(missing.problems.join(), /option file \/nowhere, which cannot be read/)
})

test('postgresql: options, environment and password file, in the order of libpq', (t) => {
  writeFileSync(join(folder, '.pgpass'), 'db:5433:x:me:from the file\n', { mode: 0o600 })
  const environment = { HOME: folder, PGPORT: '5433', PGUSER: 'me', PGSSLMODE: 'require', PGHOST: 'ignored' }
  const { settings, problems, warnings } = readBack(
    entry('postgresql', {
      NAME: 'x',
      HOST: 'db',
      OPTIONS: {
        options: '-c search_path=library,public',
        pool: true,
        isolation_level: 3,
        assume_role: 'the site',
        sslmode: 'verify-ca',
      },
    }),
    { ...project, environment },
  )
  t.deepEqual([problems, warnings], [[], []])
  t.like(settings, {
    hosts: [{ host: 'db', port: 5433 }],
    user: 'me',
    password: 'from the file',
    options: '-c search_path=library,public -c role=the\\ site',
    tls: { use: 'required', verify: 'authority' },
  })
})

test('postgresql: without USER it is the user of the operating system; a service that is nowhere is refused', (t) => {
  t.like(readBack(entry('postgresql', { NAME: 'x', HOST: 'db' })).settings, { user: 'www-data' })
  const OPTIONS = { service: 'library' }
  t.regex(readBack(entry('postgresql', { OPTIONS })).problems.join(), /the service library, which is in none/)
})

test('postgresql: several hosts with a port each', (t) => {
  const { settings } = readBack(entry('postgresql', { NAME: 'x', HOST: 'a,b', PORT: '1,2', USER: 'u' }))
  t.like(settings, {
    hosts: [
      { host: 'a', port: 1 },
      { host: 'b', port: 2 },
    ],
  })
})
