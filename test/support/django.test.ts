import test from 'ava'
import { createTestDatabase, testDatabases } from './databases.ts'
import { djangoShell, djangoVersions, startCodec, startDjango } from './django.ts'
import { inCi } from './places.ts'

const secretKey = 'a key of the tests'

const books = `
from catalog.models import Author, Book, BookInstance
author = Author.objects.create(first_name='Ursula', last_name='Le Guin')
book = Book.objects.create(title='The Dispossessed', author=author, isbn='1')
for status in 'aamo':
    BookInstance.objects.create(book=book, status=status)
print(BookInstance.objects.count())
`

for (const version of djangoVersions) {
  for (const name of testDatabases) {
    test(`Django ${version} on ${name} serves the library and counts visits`, async (t) => {
      const { url: databaseUrl } = await createTestDatabase(t, name, { tables: 'none' })
      const { url } = await startDjango(t, { version, secretKey, databaseUrl, migrate: true })
      const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl }
      t.is(await djangoShell(version, { env, script: books }), '4\n')

      const first = await fetch(`${url}/`)
      const page = await first.text()
      t.is(first.url, `${url}/catalog/`)
      t.regex(page, /<strong>Books:<\/strong> 1</)
      t.regex(page, /<strong>Copies:<\/strong> 4</)
      t.regex(page, /<strong>Copies available:<\/strong> 2</)
      t.regex(page, /<strong>Authors:<\/strong> 1</)
      t.regex(page, /You have visited this page 1 time\./)

      const cookie = first.headers.get('Set-Cookie')?.split(';')[0] ?? ''
      const second = await fetch(`${url}/catalog/`, { headers: { cookie } })
      t.regex(await second.text(), /You have visited this page 2 times\./)
      const session = await fetch(`${url}/_test/session`, { headers: { cookie } })
      t.is(await session.text(), '{"num_visits":2}')
    })
  }

  test(`Django ${version} takes its settings from the test`, async (t) => {
    const { url: databaseUrl } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
    const settings = {
      SESSION_COOKIE_NAME: 'visit',
      SESSION_COOKIE_AGE: '60',
      TIME_ZONE: 'Asia/Seoul',
      USE_TZ: 'false',
    }
    const { url } = await startDjango(t, { version, secretKey, databaseUrl, settings })
    const set = await fetch(`${url}/_test/session`, { method: 'POST', body: '{"10": 1.0, "2": [NaN]}' })
    t.is(await set.text(), '{"10":1.0,"2":[NaN]}')
    const cookie = set.headers.get('Set-Cookie') ?? ''
    t.regex(cookie, /^visit=[a-z0-9]{32}; .*Max-Age=60/)
    const flushed = await fetch(`${url}/_test/session`, {
      method: 'DELETE',
      headers: { cookie: cookie.split(';')[0] ?? '' },
    })
    t.regex(flushed.headers.get('Set-Cookie') ?? '', /^visit="";/)
  })

  test(`the codec of Django ${version} keeps every value`, async (t) => {
    const codec = await startCodec(t, { version, secretKey })
    const json = '{"b":18446744073709551617,"a":[1.0,-0.0,NaN,"\\ud83d","\\u00e9"],"__proto__":null}'
    const sessionData = await codec.encode(json)
    t.is(await codec.decode(sessionData), json)
    await t.throwsAsync(codec.encode('{'), { message: /^json\.decoder\.JSONDecodeError: / })
  })
}

test('some Django is always there, and each of them in CI', (t) => {
  t.true(djangoVersions.length > 0)
  if (inCi) t.deepEqual(djangoVersions, ['2.2', '3.2', '4.2', '5.2', '6.1'])
})
