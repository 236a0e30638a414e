import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runSql } from '../support/databases.ts'
import { runCommand } from '../support/service.ts'

const KEY = 'abcdefghijklmnopqrstuvwxyz012345'

async function siteWith(
  t: ExecutionContext,
  json: string,
  { expireDate = '2099-01-01 00:00:00' }: { expireDate?: string } = {},
): Promise<Record<string, string>> {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = {
    DATABASE_URL: url,
    DJANGO_SECRET_KEY: 'a secret that is never printed',
    DJANGO_VERSION: '5.2',
    USE_TZ: 'True',
    TIME_ZONE: 'Asia/Seoul',
  }
  const { stdout } = await runCommand(t, ['encode'], { env, input: json })
  await runSql(url, 'INSERT INTO django_session VALUES (?, ?, ?)', [KEY, stdout.trim(), expireDate])
  await runSql(
    url,
    `INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_staff, is_active, is_superuser,
      date_joined) VALUES (7, 'reader', 'x', '', '', '', 0, 1, 0, '2026-01-01 00:00:00')`,
  )
  return env
}

const SESSION = JSON.stringify({
  num_visits: 12,
  cart: ['a book', 'another'],
  name: '홍길동',
  _auth_user_id: '7',
  _auth_user_backend: 'django.contrib.auth.backends.ModelBackend',
  _auth_user_hash: 'hidden hash',
  _csrftoken: 'hidden token',
  _password_reset_token: 'hidden reset',
})

test('show prints engine, format, expiry, user and each key with its type and size, but no value', async (t) => {
  const env = await siteWith(t, SESSION)
  const { status, stdout, stderr } = await runCommand(t, ['show'], { env, input: `${KEY}\n` })
  t.deepEqual([status, stderr], [0, ''])
  t.regex(
    stdout,
    /^Session with the SHA-256 [0-9a-f]{12}…\n {2}engine: django\.contrib\.sessions\.backends\.db, table django_session\n/,
  )
  t.regex(stdout, /^ {2}expires: 2099-01-01 09:00:00 Asia\/Seoul, in /m)
  t.regex(stdout, /^ {2}format: signed, as since Django 3\.1, .*JSON$/m)
  t.regex(stdout, /^ {2}verified by: DJANGO_SECRET_KEY$/m)
  t.regex(stdout, /^ {2}user name: reader \(id 7\), not logged in$/m)
  t.regex(stdout, /^ {4}int +2 B {2}num_visits$/m)
  t.regex(stdout, /^ {4}list +\d+ B {2}cart \(2 items\)$/m)
  t.regex(stdout, /^ {4}str +\d+ B {2}name \(3 characters\)$/m)
  for (const hidden of [KEY, 'a book', 'hidden', '홍길동']) t.false(stdout.includes(hidden), hidden)
})

test('--reveal prints the values, letters as letters; hash and tokens stay hidden', async (t) => {
  const env = await siteWith(t, SESSION)
  for (const args of [
    ['show', '--reveal'],
    ['show', '--reveal', '--json'],
  ]) {
    const { status, stdout } = await runCommand(t, args, { env, input: `Cookie: sessionid=${KEY}` })
    t.is(status, 0)
    t.true(stdout.includes('a book') && stdout.includes('홍길동'), stdout)
    t.false(
      stdout.includes('hidden hash') || stdout.includes('hidden token') || stdout.includes('hidden reset'),
    )
    t.false(stdout.includes(KEY))
  }
})

test('--json prints one document with a versioned schema', async (t) => {
  const env = await siteWith(t, '{"num_visits": 12}')
  const { status, stdout, stderr } = await runCommand(t, ['show', '--json'], { env, input: KEY })
  t.deepEqual([status, stderr], [0, ''])
  const { schema, sessions } = JSON.parse(stdout)
  t.is(schema, 'koa-django-sessions/show/1')
  t.like(sessions[0], {
    problem: null,
    user: null,
    values: [{ key: 'num_visits', type: 'int', count: null, size: 2 }],
    hiddenKeys: 0,
  })
  t.false('text' in sessions[0].values[0])
})

test('a session that is not there, or cannot be read, exits with 1 and names the reason', async (t) => {
  const env = await siteWith(t, '{"a": 1}')
  const missing = await runCommand(t, ['show'], { env, input: 'unknownunknown1' })
  t.is(missing.status, 1)
  t.regex(
    missing.stdout,
    /^Session with the SHA-256 .*: There is no session with this key; .* explain says why\n/,
  )
  const wrong = await runCommand(t, ['show'], { env: { ...env, DJANGO_SECRET_KEY: 'x' }, input: KEY })
  t.is(wrong.status, 1)
  t.regex(wrong.stdout, /: The signature matches none of the secret keys; /)
})

test('an expired session is shown, and said to be expired', async (t) => {
  const env = await siteWith(t, '{"a": 1}', { expireDate: '2026-01-01 00:00:00' })
  const { status, stdout } = await runCommand(t, ['show'], { env, input: KEY })
  t.is(status, 0)
  t.regex(stdout, /^ {2}note: The session has expired: 2026-01-01 09:00:00 Asia\/Seoul/m)
  t.regex(stdout, /^ {4}int +1 B {2}a$/m)
})

test('keys and values cannot write to the terminal, and huge ones are cut', async (t) => {
  const nasty = { '\u001b[2J\u202ekey': '\u009b31m\u0007\nred', big: 'x'.repeat(1_000_000) }
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`k${at}`, at]))
  const env = await siteWith(t, JSON.stringify({ ...nasty, ...many }))
  for (const args of [
    ['show', '--reveal'],
    ['show', '--reveal', '--json'],
  ]) {
    const { status, stdout } = await runCommand(t, args, { env, input: KEY })
    t.is(status, 0)
    t.notRegex(stdout, /[^\P{Cc}\n]|\p{Cf}/u)
    t.true(stdout.length < 60_000, String(stdout.length))
  }
  const { stdout } = await runCommand(t, ['show'], { env, input: KEY })
  t.regex(stdout, /\\u\{1b\}\[2J\\u\{202e\}key/)
  t.regex(stdout, /^ {4}and 302 more$/m)
})

test('a pickled session is shown with the types of Python', async (t) => {
  const pickled = { SESSION_SERIALIZER: 'django.contrib.sessions.serializers.PickleSerializer' }
  const site = await siteWith(t, '{"a": 1}')
  const env = { ...site, DJANGO_VERSION: '4.2', ...pickled }
  const { stdout } = await runCommand(t, ['encode'], { env, input: '{"num_visits": 3, "ratio": 1.5}' })
  await runSql(String(site.DATABASE_URL), 'UPDATE django_session SET session_data = ?', [stdout.trim()])
  const shown = await runCommand(t, ['show', '--reveal'], { env, input: KEY })
  t.is(shown.status, 0)
  t.regex(shown.stdout, /^ {4}int +1 B {2}num_visits = 3$/m)
  t.regex(shown.stdout, /^ {2}format: signed, as since Django 3\.1, .*a pickle$/m)
})
