import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { secretKey, serviceEnvironment, takeTurn } from '../../interop/sites.ts'
import { createTestDatabase, runSql, type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import { startDjango } from '../../support/django.ts'
import { pythonOf } from '../../support/django-environments.ts'
import { dyingWithUs } from '../../support/executables.ts'
import type { Scope } from '../../support/file-scope.ts'
import { freePort } from '../../support/free-port.ts'
import { listen } from '../../support/library.ts'
import {
  type RunningCommand,
  runCommand,
  startCommand,
  startService,
  temporaryFolder,
} from '../../support/service.ts'
import { findingsOf, firstProblem, outcomesOf, plantedVersions } from './planted.ts'

const BACKENDS = 'django.contrib.sessions.backends.'

interface Site {
  readonly version: string
  readonly env: Readonly<Record<string, string>>
  readonly databaseUrl: string
  readonly django: string
}

async function startSite(
  t: Scope,
  version: string,
  {
    settings = {},
    database = 'sqlite',
  }: { settings?: Readonly<Record<string, string>>; database?: TestDatabaseName } = {},
): Promise<Site> {
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
  const { url: django } = await startDjango(t, { version, secretKey, databaseUrl, settings })
  return { version, env: serviceEnvironment({ version, databaseUrl }), databaseUrl, django }
}

/** Goes the round trip with these settings; by default no service runs. */
async function tripOf(
  { env, django }: Pick<Site, 'env' | 'django'>,
  ours: Readonly<Record<string, string>> = {},
  here?: string,
) {
  const address = here ?? `http://127.0.0.1:${await freePort()}`
  const roundTrip = { django: new URL(django), here: new URL(address) }
  return findingsOf({ ...env, ...ours }, { tags: ['roundtrip'], roundTrip })
}

const sessionsIn = (databaseUrl: string) => runSql(databaseUrl, 'SELECT session_key FROM django_session')

/** Every step was proved. */
const PROVED = [
  ...Array.from({ length: 6 }, (_, index) => `roundtrip.E00${index + 1} ok`),
  'roundtrip.W007 ok',
  ...['E008', 'E009', 'E010', 'E011', 'E012'].map((id) => `roundtrip.${id} ok`),
]

/** Settings of ours that differ from Django's, and the first step that fails. */
function faults({ version }: Site): readonly [name: string, ours: Record<string, string>, found: RegExp][] {
  return [
    [
      'cookie names',
      { SESSION_COOKIE_NAME: 'visit' },
      /^roundtrip\.E003 .* → set SESSION_COOKIE_NAME=sessionid$/,
    ],
    [
      'files here',
      { SESSION_ENGINE: `${BACKENDS}file`, SESSION_FILE_PATH: tmpdir() },
      /^roundtrip\.E004 .* but in the table django_session → set SESSION_ENGINE=\S+\.backends\.db/,
    ],
    [
      'cookies here',
      { SESSION_ENGINE: `${BACKENDS}signed_cookies` },
      /^roundtrip\.E004 .* but in the table django_session → set SESSION_ENGINE=\S+\.backends\.db/,
    ],
    [
      'a cache here',
      { SESSION_ENGINE: `${BACKENDS}cache`, ...fileCache(tmpdir()) },
      /^roundtrip\.E004 .* not in the cache of the setting CACHES, but in the table django_session → set SESSION_ENGINE=\S+\.backends\.db/,
    ],
    [
      'cached_db here',
      { SESSION_ENGINE: `${BACKENDS}cached_db`, ...fileCache(tmpdir()) },
      /^roundtrip\.W013 .* → .* if it uses db, set SESSION_ENGINE=\S+\.backends\.db$/,
    ],
    [
      'the secret key',
      { DJANGO_SECRET_KEY: 'another key' },
      /^roundtrip\.E005 .* none of the secret keys verifies its signature → set DJANGO_SECRET_KEY/,
    ],
    ['the salt', { SESSION_STORE_CLASS: 'MyStore' }, /^roundtrip\.E005 .* → remove SESSION_STORE_CLASS/],
    [
      'the format of another DJANGO_VERSION',
      { DJANGO_VERSION: version === '2.2' ? '6.1' : '2.2' },
      /^roundtrip\.E005 .* → set DJANGO_VERSION/,
    ],
    [
      'a key that was rotated here alone',
      { DJANGO_SECRET_KEY: 'a new key', DJANGO_SECRET_KEY_FALLBACKS: JSON.stringify([secretKey]) },
      version === '2.2'
        ? /^roundtrip\.E005 /
        : /^roundtrip\.E012 Django counts from 1 again: it could not read what was written here → set DJANGO_SECRET_KEY/,
    ],
    [
      'the time zone, west of ours',
      { USE_TZ: 'False', TIME_ZONE: 'Asia/Seoul' },
      /^roundtrip\.E006 the session ends 9\.0 hours earlier than its cookie says, .* → set USE_TZ and TIME_ZONE/,
    ],
    ['the age', { SESSION_COOKIE_AGE: '600' }, /^roundtrip\.W007 .* → set SESSION_COOKIE_AGE=1209600$/],
    [
      'the path of the cookie',
      { SESSION_COOKIE_PATH: '/catalog/' },
      /^roundtrip\.E009 the browser has two cookies sessionid now, .* → set SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH/,
    ],
  ]
}

function fileCache(folder: string): Record<string, string> {
  const BACKEND = 'django.core.cache.backends.filebased.FileBasedCache'
  return { CACHES: JSON.stringify({ default: { BACKEND, LOCATION: folder } }) }
}

for (const [at, version] of plantedVersions.entries()) {
  const database = testDatabases[at % testDatabases.length] ?? 'sqlite'

  test(`Django ${version} on ${database}: every step is proved, before our first start and with a running service`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const site = await startSite(t, version, { database })
    const before = await tripOf(site)
    t.is(firstProblem(before), 'all is well')
    t.deepEqual(outcomesOf(before).slice(0, -1), PROVED)
    t.deepEqual(await sessionsIn(site.databaseUrl), [])

    const service = await startService(t, { env: { ...site.env, DJANGO_UPSTREAM: site.django } })
    const running = await tripOf(site, {}, service.url)
    t.deepEqual(outcomesOf(running).slice(0, -1), PROVED)
    const counted = running.find(({ id }) => id === 'roundtrip.E012')?.result
    t.deepEqual(counted, { outcome: 'ok', read: '1, 2 and 3 visits: one count' })
    t.deepEqual(await sessionsIn(site.databaseUrl), [])

    // Its own address, as a visitor has it, is not Django's.
    t.regex(
      firstProblem(await tripOf({ ...site, django: service.url })),
      /^roundtrip\.E001 .* is this service, not Django/,
    )
  })

  test(`Django ${version}: each wrong setting fails at its step, and no session of the doctor stays`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const site = await startSite(t, version)
    for (const [name, ours, found] of faults(site)) {
      t.regex(firstProblem(await tripOf(site, ours)), found, name)
      t.deepEqual(await sessionsIn(site.databaseUrl), [], name)
    }
    const { url: copy } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    t.regex(
      firstProblem(await tripOf(site, { DATABASE_URL: copy })),
      /^roundtrip\.E004 Django's new session is not in the table django_session, which is empty → Django uses another database, perhaps a copy/,
    )
  })

  test(`Django ${version} with other engines: each is named, and with equal settings all is well`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const folder = temporaryFolder(t)
    const engine = (name: string) => ({ SESSION_ENGINE: `${BACKENDS}${name}` })
    const cases: readonly [settings: Record<string, string>, found: RegExp][] = [
      [engine('cache'), /^roundtrip\.E004 .* not in the table django_session, .* → .*in a cache/],
      [
        { ...engine('file'), SESSION_FILE_PATH: tmpdir() },
        /^roundtrip\.E004 .* but in a file in \S+ → set SESSION_ENGINE=\S+\.backends\.file and SESSION_FILE_PATH=/,
      ],
      [
        engine('signed_cookies'),
        /^roundtrip\.E004 .* in the cookie itself → set SESSION_ENGINE=\S+\.backends\.signed_cookies/,
      ],
      [
        { ...engine('cached_db'), ...fileCache(folder) },
        /^roundtrip\.E012 Django wrote over what was written here, with an older copy of its own: 2 visits instead of 3 → Django uses cached_db: set SESSION_ENGINE=/,
      ],
    ]
    for (const [settings, found] of cases) {
      const site = await startSite(t, version, { settings })
      t.regex(firstProblem(await tripOf(site)), found, settings.SESSION_ENGINE)
      t.deepEqual(await sessionsIn(site.databaseUrl), [], settings.SESSION_ENGINE)
      if (settings.SESSION_ENGINE === `${BACKENDS}cache`) continue
      const findings = await tripOf(site, settings)
      t.is(firstProblem(findings), 'all is well', settings.SESSION_ENGINE)
      t.deepEqual(outcomesOf(findings).slice(0, -1), PROVED, settings.SESSION_ENGINE)
      if (!('CACHES' in settings)) continue
      t.is(outcomesOf(findings).at(-1), 'roundtrip.W013 ok')
      t.regex(
        firstProblem(await tripOf(site, { ...settings, ...fileCache(temporaryFolder(t)) })),
        /^roundtrip\.E012 .* → set CACHES as in settings\.py/,
      )
    }
  })

  test(`Django ${version} behind a proxy that removes Set-Cookie, on either side`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const site = await startSite(t, version)
    t.regex(
      firstProblem(await tripOf({ ...site, django: await startStripping(t, site.django) })),
      /^roundtrip\.E002 .* but no answer has a Set-Cookie header → something between .* removes Set-Cookie/,
    )
    const service = await startService(t, { env: site.env })
    t.regex(
      firstProblem(await tripOf(site, {}, await startStripping(t, service.url))),
      /^roundtrip\.E009 the service saved the session, but its answer has no Set-Cookie header → /,
    )
  })

  test(`Django ${version} without a page that makes a session: what can be proved is proved`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const django = await startAdmin(t, version, databaseUrl)
    const site = { django, env: serviceEnvironment({ version, databaseUrl }) }
    const findings = await tripOf(site)
    t.is(firstProblem(findings), 'all is well')
    t.deepEqual(
      outcomesOf(findings).filter((one) => one.endsWith('ok')),
      ['E001', 'E003', 'E008', 'E010', 'E011', 'E012'].map((id) => `roundtrip.${id} ok`),
    )
    t.deepEqual(await sessionsIn(databaseUrl), [])
    t.regex(
      firstProblem(await tripOf(site, { DJANGO_SECRET_KEY: 'another key' })),
      /^roundtrip\.E012 .* does not show a message in the session: it could not read .* → set DJANGO_SECRET_KEY/,
    )
    const { url: copy } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    t.regex(
      firstProblem(await tripOf(site, { DATABASE_URL: copy })),
      /^roundtrip\.E011 Django deleted the cookie/,
    )
    t.deepEqual([...(await sessionsIn(databaseUrl)), ...(await sessionsIn(copy))], [])
  })
}

