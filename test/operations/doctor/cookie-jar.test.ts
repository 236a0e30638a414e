import test from 'ava'
import { createCookieJar, parseSetCookie } from '../../../src/operations/doctor/cookie-jar.ts'
import { sessionCookieIn } from '../../../src/operations/doctor/django-pages.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'

const KEY = 'k5w0zz3rjq8nf2o1x7m4l9bv6ytcgdhe'

const received = (...headers: string[]) => headers.map(parseSetCookie).filter((one) => one !== null)

test('the attributes of a cookie are read as browsers read them', (t) => {
  t.deepEqual(
    parseSetCookie(
      `sessionid=${KEY}; Domain=.example.com; expires=Mon, 07 Dec 2026 08:00:00 GMT; HttpOnly; Max-Age=600; Path=/; SameSite=Lax; Secure`,
    ),
    {
      name: 'sessionid',
      value: KEY,
      domain: '.example.com',
      path: '/',
      secure: true,
      httpOnly: true,
      sameSite: 'Lax',
      maxAge: 600,
      isDeletion: false,
    },
  )
  t.like(parseSetCookie('sessionid=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/'), {
    value: '',
    isDeletion: true,
    secure: false,
    domain: null,
  })
  t.is(parseSetCookie('=value'), null)
  t.is(parseSetCookie('text'), null)
})

test('cookies of one name with other paths or domains are kept beside each other, until each is deleted', (t) => {
  const jar = createCookieJar()
  t.is(jar.header('/'), undefined)
  jar.store(received('a=1; Path=/', 'a=2; Path=/catalog/', 'a=3; Path=/; Domain=example.com', 'b="x y"'))
  t.is(jar.header('/catalog/books'), 'a=2; a=1; a=3; b="x y"')
  t.is(jar.header('/'), 'a=1; a=3; b="x y"')
  t.deepEqual(jar.values('a'), ['1', '2', '3'])
  jar.store(received('a=""; Max-Age=0; Path=/'))
  t.deepEqual(jar.values('a'), ['2', '3'])
})

test('the session cookie has our name, or else looks like one of Django', (t) => {
  const settings = readSettings({}, { cwd: import.meta.dirname })
  const nameIn = (...headers: string[]) => sessionCookieIn(received(...headers), settings)?.name
  const signed = 'eyJudW1fdmlzaXRzIjoxfQ:1vXyZa:AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCde'
  t.is(nameIn(`visit=${KEY}`, 'sessionid=anything'), 'sessionid')
  t.is(nameIn('theme=dark', `visit=${KEY}`), 'visit')
  t.is(nameIn('theme=dark', `visit=${signed}`), 'visit')
  t.is(nameIn('uid=0123456789abcdef0123456789abcdef'), undefined, 'a hexadecimal id')
  t.is(nameIn(`messages=${signed}`, `csrftoken=${KEY}`), undefined)
  t.is(nameIn('sessionid=""; Max-Age=0'), undefined)
})
