import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import type { Scope } from '../../support/file-scope.ts'
import { type RunningService, startService } from '../../support/service.ts'

/** What an upstream does with each connection once it has received a head. */
type Behaviour = (socket: Socket) => void

const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'

const behaviours: Readonly<Record<string, Behaviour>> = {
  refuses: (socket) => void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
  refusesInChunks: (socket) =>
    void socket.end('HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n'),
  refusesAndStays: (socket) => void socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'),
  closes: (socket) => void socket.end(),
  resets: (socket) => void socket.resetAndDestroy(),
  speaksNoHttp: (socket) => void socket.write('SSH-2.0-OpenSSH\r\n'),
  breaksOff: (socket) => void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 200\r\n\r\nno'),
  switchesAndCloses: (socket) => void socket.end(`${SWITCHED}bye`),
  switchesAndResets: (socket) => void socket.write(SWITCHED, () => socket.resetAndDestroy()),
}

interface Back {
  readonly url: string
  readonly sockets: Set<Socket>
}

/** Starts an upstream that handles raw connections; the first part of the path names the behaviour. */
async function startRaw(t: Scope, others: Readonly<Record<string, Behaviour>> = {}): Promise<Back> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket)).on('error', () => {})
    socket.once('data', (head) => {
      const name = /^GET \/(\w+)/.exec(String(head))?.[1] ?? ''
      ;(others[name] ?? behaviours[name])?.(socket)
      socket.resume()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets }
}

function handshake(path: string, headers = ''): string {
  return `GET /${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`
}

/** `allowHalfOpen`: such a client does not end its side by itself. */
function openClient(t: Scope, { url }: RunningService, allowHalfOpen = false): Socket {
  const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen })
  t.teardown(() => socket.destroy())
  return socket.on('error', () => {})
}

const descriptors = ({ pid }: RunningService): number => readdirSync(`/proc/${pid}/fd`).length

/** Waits until the service has at most this many descriptors, and the upstream has no connection. */
async function settle(
  t: ExecutionContext,
  service: RunningService,
  { most, back }: { most: number; back?: Back },
): Promise<void> {
  const isSettled = () => descriptors(service) <= most && (back === undefined || back.sockets.size === 0)
  for (let tries = 0; tries < 600 && !isSettled(); tries += 1) await delay(50)
  t.true(isSettled(), `${descriptors(service)} descriptors, at most ${most} expected; ${back?.sockets.size}`)
}

test('2,000 refused WebSockets, with bytes after their heads, leave no open descriptor', async (t) => {
  t.timeout(110_000)
  const back = await startRaw(t)
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const before = descriptors(service)
  for (let round = 0; round < 8; round += 1) {
    const clients = Array.from({ length: 250 }, () => {
      const client = openClient(t, service)
      client.write(`${handshake('refuses')}\x81\x05hello`, 'latin1')
      return client
    })
    const answers = await Promise.all(clients.map(text))
    t.true(answers.every((answer) => /^HTTP\/1\.1 403 [\s\S]*no$/.test(answer)))
  }
  await settle(t, service, { most: before + 5, back })
})

const EXTRAS = ['', '\x81\x05hello', 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n', 'z'.repeat(300_000)]

test('however the upstream handles a handshake, and whatever follows it, no descriptor stays open', async (t) => {
  t.timeout(110_000)
  const back = await startRaw(t)
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const before = descriptors(service)
  for (const name of Object.keys(behaviours)) {
    for (const extra of EXTRAS) {
      for (let index = 0; index < 15; index += 1) {
        const client = openClient(t, service, index % 3 === 0).resume()
        client.write(handshake(name) + extra, 'latin1')
        if (index % 3 === 1) client.end()
      }
    }
    await settle(t, service, { most: before + 5, back })
  }
  t.is((await fetch(`${service.url}/catalog/`)).status, 200)
})

test('a handshake that is never answered is given up', async (t) => {
  const back = await startRaw(t, { silent: () => {} })
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url, DJANGO_UPSTREAM_TIMEOUT: '1' } })
  const before = descriptors(service)
  const clients = EXTRAS.map((extra) => {
    const client = openClient(t, service)
    client.write(handshake('silent') + extra, 'latin1')
    return client
  })
  for (const answer of await Promise.all(clients.map(text)))
    t.regex(answer, /^HTTP\/1\.1 504 Gateway Timeout\r\n[\s\S]*Retry-After: 5\r\n/)
  await settle(t, service, { most: before + 2 })
})

test('a client that disconnects before the answer ends its handshake', async (t) => {
  const arrived: Socket[] = []
  const back = await startRaw(t, { silent: (socket) => void arrived.push(socket) })
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const before = descriptors(service)
  const clients = EXTRAS.slice(0, 3).map((extra) => {
    const client = openClient(t, service)
    client.write(handshake('silent') + extra, 'latin1')
    return client
  })
  while (arrived.length < clients.length) await delay(20)
  for (const client of clients) client.resetAndDestroy()
  await settle(t, service, { most: before + 2 })
  t.like(await service.next('http.request'), { path: '/silent', aborted: true })
  t.false(service.log().some(({ event }) => event === 'http.failure'))
})

