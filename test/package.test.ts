import { spawnSync } from 'node:child_process'
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createVisitor } from './interop/visitor.ts'
import { execute } from './support/executables.ts'
import { readyNodes } from './support/nodes.ts'
import { packPackage } from './support/packed.ts'
import { projectFolder } from './support/places.ts'
import { startService } from './support/service.ts'

// Serial: each test needs the package that the first one packs.
const folder = mkdtempSync(join(tmpdir(), 'package-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const run = async (command: string, args: readonly string[], cwd = projectFolder) =>
  (await execute(command, args, { cwd, env: { ...process.env, NO_COLOR: '1' } })).stdout

let tarball = ''

/** The password `password`, as Django's Argon2PasswordHasher stores it. */
const ARGON2 =
  'argon2$argon2id$v=19$m=1024,t=2,p=2$Yip+jFFPKJCI2z6CmK/5zA$b7cpzK6rIEKBwL1jbZKvKL3iXUqXkhq6YxfaaGurZ2Y'

const runtimes = [...readyNodes('supported'), { version: process.versions.node, file: process.execPath }]

for (const scripts of ['true', 'false']) {
  test.serial(
    `plain npm pack makes no package without its build, with ignore-scripts=${scripts}`,
    async (t) => {
      const pack = ['pack', `--ignore-scripts=${scripts}`, '--pack-destination', folder]
      await t.throwsAsync(run('npm', pack), { message: /Invalid package, must have name and version/ })
      t.deepEqual(readdirSync(folder), [])
    },
  )
}

test.serial('npm run package writes a package with everything that a user needs, and no tests', async (t) => {
  t.timeout(110_000)
  tarball = await packPackage()
  const listed = await run('tar', ['-tzf', tarball])
  const paths = listed
    .trim()
    .split('\n')
    .map((path) => path.replace('package/', ''))
  for (const path of [
    'dist/index.js',
    'dist/index.d.ts',
    'dist/bundle/main.js',
    'dist/bundle/ask_django.py',
    'dist/bundle/LICENSES.txt',
    'docs/library.md',
    'templates/index.html',
    'LICENSE',
  ])
    t.true(paths.includes(path), path)
  t.deepEqual(
    paths.filter((path) => /^dist\/(?:service|operations|cli)\//.test(path)),
    [],
    'the service is in the one file of the command',
  )
  t.deepEqual([...new Set(paths.map((path) => path.split('/')[0]))].toSorted(), [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'SECURITY.md',
    'dist',
    'docs',
    'package.json',
    'templates',
  ])
})

const EMPTY = 'an empty project that installs it gets at most 3 packages and 3 MB'

test.serial(EMPTY, async (t) => {
  t.timeout(110_000)
  const project = await install(EMPTY, {})
  const { packages } = JSON.parse(readFileSync(join(project, 'node_modules/.package-lock.json'), 'utf8'))
  t.deepEqual(Object.keys(packages), ['node_modules/koa-django-sessions'])
  const sizes = globSync('node_modules/koa-django-sessions/**/*', { cwd: project, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).size)
  const bytes = sizes.reduce((sum, size) => sum + size, 0)
  t.true(bytes > 1e6 && bytes <= 3e6, `${bytes} bytes`)

  writeFileSync(join(project, 'app.mjs'), WITHOUT_PEERS)
  t.deepEqual(JSON.parse(await run('node', ['app.mjs'], project)), {
    redis:
      'ERR_MISSING_PACKAGE: the package ioredis is not installed; to read sessions from Redis, npm i ioredis',
    isOneClass: true,
    required: true,
  })
  writeFileSync(join(project, 'places.mjs'), PLACES)
  t.deepEqual(JSON.parse(await run('node', ['places.mjs'], project)), {
    file: 502,
    cache: 502,
    memcached: 'ERR_CACHE_UNAVAILABLE',
  })
  t.regex(await run('npx', ['--no-install', 'koa-django-sessions', '--help'], project), /serve/)

  // The embedded demo: Node's own SQLite, since better-sqlite3 is not there.
  const main = join(project, 'node_modules/koa-django-sessions/dist/bundle/main.js')
  const service = await startService(t, { main, cwd: project, env: { DJANGO_VERSION: '5.2' } })
  const visitor = createVisitor()
  t.is(await visitor.visit(service.url), 1)
  t.is(await visitor.visit(service.url), 2)
  t.is(await service.stop(), 0)
})

// An import costs its files, their size, and the modules of Node that it loads. `npm run bench:import` measures the time.
for (const [path, files, bytes] of [
  ['.', 3, 400_000],
  ['./koa', 3, 400_000],
  ['./express', 3, 400_000],
  ['./fastify', 3, 400_000],
  ['./fetch', 3, 400_000],
  ['./testing', 3, 400_000],
  ['./signing', 2, 40_000],
] as const) {
  test.serial(
    `import of ${path} loads at most ${files} files, ${bytes} bytes, and little of Node`,
    async (t) => {
      t.timeout(110_000)
      const project = await install(EMPTY, {})
      writeFileSync(join(project, 'loaded.mjs'), LOADED)
      const name = path.replace('.', 'koa-django-sessions')
      const loaded: string[] = JSON.parse(await run('node', ['loaded.mjs', name], project))
      const ours = loaded.filter((url) => url.startsWith('file:'))
      t.true(ours.length <= files, ours.join('\n'))
      const size = ours.reduce((sum, url) => sum + statSync(new URL(url)).size, 0)
      t.true(size > 0 && size <= bytes, `${size} bytes`)
      // The others are loaded when they are first called (tools/package-library.ts).
      const modules = ['node:buffer', 'node:diagnostics_channel', 'node:events', 'node:path']
      t.deepEqual(
        loaded.filter((url) => !url.startsWith('file:') && !modules.includes(url)),
        [],
      )
    },
  )
}

for (const [name, peers] of [
  ['without any optional package', {}],
  ['with the optional packages', pinned('koa', '@types/koa', 'knex', 'mysql2', 'fastify', 'ioredis')],
] as const) {
  test.serial(`its types compile on TypeScript 5.9 and 7, in nodenext and bundler, ${name}`, async (t) => {
    t.timeout(110_000)
    const project = await install(t.title, peers)
    const entryPoints = Object.keys(published(project).exports).filter(
      (path) => path !== './package.json' && (path !== './fastify' || 'fastify' in peers),
    )
    t.true(entryPoints.length >= 5)
    const lines = entryPoints.map((path, at) => {
      const module = path.replace('.', 'koa-django-sessions')
      return `import * as door${at} from '${module}'\nexport const has${at}: object = door${at}\n`
    })
    writeFileSync(join(project, 'app.ts'), lines.join(''))
    for (const compiler of ['typescript', 'typescript-5']) {
      for (const module of ['nodenext', 'bundler']) {
        const options = module === 'bundler' ? { module: 'esnext', moduleResolution: module } : { module }
        const compilerOptions = {
          ...options,
          target: 'es2024',
          lib: ['es2024', 'esnext.iterator'],
          strict: true,
          noEmit: true,
          types: ['node'],
          typeRoots: [join(projectFolder, 'node_modules/@types')],
          // fastify's own declarations have errors without their optional packages.
          skipLibCheck: 'fastify' in peers,
        }
        writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
        const tsc = join(projectFolder, 'node_modules', compiler, 'bin/tsc')
        t.is(await run('node', [tsc, '-p', '.', '--pretty', 'false'], project), '', `${compiler}, ${module}`)
      }
    }
  })
}

test.serial('publint reports no problem', async (t) => {
  t.timeout(110_000)
  t.regex(await run('publint', ['run', tarball, '--strict']), /All good!/)
})

test.serial('Are The Types Wrong reports no problem', async (t) => {
  t.timeout(110_000)
  t.regex(
    await run('attw', [tarball, '--profile', 'esm-only', '--no-emoji', '-f', 'ascii']),
    /koa-django-sessions v/,
  )
})

test.serial('a project that installs the package can use it, with types, and run its command', async (t) => {
  t.timeout(110_000)
  const project = await install(t.title, pinned('koa', 'knex', 'better-sqlite3', '@types/koa', '@types/node'))
  writeFileSync(join(project, 'app.ts'), APP)
  t.is(await run('node', ['app.ts'], project), 'visit 1, then visit 2\n')
  writeFileSync(join(project, 'logins.mjs'), LOGINS)
  t.deepEqual(JSON.parse(await run('node', ['logins.mjs'], project)), {
    argon2: 'argon2',
    bcrypt:
      'ERR_MISSING_PACKAGE: the package @node-rs/bcrypt is not installed; to verify bcrypt passwords, npm i @node-rs/bcrypt',
  })

  const compilerOptions = {
    module: 'nodenext',
    target: 'es2024',
    strict: true,
    noEmit: true,
    types: ['node'],
  }
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
  t.is(await run('tsc', ['-p', '.'], project), '')

  t.regex(await run('npx', ['--no-install', 'koa-django-sessions', '--help'], project), /serve/)
  t.deepEqual(readdirSync(project).includes('var'), false)
})

for (const { version, file } of readyNodes('tooOld')) {
  test.serial(
    `on Node ${version}, which is too old, the package and its command say which one they need`,
    async (t) => {
      t.timeout(110_000)
      const project = await install(EMPTY, {})
      const words = `koa-django-sessions needs Node 22.18 or newer; this is Node ${version}\n`
      for (const path of Object.keys(published(project).exports)) {
        if (path === './package.json') continue
        const name = path.replace('.', 'koa-django-sessions')
        const program = `import('${name}').catch(({ message }) => console.log(message))`
        t.is(await run(file, ['--input-type=module', '--eval', program], project), words, name)
      }
      const main = join(project, 'node_modules/koa-django-sessions/dist/bundle/main.js')
      const { status, stderr } = spawnSync(file, [main, 'serve'], { cwd: project, encoding: 'utf8' })
      t.deepEqual([status, stderr], [1, words])
    },
  )
}

for (const { version, file } of runtimes) {
  test.serial(`on Node ${version} the installed package can be imported, and its command runs`, async (t) => {
    t.timeout(110_000)
    const project = await install('runtimes', pinned('koa', 'knex', 'better-sqlite3', 'express', 'fastify'))
    writeFileSync(join(project, 'app.mjs'), USE)
    const said = JSON.parse(await run(file, ['app.mjs'], project))
    t.deepEqual(said, { node: version, koa: 'saved', express: 'saved', fastify: 'saved' })

    const bin = join(project, 'node_modules/.bin/koa-django-sessions')
    const { status, stdout, stderr } = spawnSync(file, [bin, 'encode'], {
      input: '{"a":1}\n',
      encoding: 'utf8',
      env: { ...process.env, DJANGO_SECRET_KEY: 'of a test' },
    })
    t.deepEqual([status, stderr], [0, ''])
    t.regex(stdout, /^eyJhIjoxfQ:/)
  })
}

test.serial('the knex command works with knexfile.ts, and refuses to migrate', async (t) => {
  t.timeout(110_000)
  const cli = join(projectFolder, 'node_modules/knex/bin/cli.js')
  const env = {
    ...process.env,
    DATABASE_URL: 'mysql://nobody@127.0.0.1:1/none',
    DJANGO_SECRET_KEY: 'of a test',
  }
  const args = [cli, 'migrate:latest', '--knexfile', 'knexfile.ts']
  const migrate = execute('node', args, { cwd: projectFolder, env })
  const error = await t.throwsAsync(migrate)
  t.regex(String((error as unknown as { stderr: string }).stderr), /Django owns this schema/)
})

interface Published {
  readonly exports: Readonly<Record<string, unknown>>
}

function published(project: string): Published {
  return JSON.parse(readFileSync(join(project, 'node_modules/koa-django-sessions/package.json'), 'utf8'))
}

/** These packages, in the versions that this project tests. */
function pinned(...names: readonly string[]): Record<string, string> {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(projectFolder, 'package.json'), 'utf8'),
  )
  const versions: Record<string, string> = { ...dependencies, ...devDependencies }
  return Object.fromEntries(names.map((name) => [name, versions[name] ?? unknownPackage(name)]))
}

function unknownPackage(name: string): never {
  throw new Error(`package.json names no version of ${name}`)
}

/** A project that has the package and these beside it. Installed once for each title. Returns its folder. */
async function install(title: string, others: Readonly<Record<string, string>>): Promise<string> {
  const project = join(folder, title.replaceAll(/\W+/g, '-'))
  if (existsSync(project)) return project
  mkdirSync(project)
  const dependencies = { 'koa-django-sessions': `file:${tarball}`, ...others }
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies }),
  )
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--silent', '--ignore-scripts']
  await run('npm', ['install', ...quiet], project)
  return project
}

