import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import test from 'ava'
import Koa, { type Middleware } from 'koa'
import { versionProfile } from '../../../src/django/versions.ts'
import { createCatalog } from '../../../src/service/pages/catalog.ts'
import { createErrorPages } from '../../../src/service/pages/error-pages.ts'
import { createTemplates } from '../../../src/service/pages/templates.ts'
import { MergeConflict } from '../../../src/session/merge.ts'
import { createTestDatabase, type TestDatabaseName, testDatabases } from '../../support/databases.ts'
import type { Scope } from '../../support/file-scope.ts'
import { bareLayout } from '../../support/layout.ts'
import {
  listen,
  openUrl,
  type RecordedLog,
  recordLog,
  sessionLookup,
  startLibrary,
} from '../../support/library.ts'

test('an unknown page is a 404 in the layout of the site, without a session', async (t) => {
  const { url } = await startLibrary(t)
  const response = await fetch(`${url}/catalog/book/1`)
  t.is(response.status, 404)
  t.is(response.headers.get('Vary'), null)
  t.is(response.headers.get('Set-Cookie'), null)
  t.is(response.headers.get('Cache-Control'), 'no-store')
  const page = await response.text()
  t.true(page.includes('<h1>Page not found</h1>'))
  t.true(page.includes('<nav aria-label="Library">'))
})

test('a HEAD for an unknown page is a 404 without a body', async (t) => {
  const { url } = await startLibrary(t)
  const response = await fetch(`${url}/nothing`, { method: 'HEAD' })
  t.is(response.status, 404)
  t.is(await response.text(), '')
})

for (const path of [
  '/%E0%A4%A',
  '/catalog/%',
  '/catalog/%ff',
  '/%00',
  '/catalog/..%2f',
  '/catalog/?q=%E0%A4%A',
]) {
  test(`the malformed escapes of ${path} cause no 5xx`, async (t) => {
    const { url } = await startLibrary(t)
    const { status } = await fetch(`${url}${path}`)
    t.is(status, path.includes('?') ? 200 : 404)
  })
}

test('a request line whose URL cannot be parsed is a 400', async (t) => {
  const { url, log } = await startLibrary(t)
  const answer = await request(url, 'GET http://[ HTTP/1.1')
  t.true(answer.startsWith('HTTP/1.1 400 Bad Request\r\n'))
  t.true(answer.includes('<h1>Bad request</h1>'))
  t.is((await log.next('http.request')).status, 400)
})

for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'PROPFIND']) {
  test(`${method} of the home page is a 405 that names the allowed methods`, async (t) => {
    const { url } = await startLibrary(t)
    const response = await fetch(`${url}/catalog/`, { method })
    t.is(response.status, 405)
    t.is(response.headers.get('Allow'), 'HEAD, GET')
    t.true((await response.text()).includes('<h1>Method not allowed</h1>'))
  })
}

test('OPTIONS names the allowed methods, and does not count as a visit', async (t) => {
  const { url, db } = await startLibrary(t)
  const response = await fetch(`${url}/catalog/`, { method: 'OPTIONS' })
  t.is(response.status, 200)
  t.is(response.headers.get('Allow'), 'HEAD, GET')
  t.is(await response.text(), '')
  t.deepEqual(await db('django_session'), [])
})

test('a session deleted while the page is prepared is a 400 that says so', async (t) => {
  const { url, db, codec } = await startLibrary(t, {
    app: (db) => ({
      catalog: {
        async counts() {
          await sessionLookup(db)
          await db('django_session').delete()
          return createCatalog({ db }).counts()
        },
      },
    }),
  })
  const session_key = 'abcdefghijklmnopqrstuvwxyz012345'
  const session_data = codec.encode(new Map([['num_visits', '1']]))
  await db('django_session').insert({ session_key, session_data, expire_date: '2999-01-01 00:00:00' })
  const response = await fetch(`${url}/catalog/`, { headers: { Cookie: `sessionid=${session_key}` } })
  t.is(response.status, 400)
  t.true((await response.text()).includes('<h1>Your session has ended</h1>'))
  t.is(response.headers.get('Set-Cookie'), null)
  t.deepEqual(await db('django_session'), [])
})

test('a change that cannot be merged is a 409 that says so, without the key', async (t) => {
  const { url } = await startLibrary(t, {
    app: () => ({ catalog: { counts: () => Promise.reject(new MergeConflict('the name of a key')) } }),
  })
  const response = await fetch(`${url}/catalog/`)
  t.is(response.status, 409)
  const page = await response.text()
  t.true(page.includes('<h1>Please try again</h1>') && page.includes('nothing was saved'))
  t.false(page.includes('the name of a key'))
})