if (plantedVersions.includes('2.2')) {
  test('Django 2.2 beside a DJANGO_VERSION that reads its format but writes another: nothing is written', async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const site = await startSite(t, '2.2')
    t.regex(
      firstProblem(await tripOf(site, { DJANGO_VERSION: '3.2' })),
      /^roundtrip\.E005 .* in another format than this DJANGO_VERSION writes → set DJANGO_VERSION/,
    )
  })
}

test('Django fails at its second visit', async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const site = await startSite(t, plantedVersions.at(-1) ?? '')
  const django = await startProxy(
    t,
    site.django,
    () => {},
    ({ headers }) => 'cookie' in headers,
  )
  t.regex(
    firstProblem(await tripOf({ ...site, django })),
    /^roundtrip\.E011 Django answers 500 for the session that was written here → .*see its log/,
  )
  t.deepEqual(await sessionsIn(site.databaseUrl), [])
})

test('a service that runs with other settings, and a server that is not this service', async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const site = await startSite(t, plantedVersions.at(-1) ?? '')
  const env = { ...site.env, DJANGO_SECRET_KEY: 'another key', ALLOW_UNVERIFIED_SESSIONS: 'True' }
  const service = await startService(t, { env })
  t.regex(
    firstProblem(await tripOf(site, {}, service.url)),
    /^roundtrip\.E009 the service began a new session: .* restart it → /,
  )
  t.deepEqual(await sessionsIn(site.databaseUrl), [])
  t.regex(
    firstProblem(await tripOf(site, {}, site.django)),
    /^roundtrip\.E008 what answers at \S+ is not this service/,
  )
})

