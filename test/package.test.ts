import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { execute } from './support/executables.ts'
import { readyNodes } from './support/nodes.ts'
import { packPackage } from './support/packed.ts'
import { projectFolder } from './support/places.ts'

// Serial: each test needs the package that the first one packs.
const folder = mkdtempSync(join(tmpdir(), 'package-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const run = async (command: string, args: readonly string[], cwd = projectFolder) =>
  (await execute(command, args, { cwd, env: { ...process.env, NO_COLOR: '1' } })).stdout

let tarball = ''

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

test.serial('npm run pack creates a package with everything that a user needs, and no tests', async (t) => {
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
    'dist/cli/main.js',
    'dist/operations/import-settings/ask_django.py',
    'templates/index.html',
    'LICENSE',
  ])
    t.true(paths.includes(path), path)
  t.false(
    paths.some((path) => path.startsWith('dist/bundle')),
    'packages of others go with their licences',
  )
  t.deepEqual([...new Set(paths.map((path) => path.split('/')[0]))].toSorted(), [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'dist',
    'package.json',
    'templates',
  ])
})

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
  const project = join(folder, 'project')
  const dependencies = { 'koa-django-sessions': `file:${tarball}` }
  await execute('mkdir', [project])
  writeFileSync(
    join(project, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies }),
  )
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--silent'], project)
  writeFileSync(join(project, 'app.ts'), APP)
  t.is(await run('node', ['app.ts'], project), 'visit 1, then visit 2\n')

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

for (const { version, file } of runtimes) {
  test.serial(`on Node ${version} the installed package can be imported, and its command runs`, async (t) => {
    t.timeout(110_000)
    const project = join(folder, 'runtimes')
    if (!existsSync(project)) {
      mkdirSync(project)
      const { devDependencies } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8'))
      const { express, fastify } = devDependencies
      const dependencies = { 'koa-django-sessions': `file:${tarball}`, express, fastify }
      writeFileSync(
        join(project, 'package.json'),
        JSON.stringify({ private: true, type: 'module', dependencies }),
      )
      await run('npm', ['install', '--prefer-offline', '--no-audit', '--silent', '--ignore-scripts'], project)
      writeFileSync(join(project, 'app.mjs'), USE)
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
