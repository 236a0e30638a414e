import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import {
  createTestDatabase,
  runScript,
  runSql,
  type TestDatabase,
  testDatabases,
} from '../support/databases.ts'
import { projectFolder } from '../support/places.ts'
import { startRedis } from '../support/redis.ts'
import { startMariadb, startPostgresql } from '../support/servers.ts'
import { freePorts, runCommand, startCommand, startService, temporaryFolder } from '../support/service.ts'

const PASSWORD = 'hunter2-of-the-database'
const SECRET_KEY = 'hunter2-of-django'

/** The tests' machine may be busy for longer than a visitor would wait. One after another, since each start takes a core. */
const patience = { ...freePorts, DATABASE_TIMEOUT: '30' } as const

type ServerName = 'mariadb' | 'mysql' | 'postgresql'
const servers = testDatabases.filter((name): name is ServerName => name !== 'sqlite')

/** A start that fails: one line for each problem, status 1, no stack, no secret, and nothing said to listen. */
async function assertRefused(
  t: ExecutionContext,
  env: Readonly<Record<string, string>>,
  expected: readonly RegExp[],
  options: { cwd?: string; lines?: number } = {},
): Promise<string> {
  const { lines = 1, ...rest } = options
  const { status, stdout, stderr } = await runCommand(t, ['serve'], {
    ...rest,
    env: { ...patience, DJANGO_SECRET_KEY: SECRET_KEY, USE_TZ: 'True', ...env },
  })
  t.is(status, 1, stderr)
  for (const pattern of expected) t.regex(stderr, pattern)
  t.is(stderr.trimEnd().split('\n').length, lines, stderr)
  t.notRegex(stdout + stderr, /hunter2|^\s+at /m)
  t.notRegex(stdout, /listening/)
  return stderr
}

/** A database user of the test's own, with these rights; gives the DATABASE_URL. */
async function createUser(
  t: ExecutionContext,
  { name, url }: TestDatabase,
  { grants = [], create = "IDENTIFIED BY '" }: { grants?: readonly string[]; create?: string } = {},
): Promise<{ user: string; url: string }> {
  const user = `u${randomBytes(5).toString('hex')}`
  if (name === 'postgresql') {
    await runScript(
      url,
      `CREATE ROLE ${user} LOGIN PASSWORD '${PASSWORD}'; ${grants.map((grant) => `GRANT ${grant} TO ${user};`).join('')}`,
    )
    t.teardown(() => runScript(url, `DROP OWNED BY ${user}; DROP ROLE ${user}`))
  } else {
    const end = create.endsWith("'") ? `${PASSWORD}'` : ''
    await runScript(url, `CREATE USER ${user}@'127.0.0.1' ${create}${end}`)
    t.teardown(() => runScript(url, `DROP USER ${user}@'127.0.0.1'`))
    for (const grant of grants) await runScript(url, `GRANT ${grant} TO ${user}@'127.0.0.1'`)
  }
  return { user, url: url.replace(/\/\/[^@]*@/, `//${user}:${PASSWORD}@`) }
}

/** What GRANT takes for each table that a start needs. */
const everything = (all: readonly string[]): string[] =>
  all.map((table) =>
    table === 'django_session' ? `SELECT, INSERT, UPDATE, DELETE ON ${table}` : `SELECT, UPDATE ON ${table}`,
  )

const TABLES = [
  'django_session',
  'django_migrations',
  'auth_user',
  'catalog_book',
  'catalog_bookinstance',
  'catalog_author',
]

