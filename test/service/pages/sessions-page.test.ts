import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { text } from 'node:stream/consumers'
import test, { type ExecutionContext } from 'ava'
import { createSessionCodec } from '../../../src/django/session-data.ts'
import { versionProfile } from '../../../src/django/versions.ts'
import { openSessionsPage, sessionsPageAccess } from '../../../src/service/open-sessions-page.ts'
import { type Catalog, createCatalog } from '../../../src/service/pages/catalog.ts'
import { createLoginThrottle } from '../../../src/service/pages/login-throttle.ts'
import { createRecentSaves } from '../../../src/service/pages/recent-saves.ts'
import type { SessionsPageSite } from '../../../src/service/pages/sessions-page.ts'
import type { Upstream } from '../../../src/service/proxy/upstream.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'
import { createVisitor, type Visitor } from '../../interop/visitor.ts'
import { fileScope } from '../../support/file-scope.ts'
import { type Library, startLibrary } from '../../support/library.ts'
import { startService, temporaryFolder } from '../../support/service.ts'
import { addUser, fieldOf, logIn, PASSWORD } from './login-site.ts'

const PATH = '/_sessions/'
const file = fileScope(test)
/** A service in development, which also has the name of a site. */
let developer = ''

test.before(async () => {
  const { url } = await startService(file, { env: { ALLOWED_HOSTS: 'library.example .localhost 127.0.0.1' } })
  developer = url
})
const FALLBACK = 'an older secret key of the tests'

interface PageSite extends Library {
  readonly visitor: Visitor
  /** The page as this visitor sees it. */
  page(): Promise<string>
  /** The page after the button "Show" of this key. */
  reveal(key: string): Promise<Response>
}

async function start(
  t: ExecutionContext,
  {
    env = {},
    site: changes = {},
    upstream = null,
    session = {},
    together = 1,
  }: {
    env?: Readonly<Record<string, string>>
    site?: Partial<SessionsPageSite>
    upstream?: Upstream | null
    session?: NonNullable<Parameters<typeof startLibrary>[1]>['session']
    /** How many requests for the home page load their session before any of them saves it. */
    together?: number
  } = {},
): Promise<PageSite> {
  const settings = readSettings(
    { DJANGO_VERSION: '5.2', USE_TZ: 'True', TIME_ZONE: 'Asia/Seoul', ...env },
    { cwd: temporaryFolder(t) },
  )
  const now = () => new Date()
  const saves = createRecentSaves()
  const access = sessionsPageAccess(settings)
  const secretKeys = ['a-secret-key-for-tests-0123456789-abcdefghijklmnop', FALLBACK] as const
  const library = await startLibrary(t, {
    session: { ...session, secretKeys, csrf: settings.csrf, events: { save: saves.record } },
    app: (db, django) => ({
      catalog: meetingCatalog(createCatalog({ db }), together),
      upstream,
      login: {
        authenticate: django.auth.authenticate,
        throttle: createLoginThrottle({ byName: 3, byAddress: 6, window: 600 }),
        logsOutOnGet: () => false,
        loginRedirectUrl: '/catalog/',
        logoutRedirectUrl: null,
      },
      sessionsPage: access && {
        access,
        site: () => ({
          ...openSessionsPage(
            settings,
            { sessionDb: db },
            {
              ...{ django, secretKeys, profile: django.profile, useTz: true },
              ...{ saves, hasUsers: true, now },
            },
          ),
          ...changes,
        }),
      },
    }),
  })
  await addUser(library.db, { username: 'reader' })
  await addUser(library.db, { username: 'librarian', is_staff: 1 })
  const visitor = createVisitor()
  const page = async () => (await visitor.fetch(`${library.url}${PATH}`)).text()
  return {
    ...library,
    visitor,
    page,
    async reveal(key) {
      const shown = await page()
      const id = new RegExp(
        `name="key" value="([\\w-]+)">\\s*<button[^>]*>Show<span[^>]*> the value of ${key}<`,
      ).exec(shown)?.[1]
      const form = { csrfmiddlewaretoken: fieldOf(shown, 'csrfmiddlewaretoken'), key: id ?? '' }
      return visitor.fetch(`${library.url}${PATH}`, { method: 'POST', body: new URLSearchParams(form) })
    },
  }
}

