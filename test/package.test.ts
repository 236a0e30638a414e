import { spawnSync } from 'node:child_process'
import { globSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { LOWEST_VERSIONS } from '../tools/package-manifest.ts'
import { createVisitor } from './interop/visitor.ts'
import { createTestDatabase, testDatabases } from './support/databases.ts'
import { execute } from './support/executables.ts'
import { fileScope } from './support/file-scope.ts'
import { createProjects, entryPointsOf, pinned, published, run } from './support/installed.ts'
import { readyNodes } from './support/nodes.ts'
import { packPackage } from './support/packed.ts'
import { projectFolder } from './support/places.ts'
import { startRedis } from './support/redis.ts'
import { startService } from './support/service.ts'

// Serial: each test needs the package that the first one packs.
const { folder, install } = createProjects(fileScope(test))

let tarball = ''

/** The password `password`, as Django's hashers store it. */
const HASHES = {
  argon2:
    'argon2$argon2id$v=19$m=1024,t=2,p=2$Yip+jFFPKJCI2z6CmK/5zA$b7cpzK6rIEKBwL1jbZKvKL3iXUqXkhq6YxfaaGurZ2Y',
  bcrypt: 'bcrypt$$2b$04$YlhGqpO2MS3dYxXOXk4yXOd5A/1pKbWVt9crkyaPhVtgUNOOnSI/K',
}

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

test.serial(
  'its manifest names no dependency, and nine optional packages with their lowest versions',
  async (t) => {
    t.timeout(110_000)
    const { dependencies, peerDependencies, peerDependenciesMeta } = published(await install(EMPTY, {}))
    t.is(dependencies, undefined)
    t.deepEqual(Object.keys(peerDependencies), [
      '@node-rs/argon2',
      '@node-rs/bcrypt',
      'better-sqlite3',
      'fastify',
      'ioredis',
      'knex',
      'koa',
      'mysql2',
      'pg',
    ])
    for (const [name, range] of Object.entries(peerDependencies)) {
      t.is(range, `>=${LOWEST_VERSIONS[name]}`)
      t.deepEqual(peerDependenciesMeta[name], { optional: true })
    }
  },
)

const LOWEST = 'beside the lowest versions of the optional packages'

test.serial(`npm installs it ${LOWEST}, and it works with them`, async (t) => {
  t.timeout(110_000)
  const project = await install(LOWEST, LOWEST_VERSIONS)
  const databases = await Promise.all(
    testDatabases.filter((name) => name !== 'sqlite').map((name) => createTestDatabase(t, name)),
  )
  const redis = await startRedis({ password: 'of a test' })
  t.teardown(() => redis.stop())
  writeFileSync(join(project, 'lowest.mjs'), WITH_LOWEST)
  const urls = databases.map(({ url }) => url)
  t.deepEqual(
    JSON.parse(await run('node', ['lowest.mjs', redis.location, ...urls], project)),
    Object.fromEntries([
      ...databases.flatMap(({ url, kind }) => [
        [`${url}, a pool of ${kind}`, '2'],
        [`${url}, Knex`, '2'],
        [`${url}, Koa`, '2'],
        [`${url}, Fastify`, '2'],
      ]),
      ['Redis', 502],
    ]),
  )
})

const SQLITE_FREE =
  'without better-sqlite3, on a Node that is built without SQLite, the command names what to install'

test.serial(SQLITE_FREE, async (t) => {
  t.timeout(110_000)
  const project = await install(EMPTY, {})
  const main = join(project, 'node_modules/koa-django-sessions/dist/bundle/main.js')
  const { status, stdout, stderr } = spawnSync('node', ['--no-experimental-sqlite', main, 'serve'], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, DJANGO_VERSION: '5.2', PORT: '0' },
  })
  t.is(status, 1, stdout)
  t.regex(stderr, /the package better-sqlite3 is not installed; to use SQLite, npm i better-sqlite3/)
})

// An import costs its files, their size, and the modules of Node that it loads. `npm run bench:import` measures its time.
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