test('an open WebSocket closes on both sides, however one of them closes', async (t) => {
  const opened: Socket[] = []
  const back = await startRaw(t, {
    opens: (socket) => void socket.write(SWITCHED, () => opened.push(socket)),
  })
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const before = descriptors(service)
  const ends = [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]
  for (const end of ends) {
    for (const side of ['client', 'server'] as const) {
      const client = openClient(t, service, true).resume()
      client.write(`${handshake('opens')}\x81\x05hello`, 'latin1')
      await once(client, 'data')
      const server = opened.pop()
      if (server === undefined) throw new Error('the server has not been asked')
      const other = side === 'client' ? server : client
      const ended = Promise.race([once(other, 'end'), once(other, 'close')]).catch(() => null)
      end(side === 'client' ? client : server)
      await ended
    }
  }
  await settle(t, service, { most: before + 2 }) // although a half-open side does not close
})

test('data sent to a WebSocket arrives before its end, at the pace of a slow reader', async (t) => {
  const size = 16 * 1024 ** 2
  const back = await startRaw(t, { pours: (socket) => void socket.end(SWITCHED + 'x'.repeat(size)) })
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const client = openClient(t, service)
  client.write(handshake('pours'))
  await once(client, 'readable')
  await delay(300) // Meanwhile the upstream has ended its side, and the kernel's buffers are full.
  let received = 0
  for await (const chunk of client) received += chunk.length
  t.is(received, SWITCHED.length + size)
})

test('a handshake that RFC 6455 does not allow is treated as a plain request', async (t) => {
  const heads: string[] = []
  const server = createServer((socket) => {
    socket
      .on('error', () => {})
      .once('data', (head) => {
        heads.push(String(head))
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain')
      })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const upstream = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const service = await startService(t, { env: { DJANGO_UPSTREAM: upstream } })
  const before = descriptors(service)
  const upgrade = 'Host: 127.0.0.1\r\nConnection: Upgrade, close\r\n'
  for (const request of [
    `GET /x HTTP/1.1\r\n${upgrade}Upgrade: websocket\r\nContent-Length: 4\r\n\r\nbody`,
    `GET /x HTTP/1.1\r\n${upgrade}Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n`,
    `GET /x HTTP/1.0\r\n${upgrade}Upgrade: websocket\r\n\r\n`,
    `POST /x HTTP/1.1\r\n${upgrade}Upgrade: websocket\r\nContent-Length: 0\r\n\r\n`,
    `GET /x HTTP/1.1\r\n${upgrade}Upgrade: h2c, websocket\r\n\r\n`,
    `GET /x HTTP/1.1\r\n${upgrade}Upgrade: tls/1.0\r\n\r\n`,
  ]) {
    const client = openClient(t, service)
    client.write(request)
    t.regex(await text(client), /^HTTP\/1\.1 200 OK[\s\S]*plain$/, request)
  }
  t.is(heads.length, 6)
  t.false(heads.some((head) => /^upgrade:/im.test(head)))
  await settle(t, service, { most: before + 2 })
})

test('a handshake after an unanswered request does not overtake it', async (t) => {
  const back = await startRaw(t, {
    slow: (socket) =>
      void delay(200).then(() => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow')),
    next: (socket) => void socket.end('HTTP/1.1 426 Upgrade Required\r\nContent-Length: 4\r\n\r\nnext'),
  })
  const service = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const client = openClient(t, service)
  client.write(`GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n${handshake('next')}`)
  let answers = ''
  while (!answers.endsWith('next')) answers += String(await once(client, 'data'))
  t.regex(answers, /^HTTP\/1\.1 200 OK[\s\S]*slowHTTP\/1\.1 426 Upgrade Required/)
})

test('WebSockets have their own limit, and further ones are refused immediately', async (t) => {
  const back = await startRaw(t, {
    opens: (socket) => void socket.once('end', () => socket.end()).write(SWITCHED),
  })
  const env = { DJANGO_UPSTREAM: back.url, DJANGO_UPSTREAM_WEBSOCKETS: '2', DJANGO_UPSTREAM_CONNECTIONS: '1' }
  const service = await startService(t, { env })
  const open = async () => {
    const client = openClient(t, service)
    client.write(handshake('opens'))
    const [answer] = (await once(client, 'data')) as [Buffer]
    return { client, answer: answer.toString() }
  }
  const first = await open()
  t.regex((await open()).answer, /^HTTP\/1\.1 101 /)
  t.regex((await open()).answer, /^HTTP\/1\.1 503 Service Unavailable\r\n[\s\S]*Retry-After: 5\r\n/)
  t.like(await service.next('upstream.busy'), { kind: 'websocket', connections: 2 })
  const request = openClient(t, service)
  request.write('GET /refuses HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  t.regex(String(await once(request, 'data')), /^HTTP\/1\.1 403 /)
  first.client.destroy()
  while (back.sockets.size > 1) await delay(20)
  t.regex((await open()).answer, /^HTTP\/1\.1 101 /)
})
