import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { createSessionCodec } from '../../../src/django/session-data.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { createLog, readableLine } from '../../../src/service/monitoring/pino-log.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createTestDatabase, runScript, runSql, testDatabases } from '../../support/databases.ts'
import { projectFolder } from '../../support/places.ts'
import { freePorts, type RunningCommand, startCommand, startService } from '../../support/service.ts'

test('an event is one line of JSON, with its time in ISO 8601', (t) => {
  const lines: string[] = []
  createLog('info', { write: (line) => lines.push(line) }).warn('some.event', { reason: 'two\nlines' })
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /^\{.*\}\n$/)
  const { time, ...fields } = JSON.parse(lines[0] ?? '')
  t.deepEqual(fields, { level: 40, event: 'some.event', reason: 'two\nlines' })
  t.is(new Date(time).toISOString(), time)
})

test('events below the level are not logged', (t) => {
  const lines: string[] = []
  const log = createLog('warn', { write: (line) => lines.push(JSON.parse(line).event) })
  for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level](level)
  t.deepEqual(lines, ['warn', 'error'])
})

test('fields with the name of a secret are redacted at any depth', (t) => {
  const lines: string[] = []
  const log = createLog('info', { write: (line) => lines.push(line) })
  const secrets = {
    cookie: 'x1',
    password: 'x2',
    secretKey: 'x3',
    sessionKey: 'x4',
    session_data: 'x5',
    sql: 'x6',
  }
  log.info('some.event', { ...secrets, error: secrets })
  t.notRegex(lines[0] ?? '', /x\d/)
  t.regex(lines[0] ?? '', /"cookie":"\[redacted\]"/)
})

/** The readable line of one event. */
function readable(event: string, fields: Record<string, unknown>, colors = false): string {
  const lines: string[] = []
  createLog('debug', { write: (line) => lines.push(readableLine(line, { colors })) }).warn(event, fields)
  return lines.join('')
}

test('a readable line has the time, the level, the event, its message, and the fields', (t) => {
  t.regex(
    readable('service.waiting', {
      code: 'ECONNREFUSED',
      message: 'the database is away',
      ms: 12,
      list: ['a b'],
      none: null,
    }),
    /^\d\d:\d\d:\d\d WARN {2}service\.waiting the database is away code=ECONNREFUSED ms=12 list=\["a b"\] none=null\n$/,
  )
  t.regex(
    readable('settings.warning', { warning: 'X is unknown' }),
    /WARN {2}settings\.warning X is unknown\n$/,
  )
  t.regex(readable('http.failure', { frames: ['at a', 'at b'] }), /http\.failure\n {4}at a\n {4}at b\n$/)
})

test('a readable line contains neither a terminal command nor a secret', (t) => {
  const evil = '/\u001b[2J\u009b31m\u0007\r\n\u202egnp.exe\u2066\u0000'
  for (const fields of [
    { path: evil },
    { message: evil },
    { warning: evil },
    { frames: [evil] },
    { nested: { path: evil } },
  ]) {
    const line = readable('http.request', fields)
    t.notRegex(
      line.replaceAll('\n    ', '').trimEnd(),
      /[\p{Cc}\u2028-\u202e\u2066-\u2069]/u,
      JSON.stringify(fields),
    )
    t.true(line.includes('gnp.exe'))
  }
  t.regex(readable('some.event', { password: 'x1' }), /password="\[redacted\]"/)
})

test('the text is the same with and without colours', (t) => {
  const fields = { message: 'two words', count: 2 }
  const coloured = readable('some.event', fields, true)
  t.true(coloured.includes('\x1b[33mWARN'))
  t.is(stripVTControlCharacters(coloured).slice(8), readable('some.event', fields).slice(8))
})

test('LOG_FORMAT is pretty or json', (t) => {
  const read = (env: Record<string, string>) => readSettings(env, { cwd: '/' }).logFormat
  t.is(read({}), null)
  t.is(read({ LOG_FORMAT: 'pretty' }), 'pretty')
  t.is(read({ LOG_FORMAT: 'json' }), 'json')
  t.throws(() => read({ LOG_FORMAT: 'xml' }), { message: 'LOG_FORMAT is "xml"; set it to pretty, json' })
})

/** Runs `serve` on its own terminal. */
function startOnTerminal(t: ExecutionContext, env: Readonly<Record<string, string>>): RunningCommand {
  const command = `'${process.execPath}' '${join(projectFolder, 'src/cli/main.ts')}' serve`
  return startCommand(t, ['--quiet', '--return', '--command', command, '/dev/null'], {
    node: 'script',
    main: '--flush',
    env: { ...freePorts, ...env },
  })
}