/** A catalogue whose counts wait until so many requests have asked for them. */
function meetingCatalog(catalog: Catalog, together: number): Catalog {
  const all = Promise.withResolvers<void>()
  let present = 0
  return {
    counts() {
      present += 1
      if (present >= together) all.resolve()
      return all.promise.then(catalog.counts)
    },
  }
}

/** The facts of the page, by their terms. */
function factsOf(page: string): Record<'Expires' | 'User' | 'Verified with', string> {
  const facts = [...page.matchAll(/<dt>(.*?)<\/dt>\s*<dd>(.*?)<\/dd>/gs)]
  return Object.fromEntries(facts.map(([, term, value]) => [term, plain(value)]))
}

const plain = (html = '') =>
  html
    .replace(/<[^>]*>/g, '')
    .replace(/\s+/g, ' ')
    .trim()

/** Puts these values, as JSON text, into the visitor's session. */
async function store(
  { db, codec, visitor }: PageSite,
  data: Record<string, string>,
  expire_date = '2999-01-01 00:00:00',
): Promise<void> {
  const session_key = 'abcdefghijklmnopqrstuvwxyz012345'
  const session_data = codec.encode(new Map(Object.entries(data)))
  await db('django_session').insert({ session_key, session_data, expire_date })
  visitor.setCookie(session_key)
}

// What is shown

test('a visitor without a cookie learns that there is no session, and gets none', async (t) => {
  const { url, visitor, page, db } = await start(t)
  t.regex(await page(), /Your browser sent no cookie sessionid\./)
  t.is(visitor.cookie(), undefined)
  t.is((await db('django_session')).length, 0)
  const { headers } = await visitor.fetch(`${url}${PATH}`)
  t.is(headers.get('Cache-Control'), 'no-store')
  t.is(headers.get('Vary'), 'Cookie')
  t.is(headers.get('X-Frame-Options'), 'DENY')
  t.regex(headers.get('Content-Security-Policy') ?? '', /default-src 'none';style-src 'self'/)
})

test('engine, format, key, size, expiry and user of the session are shown, and the cookie as it is sent', async (t) => {
  const site = await start(t, { env: { SESSION_COOKIE_AGE: '1209600' } })
  await logIn({ url: site.url, visitor: site.visitor }, { username: 'reader' })
  const page = await site.page()
  const [row] = await site.db('django_session')
  t.like(factsOf(page), {
    Engine: 'django.contrib.sessions.backends.db',
    'Kept in': 'the table django_session',
    Format: 'signed (Django 3.1 and later)',
    'Verified with': 'SECRET_KEY',
    'Stored size': `${row.session_data.length} bytes`,
    'Time left': '13 days, 23 hours',
    User: 'reader (id 1)',
    Backend: 'django.contrib.auth.backends.ModelBackend',
    Name: 'sessionid',
    Path: '/',
    Domain: 'not set: this host only',
    Secure: 'no',
    HttpOnly: 'yes',
    SameSite: 'Lax',
    'Max-Age': '1,209,600 seconds (14 days)',
  })
  t.regex(factsOf(page).Expires, /^\w{3}, \d\d? \w{3} 20\d\d, \d\d:\d\d:\d\d \(Asia\/Seoul\)$/)
  t.regex(
    page,
    /Set-Cookie: sessionid=HIDDEN; expires=[^;]+; HttpOnly; Max-Age=1209600; Path=\/; SameSite=Lax</,
  )
})

test('a date is in the zone of the site', async (t) => {
  const site = await start(t)
  await store(site, {}, '2035-06-30 20:00:00')
  t.is(factsOf(await site.page()).Expires, 'Sun, 1 Jul 2035, 05:00:00 (Asia/Seoul)')
})

test('the key that verified is named, also if it is a fallback', async (t) => {
  const site = await start(t)
  const codec = createSessionCodec({
    secretKeys: [FALLBACK],
    profile: versionProfile('5.2'),
    now: () => new Date(),
  })
  await store({ ...site, codec }, { cart: '1' })
  const page = await site.page()
  t.is(factsOf(page)['Verified with'], 'SECRET_KEY_FALLBACKS[0]')
  t.regex(page, /Readable with fallback key 1/)
})

