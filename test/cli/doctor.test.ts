import test, { type ExecutionContext } from 'ava'
import { createTestDatabase, runSql } from '../support/databases.ts'
import { runCommand } from '../support/service.ts'

const site = (url: string) => ({
  DATABASE_URL: url,
  DJANGO_SECRET_KEY: 'a secret that is never printed',
  DJANGO_VERSION: '5.2',
  USE_TZ: 'True',
})

async function databaseWithoutSessions(t: ExecutionContext): Promise<string> {
  const { url } = await createTestDatabase(t, 'sqlite')
  await runSql(url, 'DROP TABLE django_session')
  return url
}

test('the doctor ends with the verdict, and exits with 0 when nothing failed', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const { status, stdout, stderr } = await runCommand(t, ['doctor'], { env: site(url) })
  t.is(stderr, '')
  t.is(status, 0)
  t.regex(stdout, /^OK +database\.E001 {2}the database of the sessions answers: /m)
  t.regex(
    stdout.trimEnd().split('\n').at(-1) ?? '',
    /^(?:Nothing wrong was found|It works, with warnings): \d+ OK, /,
  )
  t.false(stdout.includes('never printed'))
})

test('a failed check names its id, what was found, what to do and its page, and exits with 1', async (t) => {
  const url = await databaseWithoutSessions(t)
  const { status, stdout } = await runCommand(t, ['doctor'], { env: site(url) })
  t.is(status, 1)
  t.regex(
    stdout,
    /^Failed +database\.E002 .*\n +found: the database has no table django_session\n +to do: .*migrate.*\n +see docs\/doctor\.md#databasee002$/m,
  )
  t.regex(stdout.trimEnd().split('\n').at(-1) ?? '', /^Something is wrong: .* [1-9]\d* failed/)
})

test('--json prints one document with a versioned schema, and nothing else', async (t) => {
  const url = await databaseWithoutSessions(t)
  const { status, stdout, stderr } = await runCommand(t, ['doctor', '--json', '--tag', 'database'], {
    env: site(url),
  })
  const { schema, verdict, findings } = JSON.parse(stdout)
  t.deepEqual([status, stderr, schema, verdict], [1, '', 'koa-django-sessions/doctor/1', 'error'])
  const missing = findings.find((one: { id: string }) => one.id === 'database.E002')
  t.like(missing, { level: 'error', outcome: 'failed', docs: 'docs/doctor.md#databasee002' })
})

test('a silenced check is left out; an unknown id or group is wrong usage', async (t) => {
  const url = await databaseWithoutSessions(t)
  const env = site(url)
  const silenced = await runCommand(t, ['doctor', '--tag', 'database', '--silence', 'database.E002'], { env })
  t.false(silenced.stdout.includes('database.E002'))
  for (const args of [
    ['--silence', 'database.E999'],
    ['--tag', 'nothing'],
    ['--fail-level', 'never'],
  ]) {
    const { status, stdout } = await runCommand(t, ['doctor', ...args], { env })
    t.deepEqual([status, stdout], [2, ''], args.join(' '))
  }
})

test('without settings that could be checked, the doctor exits with 2 and says which one is missing', async (t) => {
  const { status, stdout, stderr } = await runCommand(t, ['doctor'], {
    env: { DATABASE_URL: 'sqlite:///no.sqlite3' },
  })
  t.deepEqual([status, stdout], [2, ''])
  t.regex(stderr, /^SettingsError: DJANGO_SECRET_KEY is empty/)
})
