import test from 'ava'
import Koa, { type Context } from 'koa'
import Router from 'koa-router'
import { type CsrfMiddlewareOptions, createCsrfMiddleware, protect } from '../../../src/adapters/koa/csrf.ts'
import { djangoSessions } from '../../../src/adapters/koa/django-sessions.ts'
import { readForm } from '../../../src/adapters/koa/form.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { createErrorPages } from '../../../src/service/pages/error-pages.ts'
import { createTemplates } from '../../../src/service/pages/templates.ts'
import { createVisitor, type Visitor } from '../../interop/visitor.ts'
import type { Scope } from '../../support/file-scope.ts'
import { bareLayout } from '../../support/layout.ts'
import { listen, openLibrary, type RecordedLog, recordLog } from '../../support/library.ts'

const SECRET_KEY = 'a key of this test'

test("a forged request is refused with a page in the site's frame, and Django's reason is in the log alone", async (t) => {
  const { url, log, visitor } = await start(t)
  const response = await visitor.fetch(`${url}/form`, {
    method: 'POST',
    headers: { Origin: 'https://evil.org' },
  })
  t.is(response.status, 403)
  t.is(response.headers.get('Cache-Control'), 'no-store')
  const page = await response.text()
  t.regex(page, /<nav aria-label="Library">/)
  t.regex(page, /<h1>Please send it again<\/h1>/)
  t.notRegex(page, /evil|rigin|CSRF/)
  const forged = log.events.filter(({ event }) => event === 'security.csrf')
  t.deepEqual(
    forged.map(({ level, fields }) => [level, fields.reason]),
    [['warn', 'Origin checking failed - https://evil.org does not match any trusted origins.']],
  )
})

test('no token gets into the log, and the text of a forger is cut and escaped', async (t) => {
  const { url, log, visitor } = await start(t)
  const token = await tokenOf(url, visitor)
  const other = `${token.slice(1)}a`
  for (const headers of [{ 'X-CSRFToken': other }, { Origin: `https://é${'x'.repeat(1000)}` }] as const)
    t.is((await visitor.fetch(`${url}/form`, { method: 'POST', headers })).status, 403)
  const text = JSON.stringify(log.events)
  t.false(text.includes(other) || text.includes(token) || text.includes('é'))
  t.true(text.length < 1000)
})

test('a token is read where Django reads it', async (t) => {
  const { url, visitor } = await start(t)
  const token = await tokenOf(url, visitor)
  const send = async (init: RequestInit, path = '/form') => {
    const response = await visitor.fetch(`${url}${path}`, { method: 'POST', ...init })
    return `${response.status} ${(await response.text()).slice(0, 20)}`
  }
  const form = new FormData()
  form.set('csrfmiddlewaretoken', token)
  form.set('title', '홍길동')
  form.set('file', new Blob(['content']), 'name.txt')
  t.is(await send({ body: form }), '200 홍길동')
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' }
  const body = `csrfmiddlewaretoken=x&title=a&csrfmiddlewaretoken=${token}&title=%ED%99%8D+b`
  t.is(await send({ body, headers }), '200 홍 b')
  t.is(await send({ body: 'title=c', headers: { ...headers, 'X-CSRFToken': token } }), '200 c')
  t.is(await send({ headers: { 'X-CSRFToken': token } }), '200 ')
  // What does not call itself a form is none, and only a POST has one.
  t.regex(await send({ body }), /^403/)
  t.regex(await send({ method: 'PUT', body, headers }), /^403/)
  t.is(await send({ method: 'PUT', headers: { 'X-CSRFToken': token } }), '200 ')
  t.is(await send({ method: 'HEAD' }), '200 ')
})

test('a form that is too large, has too many fields or is broken is a 400', async (t) => {
  const { url, log, visitor } = await start(t)
  const token = await tokenOf(url, visitor)
  const urlencoded = { 'Content-Type': 'application/x-www-form-urlencoded' }
  const multipart = { 'Content-Type': 'multipart/form-data; boundary=x' }
  const large = `csrfmiddlewaretoken=${token}&title=${'x'.repeat(2_621_440)}`
  const requests: (RequestInit & { duplex?: 'half' })[] = [
    { body: large, headers: urlencoded },
    { body: new Blob([large]).stream(), headers: urlencoded, duplex: 'half' },
    { body: `csrfmiddlewaretoken=${token}${'&a=1'.repeat(1000)}`, headers: urlencoded },
    { body: `--x\r\nX: ${'x'.repeat(1024)}\r\n\r\n${token}`, headers: multipart },
    { body: `${fieldOf('a; filename=f').repeat(101)}--x--`, headers: multipart },
    { body: `${fieldOf('a').repeat(1001)}--x--`, headers: multipart },
    { body: token, headers: { 'Content-Type': 'multipart/form-data' } },
  ]
  for (const request of requests) {
    const response = await visitor.fetch(`${url}/form`, { method: 'POST', ...request })
    t.is(response.status, 400)
    await response.text()
  }
  t.deepEqual(log.events, [])
  // As Django, which takes the fields of a form whose end is missing.
  const body = fieldOf('csrfmiddlewaretoken', token).trimEnd()
  for (const request of [{ headers: { 'X-CSRFToken': token } }, { body, headers: multipart }])
    t.is((await visitor.fetch(`${url}/form`, { method: 'POST', ...request })).status, 200)
})