test('each key has its Python type and the bytes of its value', async (t) => {
  const site = await start(t)
  await store(site, { a: '{"b": 1}', b: '[1]', c: '"x"', d: 'true', e: 'null', f: '12', g: '1.5', h: 'NaN' })
  const types = [...(await site.page()).matchAll(/<\/th>\s*<td>(\w+)<\/td>\s*<td class="number">(\d+)</g)]
  t.deepEqual(
    types.map(([, type, bytes]) => `${type} ${bytes}`),
    ['dict 8', 'list 3', 'str 3', 'bool 4', 'None 4', 'int 2', 'float 3', 'float 3'],
  )
  await site.db('django_session').delete()
  await store(site, {})
  t.regex(await site.page(), /The session has no keys\./)
})

for (const [name, prepare, told] of [
  [
    'expired',
    (site: PageSite) => store(site, { a: '1' }, '2020-01-01 00:00:00'),
    /no live session has its key/,
  ],
  [
    'unknown',
    async (site: PageSite) => site.visitor.setCookie('x'.repeat(32)),
    /no live session has its key/,
  ],
  [
    'unreadable',
    async (site: PageSite) => {
      await store(site, { a: '1' })
      await site.db('django_session').update({ session_data: 'eyJhIjoxfQ:1abcde:AAAA' })
    },
    /is stored, but cannot be read here\. It stays as it is/,
  ],
] as const) {
  test(`a cookie whose session is ${name} is told, and the page leaves row and cookie`, async (t) => {
    const site = await start(t)
    await prepare(site)
    const before = await site.db('django_session')
    const response = await site.visitor.fetch(`${site.url}${PATH}`)
    t.is(response.status, 200)
    t.regex(await response.text(), told)
    t.deepEqual(await site.db('django_session'), before)
  })
}

for (const [name, env, told] of [
  [
    'Secure over HTTP',
    { SESSION_COOKIE_SECURE: 'True' },
    /The cookie is Secure, but this page came over HTTP/,
  ],
  ['of a foreign domain', { SESSION_COOKIE_DOMAIN: '.example.com' }, /does not fit the host 127\.0\.0\.1/],
  [
    'of another path',
    { SESSION_COOKIE_PATH: '/catalog/' },
    /The path \/catalog\/ does not contain this page/,
  ],
] as const) {
  test(`the page says what is wrong with a cookie ${name}`, async (t) => {
    t.regex(await (await start(t, { env })).page(), told)
  })
}

test('the page says when a browser sends two cookies of the name', async (t) => {
  const { url } = await start(t)
  const response = await fetch(`${url}${PATH}`, {
    headers: { Cookie: 'sessionid=aaaaaaaa; other=1; sessionid=bbbbbbbb' },
  })
  t.regex(await response.text(), /Your browser sent 2 cookies of this name/)
})

// Values

test('a value is nowhere in the page until it is asked for; then it alone is', async (t) => {
  const site = await start(t)
  await store(site, { cart: '["<b>first value</b>"]', other: '"second value"' })
  const hidden = await site.page()
  t.notRegex(hidden, /first value|second value/)
  const response = await site.reveal('cart')
  t.is(response.status, 200)
  t.is(response.headers.get('Cache-Control'), 'no-store')
  const shown = await response.text()
  t.true(shown.includes('<pre>[&quot;&lt;b&gt;first value&lt;/b&gt;&quot;]</pre>'))
  t.notRegex(shown, /second value/)
  t.notRegex(await site.page(), /first value|second value/)
})

test('no name of a key gets into an address or the log', async (t) => {
  const site = await start(t)
  await store(site, { a_private_name: '1' })
  await site.reveal('a_private_name')
  t.notRegex(JSON.stringify(site.log.events), /private_name/)
})

