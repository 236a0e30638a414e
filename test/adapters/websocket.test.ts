import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { WebSocket, WebSocketServer } from 'ws'
import { createAuthHashes } from '../../src/django/auth-hash.ts'
import { stringifyValue } from '../../src/django/json.ts'
import { versionProfile } from '../../src/django/versions.ts'
import type { DjangoSite } from '../../src/site/django-site.ts'
import { addUser, hashed, MODEL_BACKEND } from '../auth/users.ts'
import { type DbUnderTest, openDb, secretKey } from '../engines/db-under-test.ts'
import type { Scope } from '../support/file-scope.ts'
import { listen } from '../support/library.ts'
import { siteOf } from './sites.ts'

const KEY = 'abcdefgh0123456789abcdefgh012345'

/** Says whom it talks to, to whoever is logged in; nobody else is let in. Closes when the session ends. */
async function serve(t: Scope, site: DjangoSite): Promise<string> {
  const server = createServer()
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', async (request, socket, head) => {
    const { session, user } = await site.authenticate(request)
    if (!user.isAuthenticated) {
      socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
      return
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const watch = site.watch(request, (reason) => webSocket.close(4401, reason))
      webSocket.on('close', () => watch.stop())
      webSocket.send(JSON.stringify([user.getUsername(), session.get('cart', null)]))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const client of sockets.clients) client.terminate()
    server.close()
  })
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The first message, or the status of a refusal. */
async function connect(t: Scope, url: string, cookie?: string): Promise<string | number> {
  const socket = new WebSocket(url, { headers: cookie === undefined ? {} : { Cookie: cookie } })
  t.teardown(() => socket.terminate())
  return new Promise((resolve, reject) => {
    socket.on('message', (data) => resolve(String(data)))
    socket.on('unexpected-response', (_request, response) => resolve(Number(response.statusCode)))
    socket.on('error', reject)
  })
}

async function logIn(
  db: DbUnderTest,
  secretKeys: readonly [string, ...string[]] = [secretKey],
): Promise<void> {
  const password = hashed('secret')
  const id = await addUser(db, { username: 'ann', password })
  const hashes = createAuthHashes({ secretKeys, profile: versionProfile(db.djangoVersion) })
  const values = {
    cart: [1],
    _auth_user_id: String(id),
    _auth_user_backend: MODEL_BACKEND,
    _auth_user_hash: hashes.create(password),
  }
  const data = new Map(Object.entries(values).map(([name, value]) => [name, stringifyValue(value)]))
  await db.engine.create(KEY, { data, expireDate: new Date('2999-01-01') })
}

test('a WebSocket is opened for a visitor who is logged in, and refused to others', async (t) => {
  const db = await openDb(t, 'sqlite', { tables: 'library' })
  await logIn(db)
  const url = await serve(t, siteOf(db))
  t.is(await connect(t, url, `theme=dark; sessionid=${KEY}`), '["ann",[1]]')
  t.is(await connect(t, url), 401)
  t.is(await connect(t, url, 'sessionid=abcdefgh0123456789abcdefgh000000'), 401)
})

test('after a change of the password, a session opens no WebSocket, and is kept for the next page', async (t) => {
  const db = await openDb(t, 'sqlite', { tables: 'library' })
  await logIn(db)
  await db.db('auth_user').update({ password: hashed('another') })
  const before = await db.rows()
  t.is(await connect(t, await serve(t, siteOf(db)), `sessionid=${KEY}`), 401)
  t.deepEqual(await db.rows(), before)
})

test('a hash with a fallback key opens a WebSocket, and the session keeps its key, since no cookie could be set', async (t) => {
  const db = await openDb(t, 'sqlite', { tables: 'library' })
  await logIn(db)
  const before = await db.rows()
  const site = siteOf(db, { secretKeys: ['the key that comes', secretKey] })
  t.is(await connect(t, await serve(t, site), `sessionid=${KEY}`), '["ann",[1]]')
  t.deepEqual(await db.rows(), before)
})

for (const [name, step, reason] of [
  ['was logged out', (db: DbUnderTest) => db.db('django_session').delete(), 'logout'],
  ['has another password', (db: DbUnderTest) => db.db('auth_user').update({ password: '!' }), 'password'],
  ['is not active any more', (db: DbUnderTest) => db.db('auth_user').update({ is_active: 0 }), 'deactivated'],
] as const) {
  test(`an open WebSocket is closed when its user ${name}`, async (t) => {
    const db = await openDb(t, 'sqlite', { tables: 'library' })
    await logIn(db)
    const site = siteOf(db, { watch: { interval: 20 } })
    t.teardown(() => site.close())
    const socket = new WebSocket(await serve(t, site), { headers: { Cookie: `sessionid=${KEY}` } })
    t.teardown(() => socket.terminate())
    await once(socket, 'message')
    const closed = once(socket, 'close')
    await step(db)
    const [code, text] = await closed
    t.deepEqual([code, String(text)], [4401, reason])
  })
}

test('an event stream ends when its session does', async (t) => {
  const db = await openDb(t, 'sqlite', { tables: 'library' })
  await logIn(db)
  const site = siteOf(db, { watch: { interval: 20 } })
  t.teardown(() => site.close())
  const url = await listen(t, async (request, response) => {
    const { user } = await site.authenticate(request)
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    const watch = site.watch(request, (reason) => response.end(`event: end\ndata: ${reason}\n\n`))
    response.on('close', () => watch.stop())
    response.write(`data: ${user.getUsername()}\n\n`)
    await db.db('django_session').delete()
  })
  const response = await fetch(url, { headers: { Cookie: `sessionid=${KEY}` } })
  t.is(await response.text(), 'data: ann\n\nevent: end\ndata: logout\n\n')
})

test('a Cookie header is enough, and changes are stored by save', async (t) => {
  const db = await openDb(t, 'sqlite', { tables: 'library' })
  await logIn(db)
  const site = siteOf(db)
  const { session, user } = await site.authenticate(`sessionid=${KEY}`)
  t.true(user.isAuthenticated)
  session.set('cart', [1, 2])
  await session.save()
  const again = await site.authenticate({ headers: { cookie: `sessionid=${KEY}` } })
  t.deepEqual(again.session.get('cart'), [1, 2])
  const nobody = await site.authenticate(undefined)
  t.false(nobody.user.isAuthenticated)
})
