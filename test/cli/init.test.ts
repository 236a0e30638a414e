import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { askDjango } from '../../src/operations/import-settings/ask-django.ts'
import { parseEnvFile } from '../../src/service/settings/environment.ts'
import {
  type GeneratedProject,
  generateProject,
  projectKey,
  pythonText,
} from '../operations/import-settings/generated-project.ts'
import { createTestDatabase } from '../support/databases.ts'
import { djangoVersions } from '../support/django.ts'
import { runCommand, startCommand, temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

const newest = djangoVersions.at(-1) ?? ''

interface TestSite {
  readonly project: GeneratedProject
  readonly databaseUrl: string
  /** The folder of the `.env`. */
  readonly cwd: string
  init(args?: readonly string[], env?: Readonly<Record<string, string>>): ReturnType<typeof runCommand>
  env(): Record<string, string | undefined>
}

/** A project on an SQLite file with LocalLibrary's tables. */
async function makeSite(
  t: ExecutionContext,
  { settings = '' }: { settings?: string } = {},
): Promise<TestSite> {
  t.timeout(110_000)
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const name = pythonText(databaseUrl.replace('sqlite:///', ''))
  const project = generateProject(t, {
    version: newest,
    databases: `{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ${name}}}`,
    settings,
  })
  const cwd = temporaryFolder(t)
  return {
    project,
    databaseUrl,
    cwd,
    init: (args = [], env = {}) =>
      runCommand(t, ['init', project.managePy, '--python', project.python, ...args], { cwd, env }),
    env: () => parseEnvFile(readFileSync(join(cwd, '.env'), 'utf8'), []),
  }
}

test('init writes the settings for the owner only, shows names and no value, and ends with the verdict', async (t) => {
  const { cwd, init, env } = await makeSite(t)
  const { status, stdout, stderr } = await init()
  t.is(status, 0, stdout + stderr)
  t.regex(stdout, /^ {2}DJANGO_SECRET_KEY$/m)
  t.regex(stdout.trimEnd().split('\n').at(-1) ?? '', /^(?:Nothing wrong was found|It works, with warnings): /)
  t.regex(stderr, /^Asking .*manage\.py by .*\nNext: npm start\n$/)
  for (const value of ['sqlite:', projectKey.slice(0, 20)]) t.false((stdout + stderr).includes(value))
  t.is(statSync(join(cwd, '.env')).mode & 0o777, 0o600)
  t.is(env().DJANGO_SECRET_KEY, projectKey)
})

test('init again changes nothing, and asks nothing; a variable of the environment that wins is named', async (t) => {
  const { cwd, init } = await makeSite(t)
  await init()
  const before = statSync(join(cwd, '.env')).mtimeMs
  const { status, stdout } = await init([], { SESSION_COOKIE_NAME: 'other', USE_TZ: 'True' })
  t.regex(stdout, /settings are in .*\.env already/)
  t.is(statSync(join(cwd, '.env')).mtimeMs, before)
  t.regex(stdout, /^These variables of the environment win over the file: SESSION_COOKIE_NAME$/m)
  t.regex(
    stdout,
    /^Failed +django\.E007 .*\n +found: SESSION_COOKIE_NAME is "other" here and "sessionid" in Django/m,
  )
  t.is(status, 1)
})

test('a file is replaced only with --yes, and kept as .env.bak; what Django does not decide stays', async (t) => {
  const { cwd, init, env } = await makeSite(t)
  const old =
    "PORT=4000\nDJANGO_UPSTREAM='http://127.0.0.1:8000'\nSESSION_COOKIE_NAME=old\nCSRF_COOKIE_NAME=x\n"
  writeFileSync(join(cwd, '.env'), old)

  const asked = await init()
  t.deepEqual([asked.status, asked.stdout], [2, ''])
  t.regex(asked.stderr, /It loses CSRF_COOKIE_NAME\.\nThere is no terminal to answer; add --yes/)
  t.is(readFileSync(join(cwd, '.env'), 'utf8'), old)

  const { status, stdout, stderr } = await init(['--yes'])
  t.is(status, 0, stdout + stderr)
  t.regex(stdout, /^Kept as they were: DJANGO_UPSTREAM, PORT$/m)
  t.is(readFileSync(join(cwd, '.env.bak'), 'utf8'), old)
  t.is(statSync(join(cwd, '.env.bak')).mode & 0o777, 0o600)
  t.like(env(), {
    PORT: '4000',
    DJANGO_UPSTREAM: 'http://127.0.0.1:8000',
    SESSION_COOKIE_NAME: 'sessionid',
    CSRF_COOKIE_NAME: undefined,
  })
})

test('--json prints one document with a versioned schema and no value; a refusal is one too', async (t) => {
  const { project, init } = await makeSite(t, { settings: "LOGIN_URL = 'no-such-pattern'" })
  const { status, stdout } = await init(['--json'])
  t.is(status, 0, stdout)
  const { schema, settings, warnings, refused, doctor } = JSON.parse(stdout)
  t.deepEqual([schema, refused, doctor.verdict], ['koa-django-sessions/init/1', [], 'ok'])
  t.true(settings.includes('DATABASE_URL'))
  t.deepEqual(
    warnings.map((one: { setting: string }) => one.setting),
    ['LOGIN_URL'],
  )
  t.false(stdout.includes('sqlite:'))

  const file = join(project.folder, 'mysite/settings.py')
  writeFileSync(file, `${readFileSync(file, 'utf8')}\nMIDDLEWARE = []\n`)
  const refusal = await init(['--json'])
  t.is(refusal.status, 1)
  t.like(JSON.parse(refusal.stdout), { file: null, refused: [{ setting: 'MIDDLEWARE' }], doctor: null })
})

test('nothing is written in the project, not even compiled Python', async (t) => {
  const { project, init } = await makeSite(t)
  await init()
  for (const name of ['__pycache__', 'mysite/__pycache__', 'catalog/__pycache__'])
    t.throws(() => statSync(join(project.folder, name)), { code: 'ENOENT' })
})

test('the Python is that of a virtual environment beside manage.py, or above it', async (t) => {
  const { project, cwd } = await makeSite(t)
  const nested = join(project.folder, 'src')
  mkdirSync(nested)
  copyFileSync(project.managePy, join(nested, 'manage.py'))
  const init = (managePy: string, env: Readonly<Record<string, string>> = {}) =>
    runCommand(t, ['init', managePy, '--yes'], { cwd, env })

  // A Python without Django, and which one it was.
  const nowhere = await init(project.managePy, { VIRTUAL_ENV: '', PATH: '/usr/bin:/bin' })
  t.is(nowhere.status, 2)
  t.regex(nowhere.stderr, /^CannotAskDjango: Django is not installed in .*python.*--python/m)

  symlinkSync(dirname(dirname(project.python)), join(project.folder, '.venv'))
  const beside = await init(project.managePy)
  t.is(beside.status, 0, beside.stdout + beside.stderr)
  t.regex(beside.stderr, /\.venv\/bin\/python \(the virtual environment is beside manage\.py\)/)
  const above = await init(join(nested, 'manage.py'), { PYTHONPATH: project.folder })
  t.is(above.status, 0, above.stdout + above.stderr)

  rmSync(join(project.folder, '.venv'))
  const active = await init(project.managePy, { VIRTUAL_ENV: dirname(dirname(project.python)) })
  t.is(active.status, 0, active.stdout + active.stderr)
})

test('--settings names the module, as for manage.py, and so does DJANGO_SETTINGS_MODULE', async (t) => {
  const { project, init, env } = await makeSite(t)
  for (const name of ['one', 'two'])
    writeFileSync(
      join(project.folder, `mysite/${name}.py`),
      `from .settings import *\n\nSESSION_COOKIE_NAME = '${name}'\n`,
    )
  await init([], { DJANGO_SETTINGS_MODULE: 'mysite.one' })
  t.is(env().SESSION_COOKIE_NAME, 'one')
  await init(['--settings', 'mysite.two', '--yes'], { DJANGO_SETTINGS_MODULE: 'mysite.one' })
  t.is(env().SESSION_COOKIE_NAME, 'two')
})

const FAILURES: readonly (readonly [title: string, settings: string, says: RegExp])[] = [
  [
    'a variable that is missing',
    "SECRET_KEY = os.environ['NO_SUCH_KEY']",
    /could not be loaded by .* at .*settings\.py:\d+: KeyError: 'NO_SUCH_KEY'; see whether `manage\.py check` runs/,
  ],
  [
    'a package that is missing',
    'import no_such_package',
    /No module named 'no_such_package'; install it there, or write --python/,
  ],
  ['an end of the process', 'os._exit(3)', /ended without an answer/],
  [
    'an error that quotes a URL',
    "raise ValueError('bad: postgres://user:hidden@host/x')",
    /ValueError: bad: postgres:\/\/…@host\/x/,
  ],
]

for (const [title, settings, says] of FAILURES) {
  test(`a project that cannot be loaded is said in one line: ${title}`, async (t) => {
    const { cwd, init } = await makeSite(t, { settings })
    const { status, stdout, stderr } = await init()
    t.deepEqual([status, stdout], [2, ''])
    t.regex(stderr, says)
    t.false(stderr.includes('hidden'))
    t.throws(() => statSync(join(cwd, '.env')), { code: 'ENOENT' })
  })
}

test('Ctrl-C while the project is loaded ends init with 130, and writes nothing', async (t) => {
  const { project, cwd } = await makeSite(t, { settings: 'import time\ntime.sleep(600)' })
  const command = startCommand(t, ['init', project.managePy, '--python', project.python], { cwd })
  await until('the Python is started', () => command.stderr().includes('Asking'))
  t.is(await command.stop(), 130)
  t.is(command.stdout(), '')
  t.throws(() => statSync(join(cwd, '.env')), { code: 'ENOENT' })
})

test('a project that takes too long to load is given up', async (t) => {
  const { project } = await makeSite(t, { settings: 'import time\ntime.sleep(600)' })
  const { managePy, python } = project
  await t.throwsAsync(askDjango({ managePy, python, env: { PATH: process.env.PATH }, timeout: 100 }), {
    code: 'ERR_CANNOT_ASK_DJANGO',
    message: /not loaded within 0\.1 s.*`manage\.py check`/,
  })
})

test('a manage.py or a Python that is not there is said', async (t) => {
  const { init } = await makeSite(t)
  const missing = await runCommand(t, ['init', '/no/manage.py'])
  t.is(missing.status, 2)
  t.regex(missing.stderr, /^CannotAskDjango: there is no file \/no\/manage\.py/)
  const { status, stderr } = await init(['--python', '/no/python'])
  t.is(status, 2)
  t.regex(stderr, /\/no\/python cannot be run \(ENOENT\)/)
})

test('doctor --django names each difference with both values, and says no secret', async (t) => {
  const { project, init, cwd, databaseUrl } = await makeSite(t)
  await init()
  const doctor = (env: Readonly<Record<string, string>> = {}) =>
    runCommand(t, ['doctor', '--tag', 'django', '--django', project.managePy, '--python', project.python], {
      cwd,
      env,
    })
  const well = await doctor()
  t.is(well.status, 0, well.stdout)
  t.false(/^(?:Failed|Skipped|Warning)/m.test(well.stdout))

  const planted: readonly (readonly [id: string, env: Record<string, string>, found: RegExp])[] = [
    [
      'E002',
      { DATABASE_URL: databaseUrl.replace(/[^/]*$/, 'copy.sqlite3') },
      /DATABASE_URL is "sqlite .*copy/,
    ],
    ['E003', { DJANGO_SECRET_KEY: 'another' }, /: DJANGO_SECRET_KEY differs$/],
    ['E004', { DJANGO_VERSION: '2.2' }, /DJANGO_VERSION is "legacy .*here and "signed/],
    [
      'E004',
      { SESSION_STORE_CLASS: 'Ours' },
      /SESSION_STORE_CLASS is "Ours" here and "SessionStore" in Django/,
    ],
    ['E005', { SESSION_ENGINE: 'django.contrib.sessions.backends.file' }, /SESSION_ENGINE is .*file" here/],
    ['E006', { USE_TZ: 'False', TIME_ZONE: 'Asia/Seoul' }, /USE_TZ is false here and true in Django/],
    [
      'E007',
      { SESSION_COOKIE_DOMAIN: 'x.org' },
      /SESSION_COOKIE_DOMAIN is "x.org" here and not set in Django/,
    ],
    ['W008', { SESSION_COOKIE_AGE: '60' }, /SESSION_COOKIE_AGE is 60 here and 1209600 in Django/],
    ['E009', { AUTH_USER_MODEL: 'accounts.User' }, /AUTH_USER_MODEL is "accounts.User" here and "auth.User"/],
    ['W011', { CSRF_HEADER_NAME: 'HTTP_X' }, /CSRF_HEADER_NAME is "HTTP_X" here/],
    ['W012', { MESSAGE_LEVEL: '10' }, /MESSAGE_LEVEL is 10 here and 20 in Django/],
    ['W013', { LOGIN_URL: '/in/' }, /LOGIN_URL is "\/in\/" here and "\/accounts\/login\/" in Django/],
    ['W014', { DJANGO_VERSION: '4.2' }, /DJANGO_VERSION is "4\.2" here/],
  ]
  writeFileSync(databaseUrl.replace('sqlite:///', '').replace(/[^/]*$/, 'copy.sqlite3'), '')
  for (const [id, env, found] of planted) {
    const { status, stdout } = await doctor(env)
    t.is(status, id.startsWith('E') ? 1 : 0, id)
    if (id === 'E007')
      t.regex(stdout, /to do: remove SESSION_COOKIE_DOMAIN; or run `koa-django-sessions init`/)
    if (id === 'W014') t.regex(stdout, /to do: set DJANGO_VERSION=\d/)
    const failed = new RegExp(`^(?:Failed|Warning) +django\\.${id} .*\\n +found: (.*)`, 'm').exec(stdout)
    t.regex(`: ${failed?.[1]}`, found)
    t.false(stdout.includes(projectKey.slice(0, 20)))
  }
})

test('without --django these checks are left out, or skipped if asked for; --python alone is wrong usage', async (t) => {
  const { init, cwd } = await makeSite(t)
  await init()
  t.false((await runCommand(t, ['doctor'], { cwd })).stdout.includes('django.E001'))
  const { stdout } = await runCommand(t, ['doctor', '--tag', 'django'], { cwd })
  t.regex(stdout, /^Skipped +django\.E001, .*\n +because no project was named; add --django/m)
  const wrong = await runCommand(t, ['doctor', '--python', 'python3'], { cwd })
  t.is(wrong.status, 2)
  t.regex(wrong.stderr, /--python is for --django/)
})