test('hashes and tokens are never shown, whatever form is sent', async (t) => {
  const site = await start(t)
  const secrets = [
    '_auth_user_hash',
    '_csrftoken',
    '_password_reset_token',
    'api_token',
    'my_secret',
    'password',
  ]
  await store(site, {
    ...Object.fromEntries(secrets.map((key) => [key, `"unshown ${key}"`])),
    open: '"shown"',
  })
  const page = await site.page()
  for (const key of secrets) t.notRegex(page, new RegExp(`the value of ${key}<`))
  const ids = [...page.matchAll(/<tr id="key-([\w-]+)">/g)].map(([, id]) => id ?? '')
  t.is(ids.length, secrets.length + 1)
  const csrfmiddlewaretoken = fieldOf(page, 'csrfmiddlewaretoken')
  const answers = await Promise.all(
    ids.map(async (key) => {
      const body = new URLSearchParams({ csrfmiddlewaretoken, key })
      return (await site.visitor.fetch(`${site.url}${PATH}`, { method: 'POST', body })).text()
    }),
  )
  t.is(answers.filter((answer) => answer.includes('&quot;shown&quot;')).length, 1)
  for (const answer of answers) t.notRegex(answer, /unshown /)
})

test('a form without the token of this visitor is refused', async (t) => {
  const site = await start(t)
  await store(site, { cart: '"value"' })
  const { url, visitor } = site
  const key = /name="key" value="([\w-]+)"/.exec(await site.page())?.[1] ?? ''
  const response = await visitor.fetch(`${url}${PATH}`, {
    method: 'POST',
    body: new URLSearchParams({ key }),
  })
  t.is(response.status, 403)
  t.notRegex(await response.text(), /value of cart/)
})

test('odd names of keys, and long values, do no harm', async (t) => {
  const site = await start(t)
  await store(site, { '"><script>': '1', '\r\n\0': '2', '': '3', long: `"${'x'.repeat(20_000)}"` })
  const page = await site.page()
  t.true(page.includes('&quot;&gt;&lt;script&gt;'))
  t.true(page.replaceAll('&#92;', '\\').includes('&quot;\\r\\n\\u0000&quot;'))
  t.notRegex(page, /<script|\0/)
  t.regex(await (await site.reveal('long')).text(), /x… \(10,002 more characters\)<\/pre>/)
})

test('nothing of other visitors is in the page', async (t) => {
  const site = await start(t)
  const other = createVisitor()
  await logIn({ url: site.url, visitor: other }, { username: 'librarian' })
  await store(site, { cart: '1' })
  const page = await site.page()
  for (const foreign of ['librarian', '_auth_user_id', other.cookie() ?? '']) t.false(page.includes(foreign))
  t.true(page.includes('<dt>Live</dt><dd>2</dd>'))
})

// The session is left alone

test('the page changes nothing: neither row, nor messages, nor the cookie of the session', async (t) => {
  const site = await start(t, { session: { messages: { storage: 'session' } } })
  const message = JSON.stringify(JSON.stringify([['__json_message', 0, 20, 'still there', '']]))
  await store(site, { _messages: message, cart: '1' })
  const before = await site.db('django_session')
  const response = await site.visitor.fetch(`${site.url}${PATH}`)
  t.notRegex(response.headers.getSetCookie().join(), /sessionid/)
  await (await site.reveal('cart')).text()
  t.deepEqual(await site.db('django_session'), before)
  t.regex(await (await site.visitor.fetch(`${site.url}/catalog/`)).text(), /still there/)
})

test('with CSRF_USE_SESSIONS, a session without a token gets none here; with one, values can be shown', async (t) => {
  const site = await start(t, { env: { CSRF_USE_SESSIONS: 'True' } })
  await store(site, { cart: '"value"' })
  const before = await site.db('django_session')
  const page = await site.page()
  t.regex(page, /No value can be shown yet: with CSRF_USE_SESSIONS/)
  t.notRegex(page, /<form/)
  t.deepEqual(await site.db('django_session'), before)
  await site.visitor.fetch(`${site.url}/accounts/login/`) // puts a token into the session
  t.regex(await (await site.reveal('cart')).text(), /<pre>&quot;value&quot;<\/pre>/)
})

test('a login whose hash is wrong is told and not flushed', async (t) => {
  const site = await start(t)
  await logIn({ url: site.url, visitor: site.visitor })
  await site.db('auth_user').update({ password: 'changed' })
  const before = await site.db('django_session')
  t.regex(factsOf(await site.page()).User, /^anonymous: the password was changed after the login/)
  t.deepEqual(await site.db('django_session'), before)
})

// Its saves

