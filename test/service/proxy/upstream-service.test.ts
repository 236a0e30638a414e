import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { freePorts, runCommand, sourceMain, startCommand, startService } from '../../support/service.ts'
import { openSocket, sendRaw, startBack } from './behind.ts'

const hello: Parameters<typeof startBack>[1] = (_, response) => void response.end('from the back')

test('DJANGO_UPSTREAM alone puts the service in front of another server, even without a database', async (t) => {
  const back = await startBack(t, hello)
  const env = { ...freePorts, DJANGO_UPSTREAM: back.url }
  const away = { DATABASE_URL: 'mysql://nobody@127.0.0.1:1/nothing', DJANGO_SECRET_KEY: 'x' }
  const service = startCommand(t, ['serve'], { env: { ...env, ...away } })
  const { origin } = new URL(String((await service.next('service.listening')).url))
  t.is(await (await fetch(`${origin}/admin/`)).text(), 'from the back')
  t.is((await fetch(`${origin}/catalog/`)).status, 503)
  t.is(await service.stop(), 0)
})

test('without DJANGO_UPSTREAM, other paths are a 404', async (t) => {
  const { url } = await startService(t)
  t.is((await fetch(`${url}/admin/`)).status, 404)
})

test('a WebSocket reaches the upstream, and messages pass both ways', async (t) => {
  const back = await startSocketServer(t)
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const socket = new WebSocket(`${service.url.replace('http', 'ws')}/ws/loans/?book=1`)
  const messages: string[] = []
  socket.addEventListener('message', ({ data }) => messages.push(data))
  await once(socket, 'open')
  socket.send('one')
  socket.send('이')
  while (messages.length < 2) await once(socket, 'message')
  t.deepEqual(messages, ['echo one', 'echo 이'])
  t.like(back.requests[0]?.headers, {
    host: new URL(service.url).host,
    upgrade: 'websocket',
    connection: 'Upgrade',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
  })
  t.is(back.requests[0]?.url, '/ws/loans/?book=1')
  t.like(await service.next('http.request'), { method: 'GET', path: '/ws/…', status: 101 })
  const closed = once(socket, 'close')
  back.sockets[0]?.destroy()
  await closed
  t.is(await service.stop(), 0)
})

test('a WebSocket whose target has a host is passed on as its path, with that host', async (t) => {
  const back = await startSocketServer(t)
  const env = { DJANGO_UPSTREAM: back.url, ALLOWED_HOSTS: '127.0.0.1 library.example.com' }
  const { url } = await startService(t, { env })
  const socket = openSocket(url)
  socket.write(upgradeTo('http://library.example.com:81/ws/loans/?book=1', '127.0.0.1'))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  t.regex(answer.toString(), /^HTTP\/1\.1 101 /)
  socket.destroy()
  t.is(back.requests[0]?.url, '/ws/loans/?book=1')
  t.like(back.requests[0]?.headers, {
    host: 'library.example.com:81',
    'x-forwarded-host': 'library.example.com:81',
  })
  for (const [target, host] of [
    ['http://evil.example/ws/', '127.0.0.1'],
    ['http://127.0.0.1/ws/', 'evil.example'],
  ] as const)
    t.regex(await sendRaw(url, upgradeTo(target, host)), /^HTTP\/1\.1 400 /)
  t.is(back.requests.length, 1)
})

