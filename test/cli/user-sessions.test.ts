import test, { type ExecutionContext } from 'ava'
import { newSessionKey } from '../../src/django/session-key.ts'
import { addUser } from '../auth/users.ts'
import { openDb, secretKey } from '../engines/db-under-test.ts'
import { runCommand } from '../support/service.ts'

const HOUR = 3_600_000

async function openSite(t: ExecutionContext) {
  const site = await openDb(t, 'sqlite', { tables: 'library' })
  await site.empty()
  const ada = await addUser(site, { username: 'ada' })
  const add = async (user: number | null) => {
    const key = newSessionKey()
    const data = new Map(user === null ? [] : [['_auth_user_id', `"${user}"`]])
    await site.engine.create(key, { data, expireDate: new Date(Date.now() + HOUR) })
    return key
  }
  const env = {
    DATABASE_URL: site.database.url,
    DJANGO_SECRET_KEY: secretKey,
    DJANGO_VERSION: '5.2',
    DATABASE_TIMEOUT: '30',
    USE_TZ: 'True',
  }
  const keys = async () => (await site.rows()).map(({ session_key }) => session_key)
  const run = (args: readonly string[], given: { input?: string; env?: Record<string, string> } = {}) =>
    runCommand(t, args, { ...given, env: { ...env, ...given.env } })
  return { site, ada, add, keys, run }
}

const sorted = (keys: readonly string[]): string[] => [...keys].sort((a, b) => (a < b ? -1 : 1))

test('sessions lists the live sessions of a user, never a key', async (t) => {
  const { site, ada, add, run } = await openSite(t)
  const mine = [await add(ada), await add(ada)]
  await add(999)
  await site.insert({ session_key: newSessionKey(), session_data: 'x', expire_date: '2090-01-01 00:00:00' })
  const { status, stdout, stderr } = await run(['sessions', '--user', 'ada'])
  t.is(status, 0)
  const [head, ...lines] = stdout.trimEnd().split('\n')
  t.regex(head ?? '', /^id +created +last change +expires +address +browser$/)
  t.is(lines.length, 2)
  for (const line of lines) t.regex(line, /^[0-9a-f]{12} {2}– {20} {1}.*Z {2}.*Z {2}– +–$/)
  t.is(
    stderr,
    '2 live sessions of ada\n1 live sessions cannot be read (format: 1), so it is not known whose they are; koa-django-sessions doctor says why\n',
  )
  for (const key of mine) t.false(stdout.includes(key.slice(0, 6)))

  const json = JSON.parse((await run(['sessions', '--user-id', String(ada), '--json'])).stdout)
  t.like(json, {
    schema: 'koa-django-sessions/sessions/1',
    place: 'django_session',
    user: { id: String(ada) },
    scanned: 4,
    unreadable: { format: 1 },
    next: null,
    interrupted: false,
  })
  t.deepEqual(
    json.sessions.map(({ id }: { id: string }) => id),
    lines.map((line) => line.slice(0, 12)),
  )
})

test('sessions stops at --limit and says where to go on', async (t) => {
  const { ada, add, run } = await openSite(t)
  for (let sessions = 0; sessions < 6; sessions += 1) await add(ada)
  const first = await run(['sessions', '--user', 'ada', '--limit', '4'])
  const [, place = ''] = /Go on with --after (\S+)\n$/.exec(first.stderr) ?? []
  const rest = await run(['sessions', '--user', 'ada', '--after', place])
  t.deepEqual([first.status, rest.status], [0, 0])
  const ids = `${first.stdout}${rest.stdout}`.match(/^[0-9a-f]{12} /gm) ?? []
  t.is(new Set(ids).size, 6)
  const { status, stderr } = await run(['sessions', '--user', 'ada', '--after', 'elsewhere'])
  t.is(status, 2)
  t.regex(stderr, /^InvalidCursor: /)
})