test('the page shows what the last request changed, and what was merged', async (t) => {
  const site = await start(t, { together: 2 })
  await store(site, { num_visits: '1' })
  const visits = await Promise.all([1, 2].map(() => site.visitor.visit(site.url)))
  t.deepEqual(visits.sort(), [2, 3])
  const [, saves = ''] = /<ol class="saves">(.*?)<\/ol>/s.exec(await site.page()) ?? []
  const told = saves.split('<li>').slice(1).map(plain)
  t.is(told.length, 2)
  t.regex(told[1] ?? '', / changed num_visits$/)
  t.regex(
    told[0] ?? '',
    / changed num_visits Merged: another request had saved the session meanwhile, and its changes were kept/,
  )
})

// All sessions

test('totals come from the table; a failure to read them leaves the rest of the page', async (t) => {
  const site = await start(t)
  await store(site, { cart: '1' })
  const page = await site.page()
  t.regex(page, /<dt>Live<\/dt><dd>1<\/dd>/)
  t.regex(page, /Readable with SECRET_KEY/)
  const failing = await start(t, {
    site: {
      totals: () => Promise.reject(Object.assign(new Error('of a row'), { code: 'ER_QUERY_TIMEOUT' })),
    },
  })
  await store(failing, { cart: '1' })
  const other = await failing.page()
  t.regex(other, /The session table could not be read \(ER_QUERY_TIMEOUT\)/)
  t.notRegex(other, /of a row/)
  t.is(factsOf(other)['Verified with'], 'SECRET_KEY')
})

test('an empty table is told', async (t) => {
  t.regex(await (await start(t)).page(), /The table has no rows\./)
})

// Who may see it

const PRODUCTION = { NODE_ENV: 'production', ALLOWED_HOSTS: '127.0.0.1', ...{ SESSIONS_PAGE: 'auto' } }

for (const [name, env] of [
  ['in production', PRODUCTION],
  ['with SESSIONS_PAGE=staff', { SESSIONS_PAGE: 'staff' }],
] as const) {
  test(`${name}, staff alone see the page; others get to the login page`, async (t) => {
    const { url, db, visitor } = await start(t, { env })
    await addUser(db, { username: 'left', is_staff: 1 })
    const login = `/accounts/login/?next=${PATH}`
    const look = async () => {
      const response = await visitor.fetch(`${url}${PATH}`)
      t.is(response.headers.get('Cache-Control'), 'no-store')
      t.is(response.status === 302 ? await response.text() : '', '')
      return [response.status, response.headers.get('Location')]
    }
    t.deepEqual(await look(), [302, login])
    await logIn({ url, visitor }, { username: 'reader' })
    t.deepEqual(await look(), [302, login])
    t.regex(await (await visitor.fetch(`${url}${login}`)).text(), /doesn't have access to this page/)
    await logIn({ url, visitor }, { username: 'left', password: PASSWORD })
    t.deepEqual(await look(), [200, null])
    await db('auth_user').where({ username: 'left' }).update({ is_active: 0 })
    t.deepEqual(await look(), [302, login])
    await logIn({ url, visitor }, { username: 'librarian' })
    t.deepEqual(await look(), [200, null])
  })
}

test('in production, a POST of a visitor who is not staff shows nothing', async (t) => {
  const site = await start(t, { env: PRODUCTION })
  await logIn({ url: site.url, visitor: site.visitor })
  const csrfmiddlewaretoken = fieldOf(
    await (await site.visitor.fetch(`${site.url}/catalog/`)).text(),
    'csrfmiddlewaretoken',
  )
  const body = new URLSearchParams({ csrfmiddlewaretoken, key: 'x' })
  const response = await site.visitor.fetch(`${site.url}${PATH}`, { method: 'POST', body })
  t.deepEqual([response.status, await response.text()], [302, ''])
})

for (const [name, headers, status] of [
  ['for a name of this machine', { Host: 'books.localhost:3000' }, 200],
  ['for another name', { Host: 'library.example' }, 302],
  ['for this machine, of a proxy', { Host: '127.0.0.1', 'X-Forwarded-For': '192.0.2.1' }, 302],
  ['for this machine, of a proxy that says Via', { Host: '127.0.0.1', Via: '1.1 proxy' }, 302],
] as const) {
  test(`in development, a request ${name} is a ${status}`, async (t) => {
    const [message] = await once(httpRequest(`${developer}${PATH}`, { headers }).end(), 'response')
    await text(message)
    t.is(message.statusCode, status)
  })
}

test('SESSIONS_PAGE=off: there is no such page', async (t) => {
  const { url } = await start(t, { env: { SESSIONS_PAGE: 'off' } })
  t.is((await fetch(`${url}${PATH}`)).status, 404)
})

test('no path and no method of the page reaches the upstream; where it is off, the path is Django\u2019s', async (t) => {
  const asked: string[] = []
  const upstream = {
    middleware(ctx: { method: string; path: string; status: number; body: unknown }) {
      asked.push(`${ctx.method} ${ctx.path}`)
      ctx.status = 200
      ctx.body = 'Django'
    },
    upgrade() {},
    close() {},
  } as unknown as Upstream
  const { url } = await start(t, { upstream })
  const statuses = await Promise.all(
    ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'].map(
      async (method) => (await fetch(`${url}${PATH}`, { method })).status,
    ),
  )
  t.deepEqual(statuses, [200, 200, 405, 405, 200])
  t.is((await fetch(`${url}/_sessions`, { redirect: 'manual' })).headers.get('Location'), PATH)
  t.is((await fetch(`${url}/%5fsessions/`)).status, 200)
  t.is((await fetch(`${url}/_sessions//`)).status, 404)
  t.deepEqual(asked, [])
  const off = await start(t, { upstream, env: { SESSIONS_PAGE: 'off' } })
  t.is(await (await fetch(`${off.url}${PATH}`)).text(), 'Django')
})

