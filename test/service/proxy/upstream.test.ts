import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import type { UpstreamOptions } from '../../../src/service/proxy/upstream.ts'
import { dyingWithUs } from '../../support/executables.ts'
import type { Scope } from '../../support/file-scope.ts'
import { temporaryFolder } from '../../support/service.ts'
import { openSocket, sendRaw, startBack, startBefore } from './behind.ts'

const hello = (_: IncomingMessage, response: ServerResponse) => void response.end('from the back')

test('other paths are answered by the upstream, without a session and without headers of this service', async (t) => {
  const back = await startBack(t, (_, response) => {
    response.writeHead(418, 'Short And Stout', [
      ...['Set-Cookie', 'a=1; Path=/', 'Set-Cookie', 'b="2, 3"', 'Vary', 'Accept-Language', 'Vary', 'Cookie'],
      ...['X-Frame-Options', 'SAMEORIGIN', 'Content-Type', 'text/x-back'],
    ])
    response.end('from the back')
  })
  const { url, statements, finished, log } = await startBefore(t, back.url)
  const response = await fetch(`${url}/catalog/books/?page=2`, { headers: { Cookie: 'sessionid=x' } })
  t.is(await response.text(), 'from the back')
  t.is(response.status, 418)
  t.is(response.statusText, 'Short And Stout')
  const { date, ...headers } = Object.fromEntries(response.headers)
  t.deepEqual(response.headers.getSetCookie(), ['a=1; Path=/', 'b="2, 3"'])
  t.like(headers, {
    vary: 'Accept-Language, Cookie',
    'x-frame-options': 'SAMEORIGIN',
    'content-type': 'text/x-back',
  })
  t.deepEqual(
    Object.keys(headers).filter((name) => !/^(set-cookie|vary|x-frame-options|content-type)$/.test(name)),
    ['connection', 'keep-alive', 'transfer-encoding', 'x-request-id'],
  )
  t.regex(back.heads[0] ?? '', /^GET \/catalog\/books\/\?page=2 HTTP\/1\.1\n/)
  t.deepEqual(statements, [])
  const { requestId, status, session } = await log.next('http.request')
  t.regex(back.heads[0] ?? '', new RegExp(`\nx-request-id: ${requestId}$`, 'm'))
  t.deepEqual({ status, session }, { status: 418, session: undefined })
  t.deepEqual(finished, [['upstream', 418]])
})

test('our pages are served here, and other methods of their paths by the upstream', async (t) => {
  const back = await startBack(t, hello)
  const { url, finished } = await startBefore(t, back.url)
  const get = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${url}${path}`, { redirect: 'manual', ...init })
    return (await response.text()).includes('from the back') ? 'back' : response.status
  }
  t.is(await get('/catalog/'), 200)
  t.is(await get('/catalog'), 301)
  t.is(await get('/'), 301)
  t.is(await get('/health/live'), 200)
  t.is(await get('/catalog/', { method: 'HEAD' }), 200)
  t.is(await get('/catalog/', { method: 'POST', body: 'a=1' }), 'back')
  t.is(await get('/catalog/', { method: 'OPTIONS' }), 'back')
  t.is(await get('/catalog', { method: 'POST', body: 'a=1' }), 'back')
  t.is(await get('/Catalog/'), 'back')
  t.is(await get('//catalog/'), 404)
  t.is(await get('//catalog/', { method: 'POST', body: 'a=1' }), 'back')
  t.is(await get('/accounts/logout/', { method: 'DELETE' }), 'back')
  t.is(await get('/health/live', { method: 'POST' }), 405)
  t.is(finished.filter(([route]) => route === 'upstream').length, 6)
})

test('a target is passed on unchanged', async (t) => {
  const back = await startBack(t, hello)
  const { url } = await startBefore(t, back.url)
  for (const target of [
    '//a//b/%2e%2e/%zz;x?y=%&&//',
    '/a?http://b/',
    '/\xe9',
    '/%E9?q="<>\\^`{|}',
    '/a/../b',
  ])
    await sendRaw(url, `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`)
  t.deepEqual(
    back.heads.map((head) => head.split('\n')[0]),
    ['//a//b/%2e%2e/%zz;x?y=%&&//', '/a?http://b/', '/%E9?q="<>\\^`{|}', '/a/../b'].map(
      (target) => `GET ${target} HTTP/1.1`,
    ),
  )
})