for (const name of servers) {
  const scheme = name === 'postgresql' ? 'postgresql' : 'mysql'

  test.serial(
    `on ${name} a wrong database name ends the start, and names the setting and the name`,
    async (t) => {
      const { url } = await createTestDatabase(t, name, { tables: 'none' })
      const missing = url.replace(/\/\w+$/, '/not_there')
      await assertRefused(t, { DATABASE_URL: missing }, [
        /^CannotStart: DATABASE_URL: .*"not_there".*127\.0\.0\.1:\d+.*set the name in DATABASE_URL/,
      ])
    },
  )

  test.serial(
    `on ${name} a right that a user lacks to one table ends the start, with the GRANT to run`,
    async (t) => {
      const database = await createTestDatabase(t, name, { tables: 'library' })
      for (const [table, right] of [
        ['catalog_book', 'SELECT'],
        ['auth_user', 'SELECT'],
        ['django_session', 'SELECT'],
      ] as const) {
        const { user, url } = await createUser(t, database, {
          grants: everything(TABLES.filter((one) => one !== table)),
        })
        const stderr = await assertRefused(t, { DATABASE_URL: url, DJANGO_VERSION: '5.2' }, [
          new RegExp(
            `^MissingRight: the database user \\S*${user}\\S* may not ${right} in the table ${table}`,
          ),
        ])
        // What it says to run is what helps.
        const [, grant = ''] = /run (GRANT .*)$/m.exec(stderr) ?? []
        await runScript(database.url, grant)
        const service = await startService(t, {
          env: { DATABASE_URL: url, DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: '5.2' },
        })
        t.is(await service.stop(), 0)
      }
    },
  )

  test.serial(
    `on ${name} LocalLibrary is known by its migrations where the user may read none of its tables`,
    async (t) => {
      const database = await createTestDatabase(t, name, { tables: 'library' })
      const others = everything(TABLES.filter((table) => !table.startsWith('catalog_')))
      const { url } = await createUser(t, database, { grants: others })
      await assertRefused(
        t,
        { DATABASE_URL: url, DJANGO_VERSION: '5.2' },
        ['book', 'bookinstance', 'author'].map(
          (table) => new RegExp(`may not SELECT in the table catalog_${table}\\b.*run GRANT SELECT ON`),
        ),
        { lines: 3 },
      )
    },
  )

  test.serial(`on ${name} each kind of write to the sessions is asked for before visitors are`, async (t) => {
    const database = await createTestDatabase(t, name, { tables: 'library' })
    const rest = everything(TABLES.filter((table) => table !== 'django_session'))
    const writes = ['INSERT', 'UPDATE', 'DELETE']
    for (const right of writes) {
      const others = writes.filter((one) => one !== right).join(', ')
      const { url } = await createUser(t, database, {
        grants: [...rest, `SELECT, ${others} ON django_session`],
      })
      const stderr = await assertRefused(t, { DATABASE_URL: url, DJANGO_VERSION: '5.2' }, [
        new RegExp(`^MissingRight: .* may not ${right} in the table django_session`),
      ])
      const [, grant = ''] = /run (GRANT .*)$/m.exec(stderr) ?? []
      await runScript(database.url, grant)
      const service = await startService(t, {
        env: { DATABASE_URL: url, DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: '5.2' },
      })
      t.is(await service.stop(), 0)
    }
    t.deepEqual(await runSql(database.url, 'SELECT * FROM django_session'), [])
  })

  test.serial(
    `on ${name} a user table that is not there ends the start, and names AUTH_USER_MODEL`,
    async (t) => {
      const { url } = await createTestDatabase(t, name, { tables: 'library' })
      await assertRefused(t, { DATABASE_URL: url, AUTH_USER_MODEL: 'accounts.Member' }, [
        /^MissingTables: .*\baccounts_member\b.*set AUTH_USER_MODEL/,
      ])
    },
  )

  test.serial(
    `on ${name} without a right to django_migrations, or without it, DJANGO_VERSION is demanded`,
    async (t) => {
      const database = await createTestDatabase(t, name, { tables: 'library' })
      const { url } = await createUser(t, database, {
        grants: everything(TABLES.filter((table) => table !== 'django_migrations')),
      })
      const demanded = /set DJANGO_VERSION to what `python -m django --version` prints/
      await assertRefused(t, { DATABASE_URL: url }, [
        /^UnknownVersion: .*GRANT SELECT ON \S*django_migrations/,
        demanded,
      ])
      await runScript(database.url, 'DROP TABLE django_migrations')
      await assertRefused(t, { DATABASE_URL: database.url }, [
        /^UnknownVersion: .*no table django_migrations/,
        demanded,
      ])
      const service = await startService(t, {
        env: { DATABASE_URL: url, DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: '5.2' },
      })
      t.like(await service.next('django.profile'), { version: '5.2', given: true })
      t.false(service.log().some(({ warning }) => /DJANGO_VERSION/.test(String(warning))))
    },
  )

  test.serial(
    `on ${name} TLS that the server does not offer, or offers under another authority, ends the start`,
    async (t) => {
      const { url } = await createTestDatabase(t, name, { tables: 'library' })
      const query = name === 'postgresql' ? '?sslmode=verify-full' : '?ssl_mode=VERIFY_CA'
      await assertRefused(t, { DATABASE_URL: `${url}${query}` }, [
        /^CannotStart: DATABASE_URL: .*(?:TLS.*ssl_?mode|certificate is refused: .*ssl_ca)/,
      ])
    },
  )

  test.serial(`on ${name} the wrong scheme at its port is one line and no stack`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'none' })
    const other = url.replace(/^\w+/, name === 'postgresql' ? 'mysql' : 'postgresql')
    const command = startCommand(t, ['serve'], {
      env: { ...patience, DATABASE_URL: other, DJANGO_SECRET_KEY: SECRET_KEY, DATABASE_TIMEOUT: '1' },
    })
    const said = await Promise.race([
      command.ended.then(() => command.stderr()),
      command.next('service.waiting').then(
        ({ message }) => `${message}\n`,
        () => command.stderr(),
      ),
    ])
    t.regex(
      said,
      /^(?:CannotStart: )?DATABASE_URL: .*127\.0\.0\.1:\d+.*\b(?:PostgreSQL|MySQL or MariaDB)\b.*\n$/,
    )
    t.notRegex(command.stdout() + command.stderr(), /^\s+at |"frames"/m)
  })

  test.serial(`on ${name} what does not speak its protocol at all is said in one line`, async (t) => {
    for (const text of [
      'HTTP/1.1 400 Bad Request\r\n\r\n',
      '-ERR unknown command\r\n',
      'SSH-2.0-OpenSSH_9.2\r\n',
      '',
    ]) {
      const stranger = createTcpServer((socket) => socket.on('error', () => {}).end(text)).listen(
        0,
        '127.0.0.1',
      )
      await once(stranger, 'listening')
      t.teardown(() => stranger.close())
      const { port } = stranger.address() as AddressInfo
      const command = startCommand(t, ['serve'], {
        env: {
          ...patience,
          DATABASE_URL: `${scheme}://u:${PASSWORD}@127.0.0.1:${port}/x`,
          DJANGO_SECRET_KEY: SECRET_KEY,
        },
      })
      const { message } = await command.next('service.waiting')
      t.regex(
        String(message),
        new RegExp(`^DATABASE_URL: 127\\.0\\.0\\.1:${port} closes the connection; check that`),
      )
      t.is(await command.stop(), 0)
      t.is(command.stderr(), '')
      t.notRegex(command.stdout(), /hunter2|"frames"/)
    }
  })
}

