import { randomBytes } from 'node:crypto'
import { chmodSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import test, { type ExecutionContext } from 'ava'
import {
  createTestDatabase,
  runScript,
  type TestDatabaseName,
  testDatabases,
} from '../../support/databases.ts'
import { projectFolder } from '../../support/places.ts'
import { runCommand, startCommand } from '../../support/service.ts'
import { examined, firstProblem, problemsIn, siteEnvironment } from './examined.ts'

const servers = testDatabases.filter((name) => name !== 'sqlite')

const READS = [
  ...['catalog_book', 'catalog_bookinstance', 'catalog_author', 'auth_user', 'auth_permission'],
  ...['auth_group_permissions', 'auth_user_groups', 'auth_user_user_permissions', 'django_content_type'],
]

/** LocalLibrary, and a database user with all rights that the service needs. */
async function createSite(t: ExecutionContext, name: TestDatabaseName) {
  const database = await createTestDatabase(t, name, { tables: 'library' })
  const user = `doctor_${randomBytes(5).toString('hex')}`
  const isPostgresql = name === 'postgresql'
  const account = isPostgresql ? user : `'${user}'@'127.0.0.1'`
  const run = (sql: string) => runScript(database.url, sql)
  await run(
    isPostgresql
      ? `CREATE ROLE ${account} LOGIN PASSWORD 'one'; GRANT USAGE ON SCHEMA public TO ${account}`
      : `CREATE USER ${account} IDENTIFIED BY 'one'`,
  )
  t.teardown(() =>
    run(isPostgresql ? `DROP OWNED BY ${account}; DROP ROLE ${account}` : `DROP USER ${account}`),
  )
  await run(
    [
      `GRANT SELECT, INSERT, UPDATE, DELETE ON django_session TO ${account}`,
      ...READS.map((table) => `GRANT SELECT ON ${table} TO ${account}`),
      `GRANT UPDATE (last_login) ON auth_user TO ${account}`,
    ].join(';'),
  )
  const url = database.url.replace(/\/\/[^@]*@/, `//${user}:one@`)
  return { url, account, run }
}

const RIGHTS = [
  ['database.E008', 'UPDATE (last_login)', 'auth_user'],
  ['database.E002', 'SELECT', 'django_session'],
  ...['INSERT', 'UPDATE', 'DELETE'].map((right) => ['database.E007', right, 'django_session']),
  ...READS.map((table) => ['database.E008', 'SELECT', table]),
] as const

for (const name of servers) {
  test.serial(
    `on ${name}, each missing right is named first, and the GRANT of the hint mends it`,
    async (t) => {
      t.timeout(180_000)
      const { url, account, run } = await createSite(t, name)
      t.deepEqual(problemsIn(await examined(siteEnvironment(url))), [])
      for (const [id, right, table] of RIGHTS) {
        await run(`REVOKE ${right} ON ${table} FROM ${account}`)
        const found = firstProblem(await examined(siteEnvironment(url)))
        const [word = ''] = right.split(' ')
        t.regex(found, new RegExp(`^${id}: the database user .* may not ${word} in the table ${table}\\b`))
        const [, grant = ''] = /; run (GRANT [^;]*)/.exec(found) ?? []
        await run(grant)
        t.deepEqual(problemsIn(await examined(siteEnvironment(url))), [], `${right} ${table}`)
      }
    },
  )
}

if (testDatabases.includes('postgresql'))
  test('a PostgreSQL that is read-only is named first', async (t) => {
    const { url } = await createTestDatabase(t, 'postgresql', { tables: 'library' })
    const database = new URL(url).pathname.slice(1)
    await runScript(url, `ALTER DATABASE ${database} SET default_transaction_read_only = on`)
    t.regex(
      firstProblem(await examined(siteEnvironment(url))),
      /^database\.E007: DATABASE_URL: .* is read-only, but sessions are written; make it writable/,
    )
  })

/** The doctor as a user without rights on files: root may do everything. */
async function asNobody(t: ExecutionContext, env: Readonly<Record<string, string>>): Promise<string> {
  const main = join(projectFolder, 'src/cli/main.ts')
  const args = ['doctor', '--tag', 'database', '--json']
  const command =
    process.getuid?.() === 0
      ? startCommand(t, ['--reuid=65534', '--clear-groups', process.execPath, main, ...args], {
          node: 'setpriv',
          main: '--no-new-privs',
          env,
          cwd: '/',
        })
      : startCommand(t, args, { env, cwd: '/' })
  await command.ended
  const { findings } = JSON.parse(command.stdout()) as {
    findings: { id: string; outcome: string; read: string; hint: string }[]
  }
  const failed = findings.find(({ outcome }) => outcome === 'failed')
  return `${failed?.id}: ${failed?.read}; ${failed?.hint}`
}

test('an SQLite file or folder that may not be written or read is named first', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const file = url.slice('sqlite:///'.length)
  const env = siteEnvironment(url)
  chmodSync(file, 0o444)
  chmodSync(dirname(file), 0o555)
  t.regex(
    await asNobody(t, env),
    /^database\.E007: .*the file .* cannot be written; give this process the right/,
  )
  chmodSync(file, 0o666) // The folder still cannot be written, where SQLite keeps its journal.
  t.regex(await asNobody(t, env), /^database\.E007: .*the file .*; .*its folder/)
  chmodSync(file, 0o000)
  t.regex(await asNobody(t, env), /^database\.E001: .*the file .* cannot be opened; /)
})

