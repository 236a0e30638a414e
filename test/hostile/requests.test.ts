import { once } from 'node:events'
import { METHODS } from 'node:http'
import { connect } from 'node:net'
import test from 'ava'
import { type Library, startLibrary } from '../support/library.ts'
import { send } from './site.ts'

const start = async (t: Parameters<typeof startLibrary>[0]) => {
  const library = await startLibrary(t)
  const page = await (await fetch(`${library.url}/nothing`)).text()
  const asset = /\/koa-assets\/styles\.[\w-]+\.css/.exec(page)?.[0] ?? ''
  library.log.events.length = 0
  return { ...library, asset }
}

const get = (path: string, headers = '') =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}Connection: close\r\n\r\n`

/** Whether no session was created, and no error was logged. */
async function isUntouched({ db, log }: Library): Promise<boolean> {
  const rows: unknown[] = await db('django_session').select()
  return rows.length === 0 && log.events.every(({ level }) => level !== 'error')
}

/** Paths that must be 404, although another server might find a file or page there; ASSET is a file that is served. */
const paths = [
  '/koa-assets/',
  '/koa-assets',
  '/koa-assets/.',
  '/koa-assets/styles.css',
  '/koa-assets/../package.json',
  '/koa-assets/../../etc/passwd',
  '/koa-assets/../base_generic.html',
  '/koa-assets/%2e%2e/%2e%2e/package.json',
  '/koa-assets/..%2f..%2fpackage.json',
  '/koa-assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd',
  '/koa-assets/..%252f..%252fetc%252fpasswd',
  '/koa-assets/..%c0%af..%c0%afetc/passwd',
  '/koa-assets/..%ef%bc%8f..%ef%bc%8fetc/passwd',
  '/koa-assets/..\\..\\package.json',
  '/koa-assets/..%5c..%5cpackage.json',
  '/koa-assets/....//....//etc/passwd',
  '/koa-assets//etc/passwd',
  '/koa-assets/%00',
  '/koa-assets/%',
  '/koa-assets/%ff',
  '/koa-assets/C:/windows/win.ini',
  '/koa-assets/%2fetc%2fpasswd',
  'ASSET/',
  'ASSET/..',
  'ASSET%00',
  'ASSET%00.html',
  'ASSET%20',
  'ASSET;.html',
  'ASSET.map',
  '//ASSET',
  '/./ASSET',
  '/catalog/../ASSET',
  '/%6boa-assets/styles.css',
  '//',
  '///',
  '//etc/passwd',
  '/../etc/passwd',
  '/..',
  '/.',
  '/%2e%2e/etc/passwd',
  '/%00',
  '/\\',
  '/etc/passwd',
  '/.env',
  '/.git/config',
  '/package.json',
  '/src/index.ts',
  '/templates/index.html',
  '/var/demo.sqlite3',
  '//catalog/',
  '/catalog//',
  '/catalog/.',
  '/catalog/./',
  '/catalog/..',
  '/catalog/../catalog/',
  '/catalog/%2e%2e/catalog/',
  '/catalog%2f',
  '/catalog/;a=b',
  '/catalog/%00',
  '/catalog\\',
  '/CATALOG/',
  '/catalog/index.html',
  '/health/live/',
  '/health/../catalog/',
  '/health/live%00',
  '/HEALTH/LIVE',
  '/__proto__',
  '/constructor',
  '/toString',
  "/'%20OR%201=1%20--",
  '/<script>alert(1)</script>',
  `/${'a'.repeat(15_000)}`,
  `/${'../'.repeat(4000)}etc/passwd`,
  `/${'%2e%2e%2f'.repeat(1500)}etc/passwd`,
  'http://localhost/koa-assets/../package.json',
  'http://localhost//etc/passwd',
]
for (const path of paths) {
  test(`${path.slice(0, 60)} is a 404, and does not count as a visit`, async (t) => {
    const library = await start(t)
    const { status, text } = await send(library.url, get(path.replace('ASSET', library.asset)))
    t.is(status, 404)
    t.notRegex(text, /"name":|root:|<script|block title|Set-Cookie|Vary: Cookie/i)
    t.true(text.includes('Page not found'))
    t.true(await isUntouched(library))
  })
}

test('a redirect leads only to this host', async (t) => {
  const { url } = await start(t)
  for (const path of ['/', '/?//elsewhere.example', '/catalog', 'http://localhost/']) {
    const { status, text } = await send(url, get(path, 'X-Forwarded-Host: elsewhere.example\r\n'))
    t.is(status, 301, path)
    t.is(/^Location: (.*)$/im.exec(text)?.[1]?.trim(), '/catalog/', path)
  }
  const { text } = await send(url, get('/catalog?next=//elsewhere.example/%0d%0aSet-Cookie:a=b&'))
  t.regex(text, /^Location: \/catalog\/\?next=\/\/elsewhere\.example\/%0d%0aSet-Cookie:a=b&/im)
  t.notRegex(text, /^Set-Cookie:/im)
})

/** Requests that are not HTTP, or that two servers could parse differently. */
const malformed: [name: string, bytes: string][] = [
  ['noise', '\x00\x01\x02\xff\xfe\r\n\r\n'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['HTTP/9.9', 'GET /catalog/ HTTP/9.9\r\nHost: localhost\r\n\r\n'],
  ['an unknown method', 'BREW /catalog/ HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['a method in lower case', 'get /catalog/ HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['no host', 'GET /catalog/ HTTP/1.1\r\nConnection: close\r\n\r\n'],
  ['a NUL in the path', get('/catalog/\0')],
  ['a space in the path', get('/catalog/ /')],
  ['no path', 'GET  HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['a path without a leading slash', get('catalog/')],
  ['the path of a file', get('file:///etc/passwd')],
  ['a header without a name', get('/catalog/', ': value\r\n')],
  ['a header without a colon', get('/catalog/', 'header\r\n')],
  ['a space before the colon', get('/catalog/', 'Cookie : a=b\r\n')],
  ['a NUL in a header', get('/catalog/', 'X-A: a\0b\r\n')],
  ['a carriage return in a header', get('/catalog/', 'X-A: a\rSet-Cookie: b\r\n')],
  ['a length and chunks', get('/catalog/', 'Content-Length: 3\r\nTransfer-Encoding: chunked\r\n')],
  ['two lengths', get('/catalog/', 'Content-Length: 3\r\nContent-Length: 4\r\n')],
  ['a negative length', get('/catalog/', 'Content-Length: -1\r\n')],
  ['a length that is not a decimal number', get('/catalog/', 'Content-Length: 0x10\r\n')],
  ['a length beyond all integers', get('/catalog/', `Content-Length: ${'9'.repeat(30)}\r\n`)],
  ['an unknown encoding of the body', get('/catalog/', 'Transfer-Encoding: chunked, cow\r\n')],
]
for (const [name, bytes] of malformed) {
  test(`a request with ${name} is rejected, and does not count as a visit`, async (t) => {
    const library = await start(t)
    const { status, text } = await send(library.url, bytes)
    t.true(status === 400 || status === 0, `${status}`)
    t.notRegex(text, /Set-Cookie/i)
    t.true(await isUntouched(library))
  })
}

test('headers beyond 16 KiB are rejected, many small ones are accepted', async (t) => {
  const library = await start(t)
  t.is((await send(library.url, get('/nothing', `X-A: ${'a'.repeat(20_000)}\r\n`))).status, 431)
  t.is((await send(library.url, get(`/${'a'.repeat(20_000)}`))).status, 431)
  t.is((await send(library.url, get('/nothing', 'A:b\r\n'.repeat(10_000)))).status, 431)
  t.is((await send(library.url, get('/nothing', 'A:b\r\n'.repeat(500)))).status, 404)
  t.true(await isUntouched(library))
})

for (const method of METHODS) {
  if (method === 'GET' || method === 'HEAD' || method === 'CONNECT') continue
  test(`${method} does not count as a visit`, async (t) => {
    const library = await start(t)
    for (const path of ['/', '/catalog', '/catalog/', '/nothing', '/health/live', library.asset, '*']) {
      const { status, text } = await send(
        library.url,
        `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nX-Secret: echo\r\nConnection: close\r\n\r\n`,
      )
      t.true((status >= 400 && status < 500) || (method === 'OPTIONS' && status === 200), `${path} ${status}`)
      t.notRegex(text, /X-Secret|Set-Cookie/i)
    }
    t.true(await isUntouched(library))
  })
}

test('CONNECT and Upgrade do not open a tunnel', async (t) => {
  const library = await start(t)
  const tunnel = await send(library.url, 'CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.true(tunnel.status === 0 || tunnel.status >= 400)
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  t.is(
    (
      await send(
        library.url,
        `GET /nothing HTTP/1.1\r\nHost: localhost\r\n${upgrade}X-A: b\r\nConnection: close\r\n\r\n`,
      )
    ).status,
    404,
  )
  t.true(await isUntouched(library))
})

for (const [name, head] of [
  ['that never arrives', 'POST /catalog/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n'],
  ['in endless chunks', 'POST /catalog/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['of a GET', 'GET /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n'],
  [
    'after Expect: 100-continue',
    'POST /catalog/ HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
  ],
] as const) {
  test(`a request is answered without waiting for a body ${name}`, async (t) => {
    const library = await start(t)
    const socket = connect(Number(new URL(library.url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(head)
    let text = ''
    while (!/^HTTP\/1\.1 4\d\d /m.test(text)) text += String((await once(socket, 'data'))[0])
    t.regex(text, /^HTTP\/1\.1 40[45] /m)
    t.true(await isUntouched(library))
  })
}

test('an answer contains no header value of the client', async (t) => {
  const { url } = await start(t)
  for (const id of ['<script>', 'a"b', 'a b c', '\xe9', 'a'.repeat(129), '{{7*7}}', '{% include %}']) {
    const { text } = await send(
      url,
      get('/nothing', `X-Request-Id: ${id}\r\nReferer: ${id}\r\nUser-Agent: ${id}\r\n`),
    )
    t.false(text.includes(id), id)
  }
})