for (const name of servers.filter((one) => one !== 'postgresql')) {
  test.serial(`on ${name} a wrong password ends the start, and DATABASE_URL is named`, async (t) => {
    const { user, url } = await createUser(t, await createTestDatabase(t, name, { tables: 'none' }))
    const wrong =
      /^CannotStart: DATABASE_URL: 127\.0\.0\.1:\d+ does not accept the user "u\w+" (?:with this|without a) password; set user and password in DATABASE_URL/
    await assertRefused(t, { DATABASE_URL: url.replace(PASSWORD, 'hunter2-that-is-wrong') }, [
      wrong,
      new RegExp(user),
    ])
    await assertRefused(t, { DATABASE_URL: url.replace(`:${PASSWORD}`, '') }, [wrong, /without a password/])
  })

  test.serial(`on ${name} a user without any right to the database ends the start`, async (t) => {
    const { url } = await createUser(t, await createTestDatabase(t, name, { tables: 'library' }))
    await assertRefused(t, { DATABASE_URL: url }, [
      /^CannotStart: DATABASE_URL: the user "u\w+" .*GRANT SELECT, INSERT, UPDATE, DELETE ON/,
    ])
  })

  test.serial(
    `on ${name} an account that is locked, or whose password has expired, ends the start`,
    async (t) => {
      const database = await createTestDatabase(t, name, { tables: 'library' })
      const locked = await createUser(t, database)
      await runScript(database.url, `ALTER USER ${locked.user}@'127.0.0.1' ACCOUNT LOCK`)
      await assertRefused(t, { DATABASE_URL: locked.url }, [
        /^CannotStart: DATABASE_URL: .*has locked .*ACCOUNT UNLOCK/,
      ])
      const expired = await createUser(t, database, { grants: everything(TABLES) })
      await runScript(database.url, `ALTER USER ${expired.user}@'127.0.0.1' PASSWORD EXPIRE`)
      await assertRefused(t, { DATABASE_URL: expired.url }, [
        /^CannotStart: DATABASE_URL: the password of .*has expired/,
      ])
    },
  )

  test.serial(`on ${name} a user who must come by TLS ends the start`, async (t) => {
    const database = await createTestDatabase(t, name, { tables: 'library' })
    const { user, url } = await createUser(t, database)
    await runScript(database.url, `ALTER USER ${user}@'127.0.0.1' REQUIRE SSL`)
    await assertRefused(t, { DATABASE_URL: `${url}?ssl_mode=DISABLED` }, [
      /^CannotStart: DATABASE_URL: .*ER_ACCESS_DENIED_ERROR/,
    ])
  })
}

