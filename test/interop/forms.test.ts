import test from 'ava'
import { versionProfile } from '../../src/django/versions.ts'
import { createTestDatabase, runSql } from '../support/databases.ts'
import { djangoVersions, startDjango } from '../support/django.ts'
import { type Added, add, send, shownBy, startForms, tokenOf } from './forms-site.ts'
import { secretKey, takeTurn } from './sites.ts'
import { createVisitor, type Visitor } from './visitor.ts'

const STORAGE = 'django.contrib.messages.storage'

/** Django's settings and ours; `cookies`: those of a visitor after a form was shown and a message added. */
const variants = [
  { name: 'their defaults', settings: {}, cookies: ['csrftoken', 'messages'], inSession: [] },
  {
    name: 'tokens and messages in the session',
    settings: { CSRF_USE_SESSIONS: 'true', MESSAGE_STORAGE: `${STORAGE}.session.SessionStorage` },
    cookies: ['sessionid'],
    inSession: ['_csrftoken', '_messages'],
  },
  {
    name: 'messages in the cookie and cookies of another kind',
    settings: {
      MESSAGE_STORAGE: `${STORAGE}.cookie.CookieStorage`,
      MESSAGE_LEVEL: '10',
      CSRF_COOKIE_NAME: 'xsrf-id',
      CSRF_COOKIE_AGE: '600',
      CSRF_COOKIE_PATH: '/_test',
      CSRF_COOKIE_HTTPONLY: 'true',
      CSRF_COOKIE_SAMESITE: 'Strict',
      CSRF_HEADER_NAME: 'HTTP_X_XSRF_TOKEN',
      SESSION_COOKIE_HTTPONLY: 'false',
      SESSION_COOKIE_SAMESITE: 'Strict',
    },
    cookies: ['xsrf-id', 'messages'],
    inSession: [],
  },
]

/** The last variant runs only on the oldest and the newest Django: the others cover the formats of each version. */
function variantsOf(version: string): typeof variants {
  return version === djangoVersions[0] || version === djangoVersions.at(-1) ? variants : variants.slice(0, 2)
}

const MESSAGES: readonly Added[] = [
  [20, 'Hello', '', false],
  [25, 'Saved <b>it</b>', '', true],
  [40, 'Not "that" & \'this\', 홍길동 😀; \\ \u2028', 'big red', false],
  [10, 'for developers', 'x', false],
  [999, 'own level', '', false],
  [30, '', 'empty', false],
]