/** What needs a package that is not installed says so; what Node has itself needs none. */
const WITHOUT_PEERS = `
import { createRequire } from 'node:module'
import { createRedisCache, NotSerializable, versionProfile } from 'koa-django-sessions'
import 'koa-django-sessions/koa'
import 'koa-django-sessions/express'
import 'koa-django-sessions/fastify'
import 'koa-django-sessions/fetch'
import 'koa-django-sessions/testing'
import * as signing from 'koa-django-sessions/signing'

const textOf = ({ code, message }) => code + ': ' + message
const failure = (run) => Promise.resolve().then(run).then(() => 'no error', textOf)
const backend = 'django.core.cache.backends.redis.RedisCache'
console.log(JSON.stringify({
  redis: await failure(() => createRedisCache({ backend, location: ['redis://127.0.0.1'], keyPrefix: '', version: 1, options: {} })),
  isOneClass: signing.NotSerializable === NotSerializable,
  required: createRequire(import.meta.url)('koa-django-sessions').versionProfile('5.2') !== undefined,
}))
`

/** Sessions in places whose modules of Node are loaded at their first call. */
const PLACES = `
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import {
  createFileBasedCache, createFileEngine, createMemcachedCache, createSessionCodec, versionProfile,
} from 'koa-django-sessions'

const path = mkdtempSync(join('.', 'sessions-'))
const [key, data] = ['a'.repeat(32), new Map([['text', JSON.stringify('a'.repeat(500))]])]
const profile = versionProfile('5.2')
const codec = createSessionCodec({ profile, secretKeys: ['only here'], now: () => new Date() })
const rules = { cookieAge: 1000, expireAtBrowserClose: false, useTz: true, timeZone: 'UTC', storesIsoExpiry: true }
const files = createFileEngine({ path, cookieName: 'sessionid', codec, rules })
await files.create(key, { data, expireDate: new Date(Date.now() + 1e6) })
const settings = { location: [join(path, 'cache')], keyPrefix: '', version: 1, options: {} }
const cache = createFileBasedCache({ ...settings, backend: 'django.core.cache.backends.filebased.FileBasedCache' })
await cache.add(key, data, 1000)
const memcached = { ...settings, location: ['127.0.0.1:1'], backend: 'django.core.cache.backends.memcached.PyMemcacheCache' }
console.log(JSON.stringify({
  file: (await files.load(key))?.data.get('text')?.length,
  cache: (await cache.get(key))?.data.get('text')?.length,
  memcached: await createMemcachedCache(memcached).get(key).catch(({ code }) => code),
}))
`