if (servers.includes('mariadb')) {
  test.serial(
    'on mariadb a user who logs in through the socket alone ends the start, and is told so',
    async (t) => {
      const database = await createTestDatabase(t, 'mariadb', { tables: 'library' })
      const { url } = await createUser(t, database, { create: 'IDENTIFIED VIA unix_socket' })
      await assertRefused(t, { DATABASE_URL: url.replace(`:${PASSWORD}`, '') }, [
        /^CannotStart: DATABASE_URL: .*through its socket .*write the socket in DATABASE_URL/,
      ])
    },
  )

  test.serial(
    'on mariadb a user of a login plugin that the driver has not ends the start, and the plugin is named',
    async (t) => {
      const server = await startMariadb({ extraArguments: ['--secure-auth=0'] })
      t.teardown(() => server.stop())
      // ed25519 and gssapi end as this one does, but are not part of every server.
      await runScript(
        server.url,
        "CREATE DATABASE library; CREATE USER old@'127.0.0.1' IDENTIFIED VIA mysql_old_password USING '378b243e220ca493'",
      )
      await assertRefused(t, { DATABASE_URL: `${server.url.replace('root', `old:${PASSWORD}`)}/library` }, [
        /^CannotStart: DATABASE_URL: .*to log in by a plugin, which .*ALTER USER .*AUTH_SWITCH_PLUGIN_ERROR/,
      ])
    },
  )
}

if (servers.includes('postgresql')) {
  test.serial(
    'on postgresql a wrong user, password or pg_hba.conf, and a missing password, end the start',
    async (t) => {
      const server = await startPostgresql()
      t.teardown(() => server.stop())
      const admin = `${server.url}/postgres`
      await runScript(
        admin,
        `CREATE ROLE site LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE nologin PASSWORD '${PASSWORD}'`,
      )
      const [{ hba_file = '' } = {}] = await runSql(admin, 'SHOW hba_file')
      writeFileSync(
        String(hba_file),
        'host all postgres 127.0.0.1/32 trust\nhost template1 all 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 scram-sha-256\n',
      )
      await runSql(admin, 'SELECT pg_reload_conf()')
      const url = (user: string, name = 'postgres') =>
        `${server.url.replace('postgres@', `${user}@`)}/${name}`
      // Until the new rules hold: there is no password for this one.
      while (
        await runSql(url('site'), 'SELECT 1').then(
          () => true,
          () => false,
        )
      )
        await delay(10)
      const wrong =
        /^CannotStart: DATABASE_URL: 127\.0\.0\.1:\d+ does not accept the user "site".*set user and password in DATABASE_URL/
      await assertRefused(t, { DATABASE_URL: url('site:hunter2-that-is-wrong') }, [wrong, /28P01/])
      await assertRefused(t, { DATABASE_URL: url('site') }, [wrong, /without a password.*SASL/])
      await assertRefused(t, { DATABASE_URL: url(`nologin:${PASSWORD}`) }, [
        /^CannotStart: DATABASE_URL: .*does not let the user "nologin" .*28000/,
      ])
      await assertRefused(t, { DATABASE_URL: url(`site:${PASSWORD}`, 'template1') }, [
        /^CannotStart: DATABASE_URL: .*does not let the user "site" .*pg_hba\.conf/,
      ])
    },
  )
}

