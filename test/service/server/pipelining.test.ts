import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { limitPipelining } from '../../../src/service/server/pipelining.ts'
import { limitBodyTime } from '../../../src/service/server/time-limit.ts'
import type { Scope } from '../../support/file-scope.ts'
import { startService } from '../../support/service.ts'
import { startBack } from '../proxy/behind.ts'

interface Served {
  readonly port: number
  /** The connections, in order of arrival. */
  readonly sockets: Socket[]
}

async function serve(t: Scope, listener: RequestListener, limits?: { waiting?: number }): Promise<Served> {
  const sockets: Socket[] = []
  const server = createServer(limitPipelining(listener, limits).listener)
  server.on('connection', (socket) => sockets.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, sockets }
}

function open(t: Scope, port: number): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  t.teardown(() => socket.destroy())
  return socket
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

/** A listener that answers when told to, and counts the requests. */
function createGate() {
  const waiting: (() => void)[] = []
  let running = 0
  let most = 0
  let arrived = Promise.withResolvers<void>()
  return {
    most: () => most,
    listener: ((request, response) => {
      waiting.push(() => response.end(`[${request.url}]`))
      response.prependOnceListener('close', () => {
        running -= 1
      })
      running += 1
      most = Math.max(most, running)
      arrived.resolve()
    }) satisfies RequestListener,
    async openNext() {
      while (waiting.length === 0) {
        arrived = Promise.withResolvers<void>()
        await arrived.promise
      }
      waiting.shift()?.()
    },
  }
}
test('of thousands of requests on one connection ten run at once, and all are answered in order', async (t) => {
  const gate = createGate()
  const { port } = await serve(t, gate.listener)
  const socket = open(t, port)
  const count = 5000
  socket.write(Array.from({ length: count }, (_, index) => get(`/${index}`)).join(''))
  let answers = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    answers += chunk
  })
  for (let index = 0; index < count; index += 1) await gate.openNext()
  while (!answers.includes(`[/${count - 1}]`)) await once(socket, 'data')
  t.deepEqual(
    [...answers.matchAll(/\[\/(\d+)\]/g)].map(([, index]) => Number(index)),
    Array.from({ length: count }, (_, index) => index),
  )
  t.is(gate.most(), 10)
})

test('a connection with waiting requests is not read further, and others are served', async (t) => {
  const stuck: ServerResponse[] = []
  const { port, sockets } = await serve(t, (request, response) => {
    if (request.url === '/quick') response.end('quick')
    else stuck.push(response)
  })
  const flood = open(t, port)
  const chunk = get('/slow').repeat(1000)
  // Until the kernel's buffers are also full.
  while (flood.write(chunk)) await new Promise(setImmediate)
  const other = open(t, port)
  for (let round = 0; round < 20; round += 1) {
    other.write(get('/quick'))
    t.regex(String(await once(other, 'data')), /quick/)
  }
  t.is(stuck.length, 10)
  t.true((sockets[0]?.bytesRead ?? 0) <= 2 * 64 * 1024, String(sockets[0]?.bytesRead))
})

test('bodies in a pipeline arrive complete, whatever waits before them', async (t) => {
  const { port } = await serve(t, async (request, response) => {
    response.end(`[${(await text(request)).length}]`)
  })
  const socket = open(t, port)
  const body = 'x'.repeat(10_000)
  const post = `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n${body}\r\n0\r\n\r\n`
  const count = 300
  for (let index = 0; index < count; index += 1) socket.write(index % 2 === 0 ? post : get('/'))
  socket.end()
  t.deepEqual(
    [...(await text(socket)).matchAll(/\[(\d+)\]/g)].map(([, length]) => Number(length)),
    Array.from({ length: count }, (_, index) => (index % 2 === 0 ? 10_000 : 0)),
  )
})

test('a closed connection drops its waiting requests; a connection with too many waiting requests is closed', async (t) => {
  const asked: string[] = []
  const left = Promise.withResolvers<void>()
  const { port } = await serve(
    t,
    (request, response) => {
      asked.push(String(request.url))
      response.once('close', () => left.resolve())
    },
    { waiting: 50 },
  )
  const greedy = open(t, port)
  greedy.write(get('/greedy').repeat(61))
  await once(greedy, 'close')
  await left.promise
  t.is(asked.length, 10)
  const next = open(t, port)
  next.write(get('/next').repeat(60))
  while (asked.length < 20) await new Promise(setImmediate)
  const probe = open(t, port)
  probe.write(get('/probe'))
  while (!asked.includes('/probe')) await new Promise(setImmediate)
  t.is(next.readyState, 'open')
  t.is(asked.filter((path) => path === '/next').length, 10)
})

test('many requests on one connection do not open many connections to the upstream', async (t) => {
  let open = 0
  let most = 0
  const back = await startBack(t, (_, response) => {
    open += 1
    most = Math.max(most, open)
    response.once('close', () => {
      open -= 1
    })
    setImmediate(() => response.end('ok'))
  })
  const { url } = await startService(t, { env: { DJANGO_UPSTREAM: back.url } })
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const count = 1000
  for (const path of ['/x', '/health/live']) {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`.repeat(count))
    let answers = 0
    while (answers < count) answers += String(await once(socket, 'data')).split('HTTP/1.1 200').length - 1
    t.is(answers, count)
  }
  t.true(most <= 10, String(most))
  socket.destroy()
})

test('a body that takes too long is a 408, or after the answer closes the connection', async (t) => {
  const server = createServer(
    limitBodyTime((request, response) => {
      if (request.url === '/answered') response.end('answered')
      else if (request.url === '/read') void text(request).then((body) => response.end(body))
    }, 300),
  ).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const drip = (path: string) => {
    const socket = open(t, port)
    socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n`)
    const timer = setInterval(() => socket.write('a'), 20)
    socket.once('close', () => clearInterval(timer))
    return socket
  }
  t.regex(String(await once(drip('/'), 'data')), /^HTTP\/1\.1 408 Request Timeout\r\nConnection: close\r\n/)
  const answered = drip('/answered')
  t.regex(String(await once(answered, 'data')), /^HTTP\/1\.1 200 OK\r\n[\s\S]*answered$/)
  while (!answered.closed) await delay(20)
  const whole = open(t, port)
  whole.write('POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody')
  t.regex(String(await once(whole, 'data')), /^HTTP\/1\.1 200 [\s\S]*body$/)
})