test('no log line contains the whole path: passed on, refused, not found, failed, or a WebSocket', async (t) => {
  const secret = 'c7x3ab-0123456789abcdef'
  const back = await startBack(t, hello)
  const env = { LOG_LEVEL: 'trace', SERVE_LOGIN: 'True', TRUSTED_PROXY: 'True' }
  // In the bundle Node warns of url.parse, which parseurl calls for some targets: there it is not in node_modules.
  const main = sourceMain
  const alone = await startService(t, { main, env })
  const front = await startService(t, { main, env: { ...env, DJANGO_UPSTREAM: back.url } })
  const patterns = '/accounts/reset/<uidb64>/<token>/ /invite/<code>'
  const named = await startService(t, {
    main,
    env: { ...env, DJANGO_UPSTREAM: back.url, LOG_PATHS: patterns },
  })
  const targets = [
    `/accounts/reset/MQ/${secret}/`,
    `/accounts/%72eset/MQ/${secret}/?next=/${secret}`,
    `http://127.0.0.1/accounts/reset/MQ/${secret}/`,
    `//accounts/reset/MQ/${secret}/`,
    `/invite/${secret}`,
    `/${secret}/accounts/`,
    `/${secret}`,
    `/accounts/login/x/../?${secret}`,
    `/catalog/../accounts/${secret}/../login/`,
    `/catalog/#${secret}`,
    `/health/${secret}`,
    `/koa-assets/${secret}.css`,
    `http://[/${secret}`,
  ]
  const visit = async (url: string) => {
    for (const target of targets) {
      for (const method of ['GET', 'POST', 'HEAD'])
        await sendRaw(url, `${method} ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
      await sendRaw(url, upgradeTo(target, '127.0.0.1', 'Connection: Upgrade, close'))
    }
    const forged = `X-Forwarded-Proto: https\r\nReferer: https://evil.example/reset/${secret}/\r\nX-Original-URL: /${secret}`
    await sendRaw(
      url,
      `POST /accounts/logout/ HTTP/1.1\r\nHost: 127.0.0.1\r\n${forged}\r\nConnection: close\r\n\r\n`,
    )
  }
  for (const { url } of [alone, front, named]) await visit(url)
  back.server.close()
  await once(back.server, 'close')
  await visit(front.url)
  for (const service of [alone, front, named]) {
    await service.stop()
    t.deepEqual(
      service.log().filter((line) => JSON.stringify(line).includes(secret)),
      [],
    )
    t.is(service.stderr(), '')
  }
  const pathsOf = (service: typeof front) => {
    const lines = service.log().filter(({ event }) => event === 'http.request')
    return [...new Set(lines.map(({ path }) => path))].sort()
  }
  const ours = ['/accounts/logout/']
  const shown = ['/accounts/…', '/catalog/…', '/health/…', '/invite/…', '/koa-assets/…', '/…']
  t.deepEqual(pathsOf(alone), [...ours, ...shown].sort())
  t.deepEqual(pathsOf(front), [...ours, ...shown].sort())
  const [reset = '', invite = ''] = patterns.split(' ')
  const others = shown.filter((path) => path !== '/invite/…')
  t.deepEqual(pathsOf(named), [...ours, ...others, reset, invite].sort())
})

test('an open WebSocket does not prevent a shutdown', async (t) => {
  const back = await startSocketServer(t)
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const socket = new WebSocket(`${service.url.replace('http', 'ws')}/ws/`)
  await once(socket, 'open')
  const closed = once(socket, 'close')
  const started = performance.now()
  t.is(await service.stop(), 0)
  await closed
  t.true(performance.now() - started < 8000)
})

test('a WebSocket that the upstream refuses or cannot receive is answered', async (t) => {
  const back = await startBack(t, (_, response) => {
    response.writeHead(403, { 'Content-Type': 'text/plain' }).end('members only')
  })
  const { url, next } = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const ask = (host: string) => sendRaw(url, upgradeTo('/ws/', host))
  t.regex(await ask('127.0.0.1'), /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*members only/)
  t.regex(await ask('evil.example'), /^HTTP\/1\.1 400 Bad Request\r\n/)
  t.like(await next('security.disallowed_host'), { host: 'evil.example' })
  t.is(back.heads.length, 1)
  back.server.close()
  await once(back.server, 'close')
  t.regex(await ask('127.0.0.1'), /^HTTP\/1\.1 502 Bad Gateway\r\n/)
  t.like(await next('http.failure'), { status: 502, code: 'ERR_UPSTREAM_UNAVAILABLE' })
})

test('a client that offers another protocol gets its answer over HTTP/1.1', async (t) => {
  const back = await startBack(t, async (request, response) => void response.end(await text(request)))
  const { url } = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const offer =
    'Host: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk'
  t.regex(await sendRaw(url, `GET /catalog/ HTTP/1.1\r\n${offer}\r\n\r\n`), /Local Library Home/)
  const answer = await sendRaw(url, `POST /x HTTP/1.1\r\n${offer}\r\nContent-Length: 4\r\n\r\nbody`)
  t.regex(answer, /body/)
  t.notRegex(back.heads[0] ?? '', /upgrade|h2c|http2/i)
})

test('a shutdown lets a download from the upstream finish', async (t) => {
  const next = Promise.withResolvers<void>()
  const back = await startBack(t, async (_, response) => {
    response.write('half, ')
    await next.promise
    response.end('whole')
  })
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const [response] = (await once(httpRequest(`${service.url}/download`).end(), 'response')) as [
    IncomingMessage,
  ]
  const ended = service.stop()
  await service.next('service.stopping')
  next.resolve()
  t.is(await text(response), 'half, whole')
  t.is(await ended, 0)
})

test('a client that stops sending its upload gets a 408', async (t) => {
  const back = await startBack(t, (request) => void request.resume().on('error', () => {}))
  const { url } = await startService(t, { env: { DJANGO_UPSTREAM: back.url, DJANGO_UPSTREAM_TIMEOUT: '1' } })
  const silent = openSocket(url)
  silent.write('POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf')
  const [answer] = (await once(silent, 'data')) as [Buffer]
  t.regex(answer.toString(), /^HTTP\/1\.1 408 /)
  silent.destroy()
})

test('a head that is incomplete after 10 s is given up, before a request without data for 15 s', async (t) => {
  t.timeout(60_000)
  const back = await startBack(t, (request) => void request.resume().on('error', () => {}))
  const env = { DJANGO_UPSTREAM: back.url, DJANGO_UPSTREAM_TIMEOUT: '15' }
  const { url } = await startService(t, { env })
  const silent = openSocket(url)
  silent.write('POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf')
  const dripping = openSocket(url)
  dripping.write('GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Drip: ')
  const timer = setInterval(() => dripping.write('x'), 500)
  t.teardown(() => clearInterval(timer))
  const answerOf = async (socket: Socket, name: string) => {
    const [answer] = (await once(socket, 'data')) as [Buffer]
    return `${name}: ${answer.toString().slice(0, 'HTTP/1.1 408'.length)}`
  }
  t.is(
    await Promise.race([answerOf(silent, 'the request'), answerOf(dripping, 'the head')]),
    'the head: HTTP/1.1 408',
  )
  for (const socket of [silent, dripping]) socket.destroy()
})

test('an invalid upstream, or the service itself, is reported as a problem of the settings', async (t) => {
  for (const [url, port] of [
    ['localhost:8000', '0'],
    ['http://127.0.0.1:8000/django', '0'],
    ['http://user:hunter2@127.0.0.1:8000', '0'],
    ['ftp://127.0.0.1', '0'],
    ['unix:relative', '0'],
    ['http://localhost:4567', '4567'],
  ] as const) {
    const { status, stderr } = await runCommand(t, ['serve'], { env: { DJANGO_UPSTREAM: url, PORT: port } })
    t.is(status, 1, url)
    t.regex(stderr, /^SettingsError: DJANGO_UPSTREAM is /, url)
    t.notRegex(stderr, /hunter2/)
  }
})

/** The head of a WebSocket handshake. */
function upgradeTo(target: string, host: string, connection = 'Connection: Upgrade'): string {
  return [
    `GET ${target} HTTP/1.1`,
    `Host: ${host}`,
    connection,
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    '',
    '',
  ].join('\r\n')
}

interface SocketServer {
  readonly url: string
  readonly requests: IncomingMessage[]
  readonly sockets: Socket[]
}

/** Answers each short text message of a WebSocket with another (RFC 6455). */
async function startSocketServer(t: Parameters<typeof startBack>[0]): Promise<SocketServer> {
  const back: { requests: IncomingMessage[]; sockets: Socket[] } = { requests: [], sockets: [] }
  const server: Server = createServer().on('upgrade', (request, socket) => {
    back.requests.push(request)
    back.sockets.push(socket as Socket)
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash('sha1').update(key).digest('base64')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    )
    socket.on('error', () => {})
    socket.on('data', (frames: Buffer) => {
      for (let rest = frames; rest.length > 6; ) {
        const length = (rest[1] ?? 0) & 0x7f
        const mask = rest.subarray(2, 6)
        const message = rest.subarray(6, 6 + length).map((byte, index) => byte ^ (mask[index % 4] ?? 0))
        if (((rest[0] ?? 0) & 0xf) === 1) {
          const answer = Buffer.from(`echo ${Buffer.from(message)}`)
          socket.write(Buffer.concat([Buffer.from([0x81, answer.length]), answer]))
        }
        rest = rest.subarray(6 + length)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of back.sockets) socket.destroy()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ...back }
}
