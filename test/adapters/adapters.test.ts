import test from 'ava'
import express, { type RequestHandler } from 'express'
import fastify from 'fastify'
import Koa from 'koa'
import { djangoExpress, protect as protectExpress } from '../../src/adapters/express.ts'
import { djangoFastify, protect as protectFastify } from '../../src/adapters/fastify.ts'
import type { FetchSite } from '../../src/adapters/fetch.ts'
import { createCsrfMiddleware, protect as protectKoa } from '../../src/adapters/koa/csrf.ts'
import { createSessionMiddleware } from '../../src/adapters/koa/session-middleware.ts'
import { addUser, hashed } from '../auth/users.ts'
import { openDb } from '../engines/db-under-test.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'
import { adapters, ask, siteOf } from './sites.ts'

for (const [name, serve] of Object.entries(adapters)) {
  test(`under ${name}: login, user, permissions and logout`, async (t) => {
    const db = await openDb(t, 'sqlite', { tables: 'library' })
    await addUser(db, { username: 'ann', password: hashed('secret'), is_superuser: true })
    const url = await serve(t, siteOf(db), async ({ django, setStatus }) => {
      const user = await django.user()
      if (user.isAuthenticated && (await user.hasPerm('catalog.can_mark_returned'))) {
        await django.logout()
        return [user.getUsername(), (await django.user()).isAuthenticated]
      }
      t.is(await django.authenticate({ username: 'ann', password: 'wrong' }), null)
      const ann = await django.authenticate({ username: ' ann ', password: 'secret' })
      if (ann === null) return setStatus(403)
      await django.login(ann)
      return (await django.user()).getUsername()
    })

    const loggedIn = await ask(url)
    t.is(loggedIn.body, '"ann"')
    // As in Django, a login also rotates the CSRF token.
    t.deepEqual(
      new Set(loggedIn.setCookie.map((one) => one.split('=')[0])),
      new Set(['csrftoken', 'sessionid']),
    )
    const cookie = loggedIn.setCookie.find((one) => one.startsWith('sessionid')) ?? ''
    t.regex(cookie, /^sessionid=\w{32};.*HttpOnly/)
    const loggedOut = await ask(url, cookie.split(';')[0])
    t.is(loggedOut.body, '["ann",false]')
    t.regex(loggedOut.setCookie[0] ?? '', /^sessionid="";/)
    t.is(loggedOut.vary, 'Cookie')
    t.is(await db.count(), 0)
  })

  test(`under ${name}: no visitor gets a 200 whose session was not saved`, async (t) => {
    const db = await openDb(t, 'sqlite', { tables: 'library' })
    const url = await serve(t, siteOf(db), async ({ django }) => {
      const session = await django.session.load()
      session.set('a', 1)
      await db.db.schema.dropTable('django_session')
    })
    const { status, setCookie, body } = await ask(url)
    t.is(status, 500)
    t.deepEqual(setCookie, [])
    t.not(body, 'null')
  })

  test(`under ${name}: a session that was deleted meanwhile is a 400`, async (t) => {
    const db = await openDb(t, 'sqlite')
    const key = 'abcdefgh0123456789abcdefgh012345'
    await db.engine.create(key, { data: new Map([['a', '1']]), expireDate: new Date('2999-01-01') })
    const url = await serve(t, siteOf(db), async ({ django }) => {
      const session = await django.session.load()
      session.set('a', 2)
      await db.engine.delete(key)
    })
    const { status, setCookie } = await ask(url, `sessionid=${key}`)
    t.is(status, 400)
    t.deepEqual(setCookie, [])
  })

  test(`under ${name}: a request without a session makes no query`, async (t) => {
    const db = await openDb(t, 'sqlite', { tables: 'library' })
    let queries = 0
    db.db.on('query', () => {
      queries += 1
    })
    const url = await serve(t, siteOf(db), async ({ django }) => {
      const user = await django.user()
      return [user.isAuthenticated, await user.hasPerm('catalog.can_mark_returned')]
    })
    t.is((await ask(url)).body, '[false,false]')
    t.is(queries, 0)
  })
}