test('a target with a host is passed on as its path, with that host', async (t) => {
  const back = await startBack(t, hello)
  const { url } = await startBefore(t, back.url)
  const head =
    'GET HTTP://library.example.com:81/x?a=b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'
  t.true((await sendRaw(url, head)).includes('from the back'))
  t.true(back.heads[0]?.startsWith('GET /x?a=b HTTP/1.1\n'))
  t.true(back.heads[0]?.includes('\nhost: library.example.com:81\n'))
})

test('a disallowed host is not passed on', async (t) => {
  const back = await startBack(t, hello)
  const { url } = await startBefore(t, back.url)
  const answer = await sendRaw(url, 'GET /admin/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')
  t.true(answer.startsWith('HTTP/1.1 400 '))
  t.deepEqual(back.heads, [])
})

const SPOOFED = [
  'Host: library.example.com:8443',
  'X-Forwarded-For: 203.0.113.7, 198.51.100.2',
  'X-Forwarded-Proto: https',
  'X-Forwarded-Host: library.example.com',
  'X-Forwarded-Port: 444',
  'X-Forwarded-Prefix: /x',
  'X_Forwarded_For: 192.0.2.1',
  'X-Real-IP: 192.0.2.1',
  'Forwarded: for=192.0.2.1',
]

for (const [trustedProxy, expected] of [
  [
    [],
    {
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'library.example.com:8443',
      'x-forwarded-port': '8443',
    },
  ],
  [
    ['host'],
    {
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'library.example.com',
      'x-forwarded-port': '444',
    },
  ],
  [
    ['proto'],
    {
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'library.example.com:8443',
      'x-forwarded-port': '8443',
    },
  ],
  [
    ['for'],
    {
      'x-forwarded-for': '203.0.113.7, 198.51.100.2, 127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'library.example.com:8443',
      'x-forwarded-port': '8443',
      'x-real-ip': '192.0.2.1',
    },
  ],
  [
    ['host', 'proto', 'for'],
    {
      'x-forwarded-for': '203.0.113.7, 198.51.100.2, 127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'library.example.com',
      'x-forwarded-port': '444',
      'x-forwarded-prefix': '/x',
      'x-real-ip': '192.0.2.1',
      forwarded: 'for=192.0.2.1',
    },
  ],
] as const) {
  test(`X-Forwarded-… headers are set here, and kept from a proxy only if it is trusted with them: ${trustedProxy}`, async (t) => {
    const back = await startBack(t, hello)
    const { url } = await startBefore(t, back.url, { trustedProxy })
    await sendRaw(url, `GET /x HTTP/1.1\r\n${SPOOFED.join('\r\n')}\r\nConnection: close\r\n\r\n`)
    const [, ...lines] = back.heads[0]?.split('\n') ?? []
    const {
      host,
      connection,
      'x-request-id': _,
      ...said
    } = Object.fromEntries(lines.map((line) => line.split(': ', 2)))
    t.is(host, 'library.example.com:8443')
    t.is(connection, 'keep-alive')
    t.deepEqual(said, expected)
  })
}

/** Returns the headers with which this request reaches the upstream. */
async function passedOn(
  t: Scope,
  lines: readonly string[],
  options: Partial<UpstreamOptions> = {},
): Promise<Record<string, string | undefined>> {
  const back = await startBack(t, hello)
  const { url } = await startBefore(t, back.url, options)
  await sendRaw(url, [...lines, 'Connection: close', '', ''].join('\r\n'))
  const [, ...received] = back.heads[0]?.split('\n') ?? []
  return Object.fromEntries(received.map((line) => line.split(': ', 2)))
}

test('of several values by trusted proxies, the last is passed on', async (t) => {
  const lines = ['GET /x HTTP/1.1', 'Host: a', 'X-Forwarded-Host: evil.example, library.example.com']
  const headers = await passedOn(t, [...lines, 'X-Forwarded-Proto: https, http', 'X-Forwarded-Port: 1, 82'], {
    trustedProxy: ['host', 'proto'],
  })
  t.like(headers, {
    'x-forwarded-host': 'library.example.com',
    'x-forwarded-proto': 'http',
    'x-forwarded-port': '82',
  })
})

