import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import test from 'ava'
import Koa from 'koa'
import { createErrorPages } from '../../../src/service/pages/error-pages.ts'
import { createTemplates } from '../../../src/service/pages/templates.ts'
import { createAllowedHosts } from '../../../src/service/proxy/allowed-hosts.ts'
import type { TrustedHeader } from '../../../src/service/proxy/trusted-proxy.ts'
import type { Scope } from '../../support/file-scope.ts'
import { bareLayout } from '../../support/layout.ts'
import { type Library, listen, type RecordedLog, recordLog, startLibrary } from '../../support/library.ts'

const ALLOWED = ['library.example.com', '.example.org']

test('a request for a host that is not in ALLOWED_HOSTS is a 400 in the layout, without a session', async (t) => {
  const { url, db, log } = await start(t)
  const answer = await request(url, { host: 'evil.example.net' })
  t.true(answer.startsWith('HTTP/1.1 400 Bad Request\r\n'))
  t.true(answer.includes('<nav aria-label="Library">'))
  t.true(answer.includes('is not available under this host name'))
  t.notRegex(answer, /set-cookie|evil/i)
  t.deepEqual(await db('django_session'), [])
  const { fields } = log.events.find(({ event }) => event === 'security.disallowed_host') ?? {}
  t.like(fields, { host: 'evil.example.net', requestId: (await log.next('http.request')).requestId })
})

test('a request for an allowed host is accepted, with any port', async (t) => {
  const { url } = await start(t)
  for (const host of [
    'library.example.com',
    'LIBRARY.example.com.:8443',
    'a.b.example.org',
    'example.org:80',
  ])
    t.is(status(await request(url, { host })), 200, host)
})

test('the style sheet is served under any host name, because the page for a disallowed host needs it', async (t) => {
  const { url } = await start(t)
  const page = await request(url, { host: 'library.example.com' })
  const path = /"(\/koa-assets\/styles[^"]+)"/.exec(page)?.[1] ?? ''
  t.is(status(await request(url, { host: 'library.example.com', target: path })), 200)
  t.is(status(await request(url, { host: 'evil.example.net', target: path })), 200)
})

test('health probes may use the IP address', async (t) => {
  const { url } = await start(t)
  for (const path of ['/health/live', '/health/ready'])
    t.is(status(await request(url, { host: '10.0.0.7:3000', target: path })), 200)
  t.is(status(await request(url, { host: '10.0.0.7', target: '/health/other' })), 400)
})

for (const [name, head] of Object.entries({
  'an empty Host': ['GET /catalog/ HTTP/1.1', 'Host:'],
  'no Host': ['GET /catalog/ HTTP/1.1'],
  'no Host, in HTTP/1.0': ['GET /catalog/ HTTP/1.0'],
  'two Host headers, one of them allowed': [
    'GET /catalog/ HTTP/1.1',
    'Host: library.example.com',
    'Host: evil.example.net',
  ],
  'the allowed Host twice': [
    'GET /catalog/ HTTP/1.1',
    'Host: library.example.com',
    'Host: library.example.com',
  ],
  'two hosts in one Host': ['GET /catalog/ HTTP/1.1', 'Host: library.example.com,library.example.com'],
  'a port that is not a number': ['GET /catalog/ HTTP/1.1', 'Host: library.example.com:http'],
  'credentials before the host': ['GET /catalog/ HTTP/1.1', 'Host: a@library.example.com'],
  'a path after the host': ['GET /catalog/ HTTP/1.1', 'Host: library.example.com/catalog'],
  'a host in UTF-8': ['GET /catalog/ HTTP/1.1', 'Host: 도서관.example.org'],
  'a host in Latin-1': ['GET /catalog/ HTTP/1.1', 'Host: \xe9.example.org'],
  'an IPv6 zone': ['GET /catalog/ HTTP/1.1', 'Host: [fe80::1%eth0]'],
  'an allowed Host, and a target with another host': [
    'GET http://evil.example.net/catalog/ HTTP/1.1',
    'Host: library.example.com',
  ],
  'an allowed Host, and a target with that host as its user': [
    'GET http://library.example.com@evil.example.net/catalog/ HTTP/1.1',
    'Host: library.example.com',
  ],
  'a disallowed Host, and a target with an allowed one': [
    'GET http://library.example.com/catalog/ HTTP/1.1',
    'Host: evil.example.net',
  ],
  'X-Forwarded-Host without a trusted proxy': [
    'GET /catalog/ HTTP/1.1',
    'Host: evil.example.net',
    'X-Forwarded-Host: library.example.com',
  ],
})) {
  test(`${name} is a 400`, async (t) => {
    const { url } = await serveHosts(t)
    t.is(status(await send(url, head)), 400)
  })
}

