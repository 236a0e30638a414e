import { join } from 'node:path'
import test from 'ava'
import { isTransient } from '../../../src/http/statuses.ts'
import { openDatabase } from '../../../src/service/database/open-database.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { serverFolder } from '../../support/cache-server.ts'
import { makeCertificate } from '../../support/certificates.ts'
import { createTestDatabase, runScript, testDatabases } from '../../support/databases.ts'
import { execute } from '../../support/executables.ts'
import { fileScope } from '../../support/file-scope.ts'
import { findPostgresql, startMariadb, startMysql } from '../../support/servers.ts'
import { startTlsMysql, startTlsPostgresql, type TlsServer } from '../../support/tls-servers.ts'

const file = fileScope(test)

type Outcome = 'encrypted' | 'clear' | 'refused'

/** How a connection by this URL ends. A refusal must be permanent: waiting would not help. */
async function outcomeOf(url: string): Promise<{ outcome: Outcome; message: string }> {
  const settings = readSettings({ DATABASE_URL: url, DJANGO_SECRET_KEY: 'x', DATABASE_TIMEOUT: '20' })
  let db: ReturnType<typeof openDatabase> | null = null
  try {
    db = openDatabase(settings.database)
    return { outcome: (await isEncrypted(db)) ? 'encrypted' : 'clear', message: '' }
  } catch (error) {
    if (isTransient(error)) throw error
    return { outcome: 'refused', message: error instanceof Error ? error.message : '' }
  } finally {
    await db?.destroy()
  }
}