for (const header of [
  'X-Forwarded-Ssl: on',
  'X-Forwarded-Protocol: https',
  'X-Forwarded-Scheme: https',
  'X-Url-Scheme: https',
  'X-Scheme: https',
  'Front-End-Https: on',
  'Forwarded: for=203.0.113.7;proto=https',
]) {
  test(`when the proxy in front sends ${header}, no X-Forwarded-Proto is added`, async (t) => {
    const lines = ['GET /x HTTP/1.1', 'Host: library.example.com', header]
    const [name = '', value] = header.split(': ')
    const trusted = await passedOn(t, lines, { trustedProxy: ['host', 'proto', 'for'] })
    t.is(trusted[name.toLowerCase()], value)
    t.is(trusted['x-forwarded-proto'], undefined)
    t.is(trusted['x-forwarded-port'], '443')
    const untrusted = await passedOn(t, lines, { trustedProxy: ['host', 'for'] })
    t.is(untrusted[name.toLowerCase()], undefined)
    t.is(untrusted['x-forwarded-proto'], 'http')
  })
}

test('with a Forwarded header without a scheme, X-Forwarded-Proto is still added', async (t) => {
  const lines = ['GET /x HTTP/1.1', 'Host: library.example.com', 'Forwarded: for=203.0.113.7']
  const headers = await passedOn(t, lines, { trustedProxy: ['host', 'proto', 'for'] })
  t.is(headers['x-forwarded-proto'], 'http')
})

test('HTTP/1.0 without Host is passed on with the address of the connection, not with that of the upstream', async (t) => {
  const back = await startBack(t, hello)
  const { url } = await startBefore(t, back.url)
  t.true((await sendRaw(url, 'GET /x HTTP/1.0\r\n\r\n')).includes('from the back'))
  const { host } = new URL(url)
  t.true(back.heads[0]?.includes(`\nhost: ${host}\n`))
  t.true(back.heads[0]?.includes(`\nx-forwarded-host: ${host}\n`))
})

test('connection headers, including those that Connection names, are not passed on in either direction', async (t) => {
  const back = await startBack(t, (_, response) => {
    response.writeHead(200, [
      ...[
        'Connection',
        'close, X-Hop',
        'X-Hop',
        '1',
        'Keep-Alive',
        'timeout=9',
        'Proxy-Authenticate',
        'Basic',
      ],
      ...['Upgrade', 'h2c', 'Proxy-Connection', 'close', 'X-End', '1', 'Content-Length', '2'],
    ])
    response.end('ok')
  })
  const { url } = await startBefore(t, back.url)
  const answer = await sendRaw(
    url,
    `POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\n${[
      'Connection: close, X-Hop, Cookie , content-length, Host, transfer-encoding',
      'X-Hop: 1',
      'Cookie: a=b',
      'TE: trailers',
      'Keep-Alive: timeout=5',
      'Proxy-Authorization: Basic x',
      'Proxy-Connection: keep-alive',
      'Trailer: X-T',
      'X-End: 1',
      'Content-Length: 2',
    ].join('\r\n')}\r\n\r\nab`,
  )
  t.deepEqual(
    back.heads[0]
      ?.split('\n')
      .map((line) => line.split(':')[0])
      .sort(),
    [
      'POST /x HTTP/1.1',
      ...['connection', 'content-length', 'host', 'x-end', 'x-forwarded-for', 'x-forwarded-host'],
      ...['x-forwarded-port', 'x-forwarded-proto', 'x-request-id'],
    ],
  )
  const names = [...(answer.split('\r\n\r\n')[0] ?? '').matchAll(/^([\w-]+):/gm)].map(([, name]) => name)
  t.deepEqual(
    names.toSorted((a = '', b = '') => a.localeCompare(b)),
    ['Connection', 'Content-Length', 'Date', 'X-End', 'X-Request-Id'],
  )
  t.true(answer.endsWith('\r\n\r\nok'))
})

