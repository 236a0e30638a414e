/**
 * The service in one file, as it is published: modules that are loaded late or stay outside are found.
 */
import { createHash } from 'node:crypto'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { hash as argon2 } from '@node-rs/argon2'
import { hash as bcrypt } from '@node-rs/bcrypt'
import test from 'ava'
import { logIn, PASSWORD } from './interop/upstream-site.ts'
import { createVisitor } from './interop/visitor.ts'
import { generateProject } from './operations/import-settings/generated-project.ts'
import { bundleService } from './support/bundle.ts'
import { createTestDatabase, runSql, testDatabases } from './support/databases.ts'
import { djangoVersions } from './support/django.ts'
import { fileScope } from './support/file-scope.ts'
import { cacheFolder, projectFolder } from './support/places.ts'
import { startRedis } from './support/redis.ts'
import { runCommand, startService, temporaryFolder } from './support/service.ts'

const folder = join(cacheFolder, `bundle-of-test-${process.pid}`)
const file = fileScope(test)
file.teardown(() => rmSync(folder, { recursive: true, force: true }))
const bundled = bundleService(folder, { small: true })
const django = { DJANGO_SECRET_KEY: 'of a test 0123456789 abcdefghijklmnopqrstuvwxyz', DJANGO_VERSION: '5.2' }

for (const name of testDatabases) {
  test(`bundled, it serves the library on ${name}`, async (t) => {
    const { url } = await createTestDatabase(t, name, { tables: 'library' })
    const service = await startService(t, { main: await bundled, env: { ...django, DATABASE_URL: url } })
    const visitor = createVisitor()

    t.is(await visitor.visit(service.url), 1)
    t.is(await visitor.visit(service.url), 2)
    t.is((await fetch(`${service.url}/health/ready`)).status, 200)
    t.is(await service.stop(), 0)
    t.is(service.stderr(), '')
  })
}

/** Prints a line for each template that nunjucks compiles. */
const SHOW_COMPILED = `const construct = (type, [code]) => {
  if (code.startsWith('function root')) console.error('compiled')
  return Reflect.construct(type, [code])
}
globalThis.Function = new Proxy(Function, { construct })`
const showCompiled = [`--import=data:text/javascript,${encodeURIComponent(SHOW_COMPILED)}`]

test('bundled, it has its templates compiled', async (t) => {
  const service = await startService(t, { main: await bundled, nodeOptions: showCompiled })
  t.is(await createVisitor().visit(service.url), 1)
  t.is((await fetch(`${service.url}/catalog/books/`)).status, 200)
  t.is(service.stderr(), '')
})

test('bundled, it compiles a template that has changed since', async (t) => {
  const project = temporaryFolder(t)
  cpSync(dirname(await bundled), join(project, 'dist/bundle'), { recursive: true })
  for (const name of ['templates', 'package.json'])
    cpSync(join(projectFolder, name), join(project, name), { recursive: true })
  const template = join(project, 'templates/index.html')
  writeFileSync(template, readFileSync(template, 'utf8').replace('Local Library Home', 'Our Library'))
  const service = await startService(t, {
    main: join(project, 'dist/bundle/main.js'),
    nodeOptions: showCompiled,
  })
  t.is(service.stderr(), 'compiled\n')
  const page = await (await fetch(`${service.url}/catalog/`)).text()
  t.true(page.includes('<title>Our Library</title>'))
})

test('bundled, it keeps sessions in Redis', async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const CACHES = {
    default: { BACKEND: 'django.core.cache.backends.redis.RedisCache', LOCATION: redis.location },
  }
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = { SESSION_ENGINE: 'django.contrib.sessions.backends.cache', CACHES: JSON.stringify(CACHES) }
  const service = await startService(t, {
    main: await bundled,
    env: { ...django, ...env, DATABASE_URL: url },
  })
  const visitor = createVisitor()

  t.is(await visitor.visit(service.url), 1)
  t.is(await visitor.visit(service.url), 2)
  t.regex(await redis.command('keys', '*'), new RegExp(visitor.cookie() ?? 'no cookie'))
})

test('bundled, it checks passwords by native code', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const digest = createHash('sha256').update(PASSWORD).digest('hex')
  const passwords = {
    argon: `argon2${await argon2(PASSWORD)}`,
    bcrypt: `bcrypt_sha256$${await bcrypt(digest, 4)}`,
  }
  for (const [username, password] of Object.entries(passwords))
    await runSql(
      url,
      `INSERT INTO auth_user (username, password, is_active, is_staff, is_superuser, first_name, last_name, email,
        date_joined) VALUES (?, ?, 1, 0, 0, '', '', '', '2026-01-01 00:00:00')`,
      [username, password],
    )
  const service = await startService(t, { main: await bundled, env: { ...django, DATABASE_URL: url } })

  for (const username of Object.keys(passwords))
    t.is(await logIn(createVisitor(), service.url, { next: '/catalog/', username }), '/catalog/', username)
})

test('bundled, init asks a Django project', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const name = JSON.stringify(url.replace('sqlite:///', ''))
  const { managePy, python } = generateProject(t, {
    version: djangoVersions[0] ?? '',
    databases: `{'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ${name}}}`,
  })
  const args = ['init', managePy, '--python', python]
  const { status, stdout, stderr } = await runCommand(t, args, { main: await bundled })
  t.is(status, 0, stdout + stderr)
})

test('bundled, a problem with the settings is named, without a stack', async (t) => {
  const { status, stderr } = await runCommand(t, ['serve'], { main: await bundled, env: { PORT: 'eighty' } })
  t.is(status, 1)
  t.regex(stderr, /^SettingsError: .*PORT/s)
  t.notRegex(stderr, / at /)
})