for (const version of djangoVersions) {
  for (const { name, settings, cookies, inSession } of variantsOf(version)) {
    test(`Django ${version} and ours accept each other's forms and messages, with ${name}`, async (t) => {
      await takeTurn(t)
      const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
      const django = (await startDjango(t, { version, secretKey, databaseUrl, settings })).url
      let onShown = async () => {}
      const site = await startForms(t, { databaseUrl, version, settings, onShown: () => onShown() })
      const ours = site.url
      const csrfCookie = cookies.find((cookie) => /csrf|xsrf/.test(cookie))
      const header = settings.CSRF_HEADER_NAME === undefined ? 'X-CSRFToken' : 'X-XSRF-Token'

      // The headers for a new secret, an existing one, a malformed one, and a rejected request.
      const [theirs, our] = [createVisitor(), createVisitor()]
      for (const path of ['form', 'form', 'rotate', 'messages']) {
        const [there, here] = [
          await told(theirs, `${django}/_test/${path}`),
          await told(our, `${ours}/_test/${path}`),
        ]
        // Unlike Django, a page that shows messages varies on their cookie.
        t.deepEqual(here, path === 'messages' ? { ...there, vary: 'Cookie' } : there, path)
      }
      if (csrfCookie !== undefined) {
        for (const junk of ['short', 'é'.repeat(32), '-'.repeat(64), 'b'.repeat(32), 'B'.repeat(64)]) {
          for (const path of ['messages', 'form']) {
            for (const visitor of [theirs, our]) visitor.setCookie(junk, csrfCookie)
            const there = await told(theirs, `${django}/_test/${path}`)
            const here = await told(our, `${ours}/_test/${path}`)
            t.deepEqual(
              here,
              path === 'messages' ? { ...there, vary: 'Cookie' } : there,
              `${path} with ${junk}`,
            )
          }
        }
      }

      // Forms that each side renders.
      for (const [first, second] of [
        [django, ours],
        [ours, django],
      ] as const) {
        const visitor = createVisitor()
        t.is(await send(visitor, second), 403)
        const token = await tokenOf(visitor, first)
        const cookie = csrfCookie && visitor.cookie(csrfCookie)
        t.is(await send(visitor, second, { token }), 200)
        t.is(await send(visitor, first, { token: await tokenOf(visitor, second) }), 200)
        if (csrfCookie !== undefined) t.is(visitor.cookie(csrfCookie), cookie)
        t.is(await send(visitor, second, { headers: { [header]: token } }), 200)
        if (cookie !== undefined) t.is(await send(visitor, second, { headers: { [header]: cookie } }), 200)
        for (const wrong of [`${token.slice(1)}a`, `${token}a`, ''])
          for (const there of [first, second]) t.is(await send(visitor, there, { token: wrong }), 403)
        t.is(await send(createVisitor(), second, { token }), 403)

        // A login there invalidates earlier forms on both sides.
        await visitor.fetch(`${first}/_test/rotate`)
        for (const there of [first, second]) t.is(await send(visitor, there, { token }), 403)
        const fresh = await tokenOf(visitor, second)
        for (const there of [first, second]) t.is(await send(visitor, there, { token: fresh }), 200)

        // Messages of one side, shown once by the other.
        const minimum = Number(settings.MESSAGE_LEVEL ?? 20)
        const expected = MESSAGES.filter(([level, text]) => level >= minimum && text !== '').map(
          ([level, text, extraTags, isSafe]) => [level, text, tagsOf(level, extraTags), isSafe],
        )
        await add(visitor, first, ...MESSAGES.slice(0, 2))
        await add(visitor, second, ...MESSAGES.slice(2))
        t.deepEqual(cookiesOf(visitor), cookies)
        t.deepEqual(new Set(await sessionKeys(visitor)), new Set(inSession))
        t.deepEqual(await shownBy(visitor, second), expected)
        for (const there of [second, first]) t.deepEqual(await shownBy(visitor, there), [])
        await add(visitor, second, ...MESSAGES)
        t.deepEqual(await shownBy(visitor, first), expected)
        for (const there of [first, second]) t.deepEqual(await shownBy(visitor, there), [])

        // More than fits into a cookie.
        const many = Array.from({ length: 12 }, (_, at): Added => [20, `${at}${noise(400)}`, '', false])
        await add(visitor, first, ...many)
        const shown = await shownBy(visitor, second)
        const kept = settings.MESSAGE_STORAGE?.includes('cookie') ? shown.length : many.length
        t.true(kept > 0)
        t.deepEqual(
          shown.map(([, text]) => text),
          many.slice(-kept).map(([, text]) => text),
        )
        for (const there of [first, second]) t.deepEqual(await shownBy(visitor, there), [])
      }

      // A message that Django adds while ours shows another is not lost with it.
      if (inSession.length > 0) {
        const visitor = createVisitor()
        await add(visitor, ours, [20, 'early', '', false])
        onShown = () => add(visitor, django, [20, 'late', '', false])
        t.deepEqual(await shownBy(visitor, ours), [[20, 'early', 'info', false]])
        onShown = async () => {}
        t.deepEqual(
          (await shownBy(visitor, ours)).map(([, text]) => text),
          ['late'],
        )
      }
      t.deepEqual(
        site.log.events.filter(({ level }) => level === 'error'),
        [],
      )

      function cookiesOf(visitor: Visitor): string[] {
        return ['sessionid', 'csrftoken', 'xsrf-id', 'messages'].filter(
          (cookie) => visitor.cookie(cookie) !== undefined,
        )
      }

      async function sessionKeys(visitor: Visitor): Promise<string[]> {
        const text = await (await visitor.fetch(`${django}/_test/session`)).text()
        return Object.keys(JSON.parse(text))
      }
    })
  }

  test(`over HTTPS, Origin and Referer are accepted or rejected as by Django ${version}, with the same reason`, async (t) => {
    await takeTurn(t)
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const trusted = versionProfile(version).csrf.checksOrigin
      ? ['https://trusted.org', 'https://*.wild.org']
      : ['trusted.org', '.wild.org']
    const settings = { CSRF_TRUSTED_ORIGINS: JSON.stringify(trusted), CSRF_COOKIE_SECURE: 'true' }
    const django = await startDjango(t, {
      version,
      secretKey,
      databaseUrl,
      settings: {
        ...settings,
        SECURE_PROXY_SSL_HEADER: '["HTTP_X_FORWARDED_PROTO", "https"]',
        USE_X_FORWARDED_HOST: 'true',
      },
    })
    const ours = await startForms(t, {
      databaseUrl,
      version,
      settings: { ...settings, TRUSTED_PROXY: 'true' },
    })
    const forwarded = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'library.example.com' }
    const visitor = createVisitor()
    const token = await tokenOf(visitor, ours.url, { headers: forwarded })
    const reasons: string[] = []
    for (const from of FROM) {
      const headers = { ...forwarded, ...from }
      const there = await send(visitor, django.url, { token, headers })
      t.is(await send(visitor, ours.url, { token, headers }), there, JSON.stringify(from))
      reasons.push(String(there))
    }
    t.true(reasons.includes('200') && reasons.includes('403'))
    const said = [...django.log().matchAll(/django\.security\.csrf: Forbidden \((.*)\): \/_test\/form/g)]
    t.deepEqual(
      ours.log.events.filter(({ event }) => event === 'security.csrf').map(({ fields }) => fields.reason),
      said.map(([, reason = '']) => reason.replace(/(https:\/\/[^/\s]+)\/\S*/, '$1')),
    )
    t.is(said.length, reasons.filter((status) => status === '403').length)
    t.is((await runSql(databaseUrl, 'SELECT * FROM django_session')).length, 0)
  })
}