for (const [name, serve] of Object.entries(adapters)) {
  test(`under ${name}: a form is accepted with its CSRF token, and refused without`, async (t) => {
    const db = await openDb(t, 'sqlite')
    const url = await serve(t, siteOf(db), async ({ django }) => {
      await django.csrf.check()
      const form = await django.form()
      return [django.csrf.getToken(), form.get('title') ?? null]
    })
    const page = await fetch(url)
    t.regex(page.headers.get('Vary') ?? '', /\bCookie\b/)
    const [csrftoken = ''] = page.headers.getSetCookie()
    t.regex(csrftoken, /^csrftoken=\w+;/)
    const [token] = (await page.json()) as [string]
    const post = (fields: Record<string, string>, headers: Record<string, string> = {}) =>
      fetch(url, {
        method: 'POST',
        body: new URLSearchParams(fields),
        headers: { Cookie: csrftoken.split(';')[0] ?? '', ...headers },
      })
    t.is((await post({ title: 'no token' })).status, 403)
    t.is((await post({ title: 'wrong', csrfmiddlewaretoken: 'x'.repeat(64) })).status, 403)
    t.is(
      (await post({ title: 'x', csrfmiddlewaretoken: token }, { Origin: 'https://evil.example' })).status,
      403,
    )
    const posted = await post({ title: '홍길동 & co', csrfmiddlewaretoken: token })
    t.is(posted.status, 200)
    t.is(((await posted.json()) as unknown[])[1], '홍길동 & co')
    t.is((await post({ title: 'by header' }, { 'X-CSRFToken': token })).status, 200)
  })

  test(`under ${name}: a body larger than DATA_UPLOAD_MAX_MEMORY_SIZE is a 400`, async (t) => {
    const db = await openDb(t, 'sqlite')
    const url = await serve(t, siteOf(db), async ({ django }) => {
      const form = await django.form({ maxBytes: 100 })
      return form.get('a')
    })
    const post = (size: number) =>
      fetch(url, { method: 'POST', body: new URLSearchParams({ a: 'x'.repeat(size) }) })
    t.is(await (await post(98)).json(), 'x'.repeat(98))
    t.is((await post(99)).status, 400)
  })

  test(`under ${name}: a message is shown once, on the next page`, async (t) => {
    const db = await openDb(t, 'sqlite')
    const pages = ['adding', 'showing', 'showing']
    const url = await serve(t, siteOf(db), async ({ django }) => {
      if (pages.shift() === 'adding') return django.messages.success('Saved', { extraTags: 'safe' })
      return (await django.messages.take()).map(({ text, tags }) => [text, tags])
    })
    const added = await fetch(url)
    const [cookie = ''] = added.headers.getSetCookie()
    t.regex(cookie, /^messages=/)
    const shown = await fetch(url, { headers: { Cookie: cookie.split(';')[0] ?? '' } })
    t.deepEqual(await shown.json(), [['Saved', 'safe success']])
    t.regex(shown.headers.getSetCookie()[0] ?? '', /^messages="";.*Max-Age=0/)
    t.is(shown.headers.get('Vary'), 'Cookie')
    t.deepEqual(await (await fetch(url)).json(), [])
  })
}

/** Serves `/`, whose GET returns a CSRF token, behind the framework's own `protect`. Returns the URL. */
type ServeProtected = (t: Scope, site: FetchSite, posted: () => void) => Promise<string>

/** An Express application behind `protect`, and what comes before that. */
const expressWith =
  (...before: RequestHandler[]): ServeProtected =>
  (t, site, posted) => {
    const app = express().set('env', 'test') // nothing on the console
    for (const middleware of before) app.use(middleware)
    app.use(djangoExpress(site), protectExpress)
    app.get('/', (request, response) => void response.json(request.django.csrf.getToken()))
    app.post('/', (_request, response) => {
      posted()
      response.json('posted')
    })
    return listen(t, app as unknown as Parameters<typeof listen>[1])
  }

const protectedBy: Readonly<Record<string, ServeProtected>> = {
  koa(t, { requests, profile }, posted) {
    const app = new Koa({ env: 'test' })
    app.silent = true
    app.use(createSessionMiddleware({ requests }))
    app.use(createCsrfMiddleware({ profile }))
    app.use(protectKoa)
    app.use((ctx) => {
      if (ctx.method === 'POST') posted()
      ctx.body = JSON.stringify(ctx.method === 'POST' ? 'posted' : ctx.csrf.getToken())
    })
    return listen(t, app.callback())
  },
  express: expressWith(),
  'express with a body parser': expressWith(express.urlencoded()),
  async fastify(t, site, posted) {
    const app = fastify()
    t.teardown(() => app.close())
    await app.register(djangoFastify, { site, forms: true })
    app.addHook('preHandler', protectFastify)
    app.get('/', async ({ django }) => JSON.stringify(django.csrf.getToken()))
    app.post('/', async () => {
      posted()
      return JSON.stringify('posted')
    })
    return app.listen({ host: '127.0.0.1', port: 0 })
  },
}

for (const [name, serve] of Object.entries(protectedBy)) {
  test(`protect of ${name} lets a form through only with its CSRF token`, async (t) => {
    const db = await openDb(t, 'sqlite')
    let count = 0
    const url = await serve(t, siteOf(db), () => {
      count += 1
    })
    const page = await fetch(url)
    t.is(page.status, 200)
    const token = (await page.json()) as string
    const Cookie = page.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    t.regex(Cookie, /^csrftoken=\w{32}$/)
    const post = async (fields: Record<string, string>, headers: Record<string, string> = {}) => {
      const response = await fetch(url, {
        method: 'POST',
        body: new URLSearchParams(fields),
        headers: { Cookie, ...headers },
      })
      await response.text()
      return response.status
    }
    t.is(await post({ title: 'no token' }), 403)
    t.is(await post({ csrfmiddlewaretoken: 'x'.repeat(64) }), 403)
    t.is(await post({ csrfmiddlewaretoken: token }, { Cookie: '' }), 403)
    t.is(await post({ csrfmiddlewaretoken: token }, { Origin: 'https://evil.example' }), 403)
    t.is(count, 0)
    t.is(await post({ csrfmiddlewaretoken: token }), 200)
    t.is(await post({ title: 'by header' }, { 'X-CSRFToken': token }), 200)
    t.is(count, 2)
  })
}

test('protect of express says where it belongs', (t) => {
  const given: unknown[] = []
  protectExpress({} as never, {} as never, (error) => given.push(error))
  t.is(given.length, 1)
  t.throws(
    () => {
      throw given[0]
    },
    {
      instanceOf: TypeError,
      message: /needs request\.django; put app\.use\(djangoExpress\(site\)\) before it/,
    },
  )
})

test('protect of fastify says where it belongs', async (t) => {
  await t.throwsAsync(protectFastify({}), {
    instanceOf: TypeError,
    message: /needs request\.django; put app\.register\(djangoFastify, \{ site \}\) before it/,
  })
})