test.serial('an import takes at most three times the CPU of a Node that imports nothing', async (t) => {
  t.timeout(110_000)
  const project = await install(EMPTY, {})
  const cpuOf = async (statement: string): Promise<number> => {
    const program = `${statement}; const { user, system } = process.cpuUsage(); console.log(user + system)`
    return Number(await run('node', ['--input-type=module', '--eval', program], project))
  }
  // In turns, so that other load affects both alike. The least of each is what the load has affected least.
  let [nothing, imported] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let round = 0; round < 8; round += 1) {
    nothing = Math.min(nothing, await cpuOf(''))
    imported = Math.min(imported, await cpuOf("await import('koa-django-sessions')"))
  }
  t.true(imported < 3 * nothing, `${imported} and ${nothing} microseconds`)
})

for (const [name, peers] of [
  ['without any optional package', {}],
  ['with the optional packages', pinned('koa', '@types/koa', 'knex', 'mysql2', 'fastify', 'ioredis')],
  ['with the lowest versions of them', { ...LOWEST_VERSIONS, '@types/koa': '2.11.0' }],
] as const) {
  test.serial(`its types compile on TypeScript 5.9 and 7, in nodenext and bundler, ${name}`, async (t) => {
    t.timeout(110_000)
    const project = await install(t.title, peers)
    const entryPoints = entryPointsOf(project).filter(
      (name) => name !== 'koa-django-sessions/fastify' || 'fastify' in peers,
    )
    t.true(entryPoints.length >= 5)
    const lines = entryPoints.map(
      (name, at) => `import * as door${at} from '${name}'\nexport const has${at}: object = door${at}\n`,
    )
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
  t.deepEqual(JSON.parse(await run('node', ['logins.mjs', JSON.stringify(HASHES)], project)), {
    argon2: 'argon2',
    bcrypt:
      'ERR_MISSING_PACKAGE: the package @node-rs/bcrypt is not installed; to verify bcrypt passwords, npm i @node-rs/bcrypt',
    nobody: null,
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
      for (const name of entryPointsOf(project)) {
        const program = `import('${name}').catch(({ message }) => console.log(message))`
        t.is(await run(file, ['--input-type=module', '--eval', program], project), words, name)
      }
      const main = join(project, 'node_modules/koa-django-sessions/dist/bundle/main.js')
      const { status, stderr } = spawnSync(file, [main, 'serve'], { cwd: project, encoding: 'utf8' })
      t.deepEqual([status, stderr], [1, words])
    },
  )
}

for (const { version, file } of readyNodes('supported').filter(({ version }) => version.startsWith('22.'))) {
  test.serial(
    `on Node ${version}, which has no Argon2, the error names the package that has it`,
    async (t) => {
      t.timeout(110_000)
      const logins = async (project: string) => {
        writeFileSync(join(project, 'logins.mjs'), LOGINS)
        return JSON.parse(await run(file, ['logins.mjs', JSON.stringify(HASHES)], project))
      }
      const missing =
        'ERR_MISSING_PACKAGE: the package @node-rs/argon2 is not installed; to verify Argon2 passwords, npm i @node-rs/argon2'
      t.like(await logins(await install(EMPTY, {})), { argon2: missing, nobody: missing })
      t.deepEqual(await logins(await install(LOWEST, LOWEST_VERSIONS)), {
        argon2: 'argon2',
        bcrypt: 'bcrypt',
        nobody: null,
      })
    },
  )
}

for (const { version, file } of runtimes) {
  test.serial(
    `on Node ${version} all of the installed package can be imported and required, and its command runs`,
    async (t) => {
      t.timeout(110_000)
      const project = await install('runtimes', pinned('koa', 'knex', 'better-sqlite3', 'express', 'fastify'))
      writeFileSync(join(project, 'app.mjs'), USE)
      const entryPoints = entryPointsOf(project)
      t.is(entryPoints.length, 7)
      writeFileSync(join(project, 'entry-points.mjs'), ENTRY_POINTS)
      const names = JSON.parse(await run(file, ['entry-points.mjs', ...entryPoints], project))
      t.deepEqual(Object.keys(names), entryPoints)
      for (const [name, [imported, required]] of Object.entries<[string[], string[]]>(names)) {
        t.true(imported.length > 0, name)
        t.deepEqual(required, imported, name)
      }
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
    },
  )
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

/** Logins on Node's own SQLite, with the password `password`. Prints what each user, named by its hasher, gets. */
const LOGINS = `
import { DatabaseSync } from 'node:sqlite'
import { djangoAuth } from 'koa-django-sessions'

const db = new DatabaseSync(':memory:')
db.exec(\`CREATE TABLE auth_user (id integer PRIMARY KEY, username varchar(150), password varchar(128), is_active bool,
  is_staff bool, is_superuser bool, first_name text, last_name text, email text, date_joined datetime, last_login datetime)\`)
const users = JSON.parse(process.argv[2])
const insert = db.prepare("INSERT INTO auth_user VALUES (NULL, ?, ?, 1, 0, 0, '', '', '', '2026-01-01 00:00:00', NULL)")
for (const [username, password] of Object.entries(users)) insert.run(username, password)
const passwordHashers = ['Argon2PasswordHasher', 'BCryptPasswordHasher'].map((name) => 'django.contrib.auth.hashers.' + name)
const auth = djangoAuth({ db, secretKeys: ['only here'], djangoVersion: '5.2', passwordHashers })
const login = (username) => auth.authenticate({ username, password: 'password' }).then(
  (found) => found?.getUsername() ?? null,
  ({ code, message }) => code + ': ' + message,
)
const found = {}
for (const username of Object.keys(users)) found[username] = await login(username)
found.nobody = await login('nobody')
console.log(JSON.stringify(found))
`

/** Two visits through each framework on each database, and a session in Redis. */
const WITH_LOWEST = `
import { once } from 'node:events'
import { createServer } from 'node:http'
import fastify from 'fastify'
import Koa from 'koa'
import knex from 'knex'
import mysql from 'mysql2'
import pg from 'pg'
import { createRedisCache, djangoSessions } from 'koa-django-sessions'
import { djangoFastify } from 'koa-django-sessions/fastify'
import { openDjangoSite } from 'koa-django-sessions/fetch'

const [redis, ...urls] = process.argv.slice(2)
const found = {}
async function count({ session }) {
  const one = await session.load()
  one.compute('visits', (visits) => Number(visits ?? 0) + 1)
  await one.save()
  return String(one.get('visits'))
}
async function visitTwice(ask) {
  const first = await ask(new Request('http://127.0.0.1/'))
  const [cookie] = first.headers.getSetCookie()[0].split(';')
  return (await ask(new Request('http://127.0.0.1/', { headers: { cookie } }))).text()
}
async function overHttp(server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = 'http://127.0.0.1:' + server.address().port
  const text = await visitTwice((request) => fetch(url, { headers: request.headers }))
  server.closeAllConnections()
  server.close()
  return text
}
for (const url of urls) {
  const isMysql = url.startsWith('mysql')
  const pool = isMysql ? mysql.createPool(url) : new pg.Pool({ connectionString: url })
  const db = knex({ client: isMysql ? 'mysql2' : 'pg', connection: url })
  const options = { secretKeys: ['only here'], djangoVersion: '5.2' }
  const respond = async (exchange) => new Response(await count(exchange))
  const site = openDjangoSite({ ...options, db: pool })
  found[url + ', a pool of ' + (isMysql ? 'mysql' : 'postgresql')] = await visitTwice((request) => site.handle(request, respond))
  const onKnex = openDjangoSite({ ...options, db })
  found[url + ', Knex'] = await visitTwice((request) => onKnex.handle(request, respond))
  const koa = new Koa().use(djangoSessions({ ...options, db })).use(async (ctx) => {
    ctx.body = await count(ctx)
  })
  found[url + ', Koa'] = await overHttp(createServer(koa.callback()))
  const fast = fastify()
  await fast.register(djangoFastify, { site })
  fast.get('/', (request) => count(request.django))
  await fast.ready()
  found[url + ', Fastify'] = await overHttp(fast.server)
  await db.destroy()
  await (isMysql ? pool.promise() : pool).end()
}
const backend = 'django.core.cache.backends.redis.RedisCache'
const cache = createRedisCache({ backend, location: [redis], keyPrefix: '', version: 1, options: {} })
await cache.add('a', new Map([['text', JSON.stringify('a'.repeat(500))]]), 1000)
found.Redis = (await cache.get('a')).data.get('text').length
await cache.close()
console.log(JSON.stringify(found))
`

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

/** Prints the functions that each of these entry points exports, by `import` and by `require`. */
const ENTRY_POINTS = `
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const functionsOf = (exported) => Object.keys(exported).filter((name) => typeof exported[name] === 'function').sort()
const found = {}
for (const name of process.argv.slice(2)) found[name] = [functionsOf(await import(name)), functionsOf(require(name))]
console.log(JSON.stringify(found))
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