test('a control character in a browser’s name does not reach the terminal', async (t) => {
  const { site, run } = await openSite(t)
  await site.db.raw(
    `CREATE TABLE user_sessions_session (session_key varchar(40) NOT NULL PRIMARY KEY, session_data text NOT NULL,
      expire_date datetime NOT NULL, user_id integer NULL, user_agent varchar(200) NULL, ip char(39) NULL, last_activity datetime NOT NULL)`,
  )
  await site.db('user_sessions_session').insert({
    session_key: newSessionKey(),
    session_data: site.codec.encode(new Map([['_auth_user_id', '"1"']])),
    expire_date: '2090-01-01 00:00:00',
    last_activity: '2026-01-01 00:00:00',
    user_id: 1,
    user_agent: 'Fire\u001b[2Jfox',
    ip: '192.0.2.1',
  })
  const env = { SESSION_ENGINE: 'user_sessions.backends.db' }
  const { status, stdout } = await run(['sessions', '--user-id', '1'], { env })
  t.is(status, 0)
  t.regex(stdout, /192\.0\.2\.1 +Fire\ufffd\[2Jfox\n/)
})

test('logout asks at a terminal only: without --yes it deletes nothing, and exits with 2', async (t) => {
  const { ada, add, keys, run } = await openSite(t)
  await add(ada)
  for (const args of [['--user', 'ada'], ['--everybody']]) {
    const { status, stdout, stderr } = await run(['logout', ...args], { input: 'yes\n' })
    t.deepEqual([status, stdout], [2, ''])
    t.regex(stderr, /There is no terminal to answer; add --yes/)
  }
  t.is((await keys()).length, 1)
})

test('logout --yes deletes the sessions of the user; --all-but-stdin keeps one', async (t) => {
  const { ada, add, keys, run } = await openSite(t)
  const [kept, other] = [await add(ada), await add(999)]
  await add(ada)
  await add(ada)
  const keeping = await run(['logout', '--user', 'ada', '--all-but-stdin', '--yes', '--json'], {
    input: `${kept}\n`,
  })
  t.is(keeping.stderr, '')
  t.is(keeping.status, 0)
  t.deepEqual(JSON.parse(keeping.stdout), {
    schema: 'koa-django-sessions/logout/1',
    place: 'django_session',
    user: { id: String(ada), username: 'ada' },
    deleted: 2,
    changed: 0,
    scanned: 4,
    unreadable: {},
    next: null,
    interrupted: false,
    copiesLeft: 0,
  })
  t.deepEqual(sorted(await keys()), sorted([kept, other]))
  const all = await run(['logout', '--user-id', String(ada), '--yes'])
  t.deepEqual(
    [all.status, all.stdout],
    [0, `Deleted 1 session of the user with the id ${ada} in django_session.\n`],
  )
  t.deepEqual(await keys(), [other])
})

test('a wrong key on standard input deletes nothing, and is not quoted', async (t) => {
  const { ada, add, keys, run } = await openSite(t)
  await add(ada)
  for (const input of [newSessionKey(), 'short', '', 'sessionid=abcdefgh\nand more', "abcdefgh'"]) {
    const { status, stdout, stderr } = await run(['logout', '--user', 'ada', '--all-but-stdin', '--yes'], {
      input,
    })
    t.deepEqual([status, stdout], [2, ''], input)
    if (input !== '') t.false(stderr.includes(input))
  }
  t.is((await keys()).length, 1)
})

test('logout --everybody --yes deletes every session', async (t) => {
  const { ada, add, keys, run } = await openSite(t)
  for (const user of [ada, 999, null]) await add(user)
  const { status, stdout, stderr } = await run(['logout', '--everybody', '--yes'])
  t.deepEqual([status, stdout, stderr], [0, 'Deleted 3 sessions in django_session.\n', ''])
  t.deepEqual(await keys(), [])
})

for (const args of [
  ['sessions'],
  ['sessions', '--user', 'ada', '--user-id', '1'],
  ['logout', '--yes'],
  ['logout', '--everybody', '--user', 'ada', '--yes'],
  ['logout', '--everybody', '--all-but-stdin', '--yes'],
  ['logout', '--user', 'ada', '--all-but-stdin'],
])
  test(`${args.join(' ')} is wrong usage`, async (t) => {
    const { status, stdout, stderr } = await runCommand(t, args)
    t.deepEqual([status, stdout], [2, ''])
    t.regex(stderr, /^UsageError: /)
  })

test('an unknown user, and an engine whose sessions cannot be listed, end with 2 and what to do', async (t) => {
  const { run } = await openSite(t)
  const unknown = await run(['sessions', '--user', 'nobody'])
  t.is(unknown.status, 2)
  t.regex(unknown.stderr, /^UnknownUser: the table auth_user has no user of this name; /)
  const env = { SESSION_ENGINE: 'django.contrib.sessions.backends.signed_cookies' }
  for (const args of [
    ['sessions', '--user', 'ada'],
    ['logout', '--everybody', '--yes'],
  ]) {
    const { status, stderr } = await run(args, { env })
    t.is(status, 2)
    t.regex(stderr, /^SessionsNotListed: .*cannot be listed; change the password/)
  }
})
