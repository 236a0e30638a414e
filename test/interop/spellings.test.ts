import test from 'ava'
import { fieldOf } from '../service/pages/login-site.ts'
import { sendRaw } from '../service/proxy/behind.ts'
import { createTestDatabase } from '../support/databases.ts'
import { startDjango, startGunicorn } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { type RunningService, startService } from '../support/service.ts'
import { secretKey, serviceEnvironment, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

/** The result for a target: a page, a redirect to one, or nothing. */
type Meaning = 'login' | 'logout' | 'home' | 'redirect' | 'nothing'

/** What ours does: serve its own page, refuse with its 404 page, or pass the request to Django. */
type Deed = 'served' | 'refused' | 'passed on'

/** A target, the result of Django's resolver behind its own server and behind gunicorn, and what ours does. */
const SPELLINGS: readonly [target: string, django: Meaning, ours: Deed, gunicorn?: Meaning][] = [
  // Plain and percent-encoded: one path.
  ['/accounts/login/', 'login', 'served'],
  ['/accounts/login/?', 'login', 'served'],
  ['/accounts/login/?next=/', 'login', 'served'],
  ['/accounts/login/?a=%2f..//\\', 'login', 'served'],
  ['/accounts/%6cogin/', 'login', 'served'],
  ['/accounts/%6Cogin/', 'login', 'served'],
  ['/accounts/%6Cogin/?next=/catalog/', 'login', 'served'],
  ['/%61ccounts/login/', 'login', 'served'],
  ['/%61%63%63%6f%75%6e%74%73/%6c%6f%67%69%6e/', 'login', 'served'],
  ['/accounts/%6cogout/', 'logout', 'served'],
  ['/accounts/logout/', 'logout', 'served'],
  ['/%63atalog/', 'home', 'served'],
  ['/catalog/', 'home', 'served'],
  ['/catalog', 'redirect', 'served'],
  ['/%63atalog', 'redirect', 'served'],
  ['/accounts/login', 'redirect', 'served'],
  ['/accounts/%6cogin', 'redirect', 'served'],
  ['/accounts/%6cogout', 'redirect', 'served'],
  ['/', 'redirect', 'served'],
  // Encoded or repeated slashes, backslashes, dot segments: servers disagree.
  ['/accounts/login%2f', 'login', 'refused'],
  ['/accounts/login%2F', 'login', 'refused'],
  ['/accounts%2flogin/', 'login', 'refused'],
  ['/%61ccounts%2F%6cogin%2f', 'login', 'refused'],
  ['/accounts%2flogin', 'redirect', 'refused'],
  ['/accounts%2flogout/', 'logout', 'refused'],
  ['/catalog%2f', 'home', 'refused'],
  ['//accounts/login/', 'login', 'refused', 'nothing'],
  ['///accounts/login/', 'login', 'refused', 'nothing'],
  ['//accounts/%6cogin/', 'login', 'refused', 'nothing'],
  ['//accounts/logout/', 'logout', 'refused', 'nothing'],
  ['//catalog/', 'home', 'refused', 'nothing'],
  ['//', 'redirect', 'refused', 'nothing'],
  ['/accounts//login/', 'nothing', 'refused'],
  ['/accounts/login//', 'nothing', 'refused'],
  ['/accounts//logout/', 'nothing', 'refused'],
  ['/%2faccounts/login/', 'nothing', 'refused'],
  ['/accounts\\login/', 'nothing', 'refused'],
  ['/accounts\\login/#', 'nothing', 'refused'],
  ['/accounts/login\\', 'nothing', 'refused'],
  ['/accounts/login%5c', 'nothing', 'refused'],
  ['/accounts%5Clogin/', 'nothing', 'refused'],
  ['\\accounts/login/', 'nothing', 'refused'],
  ['/./accounts/login/', 'nothing', 'refused'],
  ['/accounts/./login/', 'nothing', 'refused'],
  ['/accounts/login/.', 'nothing', 'refused'],
  ['/accounts/login/./', 'nothing', 'refused'],
  ['/accounts/../accounts/login/', 'nothing', 'refused'],
  ['/x/../accounts/login/', 'nothing', 'refused'],
  ['/../accounts/login/', 'nothing', 'refused'],
  ['/accounts/login/x/..', 'nothing', 'refused'],
  ['/%2e/accounts/login/', 'nothing', 'refused'],
  ['/%2e%2e/accounts/login/', 'nothing', 'refused'],
  ['/accounts/%2e/login/', 'nothing', 'refused'],
  ['/accounts/x/%2e%2e/login/', 'nothing', 'refused'],
  ['/..%2faccounts/login/', 'nothing', 'refused'],
  ['/accounts/x%2f..%2flogin/', 'nothing', 'refused'],
  ['/%2e', 'nothing', 'refused'],
  // Targets that gunicorn reads as having a fragment.
  ['/accounts/login/#', 'nothing', 'refused', 'login'],
  ['/accounts/login/#x?y', 'nothing', 'refused', 'login'],
  ['/accounts/%6cogin/#/x', 'nothing', 'refused', 'login'],
  ['/accounts/login#/', 'nothing', 'refused', 'redirect'],
  ['/#/accounts/login/', 'nothing', 'refused', 'redirect'],
  // Control characters, which a server might remove.
  ['/accounts/login/%0a', 'nothing', 'refused'],
  ['/accounts/login%0a/', 'nothing', 'refused'],
  ['/accounts/login/%0d%0a', 'nothing', 'refused'],
  ['/accounts/login/%09', 'nothing', 'refused'],
  ['/accounts/%09login/', 'nothing', 'refused'],
  ['/accounts/login/%00', 'nothing', 'refused'],
  ['/accounts%00/login/', 'nothing', 'refused'],
  // Other paths, for every server.
  ['/accounts/login/%00x', 'nothing', 'passed on'],
  ['/accounts/login/%20', 'nothing', 'passed on'],
  ['/%20accounts/login/', 'nothing', 'passed on'],
  ['/accounts/login/+', 'nothing', 'passed on'],
  ['/accounts/login/..', 'nothing', 'passed on'],
  ['/accounts/login/;x', 'nothing', 'passed on'],
  ['/accounts/login;x/', 'nothing', 'passed on'],
  ['/accounts;/login/', 'nothing', 'passed on'],
  ['/accounts/login/%23', 'nothing', 'passed on'],
  ['/accounts/login/%3f', 'nothing', 'passed on'],
  ['/accounts/login/%3fnext=/', 'nothing', 'passed on'],
  ['/Accounts/login/', 'nothing', 'passed on'],
  ['/ACCOUNTS/LOGIN/', 'nothing', 'passed on'],
  ['/accounts/%256cogin/', 'nothing', 'passed on'],
  ['/accounts/login%252f', 'nothing', 'passed on'],
  ['/accounts/%c0%aelogin/', 'nothing', 'passed on'],
  ['/accounts%c0%aflogin/', 'nothing', 'passed on'],
  ['/accounts/%e0%80%aflogin/', 'nothing', 'passed on'],
  ['/accounts/%eflogin/', 'nothing', 'passed on'],
  ['/accounts/l%c5%8fgin/', 'nothing', 'passed on'],
  ['/accounts/login%ef%bc%8f', 'nothing', 'passed on'],
  ['/accounts/l%u006fgin/', 'nothing', 'passed on'],
  ['/accounts/%4cogin/', 'nothing', 'passed on'],
  ['/accounts/login.', 'nothing', 'passed on'],
  ['/accounts/login./', 'nothing', 'passed on'],
  ['/accounts/login/.../', 'nothing', 'passed on'],
  ['/accounts/login/%', 'nothing', 'passed on'],
  ['/accounts/login/%2', 'nothing', 'passed on'],
  ['/accounts/%login/', 'nothing', 'passed on'],
  ['/app/accounts/login/', 'nothing', 'passed on'],
  ['/index.php/accounts/login/', 'nothing', 'passed on'],
  ['*', 'nothing', 'passed on'],
  // With a host: servers upstream see only the path.
  ['http://127.0.0.1/accounts/login/', 'nothing', 'served', 'login'],
  ['http://127.0.0.1/accounts/%6cogin/', 'nothing', 'served', 'login'],
  ['HTTP://127.0.0.1/accounts/login/', 'nothing', 'served', 'login'],
  ['x://127.0.0.1/accounts/login/', 'nothing', 'served', 'login'],
  ['http://127.0.0.1?/accounts/login/', 'nothing', 'served', 'redirect'],
  ['http://127.0.0.1//accounts/login/', 'nothing', 'refused'],
  ['http://127.0.0.1/x/../accounts/login/', 'nothing', 'refused'],
  ['http://127.0.0.1/accounts\\login/', 'nothing', 'refused'],
  ['http://127.0.0.1/accounts%2flogin/', 'nothing', 'refused', 'login'],
  ['http://127.0.0.1/accounts/login/#', 'nothing', 'refused', 'login'],
]

for (const server of ['2.2', '4.2', '6.1', 'gunicorn'] as const) {
  test(`no spelling of a page of ours reaches Django behind ${server === 'gunicorn' ? server : `its own server, ${server}`}`, async (t) => {
    t.timeout(110_000)
    await takeTurn(t)
    const { django, front } = await startBoth(t, { server })
    for (const [target, own, deed, gunicorn = own] of SPELLINGS) {
      const expected = server === 'gunicorn' ? gunicorn : own
      const direct = await ask(django, 'GET', target)
      // Node's parser, and so ours, rejects a target without a leading slash; Django's server does not.
      if (!/^(?:\/|\*|\w+:)/.test(target)) {
        t.is((await ask(front.url, 'GET', target)).status, 400, target)
        continue
      }
      t.is(direct.meaning, expected, `Django: ${target}`)
      const ours = await ask(front.url, 'GET', target)
      t.is(ours.deed, deed, `ours: ${target}`)
      if (deed === 'passed on') t.is(ours.meaning, 'nothing', `passed on: ${target}`)
      if (deed === 'served') t.true([own, gunicorn].includes(ours.meaning), `${ours.meaning}: ${target}`)
      if ([own, gunicorn].some((meaning) => meaning === 'login'))
        t.not((await ask(front.url, 'POST', target)).deed, 'passed on', `POST ${target}`)
    }
  })
}

test('25 password guesses under different paths have the same limit as under one path', async (t) => {
  t.timeout(110_000)
  await takeTurn(t)
  const { front } = await startBoth(t, { server: 'gunicorn', env: { LOGIN_TRIES_BY_ADDRESS: '5' } })
  const paths = ['/accounts/%6cogin/', '/%61ccounts/login/', '/accounts/login%2f', '/accounts%2flogin/']
  const visitor = createVisitor()
  const page = await (await visitor.fetch(`${front.url}/accounts/%6cogin/`)).text()
  t.regex(page, /<form[^>]* action="\/accounts\/login\/"/)
  const statuses: number[] = []
  for (let guess = 0; guess < 25; guess += 1) {
    const body = new URLSearchParams({
      csrfmiddlewaretoken: fieldOf(page, 'csrfmiddlewaretoken'),
      username: `user${guess}`,
      password: 'guess',
    })
    const url = `${front.url}${paths[guess % paths.length]}`
    statuses.push((await visitor.fetch(url, { method: 'POST', body })).status)
  }
  const count = (status: number) => statuses.filter((each) => each === status).length
  t.deepEqual(
    { tried: count(200), refused: count(404), limited: count(429) },
    { tried: 5, refused: 12, limited: 8 },
  )
})

test('ours answers every method of the login and logout pages, and a WebSocket there', async (t) => {
  t.timeout(110_000)
  await takeTurn(t)
  const { front } = await startBoth(t, { server: 'gunicorn' })
  for (const path of ['/accounts/login/', '/accounts/%6cogin/', '/accounts/logout/']) {
    for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'HEAD', 'POST', 'GET']) {
      const headers = ['X-HTTP-Method-Override: POST']
      t.is((await ask(front.url, method, path, headers)).deed, 'served', `${method} ${path}`)
    }
    t.is((await ask(front.url, 'PUT', path)).status, 405)
    t.is((await ask(front.url, 'post', path)).status, 400)
  }
  t.is((await ask(front.url, 'PUT', '/accounts%2flogin/')).deed, 'refused')
  const upgrade = [
    ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ]
  for (const path of [
    '/accounts/login/',
    '/accounts/%6cogin/',
    '//accounts/login/',
    'http://127.0.0.1/accounts/logout/',
  ])
    t.is((await ask(front.url, 'GET', path, upgrade)).status, 404, path)
  // gunicorn does not support WebSockets, and answers as for any request.
  t.is((await ask(front.url, 'GET', '/admin/', upgrade)).status, 302)
})

