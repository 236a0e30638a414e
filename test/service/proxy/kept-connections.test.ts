import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import type { Scope } from '../../support/file-scope.ts'
import { startService, temporaryFolder } from '../../support/service.ts'
import { until } from '../../support/until.ts'
import { startBefore } from './behind.ts'

interface Asked {
  readonly socket: Socket
  readonly method: string
  readonly path: string
  /** The count of requests on this connection, this one included. */
  readonly nth: number
}

interface Back {
  readonly url: string
  /** `GET /path` of each request, with the number of its connection. */
  readonly requests: [request: string, connection: number][]
  readonly open: ReadonlySet<Socket>
}

/** Starts an upstream that answers each request by hand, any number on a connection. */
async function startRaw(t: Scope, answer: (asked: Asked) => void): Promise<Back> {
  const requests: Back['requests'] = []
  const open = new Set<Socket>()
  let count = 0
  const server = createServer((socket) => {
    count += 1
    const connection = count
    let nth = 0
    let received = ''
    open.add(socket)
    socket
      .setNoDelay(true)
      .on('error', () => {})
      .once('close', () => open.delete(socket))
      .on('data', (data) => {
        received += data.toString('latin1')
        for (let end = received.indexOf('\r\n\r\n'); end !== -1; end = received.indexOf('\r\n\r\n')) {
          const [, method = '', path = ''] = /^(\S+) (\S+)/.exec(received) ?? []
          const length = Number(/^content-length: (\d+)/im.exec(received.slice(0, end))?.[1] ?? 0)
          if (received.length < end + 4 + length) return
          received = received.slice(end + 4 + length)
          nth += 1
          requests.push([`${method} ${path}`, connection])
          answer({ socket, method, path, nth })
        }
      })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, requests, open }
}

const page = (body: string, headers = '') =>
  `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`

/** Answers with the request, as a server should. */
const own = ({ socket, method, path }: Asked): void => void socket.write(page(`own ${method} ${path}`))

/** A test waits long on a busy machine. */
const LONG = { keepAlive: 600_000 }

async function get(url: string, init: RequestInit = {}): Promise<string> {
  const response = await fetch(url, init)
  return `${response.status} ${await response.text()}`
}

test('only requests that may be repeated go over kept connections', async (t) => {
  const back = await startRaw(t, own)
  const { url } = await startBefore(t, back.url, LONG)
  for (const [method, body] of [
    ['GET', null],
    ['OPTIONS', null],
    ['POST', 'a'],
    ['POST', null],
    ['PUT', 'a'],
    ['DELETE', null],
    ['PATCH', 'a'],
    ['GET', null],
  ] as const)
    t.is(await get(`${url}/x`, { method, body }), `200 own ${method} /x`)
  const connectionOf = (request: string) =>
    back.requests.filter(([one]) => one === request).map(([, connection]) => connection)
  t.deepEqual(connectionOf('GET /x'), [1, 1])
  t.deepEqual(connectionOf('OPTIONS /x'), [1])
  t.is(new Set(back.requests.map(([, connection]) => connection)).size, 6)
})

const POISON = page('poison')
const NOT_FOR = (extra: string) => page('first', extra)

/** Answers after which the connection has, or may get, bytes that belong to no request. */
const hostile: Readonly<
  Record<string, { method?: string; status?: number; isLate?: boolean; answer: (socket: Socket) => void }>
> = {
  'is longer than its length': { answer: (socket) => void socket.write(NOT_FOR('') + POISON) },
  'is followed by another in a packet of its own': {
    answer: (socket) => void socket.write(NOT_FOR(''), () => socket.write(POISON)),
  },
  'is followed by another while the connection is kept': {
    isLate: true,
    answer: (socket) => void socket.write(NOT_FOR(''), () => setTimeout(() => socket.write(POISON), 5)),
  },
  'is followed by the beginning of another': {
    answer: (socket) => void socket.write(`${NOT_FOR('')}HTTP/1.1 200 OK\r\nX-Poison: `),
  },
  'is followed by an informational response': {
    answer: (socket) => void socket.write(`${NOT_FOR('')}HTTP/1.1 100 Continue\r\n\r\n${POISON}`),
  },
  'ends its chunks and goes on': {
    answer: (socket) =>
      void socket.write(
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n${POISON}`,
      ),
  },
  'closes, and goes on': { answer: (socket) => void socket.end(NOT_FOR('Connection: close\r\n') + POISON) },
  'to a HEAD has a body': {
    method: 'HEAD',
    answer: (socket) =>
      void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`),
  },
  // gunicorn sends the head and the body of an answer to HEAD in two packets.
  'to a HEAD has a body in a packet of its own': {
    method: 'HEAD',
    answer: (socket) =>
      void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${POISON.length}\r\n\r\n`, () =>
        setTimeout(() => socket.write(POISON), 5),
      ),
  },
  'is a 204 with a body': {
    status: 204,
    answer: (socket) =>
      void socket.write(`HTTP/1.1 204 No Content\r\nContent-Length: ${POISON.length}\r\n\r\n${POISON}`),
  },
  'is a 304 with a body in a packet of its own': {
    status: 304,
    answer: (socket) =>
      void socket.write('HTTP/1.1 304 Not Modified\r\n\r\n', () => setTimeout(() => socket.write(POISON), 5)),
  },
}

for (const [what, { method = 'GET', status = 200, isLate = false, answer }] of Object.entries(hostile)) {
  test(`no visitor gets the bytes after another one's answer that ${what}`, async (t) => {
    const asked: Socket[] = []
    const back = await startRaw(t, (request) => {
      if (request.path !== '/first') return own(request)
      asked.push(request.socket)
      answer(request.socket)
    })
    const { url } = await startBefore(t, back.url, LONG)
    for (let round = 0; round < 10; round += 1) {
      const first = await fetch(`${url}/first`, { method })
      t.is(first.status, status)
      t.is(await first.text(), method === 'HEAD' || status !== 200 ? '' : 'first')
      if (isLate || round % 2 === 0)
        await until('the connection is closed', () => asked.every((socket) => !back.open.has(socket)))
      const others = await Promise.all(Array.from({ length: 4 }, (_, index) => get(`${url}/${index}`)))
      t.deepEqual(others, ['200 own GET /0', '200 own GET /1', '200 own GET /2', '200 own GET /3'])
    }
    for (const [index, [request, connection]] of back.requests.entries()) {
      if (!request.endsWith(' /first')) continue
      t.false(back.requests.slice(index + 1).some(([, later]) => later === connection))
    }
  })
}

