import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import test from 'ava'
import express from 'express'
import fastify from 'fastify'
import Knex from 'knex'
import Koa, { type Context } from 'koa'
import Router from 'koa-router'
import { djangoExpress } from '../../src/adapters/express.ts'
import { djangoFastify } from '../../src/adapters/fastify.ts'
import { PasswordsBusy } from '../../src/django/passwords.ts'
import { withStatus } from '../../src/http/statuses.ts'
import {
  ConflictTimeout,
  CsrfFailure,
  createAuthMiddleware,
  createCsrfMiddleware,
  type DjangoSite,
  djangoAuth,
  djangoSessions,
  MergeConflict,
  openDjangoSite,
  protect,
  RequestDataTooBig,
  readForm,
  SessionInterrupted,
  TooManyFieldsSent,
  TooManyFilesSent,
  UnreadablePost,
  versionProfile,
} from '../../src/index.ts'
import { addUser, hashed } from '../auth/users.ts'
import { openDb } from '../engines/db-under-test.ts'
import { startBackend } from '../faults/site.ts'
import { createVisitor } from '../interop/visitor.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'

const SECRET_KEY = 'of these tests'
const KEY = 'abcdefgh0123456789abcdefgh012345'

const ignore = () => {}
const silent = { warn: ignore, error: ignore, deprecate: ignore, debug: ignore }

/** A site with the error handling that each framework has of its own. */
type Serve = (t: Scope, site: Site, fail: (django: Django) => Promise<unknown>) => Promise<string>
type Django = Pick<ReturnType<DjangoSite['open']>, 'session' | 'user' | 'authenticate'>
type Site = { db: Knex.Knex }

const options = ({ db }: Site) => ({ db, secretKeys: [SECRET_KEY] as [string], djangoVersion: '4.2' })

const frameworks: Readonly<Record<'Koa' | 'Express' | 'Fastify', Serve>> = {
  async Koa(t, site, fail) {
    const app = new Koa()
    app.silent = true
    const auth = djangoAuth(options(site))
    app.use(djangoSessions(options(site))).use(createAuthMiddleware({ auth }))
    app.use(async (ctx) => {
      ctx.body = await fail({ session: ctx.session, user: ctx.user, authenticate: auth.authenticate })
    })
    return listen(t, app.callback())
  },
  async Express(t, site, fail) {
    const app = express().set('env', 'test') // nothing on the console
    app.use(djangoExpress(openDjangoSite(options(site))))
    app.use(async (request: express.Request, response: express.Response) => {
      response.send(await fail(request.django))
    })
    return listen(t, app as (request: IncomingMessage, response: ServerResponse) => void)
  },
  async Fastify(t, site, fail) {
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(djangoFastify, { site: openDjangoSite(options(site)) })
    app.all('/*', async (request) => fail(request.django))
    return app.listen({ host: '127.0.0.1', port: 0 })
  },
}

/** What Django answers, or says nothing of. */
const errors: readonly [error: Error, status: number][] = [
  [new CsrfFailure('no reason'), 403],
  [new RequestDataTooBig('x'), 400],
  [new TooManyFieldsSent('x'), 400],
  [new TooManyFilesSent('x'), 400],
  [new UnreadablePost('x'), 400],
  [new SessionInterrupted(), 400],
  [new MergeConflict('cart'), 409],
  [new ConflictTimeout(1), 503],
  [new PasswordsBusy(), 503],
]

function unreachable(t: Scope, client: 'mysql2' | 'pg' = 'mysql2'): Site {
  const db = Knex({
    client,
    log: silent,
    connection: { host: '127.0.0.1', port: 1, user: 'nobody', database: 'none' },
  })
  t.teardown(() => db.destroy())
  return { db }
}

for (const [name, serve] of Object.entries(frameworks)) {
  test(`${name} answers our errors with their status, without an error handler`, async (t) => {
    for (const [error, status] of errors) {
      const url = await serve(t, unreachable(t), async () => {
        throw withStatus(error)
      })
      t.is((await fetch(url)).status, status, error.name)
    }
  })

  for (const client of ['mysql2', 'pg'] as const) {
    test(`${name} answers 503 when the database refuses ${client}, without an error handler`, async (t) => {
      const ask = [
        ({ session }: Django) => session.load(),
        ({ user }: Django) => user(),
        ({ authenticate }: Django) => authenticate({ username: 'a', password: 'b' }),
        async ({ session }: Django) => (await session.load()).save(),
      ]
      for (const fail of ask) {
        const url = await serve(t, unreachable(t, client), fail)
        const response = await fetch(url, { headers: { Cookie: `sessionid=${KEY}` } })
        t.is(response.status, 503)
        t.notRegex(await response.text(), new RegExp(`${KEY}|select|django_session|ECONNREFUSED`))
      }
    })
  }
}