test('a header with which gunicorn removes a part of the path is not passed on', async (t) => {
  t.timeout(110_000)
  await takeTurn(t)
  const { django, front } = await startBoth(t, { server: 'gunicorn' })
  const headers = ['SCRIPT_NAME: /x']
  t.is((await ask(django, 'GET', '/x/accounts/login/', headers)).meaning, 'login')
  t.like(await ask(front.url, 'GET', '/x/accounts/login/', headers), {
    deed: 'passed on',
    meaning: 'nothing',
  })
})

async function startBoth(
  t: Scope,
  {
    server,
    env = {},
  }: { server: '2.2' | '4.2' | '6.1' | 'gunicorn'; env?: Readonly<Record<string, string>> },
): Promise<{ django: string; front: RunningService }> {
  const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const options = { secretKey, databaseUrl }
  const version = server === 'gunicorn' ? '5.2' : server
  const { url: django } =
    server === 'gunicorn' ? await startGunicorn(t, options) : await startDjango(t, { version, ...options })
  const settings = { DJANGO_UPSTREAM: django, SERVE_LOGIN: 'True', ...env }
  const front = await startService(t, { env: serviceEnvironment({ version, databaseUrl, settings }) })
  return { django, front }
}

interface Answer {
  readonly status: number
  readonly meaning: Meaning
  readonly deed: Deed
}

async function ask(
  site: string,
  method: string,
  target: string,
  headers: readonly string[] = [],
): Promise<Answer> {
  const connection = headers.some((line) => /^connection:/i.test(line)) ? [] : ['Connection: close']
  const length = method === 'POST' ? ['Content-Length: 0'] : []
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: 127.0.0.1',
    ...headers,
    ...length,
    ...connection,
    '',
    '',
  ]
  const answer = await sendRaw(site, lines.join('\r\n'))
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1])
  // Django does not send this header.
  const isOurs = /^content-security-policy: default-src 'none'/im.test(answer)
  const deed = isOurs ? (status === 404 ? 'refused' : 'served') : 'passed on'
  return { status, deed, meaning: meaningOf(status, answer) }
}

function meaningOf(status: number, page: string): Meaning {
  if (status === 405 || /logged out/i.test(page)) return 'logout'
  if (status === 301) return 'redirect'
  if (page.includes('name="username"')) return 'login'
  return page.includes('Local Library Home') ? 'home' : 'nothing'
}