/** Logins: this Node has Argon2 itself, and the package for bcrypt is not installed. */
const LOGINS = `
import knex from 'knex'
import { djangoAuth } from 'koa-django-sessions'

const db = knex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
await db.raw(\`CREATE TABLE auth_user (id integer PRIMARY KEY, username varchar(150), password varchar(128), is_active bool,
  is_staff bool, is_superuser bool, first_name text, last_name text, email text, date_joined datetime, last_login datetime)\`)
const user = { is_active: 1, is_staff: 0, is_superuser: 0, first_name: '', last_name: '', email: '', date_joined: '2026-01-01 00:00:00' }
await db('auth_user').insert({ ...user, username: 'argon2', password: 'ARGON2' })
await db('auth_user').insert({ ...user, username: 'bcrypt', password: 'bcrypt$$2b$04$' + 'a'.repeat(53) })
const passwordHashers = ['Argon2PasswordHasher', 'BCryptPasswordHasher'].map((name) => 'django.contrib.auth.hashers.' + name)
const auth = djangoAuth({ db, secretKeys: ['only here'], djangoVersion: '5.2', passwordHashers })
const login = (username) => auth.authenticate({ username, password: 'password' }).then(
  (found) => found?.getUsername() ?? null,
  ({ code, message }) => code + ': ' + message,
)
console.log(JSON.stringify({ argon2: await login('argon2'), bcrypt: await login('bcrypt') }))
await db.destroy()
`.replace('ARGON2', () => ARGON2)