async function isEncrypted(db: ReturnType<typeof openDatabase>): Promise<boolean> {
  if (db.client.dialect === 'postgresql') {
    const { rows } = await db.raw('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')
    return rows[0].ssl
  }
  const [rows] = await db.raw("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
  return rows[0].Value !== ''
}

/** How the same connection ends with libpq, which psycopg and so Django use. */
async function libpqOutcomeOf(url: string): Promise<Outcome> {
  const psql = join(findPostgresql() ?? '', 'psql')
  const query = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
  const env = { PATH: process.env.PATH, HOME: '/nonexistent' }
  return execute(psql, [url, '--no-psqlrc', '-Atc', query], { env }).then(
    ({ stdout }) => (stdout.trim() === 't' ? 'encrypted' : 'clear'),
    () => 'refused',
  )
}

const ANYONE = '127.0.0.1/32'

/** Lines of pg_hba.conf, by what they accept. */
const postgresqls = {
  'accepts TLS only': [`hostssl all all ${ANYONE} trust`],
  'accepts both': [`host all all ${ANYONE} trust`],
  'accepts no TLS from this client': [`hostnossl all all ${ANYONE} trust`],
} as const

const sslmodes: Readonly<Record<string, (folder: string) => string>> = {
  'no sslmode': () => '',
  disable: () => 'sslmode=disable',
  allow: () => 'sslmode=allow',
  prefer: () => 'sslmode=prefer',
  require: () => 'sslmode=require',
  'verify-ca': (folder) => `sslmode=verify-ca&sslrootcert=${folder}/ca.crt`,
  'verify-full': (folder) => `sslmode=verify-full&sslrootcert=${folder}/ca.crt`,
  'require and its authority': (folder) => `sslmode=require&sslrootcert=${folder}/ca.crt`,
  ssl_min_protocol_version: () => 'sslmode=require&ssl_min_protocol_version=TLSv1.3',
}

if (testDatabases.includes('postgresql')) {
  for (const [title, rules] of Object.entries(postgresqls)) {
    test.serial(`a connection to a PostgreSQL that ${title} ends as with libpq`, async (t) => {
      const { url, folder } = await startTlsPostgresql(t, rules)
      for (const [name, options] of Object.entries(sslmodes)) {
        const full = `${url}?${options(folder)}`
        t.is((await outcomeOf(full)).outcome, await libpqOutcomeOf(full), name)
      }
    })
  }

  test.serial('a connection to a PostgreSQL without TLS ends as with libpq', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql', { tables: 'none' })
    for (const mode of ['', 'sslmode=disable', 'sslmode=allow', 'sslmode=prefer', 'sslmode=require']) {
      const full = `${url}?${mode}`
      t.is((await outcomeOf(full)).outcome, await libpqOutcomeOf(full), mode)
    }
    t.is((await outcomeOf(`${url}?sslmode=require`)).outcome, 'refused')
    t.is((await outcomeOf(url)).outcome, 'clear')
  })

  test.serial(
    'a certificate of another authority, or a missing one, is an error; the connection does not go on without TLS',
    async (t) => {
      const { url, folder, server } = await startTlsPostgresql(t, [
        `host all postgres ${ANYONE} trust`,
        `hostssl all certified ${ANYONE} cert map=anyone`,
      ])
      const other = serverFolder('certificate')
      await makeCertificate(other)
      for (const mode of ['verify-ca', 'verify-full', 'prefer', 'require']) {
        const { outcome, message } = await outcomeOf(`${url}?sslmode=${mode}&sslrootcert=${other}/ca.crt`)
        t.is(outcome, 'refused')
        t.regex(message, /self-signed certificate|unable to verify/)
      }
      const { outcome, message } = await outcomeOf(`${url}?sslmode=verify-full&sslrootcert=${other}/no.crt`)
      t.is(outcome, 'refused')
      t.regex(message, /no\.crt, which the URL .* for TLS, cannot be read \(ENOENT\); write the path/)
      const named = `${url.replace('127.0.0.1', 'localhost')}?sslrootcert=${folder}/ca.crt&sslmode`
      t.is((await outcomeOf(`${named}=verify-full`)).outcome, await libpqOutcomeOf(`${named}=verify-full`))
      t.is((await outcomeOf(`${named}=verify-ca`)).outcome, 'encrypted')
      t.is(
        (
          await outcomeOf(
            `postgresql://postgres@${encodeURIComponent(server.socket)}:${server.port}/visits?sslmode=require`,
          )
        ).outcome,
        'clear',
      )
    },
  )

  test.serial('a client certificate identifies the service', async (t) => {
    const { url, folder } = await startTlsPostgresql(t, [`hostssl all all ${ANYONE} cert`])
    const own = `sslcert=${folder}/server.crt&sslkey=${folder}/server.key`
    for (const options of [`sslmode=require&${own}`, `${own}`, 'sslmode=require']) {
      const full = `${url}?${options}`
      t.is((await outcomeOf(full)).outcome, await libpqOutcomeOf(full), options)
    }
    t.is((await outcomeOf(`${url}?${own}`)).outcome, 'encrypted')
  })

  test.serial('channel_binding and require_auth have the effect that they have in libpq', async (t) => {
    const { url, folder, server } = await startTlsPostgresql(t, [
      `host all postgres ${ANYONE} trust`,
      `host all scram ${ANYONE} scram-sha-256`,
      `host all md5 ${ANYONE} md5`,
      `host all plain ${ANYONE} password`,
    ])
    await runScript(
      `${server.url}/visits`,
      "CREATE USER scram PASSWORD 'p'; CREATE USER plain PASSWORD 'p'; SET password_encryption = 'md5'; CREATE USER md5 PASSWORD 'p'",
    )
    const of = (user: string, options: string) => `${url.replace('postgres@', `${user}:p@`)}?${options}`
    t.is((await outcomeOf(of('scram', 'sslmode=require&channel_binding=require'))).outcome, 'encrypted')
    for (const user of ['scram', 'md5', 'plain', 'postgres']) {
      const full = of(user, `sslmode=verify-full&sslrootcert=${folder}/ca.crt&channel_binding=require`)
      t.is((await outcomeOf(full)).outcome, await libpqOutcomeOf(full), user)
    }
    // libpq has require_auth since PostgreSQL 16.
    const methods = { scram: 'scram-sha-256', md5: 'md5', plain: 'password', postgres: 'none' }
    for (const [user, method] of Object.entries(methods)) {
      for (const asked of Object.values(methods)) {
        const { outcome, message } = await outcomeOf(of(user, `require_auth=${asked}`))
        t.is(outcome, asked === method ? 'encrypted' : 'refused', `${user} ${asked}`)
        if (outcome === 'refused')
          t.regex(message, new RegExp(`the server asks for ${method}, which require_auth`))
        const { outcome: opposite } = await outcomeOf(of(user, `require_auth=!${asked}`))
        t.is(opposite, asked === method ? 'refused' : 'encrypted', `${user} !${asked}`)
      }
    }
  })
}