/** Headers with which browsers say where a form was sent from. */
const FROM: readonly Record<string, string>[] = [
  {},
  { Referer: 'https://library.example.com/catalog/?secret=1' },
  { Referer: 'http://library.example.com/' },
  { Referer: 'https://evil.org/path' },
  { Referer: 'https://trusted.org/path' },
  { Referer: 'https://a.wild.org/' },
  { Referer: 'https://awild.org/' },
  { Referer: 'about:blank' },
  { Origin: 'https://library.example.com' },
  { Origin: 'http://library.example.com' },
  { Origin: 'null', Referer: 'https://library.example.com/' },
  { Origin: 'https://evil.org', Referer: 'https://library.example.com/' },
  { Origin: 'https://trusted.org' },
  { Origin: 'https://a.wild.org' },
  { 'X-Forwarded-Proto': 'http' },
  { 'X-Forwarded-Proto': 'http', Referer: 'https://evil.org/' },
  { 'X-Forwarded-Proto': 'http', Origin: 'http://library.example.com' },
  { 'X-Forwarded-Proto': 'http', Origin: 'https://evil.org' },
]

/** The headers of a response about cookies, without parts that differ in each response. */
async function told(
  visitor: Visitor,
  url: string,
): Promise<{ status: number; vary: string | null; cookies: string[] }> {
  const response = await visitor.fetch(url)
  await response.text()
  return {
    status: response.status,
    vary: response.headers.get('Vary'),
    cookies: response.headers
      .getSetCookie()
      .map((text) =>
        text
          .replace(/=([a-zA-Z0-9]{32,64});/, (_, value: string) => `=${value.length} CHARACTERS;`)
          .replace(/expires=[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT/, 'expires=DATE'),
      ),
  }
}

function tagsOf(level: number, extraTags: string): string {
  const tags: Record<number, string> = { 10: 'debug', 20: 'info', 25: 'success', 30: 'warning', 40: 'error' }
  return [extraTags, tags[level] ?? ''].filter((tag) => tag !== '').join(' ')
}

function noise(length: number): string {
  return Array.from({ length }, () => Math.floor(Math.random() * 16).toString(16)).join('')
}