for (const [djangoVersion, saves] of [
  ['4.1', true],
  ['4.2', false],
] as const) {
  test(`the session layer sees the status of a failed page: 503 ${saves ? 'saves' : 'saves nothing'} in Django ${djangoVersion}`, async (t) => {
    const away = openUrl(t, 'mysql://user:password@127.0.0.1:1/library')
    const { url, db, codec } = await startLibrary(t, {
      session: { profile: versionProfile(djangoVersion), saveEveryRequest: true },
      app: () => ({ catalog: createCatalog({ db: away }) }),
    })
    const session_key = 'abcdefghijklmnopqrstuvwxyz012345'
    const expire_date = '2999-01-01 00:00:00'
    await db('django_session').insert({ session_key, session_data: codec.encode(new Map()), expire_date })
    const response = await fetch(`${url}/catalog/`, { headers: { Cookie: `sessionid=${session_key}` } })
    t.is(response.status, 503)
    t.is(response.headers.get('Set-Cookie') !== null, saves)
  })
}

for (const scheme of ['mysql', 'postgresql']) {
  test(`a ${scheme} server that does not listen is a 503 with Retry-After`, async (t) => {
    const db = openUrl(t, `${scheme}://user:password@127.0.0.1:1/library`)
    const { url, log } = await serve(t, async () => {
      await db.raw('SELECT 1')
    })
    const response = await fetch(url)
    t.is(response.status, 503)
    t.is(response.headers.get('Retry-After'), '5')
    t.true((await response.text()).includes('<h1>Back in a moment</h1>'))
    t.like(await log.next('http.failure'), { status: 503 })
  })
}

for (const scheme of ['mysql', 'postgresql']) {
  test(`a ${scheme} server that closes the connection is a 503`, async (t) => {
    const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    const db = openUrl(t, `${scheme}://user:password@127.0.0.1:${port}/library`)
    const { url } = await serve(t, async () => {
      await db.raw('SELECT 1')
    })
    t.is((await fetch(url)).status, 503)
  })
}

const MANY_ROWS = 'information_schema.columns a, information_schema.columns b, information_schema.columns c'

/** Ways in which a server ends a statement or a connection. */
const CUT_SHORT: [what: string, name: TestDatabaseName, statements: string[]][] = [
  ['a connection killed', 'mysql', ['KILL CONNECTION_ID()']],
  ['a connection killed', 'mariadb', ['KILL CONNECTION_ID()']],
  ['a connection killed', 'postgresql', ['SELECT pg_terminate_backend(pg_backend_pid())']],
  [
    'a statement taking too long',
    'mysql',
    [`SELECT /*+ MAX_EXECUTION_TIME(10) */ COUNT(*) FROM ${MANY_ROWS}`],
  ],
  [
    'a statement taking too long',
    'mariadb',
    [`SET STATEMENT max_statement_time = 0.01 FOR SELECT COUNT(*) FROM ${MANY_ROWS}`],
  ],
  ['a statement taking too long', 'postgresql', ['SET statement_timeout = 10', 'SELECT pg_sleep(60)']],
]

for (const [what, name, statements] of CUT_SHORT.filter(([, name]) => testDatabases.includes(name))) {
  test(`${what} by ${name} is a 503`, async (t) => {
    const { url: databaseUrl } = await createTestDatabase(t, name, { tables: 'none' })
    const db = openUrl(t, databaseUrl)
    const { url } = await serve(t, async () => {
      for (const statement of statements) await db.raw(statement)
    })
    t.is((await fetch(url)).status, 503)
  })
}

test('a pool without a free connection is a 503', async (t) => {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite')
  const db = openUrl(t, databaseUrl)
  const { url } = await serve(t, async () => {
    await db.transaction(() => db.raw('SELECT 1')) // SQLite has one connection
  })
  Object.assign(db.client.pool, { acquireTimeoutMillis: 20 })
  t.is((await fetch(url)).status, 503)
})

test('a missing table is a 500: waiting does not help', async (t) => {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite')
  const db = openUrl(t, databaseUrl)
  const { url } = await serve(t, async () => {
    await db('catalog_book')
  })
  const response = await fetch(url)
  t.is(response.status, 500)
  t.is(response.headers.get('Retry-After'), null)
})

test('an error with a cause has the status of its cause', async (t) => {
  const { url } = await serve(t, () => {
    throw new Error('could not save', { cause: Object.assign(new Error(), { code: 'SQLITE_BUSY' }) })
  })
  t.is((await fetch(url)).status, 503)
})

