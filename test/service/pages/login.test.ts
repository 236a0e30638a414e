import test from 'ava'
import { versionProfile } from '../../../src/django/versions.ts'
import { createVisitor } from '../../interop/visitor.ts'
import { addUser, fieldOf, logIn, PASSWORD, startLoginSite } from './login-site.ts'

const NEVER = 'max-age=0, no-cache, no-store, must-revalidate, private'

test('the login page has a form with a token, and caches do not store it', async (t) => {
  const site = await startLoginSite(t)
  const response = await site.visitor.fetch(`${site.url}/accounts/login/?next=/catalog/mybooks/%3Fpage=2`)
  const page = await response.text()
  t.is(response.status, 200)
  t.is(response.headers.get('Cache-Control'), NEVER)
  t.true(Math.abs(Date.parse(response.headers.get('Expires') ?? '') - Date.now()) < 60_000)
  t.regex(response.headers.get('Vary') ?? '', /Cookie/)
  t.is(fieldOf(page, 'next'), '/catalog/mybooks/?page=2')
  t.regex(fieldOf(page, 'csrfmiddlewaretoken'), /^\w{64}$/)
  t.regex(site.visitor.cookie('csrftoken') ?? '', /^\w{32}$/)
  t.true(page.includes('Please login to see this page.'))
  t.is(site.visitor.cookie(), undefined)
  t.true(page.includes('href="/accounts/login/?next=/catalog/mybooks/%3Fpage%3D2"'))
})

test('the right password logs in under a new session key, and redirects to next', async (t) => {
  const site = await startLoginSite(t)
  await site.visitor.visit(site.url)
  const before = site.visitor.cookie()
  const csrf = site.visitor.cookie('csrftoken')
  const response = await logIn(site, { query: '?next=/catalog/mybooks/' })
  t.is(response.status, 302)
  t.is(response.headers.get('Location'), '/catalog/mybooks/')
  t.is(response.headers.get('Cache-Control'), NEVER)
  t.not(site.visitor.cookie(), before)
  t.not(site.visitor.cookie('csrftoken'), csrf)
  t.is(await site.visitor.visit(site.url), 2)
  const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.true(page.includes('User: <strong>reader</strong>'))
  const [{ last_login }] = await site.db('auth_user').where({ username: 'reader' })
  t.truthy(last_login)
  t.like(await site.log.next('auth.login'), { userId: '1' })
})