async function untilPrinted(command: RunningCommand, pattern: RegExp): Promise<string> {
  for (let tries = 0; tries < 600 && !pattern.test(command.stdout()); tries += 1) await delay(100)
  return command.stdout()
}

test('on a terminal the log is readable, in colours unless NO_COLOR is set', async (t) => {
  for (const [env, isColoured] of [
    [{ TERM: 'xterm' }, true],
    [{ TERM: 'xterm', NO_COLOR: '1' }, false],
    [{ TERM: 'dumb' }, false],
  ] as const) {
    const printed = await untilPrinted(startOnTerminal(t, env), /For your own site/)
    const text = stripVTControlCharacters(printed)
    t.regex(text, /^\d\d:\d\d:\d\d INFO {2}service\.listening url=http:\/\/127\.0\.0\.1:\d+\/catalog\/\r$/m)
    // In the order of the events.
    t.regex(text, /service\.ready[\s\S]*The embedded demo library is in/)
    t.notRegex(text, /^\{/m)
    t.is(printed !== text, isColoured, printed)
  }
})

for (const LOG_FORMAT of ['pretty', 'json']) {
  test(`a service whose terminal is closed stops, with LOG_FORMAT=${LOG_FORMAT}`, async (t) => {
    const terminal = startOnTerminal(t, { TERM: 'xterm', LOG_FORMAT })
    await untilPrinted(terminal, /For your own site/)
    const pid = serviceOf(terminal.pid)
    t.true(isRunning(pid))
    process.kill(terminal.pid, 'SIGKILL') // Like closing a window: it ends the terminal, too.
    for (let tries = 0; tries < 300 && isRunning(pid); tries += 1) await delay(100)
    t.false(isRunning(pid))
  })
}

/** The last in a chain of child processes. */
function serviceOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
  return child ? serviceOf(Number(child)) : pid
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

test('LOG_FORMAT selects JSON on a terminal, and readable lines without colours in a pipe', async (t) => {
  const printed = await untilPrinted(
    startOnTerminal(t, { TERM: 'xterm', LOG_FORMAT: 'json' }),
    /service\.ready"\}/,
  )
  t.regex(printed, /^\{"level":30,.*"event":"service\.ready"\}\r$/m)

  const piped = startCommand(t, ['serve'], { env: { ...freePorts, LOG_FORMAT: 'pretty' } })
  const text = await untilPrinted(piped, /For your own site/)
  t.regex(text, /^\d\d:\d\d:\d\d INFO {2}service\.ready$/m)
  t.is(text, stripVTControlCharacters(text))
  t.is(await piped.stop(), 0)
  t.regex(piped.stdout(), /INFO {2}service\.stopped\n$/)
})

const name = testDatabases.find((one) => one === 'mariadb' || one === 'mysql') ?? 'mysql'

test(`at LOG_LEVEL=trace no output contains a secret, whatever the request and whatever ${name} reports`, async (t) => {
  const { url } = await createTestDatabase(t, name, { tables: 'library' })
  const [user, password] = [
    `u${randomBytes(4).toString('hex')}`,
    `PASSWORD-${randomBytes(8).toString('hex')}`,
  ]
  await runScript(
    url,
    `CREATE USER ${user}@'%' IDENTIFIED BY '${password}'; GRANT ALL ON *.* TO ${user}@'%'; FLUSH PRIVILEGES`,
  )
  t.teardown(() => runScript(url, `DROP USER ${user}@'%'`))
  const env = {
    ...freePorts,
    DATABASE_URL: url.replace(/\/\/[^@]*@/, `//${user}:${password}@`),
    DJANGO_SECRET_KEY: 'SECRET-KEY-0123456789-abcdefghijklmnopqrstuvwxyz',
    DJANGO_SECRET_KEY_FALLBACKS: 'FALLBACK-KEY-0123456789-abcdefghijklmnopqrstuvwxyz',
    DJANGO_VERSION: '5.2',
    LOG_LEVEL: 'trace',
  }
  const service = await startService(t, { env })
  const codec = createSessionCodec({
    secretKeys: [env.DJANGO_SECRET_KEY],
    profile: versionProfile('5.2'),
    now: () => new Date(),
  })
  const key = 'sessionkeyofsomebodyabcdefghijkl'
  const sessionData = codec.encode(new Map([['note', '"SESSION-DATA"']]))
  const foreign = 'foreignsessionkeyabcdefghijklmno'
  const insert = (session_key: string, session_data: string) =>
    runSql(url, `INSERT INTO django_session VALUES ('${session_key}', '${session_data}', '2999-01-01')`)
  await insert(key, sessionData)
  await insert(foreign, 'SESSION-DATA:of:nobody')
  const get = async (headers: Record<string, string>, path = '/catalog/?token=QUERY-TOKEN') => {
    const response = await fetch(`${service.url}${path}`, { headers })
    await response.text()
    return { status: response.status, cookie: response.headers.get('Set-Cookie') ?? '' }
  }
  const mine = { Cookie: `csrftoken=COOKIE-VALUE; sessionid=${key}` }

  const { cookie } = await get({})
  t.is((await get(mine)).status, 200)
  t.is((await get({ Cookie: `sessionid=${foreign}` })).status, 200)
  t.is((await get({ Cookie: 'sessionid="COOKIE-VALUE\\000\\377"; sessionid' })).status, 200)
  t.is((await get({ ...mine, Authorization: 'Bearer COOKIE-VALUE' })).status, 200)
  t.is((await get({ ...mine, 'X-Forwarded-Host': 'evil', 'X-Request-Id': 'COOKIE VALUE' })).status, 200)
  t.is((await get({ Cookie: `sessionid=COOKIE-VALUE${'x'.repeat(20_000)}` })).status, 431)
  const { url: metricsUrl } = await service.next('metrics.listening')
  t.is((await fetch(String(metricsUrl), { headers: mine })).status, 200)

  // The database's own messages contain the row.
  await runSql(
    url,
    `CREATE TRIGGER quotes BEFORE UPDATE ON django_session FOR EACH ROW
     SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '${key} SESSION-DATA ${password}'`,
  )
  t.is((await get(mine)).status, 500)
  await runScript(
    url,
    `DROP TRIGGER quotes; DELETE FROM django_session; INSERT INTO django_session VALUES ('${key}', '${sessionData}', '2999-01-01');
     ALTER TABLE django_session MODIFY session_data varchar(${sessionData.length})`,
  )
  t.is((await get({ Cookie: `sessionid=${key}` })).status, 500) // The data is too long for the column now.
  await runScript(url, 'ALTER TABLE django_session RENAME TO elsewhere')
  t.is((await get(mine)).status, 500)
  await runScript(url, 'ALTER TABLE elsewhere RENAME TO django_session')
  // Its connections are closed, and its password is no longer valid.
  await runScript(url, `ALTER USER ${user}@'%' IDENTIFIED BY 'another'; FLUSH PRIVILEGES`)
  for (const { ID } of await runSql(
    url,
    `SELECT ID FROM information_schema.processlist WHERE USER = '${user}'`,
  ))
    await runSql(url, `KILL ${ID}`)
  t.true((await get(mine)).status >= 500)
  t.is(await service.stop(), 0)

  // A failed start does not print more, either.
  const unwelcome = startCommand(t, ['serve'], { env })
  const wrongKey = startCommand(t, ['serve'], {
    env: { ...env, DATABASE_URL: url, DJANGO_SECRET_KEY: 'ANOTHER-KEY' },
  })
  t.is(await wrongKey.ended, 1)
  t.regex(wrongKey.stderr(), /NoSessionVerifies/)
  t.is(await unwelcome.ended, 1)
  t.regex(unwelcome.stderr(), /Access denied/)

  for (const event of ['http.failure', 'session.unreadable', 'http.request'])
    t.true(
      service.log().some((line) => line.event === event),
      event,
    )
  const printed = [service, unwelcome, wrongKey].map((one) => one.stdout() + one.stderr()).join('')
  const secrets = [
    ...[password, env.DJANGO_SECRET_KEY, env.DJANGO_SECRET_KEY_FALLBACKS, 'ANOTHER-KEY', key, foreign],
    ...[
      sessionData,
      'SESSION-DATA',
      'COOKIE-VALUE',
      'QUERY-TOKEN',
      /sessionid=(\w+)/.exec(cookie)?.[1] ?? 'none',
    ],
  ]
  for (const secret of secrets) t.false(printed.includes(secret), `${secret.slice(0, 12)}… was printed`)
})

test('no line of the log is lost or out of order after SIGTERM, however slow its writes are', async (t) => {
  const slow = `import fs from 'node:fs'
    const { write } = fs
    fs.write = (fd, ...rest) => (fd === 1 ? setTimeout(() => write(fd, ...rest), 300) : write(fd, ...rest))`
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(slow)}`
  const service = await startService(t, { env: { NODE_OPTIONS } })
  t.is(await service.stop(), 0)
  const events = service.log().map(({ event }) => event)
  t.deepEqual(events.slice(-2), ['service.stopping', 'service.stopped'])
})