test('a status on an error that is not an HTTP error is ignored', async (t) => {
  const { url } = await serve(t, () => {
    throw Object.assign(new Error('from some client library'), { status: 404 })
  })
  t.is((await fetch(url)).status, 500)
})

for (const thrown of [undefined, null, 'text', { status: 404 }]) {
  test(`throwing ${JSON.stringify(thrown)} is a 500`, async (t) => {
    const { url } = await serve(t, () => {
      throw thrown
    })
    t.is((await fetch(url)).status, 500)
  })
}

test('neither the page nor the log shows the message of an error, which may quote data', async (t) => {
  const secret = 'Duplicate entry abcdefgh'
  const { url, log } = await serve(t, () => {
    throw Object.assign(new Error(secret, { cause: new Error(secret) }), {
      code: 'ER_DUP_ENTRY',
      sql: secret,
    })
  })
  const response = await fetch(url)
  t.is(response.status, 500)
  t.false((await response.text()).includes(secret))
  const fields = await log.next('http.failure')
  t.false(JSON.stringify(fields).includes(secret))
  t.like(fields, { error: 'Error', code: 'ER_DUP_ENTRY', cause: { error: 'Error' } })
  t.regex(String((fields.frames as string[])[0]), /error-pages\.test\.ts/)
})

test('the log has the message of an error with an ERR_… code', async (t) => {
  const { url, log } = await serve(t, () => {
    throw Object.assign(new Error('x is missing; set y'), { code: 'ERR_SETTINGS' })
  })
  await fetch(url)
  t.like(await log.next('http.failure'), { message: 'x is missing; set y' })
})

test('the page of a 5xx shows the request id that is in the log', async (t) => {
  const { url, log, db } = await startLibrary(t)
  await db.schema.dropTable('catalog_author')
  const response = await fetch(`${url}/catalog/`)
  const id = response.headers.get('X-Request-Id') ?? ''
  t.is(response.status, 500)
  t.true((await response.text()).includes(`<code>${id}</code>`))
  t.is((await log.next('http.failure')).requestId, id)
  t.is((await log.next('http.request')).requestId, id)
})

test('an error page keeps the cookie and Vary, and drops the headers that described the body', async (t) => {
  const { url } = await serve(t, (ctx) => {
    ctx.append('Set-Cookie', ['sessionid=""; Max-Age=0', 'other=1'])
    ctx.set({
      Vary: 'Cookie',
      ETag: '"1"',
      'Content-Encoding': 'gzip',
      'Cache-Control': 'public, max-age=60',
    })
    ctx.body = Buffer.from('half a page')
    ctx.throw(404)
  })
  const response = await fetch(url)
  t.is(response.status, 404)
  t.deepEqual(response.headers.getSetCookie(), ['sessionid=""; Max-Age=0', 'other=1'])
  t.is(response.headers.get('Vary'), 'Cookie')
  t.is(response.headers.get('ETag'), null)
  t.is(response.headers.get('Content-Encoding'), null)
  t.is(response.headers.get('Cache-Control'), 'no-store')
  t.is(response.headers.get('Content-Type'), 'text/html; charset=utf-8')
})

test('the headers of an HTTP error are sent, including its own Retry-After', async (t) => {
  const { url } = await serve(t, (ctx) => {
    ctx.throw(503, { headers: { 'Retry-After': '120' } })
  })
  t.is((await fetch(url)).headers.get('Retry-After'), '120')
})

test('a page with its own body is not replaced, whatever its status', async (t) => {
  const { url } = await serve(t, (ctx) => {
    ctx.status = 404
    ctx.body = { error: 'no such book' }
  })
  t.deepEqual(await (await fetch(url)).json(), { error: 'no such book' })
})

/** Serves one handler inside the error pages. */
async function serve(t: Scope, handler: Middleware): Promise<{ url: string; log: RecordedLog }> {
  const log = recordLog()
  const templates = createTemplates({ stylesUrl: '/styles.css', iconUrl: '/icon.svg', version: '' })
  const app = new Koa().use(createErrorPages({ templates, log, bareLayout })).use(handler)
  return { url: await listen(t, app.callback()), log }
}

/** Returns the answer to this request line, which `fetch` would not send. */
async function request(url: string, line: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8')
  socket.end(`${line}\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
  let answer = ''
  socket.on('data', (text) => {
    answer += text
  })
  await once(socket, 'close')
  return answer
}