for (const [name, source] of [
  ['a stream of Node', () => new Readable({ read() {} })],
  ['a stream of the Web', () => new ReadableStream()],
] as const) {
  for (const framework of ['Koa', 'Fastify'] as const)
    test(`under ${framework}, ${name} that is not sent, because the save has failed, ends`, async (t) => {
      const { db } = await openDb(t, 'sqlite', { tables: 'library' })
      const body = source()
      const url = await frameworks[framework](t, { db }, async ({ session }) => {
        const loaded = await session.load()
        loaded.set('a', 1)
        await db.schema.dropTable('django_session')
        return body
      })
      t.is((await fetch(url)).status, 500)
      if (body instanceof Readable) t.true(body.destroyed)
      else await t.throwsAsync(body.getReader().closed.then(() => Promise.reject(new Error('closed'))))
    })
}

for (const server of ['mariadb', 'postgresql'] as const) {
  test(`a ${server} that is killed is a 503 under each framework, until it is back`, async (t) => {
    const backend = await startBackend(t, server)
    const client = server === 'mariadb' ? 'mysql2' : 'pg'
    const sites = await Promise.all(
      Object.entries(frameworks).map(async ([name, serve]) => {
        const db = Knex({
          client,
          log: silent,
          connection: backend.databaseUrl,
          acquireConnectionTimeout: 3000,
        })
        t.teardown(() => db.destroy())
        const url = await serve(t, { db }, async ({ session }) => {
          const one = await session.load()
          one.compute('visits', (stored) => Number(stored ?? 0) + 1)
          return { visits: one.get('visits') }
        })
        return { name, url, visitor: createVisitor() }
      }),
    )
    const visitAll = (status: number) =>
      Promise.all(
        sites.map(async ({ name, url, visitor }) => {
          const response = await visitor.fetch(url)
          const text = await response.text()
          t.is(response.status, status, `${name}: ${text}`)
          t.notRegex(text, /select|update|django_session/i)
        }),
      )
    await visitAll(200)
    await visitAll(200)
    await backend.crash()
    await visitAll(503)
    await visitAll(503)
    await backend.restart()
    await visitAll(200)
  })
}

test('logins while too many passwords are checked are a 503', async (t) => {
  const site = await openDb(t, 'sqlite', { tables: 'library' })
  await addUser(site, { username: 'ann', password: hashed('secret') })
  const auth = djangoAuth(options(site))
  const tries = Array.from({ length: 60 }, () => auth.authenticate({ username: 'ann', password: 'secret' }))
  const refused = (await Promise.allSettled(tries)).flatMap((one) =>
    one.status === 'rejected' ? one.reason : [],
  )
  t.true(refused.length > 0)
  for (const error of refused)
    t.like(error, { name: 'PasswordsBusy', status: 503, statusCode: 503, expose: false })
})

test('forms as docs/forms-and-messages.md shows them answer like Django under plain Koa', async (t) => {
  const app = new Koa()
  app.silent = true
  app.use(djangoSessions({ ...options(unreachable(t)) }))
  app.use(createCsrfMiddleware({ profile: versionProfile('4.2') }))
  const router = new Router()
  router.get('/', (ctx) => {
    ctx.body = ctx.csrf.getToken()
  })
  router.post('/renew/', protect, async (ctx: Context) => {
    ctx.body = (await readForm(ctx)).get('title')
  })
  router.post('/exempt/', async (ctx: Context) => {
    ctx.body = (await readForm(ctx)).get('title')
  })
  app.use(router.routes())
  const url = await listen(t, app.callback())
  const visitor = createVisitor()
  const token = await (await visitor.fetch(url)).text()
  const type = { 'Content-Type': 'application/x-www-form-urlencoded' }
  for (const [status, path, body] of [
    [403, '/renew/', 'title=a'],
    [403, '/renew/', `csrfmiddlewaretoken=${token.slice(1)}a&title=a`],
    [200, '/renew/', `csrfmiddlewaretoken=${token}&title=a`],
    [400, '/renew/', 'a&'.repeat(1001)],
    [400, '/exempt/', 'a&'.repeat(1001)],
    [400, '/exempt/', 'a'.repeat(2_621_441)],
  ] as const) {
    const response = await visitor.fetch(`${url}${path}`, { method: 'POST', body, headers: type })
    t.is(response.status, status, body.slice(0, 30))
    await response.text()
  }
  const headers = { 'Content-Type': 'multipart/form-data' }
  t.is((await visitor.fetch(`${url}/exempt/`, { method: 'POST', body: 'a', headers })).status, 400)
})
