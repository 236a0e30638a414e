import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { openDatabase } from '../../../src/service/database/open-database.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createVisitor } from '../../interop/visitor.ts'
import { createTestDatabase, runScript, runSql, testDatabases } from '../../support/databases.ts'
import { startMariadb, startMysql } from '../../support/servers.ts'
import { type CommandOptions, runCommand, startService } from '../../support/service.ts'

const mysqls = testDatabases.filter((name) => name === 'mariadb' || name === 'mysql')

/** What `serve` prints with this URL before it ends with 1: one line, no stack trace. */
async function refusalOf(t: ExecutionContext, DATABASE_URL: string): Promise<string> {
  const { status, stdout, stderr } = await runCommand(t, ['serve'], environment(DATABASE_URL))
  t.is(status, 1, stdout)
  t.regex(stderr, /^[A-Z]\w+: [^\n]+\n$/)
  return stderr
}

function environment(DATABASE_URL: string): CommandOptions {
  const env = { DATABASE_URL, DJANGO_SECRET_KEY: 'x', PORT: '0', METRICS_PORT: '0', DATABASE_TIMEOUT: '8' }
  return { env }
}

/** The error with which a connection fails. */
async function failureOf(t: ExecutionContext, DATABASE_URL: string, timeout: string): Promise<Error> {
  const env = { DATABASE_URL, DJANGO_SECRET_KEY: 'x', DATABASE_TIMEOUT: timeout }
  const db = openDatabase(readSettings(env).database)
  t.teardown(() => db.destroy())
  const error = await t.throwsAsync(db.raw('SELECT 1'))
  return error ?? new Error('it did not fail')
}

/** The wrong scheme: the scheme of the URL, the server there, and the expected message. */
const mixUps = [
  ...mysqls.map(
    (server) =>
      ['postgres', server, "speaks MySQL's protocol, .*; check its port, or begin it with mysql://"] as const,
  ),
  [
    'mysql',
    'postgresql',
    "speaks PostgreSQL's protocol, .*; check its port, or begin it with postgres://",
  ] as const,
].filter(([, server]) => testDatabases.includes(server))

for (const [scheme, server, said] of mixUps) {
  for (const option of ['', 'sslmode=disable', 'sslmode=require']) {
    test.serial(`${scheme}://…?${option} on the port of ${server} says so`, async (t) => {
      const { url } = await createTestDatabase(t, server, { tables: 'none' })
      const wrong = `${url.replace(/^\w+/, scheme)}?${option}`
      const { message, ...error } = await failureOf(t, wrong, '8')
      t.is('code' in error && error.code, 'ERR_DATABASE_MISMATCH')
      t.regex(message, new RegExp(`^127\\.0\\.0\\.1:\\d+ ${said}`))
      if (option === '') t.regex(await refusalOf(t, wrong), new RegExp(said))
    })
  }
}

/** Other servers on a wrong port: what each sends first, or answers to any message. */
const strangers: Readonly<Record<string, { greeting?: Buffer; answer?: Buffer }>> = {
  'an SSH server': { greeting: Buffer.from('SSH-2.0-OpenSSH_9.2\r\n') },
  'an HTTP server': { answer: Buffer.from('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n') },
  'a Redis': { answer: Buffer.from("-ERR unknown command '\\x00'\r\n") },
  'a memcached': { answer: Buffer.from('ERROR\r\n') },
  'something that sends zeroes': { greeting: Buffer.alloc(4096) },
  'something that sends noise': {
    greeting: Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 167) % 256)),
  },
  'something that says S and then noise': { answer: Buffer.from('Snoise, noise, noise') },
  'something that closes': { greeting: Buffer.alloc(0) },
}

for (const [what, { greeting, answer }] of Object.entries(strangers)) {
  for (const scheme of ['mysql', 'postgres']) {
    test.serial(`${scheme}:// to ${what} is an error of the connection`, async (t) => {
      const server = createServer((socket: Socket) => {
        socket.on('error', () => {})
        if (greeting?.length === 0) socket.destroy()
        else if (greeting !== undefined) socket.write(greeting)
        if (answer !== undefined) socket.on('data', () => socket.write(answer))
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.teardown(() => server.close())
      const { port } = server.address() as AddressInfo
      // An exception outside the promise would end this process.
      t.not((await failureOf(t, `${scheme}://user:password@127.0.0.1:${port}/visits`, '1')).message, '')
    })
  }
}

for (const name of mysqls) {
  test.serial(`on ${name} the isolation level of the URL is used`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'none' })
    for (const [option, expected] of [
      ['', 'READ-COMMITTED'],
      ['isolation_level=repeatable%20read', 'REPEATABLE-READ'],
      ['isolation_level=serializable', 'SERIALIZABLE'],
    ] as const) {
      const { database } = readSettings({
        DATABASE_URL: `${url}?${option}`,
        DJANGO_SECRET_KEY: 'x',
        DATABASE_TIMEOUT: '30',
      })
      const db = openDatabase(database)
      const [rows] = await db.raw(
        "SHOW SESSION VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation')",
      )
      t.is(rows[0].Value, expected)
      await db.destroy()
    }
  })

  test.serial(
    `with binlog_format=STATEMENT ${name} is written at a level that it allows; another level in the URL is an error`,
    async (t) => {
      const server = await (name === 'mariadb' ? startMariadb : startMysql)({
        // Test servers start with --skip-log-bin; the later option wins.
        extraArguments: ['--log-bin=log', '--server-id=1', '--binlog-format=STATEMENT'],
      })
      t.teardown(() => server.stop())
      await runScript(server.url, 'CREATE DATABASE visits')
      const url = `${server.url}/visits`
      const template = await createTestDatabase(t, name, { tables: 'library' })
      await copyTables(template.url, url)

      const service = await startService(t, {
        env: { ...environment(url).env, DJANGO_VERSION: '5.2', USE_TZ: 'True' },
      })
      const visitor = createVisitor()
      for (let visit = 1; visit <= 3; visit += 1) t.is(await visitor.visit(service.url), visit)
      t.is((await runSql(url, 'SELECT session_key FROM django_session')).length, 1)
      t.regex(
        await refusalOf(t, `${url}?isolation_level=read%20committed`),
        /^CannotStart: DATABASE_URL: .*binlog_format is STATEMENT, .* leave isolation_level out or write repeatable read, or set binlog_format to ROW or MIXED/,
      )
    },
  )
}

/** Makes the tables of one database in another server. */
async function copyTables(from: string, to: string): Promise<void> {
  const tables = await runSql(from, 'SHOW TABLES')
  const statements = ['SET foreign_key_checks = 0']
  for (const table of tables.flatMap((row) => Object.values(row).map(String))) {
    const [made] = await runSql(from, `SHOW CREATE TABLE ${table}`)
    statements.push(String(made?.['Create Table']))
  }
  await runScript(to, statements.join(';\n'))
}
