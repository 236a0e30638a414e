import test from 'ava'
import { djangoVersions } from '../support/django.ts'
import { startSites, takeTurn } from './sites.ts'
import { createVisitor, type Visitor } from './visitor.ts'

const variants = [
  {
    name: 'SESSION_COOKIE_NAME, _PATH, _AGE, _SAMESITE, _HTTPONLY',
    settings: {
      SESSION_COOKIE_NAME: 'visit-id',
      SESSION_COOKIE_PATH: '/catalog/',
      SESSION_COOKIE_AGE: '600',
      SESSION_COOKIE_SAMESITE: 'Strict',
      SESSION_COOKIE_HTTPONLY: 'false',
    },
    begins: /^visit-id=KEY; expires=DATE; Max-Age=600; Path=\/catalog\/; SameSite=Strict$/,
  },
  {
    name: 'SESSION_EXPIRE_AT_BROWSER_CLOSE, SESSION_SAVE_EVERY_REQUEST, SESSION_COOKIE_SECURE, _DOMAIN',
    settings: {
      SESSION_EXPIRE_AT_BROWSER_CLOSE: 'true',
      SESSION_SAVE_EVERY_REQUEST: 'true',
      SESSION_COOKIE_SECURE: 'true',
      SESSION_COOKIE_DOMAIN: '127.0.0.1',
    },
    begins: /^sessionid=KEY; Domain=127\.0\.0\.1; HttpOnly; Path=\/; SameSite=Lax; Secure$/,
  },
]

for (const version of djangoVersions) {
  for (const { name, settings, begins } of variants) {
    test(`our cookie is identical to that of Django ${version}, with ${name}`, async (t) => {
      await takeTurn(t)
      const { django, ours } = await startSites(t, { version, database: 'sqlite', settings })
      const cookieName = settings.SESSION_COOKIE_NAME ?? 'sessionid'
      const [theirVisitor, ourVisitor] = [createVisitor(), createVisitor()]

      const first = await both(theirVisitor, ourVisitor, '/catalog/')
      t.regex(first.ours.cookie ?? '', begins)
      t.deepEqual(first.ours, first.theirs)
      const again = await both(theirVisitor, ourVisitor, '/catalog/')
      t.deepEqual(again.ours, again.theirs)
      // A page that does not access the session, with a cookie and without.
      const missing = await both(theirVisitor, ourVisitor, '/catalog/nowhere')
      t.deepEqual(missing.ours, missing.theirs)
      t.is(missing.ours.status, 404)
      t.is(missing.ours.cookie !== null, 'SESSION_SAVE_EVERY_REQUEST' in settings)
      const stranger = await both(createVisitor(), createVisitor(), '/catalog/nowhere')
      t.deepEqual(stranger.ours, stranger.theirs)
      t.is(stranger.ours.cookie, null)
      // An unknown or an invalid key.
      for (const key of ['a'.repeat(32), 'short', '']) {
        const [one, other] = [createVisitor(), createVisitor()]
        for (const visitor of [one, other]) visitor.setCookie(key, cookieName)
        const unknown = await both(one, other, '/catalog/nowhere')
        t.deepEqual(unknown.ours, unknown.theirs, key)
      }

      const key = ourVisitor.cookie(cookieName)
      t.is(await ourVisitor.visit(django), 3)
      t.is(await ourVisitor.visit(ours), 4)
      t.is(ourVisitor.cookie(cookieName), key)

      async function both(one: Visitor, other: Visitor, path: string) {
        return {
          theirs: await headers(one, `${django}${path}`),
          ours: await headers(other, `${ours}${path}`),
        }
      }
    })
  }
}

/** The headers of a response about sessions, without parts that differ in each response. */
async function headers(
  visitor: Visitor,
  url: string,
): Promise<{ status: number; vary: string | null; cookie: string | null }> {
  const response = await visitor.fetch(url)
  const cookie = response.headers.get('Set-Cookie')
  return {
    status: response.status,
    vary: response.headers.get('Vary'),
    cookie:
      cookie
        ?.replace(/=[a-z0-9]{32};/, '=KEY;')
        .replace(/expires=[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT/, 'expires=DATE') ??
      null,
  }
}
