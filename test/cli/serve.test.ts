import { once } from 'node:events'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { createVisitor } from '../interop/visitor.ts'
import { createTestDatabase, runScript, runSql, testDatabases } from '../support/databases.ts'
import { npmStartOptions } from '../support/npm-start.ts'
import { freePorts, runCommand, startService, temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

test('the first start creates a demo with its own key, and the second start uses it', async (t) => {
  const cwd = temporaryFolder(t)
  const visitor = createVisitor()
  const first = await startService(t, { cwd })
  t.is(await visitor.visit(first.url), 1)
  t.is(await visitor.visit(first.url), 2)

  const file = join(cwd, 'var/demo.sqlite3')
  t.like(await first.next('demo.created'), { file })
  t.true(first.stdout().includes(`Open ${first.url}/catalog/`))
  t.true(first.stdout().includes(`The embedded demo library is in ${file}`))
  t.regex(first.stdout(), /For your own site: DATABASE_URL=mysql:\/\/\S+ DJANGO_SECRET_KEY=/)
  t.is(statSync(`${file}.secret-key`).mode & 0o777, 0o600)
  const key = readFileSync(`${file}.secret-key`, 'utf8').trim()
  t.true(key.length > 50)
  t.is(await first.stop(), 0)
  t.deepEqual(readdirSync(cwd), ['var'])

  const second = await startService(t, { cwd })
  t.is(await visitor.visit(second.url), 3)
  t.false(second.log().some(({ event }) => event === 'demo.created'))
  t.is(await second.stop(), 0)
  t.is(readFileSync(`${file}.secret-key`, 'utf8').trim(), key)
  for (const { stdout, stderr } of [first, second]) {
    t.false((stdout() + stderr()).includes(key))
    t.is(stderr(), '')
  }

  const elsewhere = temporaryFolder(t)
  const other = await startService(t, { cwd: elsewhere })
  t.not(readFileSync(join(elsewhere, 'var/demo.sqlite3.secret-key'), 'utf8').trim(), key)
  t.is(await visitor.visit(other.url), 1)
})

test('garbage collections drop no compiled code, however long it has not run', async (t) => {
  const collect = "for (let n = 0; n < 10; n++) gc({ type: 'major', flavor: 'last-resort' });"
  const onSignal = `process.on('SIGWINCH', () => { ${collect} console.error('collected') })`
  const nodeOptions = ['--trace-flush-code', '--expose-gc', `--import=data:text/javascript,${onSignal}`]
  const service = await startService(t, { nodeOptions })
  await createVisitor().visit(service.url)
  service.kill('SIGWINCH')
  await until('all collections have run', () => service.stderr() === 'collected\n')
  t.is(await service.stop(), 0)
  const traced = service.stdout().match(/\d+ flushed SharedFunctionInfo/g) ?? []
  t.true(traced.length >= 10)
  t.deepEqual([...new Set(traced)], ['0 flushed SharedFunctionInfo'])
})

test('the options of npm start keep V8 from shrinking the heap of a quiet process', async (t) => {
  const options = npmStartOptions()
  t.true(readFileSync('docs/operations.md', 'utf8').includes(`node ${options.join(' ')} dist/bundle/main.js`))

  const onSignal = "process.on('SIGWINCH', () => { gc(); setTimeout(() => console.error('quiet'), 2000) })"
  const trace = ['--trace-memory-reducer', '--gc-memory-reducer-start-delay-ms=100', '--expose-gc']
  const nodeOptions = [...options, ...trace, `--import=data:text/javascript,${onSignal}`]
  const service = await startService(t, { nodeOptions })
  await createVisitor().visit(service.url)
  service.kill('SIGWINCH')
  await until('the process has been quiet', () => service.stderr() === 'quiet\n')
  t.is(await service.stop(), 0)
  t.notRegex(service.stdout(), /^.*Memory reducer.*$/m)
})

test('settings are read from .env, and the environment wins', async (t) => {
  const cwd = temporaryFolder(t)
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = `DATABASE_URL=${url}\nDJANGO_SECRET_KEY='a # key'\nSESSION_COOKIE_NAME=from-file\nSESSION_COOKIE_AGE=7\n`
  writeFileSync(join(cwd, '.env'), env)
  const service = await startService(t, { cwd, env: { SESSION_COOKIE_NAME: 'from-environment' } })
  const response = await fetch(`${service.url}/catalog/`)
  t.regex(response.headers.get('Set-Cookie') ?? '', /^from-environment=\w{32}; .*Max-Age=7;/)
  t.is((await runSql(url, 'SELECT * FROM django_session')).length, 1)
  t.false(service.stdout().includes('The embedded demo'))
})

test('all problems with the settings are reported together, without a stack or a secret', async (t) => {
  const env = {
    DATABASE_URL: 'oracle://user:hunter2@host/name',
    PORT: 'eighty',
    DJANGO_VERSION: '1.11',
    SESSION_ENGINE: 'myapp.sessions',
    SESSION_COOKIE_SAMESITE: 'Sometimes',
    DJANGO_SECRET_KEY_FALLBACKS: '["hunter3",]',
  }
  const { status, stdout, stderr } = await runCommand(t, ['serve'], { env })
  t.is(status, 1)
  t.is(stdout, '')
  t.regex(stderr, /^SettingsError: /)
  for (const name of [...Object.keys(env), 'DJANGO_SECRET_KEY'])
    t.regex(stderr, new RegExp(`\\b${name}\\b`), name)
  t.true(stderr.trimEnd().split('\n').length >= 7)
  t.notRegex(stderr, /^\s+at |hunter/m)
})

test('missing tables are named, and none is created', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'sessions' })
  await runSql(url, 'CREATE TABLE catalog_book (id integer)')
  const tables = () => runSql(url, 'SELECT name FROM sqlite_master ORDER BY name')
  const before = await tables()
  const env = { ...freePorts, DATABASE_URL: url, DJANGO_SECRET_KEY: 'x' }
  const { status, stderr } = await runCommand(t, ['serve'], { env })
  t.is(status, 1)
  t.regex(
    stderr,
    /^MissingTables: .*catalog_bookinstance, catalog_author; .*manage\.py migrate.*DATABASE_URL/,
  )
  t.notRegex(stderr, /django_session|catalog_book,|\n./)
  t.deepEqual(await tables(), before)

  await runSql(url, 'DROP TABLE catalog_book')
  const withoutUsers = await runCommand(t, ['serve'], { env })
  t.is(withoutUsers.status, 1)
  t.regex(withoutUsers.stderr, /^MissingTables: the database has no table auth_user; .*AUTH_USER_MODEL/)
  t.notRegex(withoutUsers.stderr, /catalog|\n./)
})