const ends: Readonly<Record<string, (socket: Socket) => void>> = {
  ends: (socket) => void socket.end(),
  closes: (socket) => void socket.destroy(),
  resets: (socket) => void socket.resetAndDestroy(),
}

for (const [what, end] of Object.entries(ends)) {
  test(`when the upstream ${what} a kept connection at the next request, that is sent once more`, async (t) => {
    const back = await startRaw(t, (asked) => (asked.nth === 1 ? own(asked) : end(asked.socket)))
    const { url, log } = await startBefore(t, back.url, LONG)
    for (const method of ['GET', 'GET', 'OPTIONS', 'GET'])
      t.is(await get(`${url}/x`, { method }), `200 own ${method} /x`)
    t.deepEqual(back.requests, [
      ['GET /x', 1],
      ['GET /x', 1],
      ['GET /x', 2],
      ['OPTIONS /x', 2],
      ['OPTIONS /x', 3],
      ['GET /x', 3],
      ['GET /x', 4],
    ])
    t.false(log.events.some(({ level }) => level === 'error' || level === 'warn'))
  })

  test(`when the upstream ${what} a new connection without an answer, or within one, nothing is repeated`, async (t) => {
    const back = await startRaw(t, (asked) => {
      if (asked.path === '/none') end(asked.socket)
      else if (asked.path === '/begun') asked.socket.write('HTTP/1.1 2', () => end(asked.socket))
      else own(asked)
    })
    const { url, log } = await startBefore(t, back.url, LONG)
    t.is((await fetch(`${url}/none`)).status, 502)
    t.is(await get(`${url}/x`), '200 own GET /x')
    t.is((await fetch(`${url}/begun`)).status, 502)
    t.is((await fetch(`${url}/none`, { method: 'POST' })).status, 502)
    t.deepEqual(
      back.requests.map(([request]) => request),
      ['GET /none', 'GET /x', 'GET /begun', 'POST /none'],
    )
    t.like(await log.next('http.failure'), { status: 502, code: 'ERR_UPSTREAM_UNAVAILABLE' })
  })
}