test.serial(
  'what waits names host, port and setting once, never the password, and never its frames',
  async (t) => {
    for (const scheme of ['mysql', 'postgresql']) {
      const [dead, command] = await startBeside(t, scheme)
      const { message } = await command.next('service.waiting')
      t.regex(
        String(message),
        new RegExp(`^DATABASE_URL: 127\\.0\\.0\\.1:${dead} refuses connections; .*DATABASE_URL`),
      )
      t.regex(String(message), /asked again/)
      // Five more looks, and not one line more.
      await delay(2500)
      t.is(command.log().filter(({ event }) => event === 'service.waiting').length, 1)
      t.is(await command.stop(), 0)
      t.notRegex(command.stdout() + command.stderr(), /hunter2|"frames"/)
    }
  },
)

test.serial(
  'a host whose name does not resolve yet is waited for, since a name service may come later',
  async (t) => {
    for (const scheme of ['mysql', 'postgresql']) {
      const command = startCommand(t, ['serve'], {
        env: {
          ...patience,
          DATABASE_URL: `${scheme}://u:${PASSWORD}@nobody.invalid/x`,
          DJANGO_SECRET_KEY: SECRET_KEY,
        },
      })
      const { message } = await command.next('service.waiting')
      t.regex(
        String(message),
        /^DATABASE_URL: the host name of nobody\.invalid:\d+ does not resolve; correct it in DATABASE_URL/,
      )
      t.is(await command.stop(), 0)
    }
  },
)

test.serial('a socket that is not there is waited for, and named', async (t) => {
  for (const scheme of ['mysql', 'postgresql']) {
    const command = startCommand(t, ['serve'], {
      env: { ...patience, DATABASE_URL: `${scheme}://u@%2Fno%2Fsuch/x`, DJANGO_SECRET_KEY: SECRET_KEY },
    })
    t.regex(
      String((await command.next('service.waiting')).message),
      /^DATABASE_URL: the socket \/no\/such does not exist/,
    )
  }
})

test.serial('an SQLite URL with two slashes, one or none is told how many there are to be', async (t) => {
  await assertRefused(t, { DATABASE_URL: 'sqlite://db.sqlite3' }, [
    /^SettingsError: DATABASE_URL: .*two slashes.*write sqlite:\/\/\/db\.sqlite3/,
  ])
  for (const url of ['sqlite:db.sqlite3', 'sqlite:/tmp/db.sqlite3'])
    await assertRefused(t, { DATABASE_URL: url }, [
      /^SettingsError: DATABASE_URL .*write sqlite:\/\/\/relative\/file/,
    ])
})

test.serial(
  'an SQLite file that is a folder, is not a database, is empty or cannot be written ends the start',
  async (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(
      join(folder, 'text'),
      'This is some text, and long enough to be taken for a header of SQLite.'.repeat(20),
    )
    writeFileSync(join(folder, 'empty'), '')
    const at = (file: string) => ({ DATABASE_URL: `sqlite:///${folder}/${file}` })
    await assertRefused(t, at(''), [
      /^CannotStart: DATABASE_URL: the file \/.* cannot be opened; set DATABASE_URL to the SQLite file/,
    ])
    await assertRefused(t, at('text'), [
      /^CannotStart: DATABASE_URL: the file \/.*text is not an SQLite database; set DATABASE_URL/,
    ])
    await assertRefused(t, at('empty'), [
      /^MissingTables: .*django_session.*manage\.py migrate.*DATABASE_URL/,
    ])
    await assertRefused(t, at('no/such/file'), [/^MissingDatabase: .*no\/such\/file; set DATABASE_URL/])
  },
)