test('only routes behind `protect` are checked; otherwise the body is left unread', async (t) => {
  const { url, visitor } = await start(t)
  const body = new URLSearchParams({ title: 'x'.repeat(100_000) })
  const exempt = await visitor.fetch(`${url}/exempt`, { method: 'POST', body })
  t.is(await exempt.text(), String(body.toString().length))
  t.is((await visitor.fetch(`${url}/nowhere`, { method: 'POST', body })).status, 404)
})

test('a site that has parsed the body already can pass its own way to read a field', async (t) => {
  const { url, visitor } = await start(t, {
    readField: async (ctx, name) => new URLSearchParams(ctx.get('X-Parsed')).get(name) ?? undefined,
  })
  const token = await tokenOf(url, visitor)
  const parsed = { 'X-Parsed': `csrfmiddlewaretoken=${token}` }
  t.is((await visitor.fetch(`${url}/form`, { method: 'POST', headers: parsed })).status, 200)
})

test('a page that fails also sets the cookie of its token', async (t) => {
  const { url, visitor } = await start(t)
  for (const status of [404, 500]) {
    const response = await visitor.fetch(`${url}/fails/${status}`)
    t.is(response.status, status)
    t.regex(response.headers.get('Set-Cookie') ?? '', /^csrftoken=[a-zA-Z0-9]{32}; expires=/)
    t.is(response.headers.get('Vary'), 'Cookie')
  }
})

test('the session is saved with a refusal, as Django saves it with any 403', async (t) => {
  const db = await openLibrary(t)
  const profile = versionProfile('5.2')
  const app = new Koa()
  const errorPages = createErrorPages({ templates: templates(), log: recordLog(), bareLayout })
  app.use(errorPages).use(djangoSessions({ db, secretKeys: [SECRET_KEY], djangoVersion: '5.2' }))
  app.use(createCsrfMiddleware({ profile, useSessions: true })).use(errorPages)
  app.use(async (ctx, next) => {
    ;(await ctx.session.load()).set('before', 1)
    await next()
  })
  app.use(protect)
  const url = await listen(t, app.callback())
  const response = await fetch(url, { method: 'POST' })
  t.is(response.status, 403)
  t.regex(response.headers.get('Set-Cookie') ?? '', /^sessionid=/)
  t.is((await db('django_session')).length, 1)
})

/** A site without sessions: the cookie needs none. */
async function start(
  t: Scope,
  options: Partial<CsrfMiddlewareOptions> = {},
): Promise<{ url: string; log: RecordedLog; visitor: Visitor }> {
  const log = recordLog()
  const errorPages = createErrorPages({ templates: templates(), log, bareLayout })
  const app = new Koa()
  app.use(errorPages)
  app.use(createCsrfMiddleware({ profile: versionProfile('5.2'), ...options }))
  app.use(errorPages)
  const open = new Router()
  open.post('/exempt', async (ctx) => {
    let length = 0
    for await (const chunk of ctx.req) length += chunk.length
    ctx.body = String(length)
  })
  open.get('/fails/:status', (ctx) => {
    ctx.csrf.getToken()
    ctx.throw(Number(ctx.params.status))
  })
  const router = new Router().use(protect)
  router.get('/form', (ctx) => {
    ctx.body = ctx.csrf.getToken()
  })
  const show = async (ctx: Context) => {
    await ctx.csrf.check() // once more changes nothing
    ctx.body = (await readForm(ctx)).get('title') ?? ''
  }
  router.post('/form', show).put('/form', show)
  app.use(open.routes()).use(router.routes())
  return { url: await listen(t, app.callback()), log, visitor: createVisitor() }
}

/** A part of a multipart form whose boundary is x. */
function fieldOf(name: string, value = '1'): string {
  return `--x\r\nContent-Disposition: form-data; name=${name}\r\n\r\n${value}\r\n`
}

function templates(): ReturnType<typeof createTemplates> {
  return createTemplates({ stylesUrl: '', iconUrl: '', version: '' })
}

async function tokenOf(url: string, visitor: Visitor): Promise<string> {
  return (await visitor.fetch(`${url}/form`)).text()
}
