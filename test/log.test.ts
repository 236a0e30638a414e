import { randomBytes } from 'node:crypto'
import test from 'ava'
import { createSessionCodec } from '../src/django/session-data.ts'
import { versionProfile } from '../src/django/versions.ts'
import { createLog } from '../src/log.ts'
import { createTestDatabase, runScript, runSql, testDatabases } from './support/databases.ts'
import { freePorts, startCommand, startService } from './support/service.ts'

test('an event is one line of JSON, with its time in ISO 8601', (t) => {
  const lines: string[] = []
  createLog('info', { write: (line) => lines.push(line) }).warn('some.event', { reason: 'two\nlines' })
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /^\{.*\}\n$/)
  const { time, ...fields } = JSON.parse(lines[0] ?? '')
  t.deepEqual(fields, { level: 40, event: 'some.event', reason: 'two\nlines' })
  t.is(new Date(time).toISOString(), time)
})

test('a level leaves out what is below it', (t) => {
  const lines: string[] = []
  const log = createLog('warn', { write: (line) => lines.push(JSON.parse(line).event) })
  for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level](level)
  t.deepEqual(lines, ['warn', 'error'])
})

test('what goes by the name of a secret is not shown, wherever it stands', (t) => {
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

const name = testDatabases.find((one) => one === 'mariadb' || one === 'mysql') ?? 'mysql'

test(`at LOG_LEVEL=trace nothing printed holds a secret, whatever is asked and whatever ${name} says`, async (t) => {
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

  // The database's own messages, with the row in them.
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
  t.is((await get({ Cookie: `sessionid=${key}` })).status, 500) // It does not fit any more.
  await runScript(url, 'ALTER TABLE django_session RENAME TO elsewhere')
  t.is((await get(mine)).status, 500)
  await runScript(url, 'ALTER TABLE elsewhere RENAME TO django_session')
  // Its connections are lost, and its password is not good any more.
  await runScript(url, `ALTER USER ${user}@'%' IDENTIFIED BY 'another'; FLUSH PRIVILEGES`)
  for (const { ID } of await runSql(
    url,
    `SELECT ID FROM information_schema.processlist WHERE USER = '${user}'`,
  ))
    await runSql(url, `KILL ${ID}`)
  t.true((await get(mine)).status >= 500)
  t.is(await service.stop(), 0)

  // Neither does a start that fails say more.
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