const mysqlModes: Readonly<
  Record<string, { options(folder: string): string; with: Outcome; without: Outcome }>
> = {
  'no ssl_mode': { options: () => '', with: 'encrypted', without: 'clear' },
  PREFERRED: { options: () => 'ssl-mode=PREFERRED', with: 'encrypted', without: 'clear' },
  REQUIRED: { options: () => 'ssl-mode=REQUIRED', with: 'encrypted', without: 'refused' },
  VERIFY_CA: {
    options: (folder) => `ssl_mode=VERIFY_CA&ssl_ca=${folder}/ca.crt`,
    with: 'encrypted',
    without: 'refused',
  },
  VERIFY_IDENTITY: {
    options: (folder) => `ssl_mode=VERIFY_IDENTITY&ssl_ca=${folder}/ca.crt`,
    with: 'encrypted',
    without: 'refused',
  },
  'a dictionary': {
    options: (folder) => `ssl=${encodeURIComponent(JSON.stringify({ ca: `${folder}/ca.crt` }))}`,
    with: 'encrypted',
    without: 'refused',
  },
}

for (const name of ['mariadb', 'mysql'] as const) {
  if (!testDatabases.includes(name)) continue
  let servers: { insisting: TlsServer; plain: string }

  test.before(`${name} is started with TLS, and without`, async () => {
    const none = name === 'mariadb' ? ['--skip-ssl'] : ['--tls-version=']
    const plain = await (name === 'mariadb' ? startMariadb : startMysql)({ extraArguments: none })
    file.teardown(() => plain.stop())
    await runScript(plain.url, 'CREATE DATABASE visits')
    servers = {
      insisting: await startTlsMysql(file, name, { insists: true }),
      plain: `${plain.url}/visits`,
    }
  })

  const named = (url: string) => url.replace('127.0.0.1', 'localhost')

  for (const [mode, { options, with: expected, without }] of Object.entries(mysqlModes)) {
    test(`with ${mode}, ${name} that requires TLS and ${name} without TLS are connected to or refused`, async (t) => {
      const { insisting, plain } = servers
      t.is((await outcomeOf(`${named(insisting.url)}?${options(insisting.folder)}`)).outcome, expected)
      t.is((await outcomeOf(`${named(plain)}?${options(insisting.folder)}`)).outcome, without)
    })
  }

  test(`with DISABLED, ${name} that requires TLS refuses the connection and says why`, async (t) => {
    const { outcome, message } = await outcomeOf(`${servers.insisting.url}?ssl-mode=DISABLED`)
    t.is(outcome, 'refused')
    t.regex(message, name === 'mysql' ? /insecure transport/ : /Access denied/)
    t.is((await outcomeOf(`${servers.plain}?ssl-mode=DISABLED`)).outcome, 'clear')
  })

  test(`a certificate of another authority is refused on ${name}`, async (t) => {
    const other = serverFolder('certificate')
    await makeCertificate(other)
    const { url, folder } = servers.insisting
    for (const mode of ['VERIFY_CA', 'VERIFY_IDENTITY', 'PREFERRED']) {
      const { outcome, message } = await outcomeOf(`${named(url)}?ssl-mode=${mode}&ssl-ca=${other}/ca.crt`)
      t.is(outcome, 'refused')
      t.regex(message, /^the server's certificate is refused: self-signed certificate; set ssl_ca /)
    }
    // Another name of 127.0.0.1, which the certificate does not have.
    const { outcome, message } = await outcomeOf(
      `${url.replace('127.0.0.1', '127.1')}?ssl-ca=${folder}/ca.crt&ssl-mode=VERIFY_IDENTITY`,
    )
    t.is(outcome, 'refused')
    t.regex(message, /does not match certificate's altnames/)
  })
}
