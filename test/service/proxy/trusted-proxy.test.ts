import test from 'ava'
import Koa from 'koa'
import { followProxy, type TrustedHeader } from '../../../src/service/proxy/trusted-proxy.ts'
import type { Scope } from '../../support/file-scope.ts'
import { listen, startLibrary } from '../../support/library.ts'
import { sendRaw } from './behind.ts'

const ALL: readonly TrustedHeader[] = ['host', 'proto', 'for']

/** The headers of a proxy that terminates TLS. */
const FORWARDED = {
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'library.example.com',
  'X-Forwarded-For': '203.0.113.7',
}

test('behind a trusted proxy that terminates TLS the session cookie is set, with Secure', async (t) => {
  const answer = await get(t, { trustedProxy: ALL })
  t.is(answer.status, 200)
  t.regex(answer.headers.get('Set-Cookie') ?? '', /^sessionid=[a-z0-9]{32};.*; Secure$/)
})

// As in Django: SESSION_COOKIE_SECURE alone decides, whatever the scheme of the request.
test('SESSION_COOKIE_SECURE does not depend on the proxy', async (t) => {
  const answer = await get(t, { trustedProxy: [], allowedHosts: ['127.0.0.1'] })
  t.regex(answer.headers.get('Set-Cookie') ?? '', /; Secure$/)
})

test('X-Forwarded-… headers count only behind a trusted proxy', async (t) => {
  const host = { 'X-Forwarded-Host': 'evil.example.net' }
  t.is((await get(t, { trustedProxy: ['host'] }, host)).status, 400)
  for (const trustedProxy of [[], ['proto', 'for']] as const)
    t.is((await get(t, { trustedProxy, allowedHosts: ['127.0.0.1'] }, host)).status, 200)
})

test('of several forwarded hosts the last is used, which the nearest proxy wrote', async (t) => {
  const status = async (hosts: string) =>
    (await get(t, { trustedProxy: ['host'] }, { 'X-Forwarded-Host': hosts })).status
  t.is(await status('evil.example.net, library.example.com'), 200)
  t.is(await status('library.example.com, evil.example.net'), 400)
  t.is(await status('library.example.com, '), 400)
})

const seen = test.macro<
  [trusted: readonly TrustedHeader[], headers: readonly string[], expected: Readonly<Record<string, unknown>>]
>({
  title: (_, trusted, headers) =>
    `with [${trusted}] trusted, ${headers.join('; ') || 'no header'} is read correctly`,
  async exec(t, trusted, headers, expected) {
    const app = new Koa()
    followProxy(app, trusted)
    app.use((ctx) => {
      const { host, hostname, protocol, secure, ip, ips } = ctx
      ctx.body = { host, hostname, protocol, secure, ip, ips }
    })
    const url = await listen(t, app.callback())
    const lines = ['GET / HTTP/1.1', 'Host: direct.example:81', ...headers, 'Connection: close', '', '']
    const [, body = ''] = (await sendRaw(url, lines.join('\r\n'))).split('\r\n\r\n')
    t.like(JSON.parse(body), expected)
  },
})

const DIRECT = { host: 'direct.example:81', protocol: 'http', secure: false, ip: '127.0.0.1' }
const LISTS = [
  'X-Forwarded-Host: evil.example, b.example:82',
  'X-Forwarded-Proto: http, HTTPS',
  'X-Forwarded-For: 192.0.2.1, 203.0.113.7',
]
test(seen, ALL, [], DIRECT)
test(seen, [], LISTS, DIRECT)
test(seen, ALL, LISTS, {
  host: 'b.example:82',
  hostname: 'b.example',
  protocol: 'https',
  secure: true,
  ip: '203.0.113.7',
  ips: ['203.0.113.7'],
})
test(seen, ['host'], LISTS, { ...DIRECT, host: 'b.example:82' })
test(seen, ['proto'], LISTS, { ...DIRECT, protocol: 'https', secure: true })
test(seen, ['for'], LISTS, { ...DIRECT, ip: '203.0.113.7' })
test(seen, ALL, ['X-Forwarded-Host: evil.example', 'X-Forwarded-Host: b.example'], {
  ...DIRECT,
  host: 'b.example',
})
test(seen, ALL, ['X-Forwarded-Proto: https', 'X-Forwarded-Proto: http'], DIRECT)
test(seen, ALL, ['X-Forwarded-For: 192.0.2.1', 'X-Forwarded-For: 203.0.113.7'], {
  ...DIRECT,
  ip: '203.0.113.7',
})
// Some proxies append the port, which differs for each connection of a visitor.
for (const [header, ip] of [
  ['203.0.113.7:4711', '203.0.113.7'],
  ['[2001:db8::7]:4711', '2001:db8::7'],
  ['[2001:db8::7]', '2001:db8::7'],
  ['2001:db8::7', '2001:db8::7'],
  ['192.0.2.1, unknown', '127.0.0.1'],
  ['192.0.2.1, ', '127.0.0.1'],
  ['_hidden', '127.0.0.1'],
] as const)
  test(seen, ['for'], [`X-Forwarded-For: ${header}`], { ip })

for (const [header, secure] of [
  ['X-Forwarded-Ssl: on', true],
  ['X-Forwarded-Ssl: off', false],
  ['X-Forwarded-Protocol: ssl', true],
  ['X-Forwarded-Protocol: https', true],
  ['X-Forwarded-Scheme: https', true],
  ['X-Url-Scheme: https', true],
  ['X-Scheme: https', true],
  ['Front-End-Https: on', true],
  ['Forwarded: for=192.0.2.1;proto=http, for=203.0.113.7;proto=https', true],
  ['Forwarded: proto=https, for=203.0.113.7;proto="http"', false],
  ['Forwarded: for="[2001:db8::1]:47"; Proto="https"', true],
  ['Forwarded: for=203.0.113.7', false],
  ['X-Forwarded-Ssl: on, off', false],
] as const) {
  test(seen, ['proto'], [header], { secure })
  test(seen, ['host', 'for'], [header], { secure: false })
}
test(seen, ALL, ['X-Forwarded-Proto: http', 'X-Forwarded-Ssl: on'], { secure: false })

interface Options {
  readonly trustedProxy: readonly TrustedHeader[]
  readonly allowedHosts?: readonly string[]
}

async function get(
  t: Scope,
  { allowedHosts = ['library.example.com'], ...options }: Options,
  headers: Readonly<Record<string, string>> = FORWARDED,
): Promise<Response> {
  const { url } = await startLibrary(t, {
    session: { cookie: { secure: true } },
    app: () => ({ ...options, allowedHosts }),
  })
  return fetch(`${url}/catalog/`, { headers })
}