test('a kept connection that the upstream has closed is not used', async (t) => {
  const back = await startRaw(t, (asked) => {
    own(asked)
    if (asked.path === '/last') asked.socket.end()
  })
  const { url } = await startBefore(t, back.url, LONG)
  t.is(await get(`${url}/last`), '200 own GET /last')
  await until('the connection is closed', () => back.open.size === 0)
  t.is(await get(`${url}/x`, { method: 'OPTIONS' }), '200 own OPTIONS /x')
  t.deepEqual(
    back.requests.map(([, connection]) => connection),
    [1, 2],
  )
})

test('a connection is kept for keepAlive at most, for less than the server says, and with 0 not at all', async (t) => {
  const back = await startRaw(t, (asked) => {
    if (asked.path === '/x') own(asked)
    else asked.socket.write(page('ok', 'Keep-Alive: timeout=1\r\n'))
  })
  const short = await startBefore(t, back.url, { keepAlive: 50 })
  t.is(await get(`${short.url}/x`), '200 own GET /x')
  await until('the connection is closed', () => back.open.size === 0)
  const long = await startBefore(t, back.url, LONG)
  t.is(await get(`${long.url}/says`), '200 ok')
  await until('the connection is closed', () => back.open.size === 0)
  const off = await startBefore(t, back.url, { keepAlive: 0 })
  for (let round = 0; round < 3; round += 1) t.is(await get(`${off.url}/x`), '200 own GET /x')
  t.deepEqual(
    back.requests.map(([, connection]) => connection),
    [1, 2, 3, 4, 5],
  )
})

test('kept connections count among the connections, and make room for the others', async (t) => {
  const back = await startRaw(t, own)
  const { url } = await startBefore(t, back.url, { ...LONG, connections: 3 })
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.all(
      Array.from({ length: 9 }, (_, index) =>
        get(`${url}/${index}`, { method: (index + round) % 2 === 0 ? 'GET' : 'POST' }),
      ),
    )
    t.deepEqual(
      answers,
      answers.map((_, index) => `200 own ${(index + round) % 2 === 0 ? 'GET' : 'POST'} /${index}`),
    )
    await until('the rest is closed', () => back.open.size <= 3)
  }
})

test('a connection is renewed after 1,000 requests', async (t) => {
  const back = await startRaw(t, own)
  const { url } = await startBefore(t, back.url, LONG)
  for (let round = 0; round < 1002; round += 1) await get(`${url}/x`)
  const uses = back.requests.filter(([, connection]) => connection === 1).length
  t.true(uses <= 1000, `${uses} requests`)
})

test('a visitor who leaves during an answer takes the connection along, not the next answer', async (t) => {
  const back = await startRaw(t, (asked) => {
    if (asked.path === '/slow') asked.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
    else own(asked)
  })
  const { url } = await startBefore(t, back.url, LONG)
  t.is(await get(`${url}/x`), '200 own GET /x')
  const leaving = new AbortController()
  const response = await fetch(`${url}/slow`, { signal: leaving.signal })
  leaving.abort()
  await t.throwsAsync(response.text())
  await until('the connection is closed', () => back.open.size === 0)
  t.is(await get(`${url}/x`), '200 own GET /x')
})

test('connections to a Unix socket are kept, too', async (t) => {
  const path = join(temporaryFolder(t), 'django.sock')
  let connections = 0
  const server = createHttpServer((request, response) => response.end(request.url))
    .on('connection', () => {
      connections += 1
    })
    .listen(path)
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { url } = await startBefore(t, `unix:${path}`, LONG)
  for (let round = 0; round < 20; round += 1) t.is(await get(`${url}/${round}`), `200 /${round}`)
  t.true(connections < 20, `${connections} connections`)
})

test('a stop of the service closes kept connections', async (t) => {
  const back = await startRaw(t, own)
  const env = { DJANGO_UPSTREAM: back.url, DJANGO_UPSTREAM_KEEPALIVE: '600' }
  const service = await startService(t, { env })
  t.is(await get(`${service.url}/x`, { headers: { Connection: 'close' } }), '200 own GET /x')
  t.is(back.open.size, 1)
  t.is(await service.stop(), 0)
  await until('the connection is closed', () => back.open.size === 0)
})
