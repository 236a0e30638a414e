import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runSql } from '../support/databases.ts'
import { runCommand } from '../support/service.ts'

const secret = 'a secret that is never printed'
const KEY = 'abcdefghijklmnopqrstuvwxyz012345'

interface Site {
  readonly env: Record<string, string>
  /** Stores a session, or the text of one, under `KEY`. */
  store(json: string, options?: { expireDate?: string; text?: string }): Promise<string>
}

async function openSite(t: ExecutionContext, settings: Record<string, string> = {}): Promise<Site> {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = {
    DATABASE_URL: url,
    DJANGO_SECRET_KEY: secret,
    DJANGO_VERSION: '5.2',
    USE_TZ: 'True',
    TIME_ZONE: 'Asia/Seoul',
    ...settings,
  }
  return {
    env,
    async store(json, { expireDate = '2099-01-01 00:00:00', text } = {}) {
      const encoded = text ?? (await runCommand(t, ['encode'], { env, input: json })).stdout.trim()
      await runSql(url, 'INSERT INTO django_session VALUES (?, ?, ?)', [KEY, encoded, expireDate])
      return encoded
    },
  }
}

test('a good session exits with 0, and the first line says that it is good', async (t) => {
  const { env, store } = await openSite(t)
  await store('{"cart": ["never shown"]}')
  const { status, stdout, stderr } = await runCommand(t, ['explain'], { env, input: `${KEY}\n` })
  t.deepEqual([status, stderr], [0, ''])
  t.regex(stdout, /^The session is good on both sides\n {2}Django: reads the session\n {2}here: the same/)
  t.regex(stdout, /^ {2}expires: 2099-01-01 09:00:00 Asia\/Seoul, in \d+ years/m)
  for (const hidden of [KEY, 'never shown', secret]) t.false(stdout.includes(hidden), hidden)
})

test('a cause comes first, then what was read, then what to do; the exit status is 1', async (t) => {
  const { env, store } = await openSite(t)
  await store('{"a": 1}', { expireDate: '2026-01-01 00:00:00' })
  const { status, stdout } = await runCommand(t, ['explain'], {
    env,
    input: `Cookie: theme=dark; sessionid=${KEY}\n`,
  })
  t.is(status, 1)
  const lines = stdout.trimEnd().split('\n')
  t.regex(lines[0] ?? '', /^The session has expired: 2026-01-01 09:00:00 Asia\/Seoul, .* ago$/)
  t.is(lines[1], '  Django: finds no session; the visitor gets a new one')
  t.regex(lines.at(-1) ?? '', /^ {2}to do: if that is too early: compare USE_TZ/)
  t.regex(stdout, /^ {2}read: a Cookie header, SHA-256 [0-9a-f]{12}…$/m)
})

test('several lines are explained one after the other; --json prints one document', async (t) => {
  const { env, store } = await openSite(t)
  const text = await store('{"a": 1}')
  const input = `${KEY}\n\nsessionid=unknownunknown\n${text}\nnonsense: a: b\n`
  const { status, stdout, stderr } = await runCommand(t, ['explain', '--json'], { env, input })
  t.deepEqual([status, stderr], [1, ''])
  const { schema, sessions } = JSON.parse(stdout)
  t.is(schema, 'koa-django-sessions/explain/1')
  t.deepEqual(
    sessions.map(
      ({ input: kind, isGood, causes }: { input: string; isGood: boolean; causes: { id: string }[] }) => [
        kind,
        isGood,
        causes.map(({ id }) => id),
      ],
    ),
    [
      ['key', true, []],
      ['cookies', false, ['not-there']],
      ['session-data', true, []],
      ['session-data', false, ['not-session-data']],
    ],
  )
  t.like(sessions[1], {
    django: { outcome: 'empty', text: 'finds no session; the visitor gets a new one' },
    here: { outcome: 'empty' },
  })
  t.false(stdout.includes(KEY) || stdout.includes(text))
})

test('what cannot be checked exits with 2: no input, no settings, no database', async (t) => {
  const { env } = await openSite(t)
  for (const [more, input] of [
    [{}, ' \n'],
    [{ DJANGO_SECRET_KEY: '' }, KEY],
    [{ DATABASE_URL: 'sqlite:////no/such/file.sqlite3' }, KEY],
  ] as const) {
    const { status, stdout, stderr } = await runCommand(t, ['explain'], { env: { ...env, ...more }, input })
    t.deepEqual([status, stdout], [2, ''], stderr)
    t.not(stderr, '')
    t.false(stderr.includes(KEY))
  }
})

test('without the table of the sessions, it exits with 2 and says what to do', async (t) => {
  const { env } = await openSite(t)
  await runSql(String(env.DATABASE_URL), 'DROP TABLE django_session')
  const { status, stdout, stderr } = await runCommand(t, ['explain'], { env, input: KEY })
  t.deepEqual([status, stdout], [2, ''])
  t.regex(stderr, /^MissingTables: the database has no table django_session; .*migrate/)
})

test('a key is not taken as an argument, and an error does not repeat it', async (t) => {
  const { env } = await openSite(t)
  for (const args of [
    ['explain', KEY],
    ['show', KEY, KEY],
    ['explain', `--key=${KEY}`],
  ]) {
    const { status, stdout, stderr } = await runCommand(t, args, { env })
    t.deepEqual([status, stdout], [2, ''])
    t.regex(stderr, /^error: (?:too many arguments for '\w+'|unknown option '--key')/)
    t.false(stderr.includes(KEY))
  }
})

test('control characters of a cookie reach no terminal', async (t) => {
  const { env } = await openSite(t)
  const input = `\u001b[2Jtheme=x; sessionid=\u001b]0;title\u0007\u009b31m\n`
  for (const args of [['explain'], ['explain', '--json']]) {
    const { status, stdout } = await runCommand(t, args, { env, input })
    t.is(status, 1)
    t.notRegex(stdout, /[^\P{Cc}\n]/u)
  }
})