test('a page that makes a session without counting visits: Django shows a message that was written here', async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const settings = { CSRF_USE_SESSIONS: 'true' }
  const site = await startSite(t, plantedVersions.at(-1) ?? '', { settings })
  const findings = await tripOf({ ...site, django: `${site.django}/admin/login/` }, settings)
  t.deepEqual(outcomesOf(findings).slice(0, -1), PROVED)
  t.deepEqual(findings.find(({ id }) => id === 'roundtrip.E012')?.result, {
    outcome: 'ok',
    read: 'Django showed a message that was written here',
  })
  t.deepEqual(await sessionsIn(site.databaseUrl), [])
})

test('the command goes the round trip through DJANGO_UPSTREAM or a URL, and prints no secret', async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { env, django, databaseUrl } = await startSite(t, plantedVersions.at(-1) ?? '')
  const settings = { ...env, DATABASE_TIMEOUT: '30', PORT: String(await freePort()) }
  const args = ['doctor', '--tag', 'roundtrip', '--tag', 'http']
  const upstream = await runCommand(t, [...args, '--round-trip'], {
    env: { ...settings, DJANGO_UPSTREAM: django },
  })
  t.deepEqual([upstream.status, upstream.stderr], [0, ''])
  t.regex(upstream.stdout, /^OK +roundtrip\.E012 .*: 1, 2 and 3 visits: one count$/m)
  t.regex(upstream.stdout, /\nNothing wrong was found: [^\n]* 0 failed, \d+ skipped\n$/)
  t.notRegex(upstream.stdout, /\b[a-z0-9]{32}\b/)
  t.false(upstream.stdout.includes(secretKey))
  const url = await runCommand(t, [...args, '--round-trip', `${django}/catalog/`, '--json'], {
    env: settings,
  })
  t.is(url.status, 0)
  t.is(JSON.parse(url.stdout).findings.at(-2).outcome, 'ok')
  t.deepEqual(await sessionsIn(databaseUrl), [])
})