// Every engine

const ENGINES: readonly [name: string, env: (folder: string) => Record<string, string>, facts: object][] = [
  ['db', () => ({}), { 'Kept in': 'the table django_session', 'Verified with': 'SECRET_KEY' }],
  [
    'cached_db',
    (folder) => ({ CACHES: caches(folder) }),
    { 'Kept in': 'the table django_session', 'Verified with': 'SECRET_KEY' },
  ],
  ['cache', (folder) => ({ CACHES: caches(folder) }), { 'Kept in': 'a cache', Format: 'not signed' }],
  [
    'file',
    (folder) => ({ SESSION_FILE_PATH: folder }),
    { 'Kept in': 'files', 'Verified with': 'SECRET_KEY' },
  ],
  [
    'signed_cookies',
    () => ({}),
    { 'Kept in': 'the cookie itself; the server keeps nothing', 'Verified with': 'SECRET_KEY' },
  ],
]

function caches(folder: string): string {
  const BACKEND = 'django.core.cache.backends.filebased.FileBasedCache'
  return JSON.stringify({ default: { BACKEND, LOCATION: folder } })
}

for (const [name, env, facts] of ENGINES) {
  test(`the service shows a session of the engine ${name}, a value of it, and what can be counted`, async (t) => {
    const SESSION_ENGINE = `django.contrib.sessions.backends.${name}`
    const { url } = await startService(t, {
      env: { SESSION_ENGINE, DJANGO_VERSION: '5.2', ...env(temporaryFolder(t)) },
    })
    const visitor = createVisitor()
    await visitor.visit(url)
    await visitor.visit(url)
    // Closed, since fetch does not send a POST again if the server closes an idle connection at that moment.
    const page = await (await visitor.fetch(`${url}${PATH}`, { headers: { Connection: 'close' } })).text()
    t.like(factsOf(page), { Engine: SESSION_ENGINE, 'Time left': '13 days, 23 hours', ...facts })
    t.regex(page, /num_visits/)
    t.is(/<dt>Live<\/dt><dd>1<\/dd>/.test(page), name.endsWith('db'))
    t.is(/This engine keeps/.test(page), !name.endsWith('db'))
    const saves = [...page.matchAll(/<li>\s*<p class="when">/g)]
    t.is(saves.length, 2)
    const body = new URLSearchParams({
      csrfmiddlewaretoken: fieldOf(page, 'csrfmiddlewaretoken'),
      key: fieldOf(page, 'key'),
    })
    const shown = await (await visitor.fetch(`${url}${PATH}`, { method: 'POST', body })).text()
    t.regex(shown, /<pre>2<\/pre>/)
  })
}