test('an SQLite file with a write-ahead log needs no right on the folder, but on the files of the log', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const file = url.slice('sqlite:///'.length)
  const env = siteEnvironment(url)
  const django = new DatabaseSync(file)
  t.teardown(() => django.close())
  django.exec('PRAGMA journal_mode = wal; UPDATE django_session SET session_key = session_key')
  const log = [`${file}-wal`, `${file}-shm`]
  for (const one of [file, ...log]) chmodSync(one, 0o666)
  chmodSync(dirname(file), 0o555)
  t.teardown(() => chmodSync(dirname(file), 0o777))
  t.notRegex(await asNobody(t, env), /database\.E007/)
  for (const one of log) {
    chmodSync(one, 0o444)
    t.regex(
      await asNobody(t, env),
      /^database\.E007: .*the file .* cannot be written; give this process the right/,
    )
    chmodSync(one, 0o666)
  }
})

test('a database that is missing or away is a finding, also where DJANGO_VERSION is not set', async (t) => {
  for (const [DATABASE_URL, says] of [
    ['sqlite:////no/such/file', /^There is no SQLite database \/no\/such\/file$/],
    ['mysql://root@127.0.0.1:1/library', /^DATABASE_URL: 127\.0\.0\.1:1 refuses connections$/],
    ['postgres://root@127.0.0.1:1/library', /^DATABASE_URL: 127\.0\.0\.1:1 refuses connections$/],
  ] as const)
    for (const DJANGO_VERSION of ['5.2', '']) {
      const env = siteEnvironment(DATABASE_URL, { DJANGO_VERSION })
      const { status, stdout, stderr } = await runCommand(t, ['doctor', '--json'], { env })
      t.is(stderr, '')
      t.is(status, 1)
      const { verdict, findings } = JSON.parse(stdout)
      t.is(verdict, 'error')
      t.like(findings[0], { id: 'database.E001', level: 'error', outcome: 'failed' })
      t.regex(findings[0].read, says)
      t.regex(findings[0].hint, /DATABASE_URL/)
    }
  const env = siteEnvironment('sqlite:////no/such/file')
  const { status, stdout, stderr } = await runCommand(t, ['doctor', '--silence', 'database.E001'], { env })
  t.deepEqual([status, stdout], [2, ''])
  t.regex(stderr, /^MissingDatabase: /)
})