for (const name of testDatabases) {
  test(`on ${name} a site that is not LocalLibrary starts without the home page, and says so`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'library' })
    await runScript(
      url,
      ['book_genre', 'bookinstance', 'book', 'author', 'genre', 'language']
        .map((table) => `DROP TABLE catalog_${table};`)
        .join('\n'),
    )
    const django = createServer((request, response) => response.end(`Django's ${request.url}`)).listen(
      0,
      '127.0.0.1',
    )
    await once(django, 'listening')
    t.teardown(() => django.close())
    const upstream = `http://127.0.0.1:${(django.address() as AddressInfo).port}`
    const env = { DATABASE_URL: url, DJANGO_SECRET_KEY: 'x', DJANGO_VERSION: '5.2', USE_TZ: 'True' }

    const alone = await startService(t, { env })
    const { warning } = await alone.next('settings.warning')
    t.regex(
      String(warning),
      /no tables catalog_book, catalog_bookinstance, catalog_author .* home page is not served/,
    )
    t.is(new URL(String((await alone.next('service.listening')).url)).pathname, '/')
    for (const path of ['/', '/catalog', '/catalog/'])
      t.is((await fetch(`${alone.url}${path}`, { redirect: 'manual' })).status, 404, path)
    const login = await fetch(`${alone.url}/accounts/login/`)
    t.is(login.status, 200)
    t.false((await login.text()).includes('undefined'))
    t.is((await fetch(`${alone.url}/health/ready`)).status, 200)

    const inFront = await startService(t, { env: { ...env, DJANGO_UPSTREAM: upstream } })
    for (const path of ['/', '/catalog', '/catalog/'])
      t.is(await (await fetch(`${inFront.url}${path}`)).text(), `Django's ${path}`)
    t.is((await fetch(`${inFront.url}/health/ready`)).status, 200)
  })
}

test('a missing SQLite file is an error, and is not created', async (t) => {
  const folder = temporaryFolder(t)
  const env = { ...freePorts, DATABASE_URL: `sqlite:///${folder}/django.sqlite3`, DJANGO_SECRET_KEY: 'x' }
  const { status, stderr } = await runCommand(t, ['serve'], { env })
  t.is(status, 1)
  t.regex(stderr, /^MissingDatabase: .*django\.sqlite3.*\n$/)
  t.deepEqual(readdirSync(folder), [])
})

test('a port in use is an error of one line', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = { ...freePorts, PORT: String(port), DATABASE_URL: url, DJANGO_SECRET_KEY: 'x' }
  const { status, stderr } = await runCommand(t, ['serve'], { env })
  t.is(status, 1)
  t.regex(stderr, new RegExp(`^CannotListen: PORT: .*port ${port}; .*set PORT .*\\(EADDRINUSE\\)\n$`))
})