// Root may do everything, so it becomes nobody. The modes are the same for owners and others: they hold for both.
const isRoot = process.getuid?.() === 0

test.serial(
  'a user is told which files and folders it may not write, and the port that it may not listen on',
  async (t) => {
    const folder = temporaryFolder(t)
    chmodSync(folder, 0o555)
    const asNobody = (env: Readonly<Record<string, string>>, cwd = folder) =>
      runNobody(t, { ...patience, ...env }, cwd)

    const demo = await asNobody({})
    t.is(demo.status, 1)
    t.regex(
      demo.stderr,
      /^UnusableDemo: .*var\/demo\.sqlite3 .*\(EACCES\); start in a folder .*or set DATABASE_URL to [^\n]*\n$/,
    )

    const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const file = url.slice('sqlite:///'.length)
    chmodSync(file, 0o444)
    chmodSync(dirname(file), 0o555)
    const site = { DATABASE_URL: url, DJANGO_SECRET_KEY: SECRET_KEY, DJANGO_VERSION: '5.2' }
    const readOnly = await asNobody(site)
    t.is(readOnly.status, 1)
    t.regex(
      readOnly.stderr,
      /^CannotStart: DATABASE_URL: the file \/.* cannot be written; give this process the right to write it and its folder .*\n$/,
    )
    chmodSync(file, 0o666) // The folder still cannot be written, where SQLite keeps its journal.
    t.regex((await asNobody(site)).stderr, /^CannotStart: DATABASE_URL: the file \/.*(?:its folder) .*\n$/)
    chmodSync(file, 0o000)
    t.regex(
      (await asNobody(site)).stderr,
      /^CannotStart: DATABASE_URL: the file \/.* cannot be opened; .*\n$/,
    )

    const sessions = temporaryFolder(t)
    chmodSync(sessions, 0o555)
    chmodSync(file, 0o666)
    chmodSync(dirname(file), 0o777)
    const files = {
      ...site,
      SESSION_ENGINE: 'django.contrib.sessions.backends.file',
      SESSION_FILE_PATH: sessions,
    }
    const unwritable = await asNobody(files)
    t.is(unwritable.status, 1)
    t.regex(
      unwritable.stderr,
      /^UnusableSessionFolder: .* cannot be read and written; set SESSION_FILE_PATH .*\n$/,
    )

    const elsewhere = temporaryFolder(t)
    chmodSync(elsewhere, 0o755)
    writeFileSync(join(elsewhere, '.env'), 'PORT=0\n')
    chmodSync(join(elsewhere, '.env'), 0o000)
    const unreadable = await asNobody(site, elsewhere)
    t.is(unreadable.status, 1)
    t.regex(unreadable.stderr, /^SettingsError: \/.*\.env cannot be read \(EACCES\); .*\n$/)

    // Where every user may listen on every port, as in most containers, there is nothing to refuse.
    if (Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8')) > 999) {
      const port = await asNobody({ ...site, PORT: '999' })
      t.is(port.status, 1)
      t.regex(port.stderr, /^CannotListen: PORT: .*port 999; set PORT to 1024 or more.*\(EACCES\)\n$/)
    }
  },
)

test.serial('a .env that is a folder is named beside all other problems', async (t) => {
  const cwd = temporaryFolder(t)
  mkdirSync(join(cwd, '.env'))
  await assertRefused(
    t,
    { PORT: 'eighty' },
    [/\.env cannot be read \(EISDIR\); make it a file/, /^PORT is "eighty"/m],
    {
      cwd,
      lines: 2,
    },
  )
})