/** Prints what the import of an entry point loads: files of the package, and modules of Node. */
const LOADED = `
import { registerHooks } from 'node:module'

const loaded = new Set()
registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context)
    loaded.add(found.url)
    return found
  },
})
await import(process.argv[2])
console.log(JSON.stringify([...loaded]))
`

/** A session under each framework, on SQLite. */
const USE = `
import { once } from 'node:events'
import { createServer } from 'node:http'
import express from 'express'
import fastify from 'fastify'
import Koa from 'koa'
import knex from 'knex'
import { djangoSessions, openDjangoSite } from 'koa-django-sessions'
import { djangoExpress } from 'koa-django-sessions/express'
import { djangoFastify } from 'koa-django-sessions/fastify'

const db = knex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
await db.raw('CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text, expire_date datetime)')
const options = { db, secretKeys: ['only here'], djangoVersion: '5.2' }
const site = openDjangoSite(options)
async function use(session) {
  const one = await session.load()
  one.set('a', 1)
  await one.save()
  return 'saved'
}
async function ask(handler) {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const text = await (await fetch('http://127.0.0.1:' + server.address().port)).text()
  server.closeAllConnections()
  server.close()
  return text
}
const koa = new Koa().use(djangoSessions(options)).use(async (ctx) => {
  ctx.body = await use(ctx.session)
})
const web = express().use(djangoExpress(site)).use(async (request, response) => {
  response.send(await use(request.django.session))
})
const fast = fastify()
await fast.register(djangoFastify, { site })
fast.get('/', (request) => use(request.django.session))
await fast.ready()
console.log(JSON.stringify({
  node: process.versions.node,
  koa: await ask(koa.callback()),
  express: await ask(web),
  fastify: await ask((request, response) => fast.routing(request, response)),
}))
await db.destroy()
`

/** The sample of README.md, on SQLite. */
const APP = `
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import knex from 'knex'
import { djangoSessions } from 'koa-django-sessions'

const db = knex({ client: 'better-sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true })
await db.raw('CREATE TABLE django_session (session_key varchar(40) PRIMARY KEY, session_data text, expire_date datetime)')
const app = new Koa()
app.use(djangoSessions({ db, secretKeys: ['only here'], djangoVersion: '4.2', useTz: true }))
app.use(async (ctx) => {
  const session = await ctx.session.load<{ num_visits: number; cart: string[] }>()
  const cart = session.get('cart', [])
  session.set('cart', [...cart, 'book-1'])
  session.compute('num_visits', (stored) => Number(stored ?? 0) + 1)
  await session.save()
  ctx.body = \`visit \${session.get('num_visits')}\`
})
const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = \`http://127.0.0.1:\${(server.address() as AddressInfo).port}/\`
const first = await fetch(url)
const cookie = String(first.headers.getSetCookie()[0]).split(';')[0] ?? ''
const second = await fetch(url, { headers: { cookie } })
console.log(\`\${await first.text()}, then \${await second.text()}\`)
server.close()
await db.destroy()
`