test('a round trip without a URL, and an address that is none, are wrong usage', async (t) => {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = serviceEnvironment({ version: '5.2', databaseUrl })
  for (const args of [
    ['--round-trip'],
    ['--tag', 'roundtrip'],
    ['--here', 'http://127.0.0.1:3000'],
    ['--round-trip', 'ftp://127.0.0.1'],
    ['--round-trip', 'http://user:password@127.0.0.1'],
  ]) {
    const { status, stdout, stderr } = await runCommand(t, ['doctor', ...args], { env })
    t.deepEqual([status, stdout], [2, ''], args.join(' '))
    t.regex(stderr, /--round-trip/)
  }
})

test('after Ctrl-C in the middle of the round trip, no session of the doctor stays', async (t) => {
  await takeTurn(t)
  t.timeout(110_000)
  const { env, django, databaseUrl } = await startSite(t, plantedVersions.at(-1) ?? '')
  let doctor: RunningCommand | null = null
  // The first page that makes a session is answered only after the signal.
  const proxy = await startProxy(t, django, () => doctor?.kill('SIGINT'))
  doctor = startCommand(t, ['doctor', '--tag', 'roundtrip', '--round-trip', `${proxy}/catalog/`], {
    env: { ...env, DATABASE_TIMEOUT: '30' },
  })
  doctor.stdin.end()
  t.is(await doctor.ended, 130)
  t.deepEqual(await sessionsIn(databaseUrl), [])
})

/**
 * A proxy in front of a site. `onCookie` runs before an answer with a cookie is passed on; null removes Set-Cookie.
 * Requests for which `fails` is true are answered with 500.
 */
function startProxy(
  t: Scope,
  site: string,
  onCookie: (() => void) | null,
  fails: (request: IncomingMessage) => boolean = () => false,
): Promise<string> {
  return listen(t, (request, response) => {
    if (fails(request)) return void response.writeHead(500).end()
    const { method = 'GET', url = '/', headers } = request
    const outgoing = httpRequest(`${site}${url}`, { method, headers, agent: false }, (incoming) => {
      const { 'set-cookie': cookies, ...others } = incoming.headers
      if (cookies !== undefined) onCookie?.()
      const passed =
        onCookie === null || cookies === undefined ? others : { ...others, 'set-cookie': cookies }
      response.writeHead(incoming.statusCode ?? 502, passed)
      incoming.pipe(response)
    })
    outgoing.on('error', () => response.destroy())
    request.pipe(outgoing)
  })
}

const startStripping = (t: Scope, site: string) => startProxy(t, site, null)

/** A Django with nothing but the admin (admin_site.py). */
async function startAdmin(t: Scope, version: string, databaseUrl: string): Promise<string> {
  const script = fileURLToPath(new URL('admin_site.py', import.meta.url))
  const child = spawn(...dyingWithUs(pythonOf(version), ['-W', 'ignore', script]), {
    env: {
      PATH: process.env.PATH,
      PYTHONDONTWRITEBYTECODE: '1',
      SECRET_KEY: secretKey,
      DATABASE: databaseUrl.replace('sqlite:///', ''),
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'close')
  })
  const [port] = await Promise.race([once(createInterface(child.stdout), 'line'), once(child, 'close')])
  if (!/^\d+$/.test(String(port))) throw new Error(`The admin of Django ${version} did not start:\n${errors}`)
  return `http://127.0.0.1:${port}`
}