test('a target with an allowed host is accepted', async (t) => {
  const { url } = await serveHosts(t)
  const target = 'http://library.example.com:8080/catalog/'
  t.is(status(await request(url, { host: 'library.example.com', target })), 200)
})

test('for HTTP/1.0 without Host, the host is the address of the connection', async (t) => {
  const { url } = await serveHosts(t, { allowedHosts: ['127.0.0.1'] })
  t.is(status(await send(url, ['GET /catalog/ HTTP/1.0'])), 200)
})

test('the default allowed hosts are those of this machine', async (t) => {
  const { url } = await startLibrary(t)
  for (const host of ['localhost', 'a.localhost:3000', '127.0.0.1', '[::1]:3000'])
    t.is(status(await request(url, { host })), 200, host)
  t.is(status(await request(url, { host: 'example.com' })), 400)
})

/** The host that real Django reads: see test/django/hosts.py. */
const { raw }: { raw: { input: [Record<string, string>, boolean]; results: string[] }[] } = JSON.parse(
  readFileSync(new URL('../../vectors/hosts.json', import.meta.url), 'utf8'),
)

for (const { input, results } of raw) {
  const [headers, trustedProxy] = input
  test(`${trustedProxy ? 'behind a trusted proxy' : 'directly'}, the host of ${JSON.stringify(headers)} is Django's`, async (t) => {
    const answered = results.at(-1) ?? ''
    t.deepEqual(new Set(results), new Set([answered]))
    // Unlike Django, which answers 400 for a list: the nearest proxy wrote the last value.
    const host = answered.replace(/^.*, /, '')
    const name = host === 'server.name' ? '127.0.0.1' : host
    const allowing = await serveHosts(t, { trustedProxy: trustedProxy ? ['host'] : [], allowedHosts: [name] })
    const refusing = await serveHosts(t, {
      trustedProxy: trustedProxy ? ['host'] : [],
      allowedHosts: ['a', 'b', 'c', '127.0.0.1'].filter((one) => one !== name),
    })
    const lines = [
      'GET /catalog/ HTTP/1.0',
      ...Object.entries(headers).map(
        ([header, value]) => `${header.replace('HTTP_', '').replaceAll('_', '-')}: ${value}`,
      ),
    ]
    t.is(status(await send(allowing.url, lines)), /^[\w.]+$/.test(name) ? 200 : 400)
    t.is(status(await send(refusing.url, lines)), 400)
  })
}

test('the host in the log is short and printable', async (t) => {
  const { url, log } = await serveHosts(t)
  await send(url, ['GET /catalog/ HTTP/1.1', `Host: \xe9\t${'x'.repeat(5000)}`])
  const { host } = await log.next('security.disallowed_host')
  t.is(host, `??${'x'.repeat(98)}`)
})

function start(t: Scope): Promise<Library> {
  return startLibrary(t, { app: () => ({ allowedHosts: ALLOWED }) })
}

/** An app with the host check only, without a database. */
async function serveHosts(
  t: Scope,
  {
    allowedHosts = ALLOWED,
    trustedProxy = [],
  }: { trustedProxy?: readonly TrustedHeader[]; allowedHosts?: readonly string[] } = {},
): Promise<{ url: string; log: RecordedLog }> {
  const log = recordLog()
  const app = new Koa()
  app.use(
    createErrorPages({
      templates: createTemplates({ stylesUrl: '', iconUrl: '', version: '' }),
      log,
      bareLayout,
    }),
  )
  app.use(createAllowedHosts({ allowedHosts, trustedProxy }))
  app.use((ctx) => {
    ctx.body = 'passed'
  })
  return { url: await listen(t, app.callback()), log }
}

function request(
  url: string,
  { host, target = '/catalog/' }: { host: string; target?: string },
): Promise<string> {
  return send(url, [`GET ${target} HTTP/1.1`, `Host: ${host}`])
}

/** Sends these lines unchanged, which fetch would not do, and returns the whole answer with its headers. */
function send(url: string, lines: readonly string[]): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname)
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      answer += chunk
    })
    socket.on('error', reject).on('close', () => resolve(answer))
    const head = [...lines, 'Connection: close', '', ''].join('\r\n')
    socket.write(Buffer.from(head, /[^\0-\xff]/.test(head) ? 'utf8' : 'latin1'))
  })
}

function status(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
}