for (const [name, fields] of Object.entries({
  'a wrong password': { password: 'x' },
  'an unknown name': { username: 'nobody' },
  'an inactive user': { username: 'gone' },
})) {
  test(`${name} shows the same page with 200, and does not say which was wrong`, async (t) => {
    const site = await startLoginSite(t)
    await addUser(site.db, { username: 'gone', is_active: 0 })
    const response = await logIn(site, { query: '?next=/admin/', ...fields })
    const page = await response.text()
    t.is(response.status, 200)
    t.is(response.headers.get('Cache-Control'), NEVER)
    t.regex(page, /<title>Error: Login/)
    t.regex(page, /role="alert">Your username and password didn&#39;t match\. Please try again\.</)
    t.is(fieldOf(page, 'next'), '/admin/')
    t.regex(page, /id="id_username" value="\w+"/)
    t.notRegex(page, /id="id_password"[^>]*value=/)
    t.is(site.visitor.cookie(), undefined)
    const { requestId, ...rest } = await site.log.next('auth.login_failed')
    t.deepEqual(rest, {})
  })
}

test('a missing value is reported at its field, and does not count as an attempt', async (t) => {
  const site = await startLoginSite(t, { throttle: { byName: 1 } })
  for (const [username, password] of [
    ['', ''],
    ['   ', PASSWORD],
    ['reader', ''],
    ['reader\0', PASSWORD],
  ] as const) {
    const page = await (await logIn(site, { username, password })).text()
    t.regex(page, /aria-invalid="true" aria-describedby="error_(username|password)"/)
    t.notRegex(page, /didn&#39;t match/)
  }
  t.is((await logIn(site)).status, 302)
})

for (const next of [
  '//evil.example/',
  'https://evil.example/',
  '/\\evil.example',
  'javascript:alert(1)',
  '///x',
  '\0/x',
]) {
  test(`next=${JSON.stringify(next)} does not lead to another host, in the query or in the form`, async (t) => {
    const site = await startLoginSite(t)
    const page = await site.visitor.fetch(`${site.url}/accounts/login/?next=${encodeURIComponent(next)}`)
    t.is(fieldOf(await page.text(), 'next'), '')
    const response = await logIn(site, { fields: { next } })
    t.is(response.headers.get('Location'), '/catalog/')
    const again = await logIn(site, { query: `?next=${encodeURIComponent(next)}` })
    t.is(again.headers.get('Location'), '/catalog/')
  })
}

test('next may be a URL of this host, and is escaped in the Location header', async (t) => {
  const site = await startLoginSite(t)
  const next = `${site.url}/책/?a=b c\r\nSet-Cookie: x=y`
  const response = await logIn(site, { fields: { next } })
  t.is(response.headers.get('Location'), `${site.url}/%EC%B1%85/?a=b%20c%0D%0ASet-Cookie:%20x=y`)
  t.is(site.visitor.cookie('x'), undefined)
})

test('a login or logout without a token is a 403 in the layout, and does nothing', async (t) => {
  const site = await startLoginSite(t)
  const body = new URLSearchParams({ username: 'reader', password: PASSWORD })
  const response = await site.visitor.fetch(`${site.url}/accounts/login/`, { method: 'POST', body })
  t.is(response.status, 403)
  t.true((await response.text()).includes('<nav aria-label="Library">'))
  await logIn(site)
  const logout = await site.visitor.fetch(`${site.url}/accounts/logout/`, { method: 'POST' })
  t.is(logout.status, 403)
  const home = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  t.true(home.includes('User: <strong>reader</strong>'))
})

test('the logout form of the sidebar flushes the session', async (t) => {
  const site = await startLoginSite(t)
  await logIn(site)
  const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
  const token = fieldOf(page, 'csrfmiddlewaretoken')
  t.regex(page, /<form id="logout-form" method="post" action="\/accounts\/logout\/">/)
  const body = new URLSearchParams({ csrfmiddlewaretoken: token })
  const response = await site.visitor.fetch(`${site.url}/accounts/logout/`, { method: 'POST', body })
  const loggedOut = await response.text()
  t.is(response.status, 200)
  t.is(response.headers.get('Cache-Control'), NEVER)
  t.true(loggedOut.includes('<h1>Logged out</h1>'))
  t.true(loggedOut.includes('href="/accounts/login/?next=/catalog/"'))
  t.is(site.visitor.cookie(), undefined)
  t.deepEqual(await site.db('django_session'), [])
  t.like(await site.log.next('auth.logout'), { userId: '1' })
})

test('after logging out a safe next is used, else LOGOUT_REDIRECT_URL', async (t) => {
  const site = await startLoginSite(t, { login: { logoutRedirectUrl: '/catalog/books/' } })
  for (const [next, expected] of [
    ['', '/catalog/books/'],
    ['//evil.example', '/catalog/books/'],
    ['/catalog/', '/catalog/'],
  ] as const) {
    await logIn(site)
    const page = await (await site.visitor.fetch(`${site.url}/catalog/`)).text()
    const body = new URLSearchParams({ csrfmiddlewaretoken: fieldOf(page, 'csrfmiddlewaretoken'), next })
    const response = await site.visitor.fetch(`${site.url}/accounts/logout/`, { method: 'POST', body })
    t.is(response.status, 302)
    t.is(response.headers.get('Location'), expected)
  }
})

for (const [djangoVersion, status] of [
  ['4.2', 200],
  ['5.2', 405],
] as const) {
  test(`a GET for the logout page is a ${status}, as in Django ${djangoVersion}`, async (t) => {
    const site = await startLoginSite(t, { session: { profile: versionProfile(djangoVersion) } })
    await logIn(site)
    const response = await site.visitor.fetch(`${site.url}/accounts/logout/`)
    t.is(response.status, status)
    t.is(response.headers.get('Allow'), status === 405 ? 'POST, OPTIONS' : null)
    t.is(site.visitor.cookie() === undefined, status === 200)
  })
}

test('after too many wrong passwords for a name, even the right one is a 429 until the window ends', async (t) => {
  let now = 0
  const site = await startLoginSite(t, { throttle: { monotonic: () => now } })
  for (let attempt = 0; attempt < 3; attempt += 1)
    t.is((await logIn(site, { username: `${' '.repeat(300)}\x1creader`, password: 'x' })).status, 200)
  const response = await logIn(site)
  t.is(response.status, 429)
  t.is(response.headers.get('Retry-After'), '600')
  const page = await response.text()
  t.true(page.includes('<nav aria-label="Library">'))
  t.true(page.includes('Please wait'))
  t.like(await site.log.next('auth.login_limited'), { by: 'name' })
  t.is((await logIn(site, { username: 'librarian' })).status, 302)
  now += 600_000
  t.is((await logIn(site)).status, 302)
})

test('simultaneous attempts all count', async (t) => {
  const site = await startLoginSite(t, { throttle: { byName: 5, byAddress: 1000 } })
  const page = await (await site.visitor.fetch(`${site.url}/accounts/login/`)).text()
  const csrfmiddlewaretoken = fieldOf(page, 'csrfmiddlewaretoken')
  const body = () => new URLSearchParams({ csrfmiddlewaretoken, username: 'reader', password: 'x' })
  const answers = await Promise.all(
    Array.from({ length: 30 }, () =>
      site.visitor.fetch(`${site.url}/accounts/login/`, { method: 'POST', body: body() }),
    ),
  )
  t.is(answers.filter(({ status }) => status === 200).length, 5)
  t.is(answers.filter(({ status }) => status === 429).length, 25)
})

test('an address has its own limit; X-Forwarded-For sets the address only from a trusted proxy', async (t) => {
  for (const trustedProxy of [['for'], []] as const) {
    const site = await startLoginSite(t, { trustedProxy })
    const attempt = async (username: string, address: string) => {
      const visitor = createVisitor()
      const headers = { 'X-Forwarded-For': `1.2.3.4, ${address}` }
      const page = await (await visitor.fetch(`${site.url}/accounts/login/`)).text()
      const body = new URLSearchParams({
        csrfmiddlewaretoken: fieldOf(page, 'csrfmiddlewaretoken'),
        username,
        password: 'x',
      })
      return (await visitor.fetch(`${site.url}/accounts/login/`, { method: 'POST', body, headers })).status
    }
    for (let user = 0; user < 6; user += 1) t.is(await attempt(`user${user}`, '2001:db8::1'), 200)
    t.is(await attempt('user6', '2001:db8::ffff'), 429)
    t.is(await attempt('user6', '2001:db8:0:1::1'), trustedProxy.length > 0 ? 200 : 429)
  }
})

for (const [kind, addressOf] of Object.entries({
  'IPv4 with a port': (at: number) => `203.0.113.9:${40_000 + at}`,
  'IPv6 with a port': (at: number) => `[2001:db8:0:7::${at}]:${40_000 + at}`,
  'IPv4 written as IPv6': (at: number) =>
    ['::ffff:203.0.113.9', '::FFFF:cb00:7109', '203.0.113.9'][at % 3] ?? '',
  'IPv6 in other letters, with a zone': (at: number) =>
    at % 2 ? '2001:DB8:0:7::1' : `2001:db8:0:7::2%eth${at}`,
})) {
  test(`all spellings of one address by the proxy count as one: ${kind}`, async (t) => {
    const site = await startLoginSite(t, { trustedProxy: ['for'], throttle: { byAddress: 4 } })
    const page = await (await site.visitor.fetch(`${site.url}/accounts/login/`)).text()
    const csrfmiddlewaretoken = fieldOf(page, 'csrfmiddlewaretoken')
    site.statements()
    const statuses: number[] = []
    for (let at = 0; at < 8; at += 1) {
      const body = new URLSearchParams({ csrfmiddlewaretoken, username: `nobody${at}`, password: 'x' })
      const headers = { 'X-Forwarded-For': addressOf(at) }
      const answer = await site.visitor.fetch(`${site.url}/accounts/login/`, {
        method: 'POST',
        body,
        headers,
      })
      statuses.push(answer.status)
    }
    t.deepEqual(statuses, [200, 200, 200, 200, 429, 429, 429, 429])
    t.is(site.statements().length, 4, 'no user is queried for an address at its limit')
  })
}

test('a login that fails because of the database does not count', async (t) => {
  const site = await startLoginSite(t, { throttle: { byName: 1 } })
  const page = await (await site.visitor.fetch(`${site.url}/accounts/login/`)).text()
  await site.db.schema.renameTable('auth_user', 'elsewhere')
  const csrfmiddlewaretoken = fieldOf(page, 'csrfmiddlewaretoken')
  const body = new URLSearchParams({ csrfmiddlewaretoken, username: 'reader', password: PASSWORD })
  const response = await site.visitor.fetch(`${site.url}/accounts/login/`, { method: 'POST', body })
  t.is(response.status, 500)
  t.notRegex(JSON.stringify(site.log.events), /sesame/)
  await site.db.schema.renameTable('elsewhere', 'auth_user')
  t.is((await logIn(site)).status, 302)
})

test('the paths without a slash redirect to those with it', async (t) => {
  const site = await startLoginSite(t)
  for (const page of ['login', 'logout']) {
    const response = await site.visitor.fetch(`${site.url}/accounts/${page}?next=/x`)
    t.is(response.status, 301)
    t.is(response.headers.get('Location'), `/accounts/${page}/?next=/x`)
  }
})

test('without login pages, their paths are a 404', async (t) => {
  const site = await startLoginSite(t, { login: null })
  t.is((await site.visitor.fetch(`${site.url}/accounts/login/`)).status, 404)
  t.is((await site.visitor.fetch(`${site.url}/accounts/logout/`, { method: 'POST' })).status, 404)
})

test('the log contains no password, name, token or cookie', async (t) => {
  const site = await startLoginSite(t)
  await logIn(site, { username: 'a-secret-typed-as-a-name', password: 'another-secret' })
  await logIn(site)
  const log = JSON.stringify(site.log.events)
  for (const secret of [
    'a-secret',
    'another-secret',
    PASSWORD,
    site.visitor.cookie(),
    site.visitor.cookie('csrftoken'),
  ])
    t.false(log.includes(secret ?? '-'), secret)
})
