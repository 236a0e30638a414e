import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage, type RequestListener } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import type { Scope } from '../../support/file-scope.ts'
import { until } from '../../support/until.ts'
import { openSocket, sendRaw, startBack, startBefore } from './behind.ts'

const echo: RequestListener = async (request, response) => void response.end(await text(request))

/** Starts an upstream that handles raw connections. */
async function startRaw(t: Scope, onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => {}))
    onConnection(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Counts the requests that the server with this URL, in this process, begins to handle from now on. */
function countRequests(t: Scope, url: string): () => number {
  let count = 0
  const note = (message: unknown) => {
    const { socket } = message as { socket: Socket }
    if (String(socket.localPort) === new URL(url).port) count += 1
  }
  subscribe('http.server.request.start', note)
  t.teardown(() => unsubscribe('http.server.request.start', note))
  return () => count
}

test('requests beyond the connection limit wait in order, and each is answered', async (t) => {
  const open: { path: string; answer(): void }[] = []
  const back = await startBack(t, (request, response) => {
    open.push({ path: String(request.url), answer: () => response.end(request.url) })
  })
  const { url, log } = await startBefore(t, back.url, { connections: 2 })
  const answers: Promise<string>[] = []
  const arrived = countRequests(t, url)
  for (let index = 0; index < 6; index += 1) {
    answers.push(fetch(`${url}/${index}`).then((response) => response.text()))
    await until(`request ${index} has arrived`, () => arrived() > index)
  }
  t.like(await log.next('upstream.busy'), { kind: 'request', connections: 2 })
  for (let index = 0; index < 6; index += 1) {
    await until(`request ${index} is passed on`, () => open[index] !== undefined)
    t.is(open.length, Math.min(6, index + 2))
    open[index]?.answer()
    await until('the next request is passed on', () => open.length >= Math.min(6, index + 3))
  }
  t.deepEqual(await Promise.all(answers), ['/0', '/1', '/2', '/3', '/4', '/5'])
  t.deepEqual(
    open.map(({ path }) => path),
    ['/0', '/1', '/2', '/3', '/4', '/5'],
  )
  t.is(log.events.filter(({ event }) => event === 'upstream.busy').length, 1)
})

test('a request that waits too long for a connection is a 503, and a client that disconnects leaves the queue', async (t) => {
  const arrived: string[] = []
  const back = await startBack(t, (request, response) => {
    arrived.push(String(request.url))
    if (request.url !== '/stuck') {
      response.end('done')
      return
    }
    const drip = setInterval(() => response.write('.'), 50)
    response.once('close', () => clearInterval(drip))
  })
  const { url, log } = await startBefore(t, back.url, { connections: 1, timeout: 1500 })
  const stuck = openSocket(url)
  stuck.write('GET /stuck HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  await once(stuck, 'data')
  const impatient = openSocket(url)
  impatient.write('GET /left HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  await log.next('upstream.busy')
  impatient.destroy()
  const late = await fetch(`${url}/late`, { method: 'POST', body: 'a'.repeat(2_000_000) })
  t.is(late.status, 503)
  t.is(late.headers.get('Retry-After'), '5')
  t.like(await log.next('http.failure'), { status: 503, code: 'ERR_UPSTREAM_BUSY' })
  t.is((await fetch(`${url}/catalog/`)).status, 200)
  stuck.destroy()
  // On a busy machine the service may need longer than its timeout to see that the client has left.
  await until('the connection is free', async () => (await (await fetch(`${url}/after`)).text()) === 'done')
  t.deepEqual(arrived, ['/stuck', '/after'])
})

test('when the queue for a connection is full, further requests are refused immediately', async (t) => {
  const back = await startBack(t, (_, response) => void response.write('half'))
  const { url } = await startBefore(t, back.url, { connections: 1, waiting: 5 })
  const refused: string[] = []
  for (let index = 0; index < 9; index += 1) {
    const socket = openSocket(url)
    t.teardown(() => socket.destroy())
    socket.on('data', (data) => {
      if (String(data).startsWith('HTTP/1.1 503 ')) refused.push(String(data))
    })
    socket.write('GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  }
  await until('three are refused', () => refused.length >= 3)
  t.is(back.heads.length, 1)
  t.is(refused.length, 3)
})

test('a body is read before the upstream is contacted, and is sent with its length', async (t) => {
  const back = await startBack(t, echo)
  const { url } = await startBefore(t, back.url, { buffer: 100_000 })
  for (const [headers, body] of [
    ['Content-Length: 6', ['abc', 'def']],
    ['Transfer-Encoding: chunked', ['3\r\nabc\r\n', '3\r\ndef\r\n0\r\n\r\n']],
    ['Transfer-Encoding: Chunked', ['3\r\nabc\r\n', '3;x=y\r\ndef\r\n0\r\nX-Trailer: 1\r\n\r\n']],
  ] as const) {
    const before = back.heads.length
    const socket = openSocket(url)
    socket.write(`POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${headers}\r\n\r\n${body[0]}`)
    await delay(150) // Time enough to be passed on, if it were.
    t.is(back.heads.length, before)
    socket.write(body[1])
    t.regex(await text(socket), /\r\n\r\nabcdef$/)
    t.regex(back.heads.at(-1) ?? '', /\ncontent-length: 6$/m)
    t.notRegex(back.heads.at(-1) ?? '', /transfer-encoding/)
  }
  for (const [headers, body] of [
    ['Content-Length: 100000', 'x'.repeat(100_000)],
    ['Content-Length: 100001', 'x'.repeat(100_001)],
    ['Transfer-Encoding: chunked', `30d40\r\n${'x'.repeat(200_000)}\r\n0\r\n\r\n`],
    ['Transfer-Encoding: chunked', '0\r\n\r\n'],
    ['Content-Length: 0', ''],
  ] as const) {
    const answer = await sendRaw(
      url,
      `PUT /x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${headers}\r\n\r\n${body}`,
    )
    t.is(answer.split('x').length, body.split('x').length, headers)
  }
})

test('a transfer coding beside chunked is passed on with the body that it describes', async (t) => {
  const back = await startRaw(t, (socket) => {
    let request = ''
    socket.on('data', (data) => {
      request += String(data)
      if (request.endsWith('0\r\n\r\n'))
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${request.length}\r\n\r\n${request}`)
    })
  })
  const { url } = await startBefore(t, back)
  const body = '4\r\nbody\r\n0\r\n\r\n'
  const answer = await sendRaw(
    url,
    `POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n${body}`,
  )
  t.regex(answer, /\r\ntransfer-encoding: gzip, chunked\r\n[\s\S]*\r\n4\r\nbody\r\n0\r\n\r\n$/i)
})

test('the rest of a body larger than the buffer is streamed', async (t) => {
  const begun = Promise.withResolvers<void>()
  const back = await startBack(t, (request, response) => {
    request.once('data', () => begun.resolve())
    echo(request, response)
  })
  const { url } = await startBefore(t, back.url, { buffer: 100 })
  const upload = httpRequest(`${url}/x`, { method: 'POST', headers: { 'Content-Length': 300 } })
  upload.write('a'.repeat(101))
  await begun.promise
  upload.end('b'.repeat(199))
  const [response] = (await once(upload, 'response')) as [IncomingMessage]
  t.is(await text(response), 'a'.repeat(101) + 'b'.repeat(199))
})

for (const [what, buffer] of [
  ['is held', 1_000_000],
  ['streams', 0],
  ['is partly held', 10],
] as const) {
  test(`a body that arrives too slowly ends with a 408, when it ${what}`, async (t) => {
    const back = await startBack(t, (request) => void request.resume().on('error', () => {}))
    const { url, log } = await startBefore(t, back.url, { buffer, timeout: 1000 })
    const socket = openSocket(url).on('error', () => {})
    const head = 'POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n'
    socket.write(head + 'a'.repeat(11)) // more than the smallest buffer holds
    const drip = setInterval(() => socket.write('a'), 20)
    socket.once('close', () => clearInterval(drip))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    t.regex(answer.toString(), /^HTTP\/1\.1 408 Request Timeout\r\n(?:.+\r\n)*Connection: close\r\n/)
    await until('the connection is closed', () => socket.closed)
    t.is(back.heads.length, buffer === 1_000_000 ? 0 : 1)
    t.false(log.events.some(({ level }) => level === 'error'))
  })
}

test('at most 64 MiB of bodies are buffered in total; beyond that they are streamed', async (t) => {
  const asked = Promise.withResolvers<void>()
  const back = await startBack(t, (request) => {
    request.on('error', () => {}).resume()
    asked.resolve()
  })
  const { url } = await startBefore(t, back.url, { buffer: 40 * 1024 ** 2 })
  const size = 30 * 1024 ** 2
  const send = async () => {
    const socket = openSocket(url).on('error', () => {})
    t.teardown(() => socket.destroy())
    socket.write(`POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${size + 1}\r\n\r\n`)
    await new Promise((written) => socket.write(Buffer.alloc(size), written))
  }
  await Promise.all([send(), send()])
  await delay(200) // Time enough to be passed on, if they were.
  t.is(back.heads.length, 0)
  await send()
  await asked.promise // although no body is complete
  t.pass()
})

test('the head of an event stream is sent immediately, and a page is sent in one piece', async (t) => {
  const next = Promise.withResolvers<void>()
  const back = await startBack(t, async (request, response) => {
    if (request.url === '/page') {
      response.end('page')
      return
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders()
    await next.promise
    response.end('data: 1\n\n')
  })
  const { url } = await startBefore(t, back.url)
  const response = await fetch(`${url}/events`)
  t.is(response.headers.get('Content-Type'), 'text/event-stream')
  next.resolve()
  t.is(await response.text(), 'data: 1\n\n')
  const socket = openSocket(url)
  socket.write('GET /page HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  const [first] = (await once(socket, 'data')) as [Buffer]
  t.regex(first.toString(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\npage/)
  socket.destroy()
})

test('the head of a response may have 64 KiB; a larger one is a 502, and the log says why', async (t) => {
  const back = await startRaw(t, (socket) => {
    socket.once('data', (head) => {
      const size = Number(/^GET \/(\d+)/.exec(String(head))?.[1])
      const fields = Array.from({ length: 60 }, (_, index) => `X-${index}: ${'x'.repeat(size / 60)}\r\n`)
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${fields.join('')}\r\nok`)
    })
  })
  const { url, log } = await startBefore(t, back)
  const get = (size: number) =>
    sendRaw(url, `GET /${size} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
  for (const size of [20_000, 60_000]) {
    const answer = await get(size)
    t.regex(answer, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nok$/)
    t.is([...answer.matchAll(/^X-\d+: x+\r$/gm)].length, 60)
  }
  t.regex(await get(70_000), /^HTTP\/1\.1 502 /)
  t.regex(
    String((await log.next('http.failure')).message),
    /head of the upstream's response is larger than 65536 bytes/,
  )
})

/** How a server that does not read the body answers. */
const early: Readonly<Record<string, (socket: Socket) => void>> = {
  'closes with the body unread': (socket) => {
    socket.pause().end(EARLY)
    socket.destroySoon()
  },
  'ends its side and stops reading': (socket) => void socket.pause().end(EARLY),
  'stops reading, and stays open': (socket) => void socket.pause().write(EARLY),
  'resets the connection': (socket) => void socket.pause().write(EARLY, () => socket.resetAndDestroy()),
  'resets it after a while': (socket) =>
    void socket.pause().write(EARLY, () => setTimeout(() => socket.resetAndDestroy(), 20)),
  'sends no length, and ends': (socket) => void socket.end('HTTP/1.1 404 Not Found\r\n\r\nnot here'),
}
const EARLY = 'HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nnot here'

for (const [name, answer] of Object.entries(early)) {
  test(`the answer to an unread body arrives when the upstream ${name}`, async (t) => {
    const back = await startRaw(t, (socket) => void socket.once('data', () => answer(socket)))
    for (const buffer of [1024 ** 2, 0]) {
      const { url, log } = await startBefore(t, back, { buffer })
      for (const size of [20_000, 300_000, 1_000_000, 8_000_000]) {
        for (let round = 0; round < 5; round += 1) {
          const response = await fetch(`${url}/x`, { method: 'POST', body: 'a'.repeat(size) })
          t.is(response.status, 404, `${size} bytes, ${buffer} of them held`)
          t.is(await response.text(), 'not here')
        }
      }
      t.false(log.events.some(({ level }) => level === 'error' || level === 'warn'))
    }
  })
}

test('an upstream that switches protocols without being asked is a 502', async (t) => {
  const back = await startRaw(t, (socket) => {
    socket.once('data', () =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
    )
  })
  const { url } = await startBefore(t, back)
  t.is((await fetch(`${url}/x`)).status, 502)
})