for (const [name, head, body] of [
  ['both lengths', 'POST /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n'],
  ['two lengths', 'POST /x HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 44', ''],
  ['a length that is none', 'POST /x HTTP/1.1\r\nContent-Length: +4', 'abcd'],
  [
    'an encoding that is not chunked',
    'POST /x HTTP/1.1\r\nTransfer-Encoding: chunked, identity',
    '0\r\n\r\n',
  ],
  ['a folded header', 'POST /x HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 4', '0\r\n\r\n'],
  ['a space before the colon', 'POST /x HTTP/1.1\r\nTransfer-Encoding : chunked', '0\r\n\r\n'],
  ['a bare CR', 'POST /x HTTP/1.1\r\nX: a\rTransfer-Encoding: chunked', '0\r\n\r\n'],
] as const) {
  test(`a request whose end two servers may see differently is not passed on: ${name}`, async (t) => {
    const back = await startBack(t, hello)
    const { url } = await startBefore(t, back.url)
    const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'
    const answer = await sendRaw(url, `${head}\r\nHost: 127.0.0.1\r\n\r\n${body}${smuggled}`)
    t.true(answer.startsWith('HTTP/1.1 400 '), answer)
    t.deepEqual(back.heads, [])
  })
}

test('a GET with a body keeps its end: with a length, and in chunks', async (t) => {
  const bodies: string[] = []
  const back = await startBack(t, async (request, response) => {
    bodies.push(await text(request))
    response.end('ok')
  })
  const { url } = await startBefore(t, back.url)
  const inner = 'GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
  const head =
    'GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close, content-length, transfer-encoding\r\n'
  await sendRaw(url, `${head}Content-Length: ${inner.length}\r\n\r\n${inner}`)
  const chunk = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`
  await sendRaw(url, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}`)
  t.deepEqual(bodies, [inner, inner])
  t.true(back.heads.every((line) => line.startsWith('GET /x HTTP/1.1\n')))
})

test('an upload is streamed to the upstream, at the pace of the upstream', async (t) => {
  const started = Promise.withResolvers<IncomingMessage>()
  const back = await startBack(t, async (request, response) => {
    request.once('readable', () => started.resolve(request))
    let length = 0
    await gate.promise
    for await (const chunk of request) length += chunk.length
    response.end(String(length))
  })
  const gate = Promise.withResolvers<void>()
  const { url } = await startBefore(t, back.url)
  const size = 64 * 1024 ** 2
  const upload = httpRequest(`${url}/upload`, { method: 'POST', headers: { 'Content-Length': size } })
  const answer = once(upload, 'response')
  const chunk = Buffer.alloc(64 * 1024)
  let written = 0
  const write = () => {
    while (written < size) {
      written += chunk.length
      if (!upload.write(chunk)) return
    }
    upload.end()
  }
  upload.on('drain', write)
  write()
  await started.promise // although the upload has not ended
  let before = -1
  while (before !== written) {
    before = written
    await delay(100)
  }
  t.true(written < size / 2, `${written} bytes were taken from the client although nobody reads them`)
  gate.resolve()
  const [response] = (await answer) as [IncomingMessage]
  t.is(await text(response), String(size))
})

test('a download is streamed at the pace of the client, and complete', async (t) => {
  const size = 64 * 1024 ** 2
  let written = 0
  const back = await startBack(t, async (_, response) => {
    const chunk = Buffer.alloc(64 * 1024)
    while (written < size) {
      written += chunk.length
      if (!response.write(chunk)) await once(response, 'drain')
    }
    response.end()
  })
  const { url } = await startBefore(t, back.url)
  const [response] = (await once(httpRequest(`${url}/download`).end(), 'response')) as [IncomingMessage]
  let before = -1
  while (before !== written) {
    before = written
    await delay(100)
  }
  t.true(written < size / 2, `${written} bytes were taken from the server although nobody reads them`)
  let received = 0
  for await (const chunk of response) received += chunk.length
  t.is(received, size)
})

for (const method of ['GET', 'POST']) {
  test(`every byte of the answer to ${method} is passed on unchanged, whatever its size`, async (t) => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 256))
    const back = await startBack(t, ({ url = '' }, response) => {
      const [, size, framing] = url.split('/')
      const body = bytes.subarray(0, Number(size))
      if (framing === 'length') response.setHeader('Content-Length', body.length)
      response.write(body.subarray(0, 10))
      response.end(body.subarray(10))
    })
    const { url } = await startBefore(t, back.url)
    for (const size of [11, 256, 4096, 16_384, 16_385, 65_536, 300_000]) {
      for (const framing of ['length', 'chunks']) {
        const response = await fetch(`${url}/${size}/${framing}`, { method })
        t.true(bytes.subarray(0, size).equals(await response.bytes()), `${size} ${framing}`)
      }
    }
  })

  test(`the answer to ${method} has one X-Request-Id: that of the upstream, else ours`, async (t) => {
    const back = await startBack(t, ({ url }, response) => {
      response.writeHead(200, url === '/own' ? ['x-request-ID', 'of-the-back'] : []).end('ok')
    })
    const { url } = await startBefore(t, back.url)
    const idAt = async (path: string) => (await fetch(url + path, { method })).headers.get('X-Request-Id')
    t.is(await idAt('/own'), 'of-the-back')
    const ours = await idAt('/other')
    t.true(back.heads[1]?.split('\n').includes(`x-request-id: ${ours}`))
  })
}