test.serial('an address or a port that cannot be listened on is named by its setting', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const taken: Server = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const port = String((taken.address() as AddressInfo).port)
  const site = { DATABASE_URL: url, DJANGO_VERSION: '5.2' }
  for (const [host, number] of [
    ['HOST', 'PORT'],
    ['METRICS_HOST', 'METRICS_PORT'],
  ] as const) {
    await assertRefused(t, { ...site, [number]: port }, [
      new RegExp(
        `^CannotListen: ${number}: another process listens on 127\\.0\\.0\\.1 port ${port}; .*set ${number} .*\\(EADDRINUSE\\)`,
      ),
    ])
    await assertRefused(t, { ...site, [host]: '192.0.2.1' }, [
      new RegExp(`^CannotListen: ${host}: 192\\.0\\.2\\.1 is not an address of this machine; set ${host} `),
    ])
    await assertRefused(t, { ...site, [host]: 'nobody.invalid' }, [
      new RegExp(`^CannotListen: ${host}: the name "nobody\\.invalid" does not resolve; set ${host} `),
    ])
  }
})

test.serial('a cache server that wants another password ends the start', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const redis = await startRedis({ password: PASSWORD })
  t.teardown(() => redis.stop())
  for (const engine of ['cache', 'cached_db'])
    for (const location of [
      redis.location.replace(/:[^:@]*@/, ':hunter2-that-is-wrong@'),
      redis.location.replace(/\/\/.*@/, '//'),
    ])
      await assertRefused(
        t,
        {
          DATABASE_URL: url,
          DJANGO_VERSION: '5.2',
          SESSION_ENGINE: `django.contrib.sessions.backends.${engine}`,
          CACHES: JSON.stringify({
            default: { BACKEND: 'django.core.cache.backends.redis.RedisCache', LOCATION: location },
          }),
        },
        [
          /^CannotStart: CACHES: Redis at 127\.0\.0\.1:\d+ is unavailable: (?:WRONGPASS|NOAUTH); set user and password/,
        ],
      )
})

test.serial('a cache server that is away is waited for by the engine that has no other place', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const command = startCommand(t, ['serve'], {
    env: {
      ...patience,
      DATABASE_URL: url,
      DJANGO_SECRET_KEY: SECRET_KEY,
      DJANGO_VERSION: '5.2',
      SESSION_ENGINE: 'django.contrib.sessions.backends.cache',
      CACHES: JSON.stringify({
        default: { BACKEND: 'django.core.cache.backends.redis.RedisCache', LOCATION: 'redis://127.0.0.1:1' },
      }),
    },
  })
  t.regex(
    String((await command.next('service.waiting')).message),
    /^CACHES: Redis at 127\.0\.0\.1:1 is unavailable: ECONNREFUSED/,
  )
  t.is(await command.stop(), 0)
})

test.serial('a version that is guessed is warned about, with the releases that look the same', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const service = await startService(t, {
    env: { DATABASE_URL: url, DJANGO_SECRET_KEY: SECRET_KEY, USE_TZ: 'True' },
  })
  t.like(await service.next('django.profile'), { version: '6.1', given: false })
  const { warning } = await service.next('settings.warning')
  t.regex(
    String(warning),
    /^DJANGO_VERSION is not set; 6\.1 is guessed, but Django 3\.1 to 6\.1 .*Set DJANGO_VERSION to /,
  )
})

/** A start whose database is at a port where nothing listens; gives the port. */
async function startBeside(
  t: ExecutionContext,
  scheme: string,
): Promise<[port: number, ReturnType<typeof startCommand>]> {
  const gone = createTcpServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  const env = {
    ...patience,
    DATABASE_URL: `${scheme}://u:${PASSWORD}@127.0.0.1:${port}/x`,
    DJANGO_SECRET_KEY: SECRET_KEY,
  }
  return [port, startCommand(t, ['serve'], { env })]
}

/** `serve` as the user nobody, to its end. */
async function runNobody(
  t: ExecutionContext,
  env: Readonly<Record<string, string>>,
  cwd: string,
): Promise<{ status: number | NodeJS.Signals; stderr: string }> {
  const command = isRoot
    ? startCommand(t, ['--reuid=65534', '--clear-groups', process.execPath, main, 'serve'], {
        node: 'setpriv',
        main: '--no-new-privs',
        env,
        cwd,
      })
    : startCommand(t, ['serve'], { env, cwd })
  return { status: await command.ended, stderr: command.stderr() }
}

const main = join(projectFolder, 'src/cli/main.ts')
