import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runSql, testDatabases } from '../support/databases.ts'
import { runCommand, startCommand, temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

const site = (url: string) => ({
  DATABASE_URL: url,
  DJANGO_SECRET_KEY: 'a secret that is never printed',
  DJANGO_VERSION: '5.2',
  DATABASE_TIMEOUT: '30',
  USE_TZ: 'True',
})

/** Inserts `expired` rows that expired in 2020, and one that lives. Returns the environment of a command. */
async function siteWith(t: ExecutionContext, name: (typeof testDatabases)[number], expired: number) {
  const { url } = await createTestDatabase(t, name, { tables: 'library' })
  await runSql(url, 'DELETE FROM django_session')
  const rows = Array.from(
    { length: expired },
    (_, at) => `('k${String(at).padStart(20, '0')}', '', '2020-01-01 00:00:00')`,
  )
  rows.push("('live0000', '', '2090-01-01 00:00:00')")
  await runSql(
    url,
    `INSERT INTO django_session (session_key, session_data, expire_date) VALUES ${rows.join(', ')}`,
  )
  const count = async () => (await runSql(url, 'SELECT session_key FROM django_session')).length
  return { env: site(url), count }
}

for (const name of testDatabases) {
  test(`on ${name}, clearsessions deletes what has expired, and --json prints one document`, async (t) => {
    const { env, count } = await siteWith(t, name, 250)
    const dry = await runCommand(t, ['clearsessions', '--dry-run', '--json'], { env })
    t.is(dry.stderr, '')
    t.like(JSON.parse(dry.stdout), { dryRun: true, expired: 250, deleted: 0, place: 'django_session' })
    t.is(await count(), 251)
    const { status, stdout, stderr } = await runCommand(t, ['clearsessions', '--json'], { env })
    t.is(stderr, '')
    t.is(status, 0)
    const { seconds, ...document } = JSON.parse(stdout)
    t.is(typeof seconds, 'number')
    t.deepEqual(document, {
      schema: 'koa-django-sessions/clearsessions/1',
      place: 'django_session',
      because: null,
      dryRun: false,
      expired: null,
      deleted: 250,
      interrupted: false,
    })
    t.is(await count(), 1)
  })
}

test('clearsessions says what it did, and what --dry-run would do', async (t) => {
  const { env, count } = await siteWith(t, 'sqlite', 3)
  const dry = await runCommand(t, ['clearsessions', '--dry-run'], { env })
  t.deepEqual(
    [dry.status, dry.stdout, dry.stderr],
    [0, 'django_session has 3 expired sessions that would be deleted.\n', ''],
  )
  const young = await runCommand(t, ['clearsessions', '--older-than', '36500d'], { env })
  t.regex(young.stdout, /^Deleted 0 expired sessions from django_session in \d+\.\d s\.\n$/)
  t.is(await count(), 4)
  const old = await runCommand(t, ['clearsessions', '--older-than', '7d'], { env })
  t.regex(old.stdout, /^Deleted 3 expired sessions from django_session in /)
})

test('Ctrl-C ends clearsessions after the running batch with status 130; the next run does the rest', async (t) => {
  const { env, count } = await siteWith(t, 'sqlite', 5000)
  const running = startCommand(t, ['clearsessions', '--batch-size', '10', '--json'], { env })
  await until('rows are deleted', async () => (await count()) < 5001)
  running.kill('SIGINT')
  t.is(await running.ended, 130)
  const { deleted, interrupted } = JSON.parse(running.stdout())
  t.true(interrupted)
  t.is(await count(), 5001 - deleted)
  t.regex(running.stderr(), /the next run goes on/)
  const { stdout } = await runCommand(t, ['clearsessions', '--json'], { env })
  t.is(JSON.parse(stdout).deleted, 5000 - deleted)
  t.is(await count(), 1)
})

for (const [engine, settings] of [
  ['signed_cookies', {}],
  [
    'cache',
    {
      CACHES:
        '{"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}}',
    },
  ],
] as const)
  test(`with ${engine}, clearsessions says that nothing is to be cleared and why, with status 0`, async (t) => {
    const { env } = await siteWith(t, 'sqlite', 1)
    const given = { ...env, SESSION_ENGINE: `django.contrib.sessions.backends.${engine}`, ...settings }
    const { status, stdout } = await runCommand(t, ['clearsessions'], { env: given })
    t.is(status, 0)
    t.regex(stdout, /^Nothing to clear: django\.contrib\.sessions\.backends\.\w+ stores sessions in /)
  })

test('clearsessions clears the folder of the file engine', async (t) => {
  const { env } = await siteWith(t, 'sqlite', 1)
  const folder = temporaryFolder(t)
  const given = { ...env, SESSION_ENGINE: 'django.contrib.sessions.backends.file', SESSION_FILE_PATH: folder }
  const { status, stdout } = await runCommand(t, ['clearsessions', '--json'], { env: given })
  t.is(status, 0)
  t.like(JSON.parse(stdout), { place: folder, deleted: 0 })
})

for (const args of [
  ['--older-than', 'soon'],
  ['--older-than', '-1'],
  ['--batch-size', '0'],
  ['--batch-size', '1e9'],
])
  test(`clearsessions ${args.join(' ')} is wrong usage`, async (t) => {
    const { status, stdout, stderr } = await runCommand(t, ['clearsessions', ...args])
    t.deepEqual([status, stdout], [2, ''])
    t.regex(stderr, /Write a /)
  })

test('without the table of the sessions, clearsessions exits with 2 and says what to do', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite')
  await runSql(url, 'DROP TABLE django_session')
  const { status, stdout, stderr } = await runCommand(t, ['clearsessions'], { env: site(url) })
  t.deepEqual([status, stdout], [2, ''])
  t.regex(stderr, /django_session.*migrate/s)
})