test('parts of a response arrive as the upstream sends them', async (t) => {
  const next = Promise.withResolvers<void>()
  const back = await startBack(t, async (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write('data: 1\n\n')
    await next.promise
    response.end('data: 2\n\n')
  })
  const { url } = await startBefore(t, back.url)
  const { body } = await fetch(`${url}/events`)
  const seen: string[] = []
  for await (const chunk of body ?? []) {
    seen.push(Buffer.from(chunk).toString())
    next.resolve()
  }
  t.deepEqual(seen, ['data: 1\n\n', 'data: 2\n\n'])
})

test('a client that disconnects ends the request to the upstream', async (t) => {
  const left = Promise.withResolvers<void>()
  const back = await startBack(t, (_, response) => {
    response.write('beginning')
    response.once('close', () => left.resolve())
  })
  const { url, log, finished } = await startBefore(t, back.url)
  const socket = openSocket(url)
  socket.write('GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  await once(socket, 'data')
  socket.destroy()
  await left.promise
  t.like(await log.next('http.request'), { aborted: true })
  t.deepEqual(finished, [['upstream', null]])
  t.false(log.events.some(({ level }) => level === 'error'))
})

test('a client that disconnects during its upload ends it, too', async (t) => {
  const left = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  const back = await startBack(t, (request) => {
    request.once('data', () => arrived.resolve())
    request.once('close', () => left.resolve()).once('error', () => {})
  })
  const { url, log } = await startBefore(t, back.url, { buffer: 0 })
  const socket = openSocket(url)
  socket.write('POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf')
  await arrived.promise
  socket.destroy()
  await left.promise
  t.like(await log.next('http.request'), { aborted: true })
})

test('an incomplete response is incomplete for the client, with and without a length', async (t) => {
  let breakOff = () => {}
  const back = await startBack(t, (request, response) => {
    response.writeHead(200, request.url === '/length' ? { 'Content-Length': '100' } : {})
    response.write('half')
    breakOff = () => response.destroy()
  })
  const { url } = await startBefore(t, back.url)
  for (const path of ['/length', '/chunks']) {
    const response = await fetch(`${url}${path}`)
    t.is(response.status, 200)
    breakOff()
    await t.throwsAsync(response.text(), undefined, path)
  }
})

test('an answer before the end of the request body is passed on', async (t) => {
  const back = await startBack(t, (request, response) => {
    response.writeHead(413, { 'Content-Length': 9 }).write('too large')
    request.resume().once('end', () => response.end())
  })
  const { url } = await startBefore(t, back.url, { buffer: 0 })
  const upload = httpRequest(`${url}/upload`, { method: 'POST', headers: { 'Content-Length': 8 } })
  upload.write('half')
  const [response] = (await once(upload, 'response')) as [IncomingMessage]
  t.is(response.statusCode, 413)
  t.is(await text(response), 'too large')
  upload.end('half')
})

test('responses without a body stay without one', async (t) => {
  const back = await startBack(t, (request, response) => {
    if (request.method === 'HEAD') response.writeHead(200, { 'Content-Length': '1234' })
    else response.writeHead(Number(request.url?.slice(1)), { ETag: '"a"' })
    response.end()
  })
  const { url } = await startBefore(t, back.url)
  const head = await fetch(`${url}/x`, { method: 'HEAD' })
  t.is(head.headers.get('Content-Length'), '1234')
  for (const status of [204, 304]) {
    const response = await fetch(`${url}/${status}`)
    t.is(response.status, status)
    t.is(response.headers.get('ETag'), '"a"')
    t.is(await response.text(), '')
  }
})

test('a client that waits for 100 Continue uploads', async (t) => {
  const back = await startBack(t, async (request, response) => response.end(await text(request)))
  const { url } = await startBefore(t, back.url)
  const upload = httpRequest(`${url}/x`, {
    method: 'PUT',
    headers: { Expect: '100-continue', 'Content-Length': 4 },
  })
  upload.flushHeaders()
  await once(upload, 'continue')
  upload.end('body')
  const [response] = (await once(upload, 'response')) as [IncomingMessage]
  t.is(await text(response), 'body')
  t.false(back.heads[0]?.includes('\nexpect:'))
})

test('when the upstream is unavailable, the visitor gets an error page in our layout and may retry', async (t) => {
  const back = await startBack(t, hello)
  const { url, log, finished, statements } = await startBefore(t, back.url)
  back.server.close()
  await once(back.server, 'close')
  const response = await fetch(`${url}/catalog/books/`, { method: 'POST', body: 'a'.repeat(100_000) })
  const page = await response.text()
  t.is(response.status, 502)
  t.is(response.headers.get('Retry-After'), '5')
  t.is(response.headers.get('Cache-Control'), 'no-store')
  t.regex(response.headers.get('Content-Security-Policy') ?? '', /default-src 'none'/)
  t.true(page.includes('<nav aria-label="Library">'))
  t.true(page.includes(String((await log.next('http.failure')).requestId)))
  t.like(await log.next('http.failure'), {
    status: 502,
    code: 'ERR_UPSTREAM_UNAVAILABLE',
    cause: { code: 'ECONNREFUSED' },
  })
  t.deepEqual(finished, [['upstream', 502]])
  t.deepEqual(statements, [])
  t.is((await fetch(`${url}/catalog/`)).status, 200)
})

test('an answer that is not HTTP is a 502', async (t) => {
  const back = await startBack(t, (_, response) => void response.socket?.end('SSH-2.0-OpenSSH\r\n'))
  const { url } = await startBefore(t, back.url)
  t.is((await fetch(`${url}/x`)).status, 502)
})

test('an invalid status ends the connection, and not the service', async (t) => {
  const back = await startBack(t, (_, response) => {
    response.socket?.end('HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n')
  })
  const { url, log } = await startBefore(t, back.url)
  await fetch(`${url}/x`).catch(() => null)
  t.truthy(log.events.find(({ level }) => level === 'error'))
  t.is((await fetch(`${url}/catalog/`)).status, 200)
})

test('no data from the upstream is a 504, and in the middle of a response ends it', async (t) => {
  const back = await startBack(t, (request, response) => {
    if (request.url === '/middle') response.write('half')
  })
  const { url, log } = await startBefore(t, back.url, { timeout: 1500 })
  const response = await fetch(`${url}/x`)
  t.is(response.status, 504)
  t.is(response.headers.get('Retry-After'), '5')
  t.true((await response.text()).includes('took too long'))
  t.like(await log.next('http.failure'), { status: 504, code: 'ERR_UPSTREAM_TIMEOUT' })
  await t.throwsAsync(async () => (await fetch(`${url}/middle`)).text())
})

test('an upstream that does not accept the connection is a 504', async (t) => {
  // It has room for one waiting connection, and never accepts it.
  const script =
    'import socket, time; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0); print(s.getsockname()[1], flush=True); time.sleep(60)'
  const child = spawn(...dyingWithUs('python3', ['-c', script]), { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [port] = (await once(createInterface(child.stdout), 'line')) as [string]
  const queued = Array.from({ length: 3 }, () => {
    const socket = createConnection(Number(port), '127.0.0.1').on('error', () => {})
    t.teardown(() => socket.destroy())
    return once(socket, 'connect')
  })
  await Promise.race(queued)
  const { url, log } = await startBefore(t, `http://127.0.0.1:${port}`, { connectTimeout: 200 })
  t.is((await fetch(`${url}/x`)).status, 504)
  t.regex(String((await log.next('http.failure')).message), /no connection was established within 200 ms/)
})

test('the upstream may listen on a Unix socket', async (t) => {
  const socketPath = join(temporaryFolder(t), 'django.sock')
  const server = createServer((request, response) => response.end(`${request.headers.host}${request.url}`))
  server.listen(socketPath)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { url } = await startBefore(t, `unix:${socketPath}`)
  t.is(await (await fetch(`${url}/admin/`)).text(), `${new URL(url).host}/admin/`)
})
