import test from 'ava'
import { createCatalog } from '../../../src/service/pages/catalog.ts'
import { type Library, startLibrary } from '../../support/library.ts'

const KEY = 'abcdefghijklmnopqrstuvwxyz012345'

test('a new visitor gets a session cookie and sees "1 time"', async (t) => {
  const { url } = await startLibrary(t)
  const response = await fetch(`${url}/catalog/`)
  t.is(response.status, 200)
  t.regex(response.headers.get('Set-Cookie') ?? '', /^sessionid=[a-z0-9]{32}; /)
  const page = await response.text()
  t.true(page.includes('<title>Local Library Home</title>'))
  t.true(page.includes('You have visited this page 1 time.'))
})

test('the same visitor sees "2 times", then "3 times"', async (t) => {
  const { url } = await startLibrary(t)
  const cookie = cookieOf(await fetch(`${url}/catalog/`))
  t.is(await visits(url, cookie), '2 times')
  t.is(await visits(url, cookie), '3 times')
})

test('the page shows the four counts', async (t) => {
  const { url, db } = await startLibrary(t)
  await db('catalog_author').insert({ id: 1, first_name: 'Ursula', last_name: 'Le Guin' })
  await db('catalog_book').insert({
    id: 1,
    title: 'A Wizard of Earthsea',
    summary: '',
    isbn: '9780547773742',
  })
  for (const [index, status] of [...'aam'].entries()) {
    await db('catalog_bookinstance').insert({ id: `${index}`.repeat(32), imprint: '', status })
  }
  const page = await (await fetch(`${url}/catalog/`)).text()
  t.deepEqual(
    [...page.matchAll(/<dt>(.*?)<\/dt><dd>(.*?)<\/dd>/g)].map(([, label, count]) => `${label}: ${count}`),
    ['Books: 1', 'Copies: 3', 'Copies available: 2', 'Authors: 1'],
  )
})

/** The stored value before and after a visit, and the text of the page. */
const counting: [before: string, after: string, shown: string][] = [
  ['41', '42', '42 times'],
  ['0', '1', '1 time'],
  ['-1', '0', '0 times'],
  ['9007199254740990', '9007199254740991', '9007199254740991 times'],
  ['9007199254740991', '9007199254740992', '9007199254740992 times'],
  ['9007199254740993', '9007199254740994', '9007199254740994 times'],
  [
    '123456789012345678901234567890',
    '123456789012345678901234567891',
    '123456789012345678901234567891 times',
  ],
  ['-9007199254740993', '-9007199254740992', '-9007199254740992 times'],
  ['2.5', '3.5', '3.5 times'],
  ['true', '2', '2 times'],
  ['false', '1', '1 time'],
]

for (const [before, after, shown] of counting) {
  test(`a num_visits of ${before} becomes ${after}, as in Python`, async (t) => {
    const library = await startLibrary(t)
    await store(library, { num_visits: before })
    t.is(await visits(library.url, `sessionid=${KEY}`), shown)
    t.is((await stored(library)).get('num_visits'), after)
  })
}

for (const foreign of ['"7"', '"<script>"', 'null', '[1]', '{"n":1}', 'NaN', 'Infinity']) {
  test(`a num_visits of ${foreign} is not a number, so the count starts again at 1`, async (t) => {
    const library = await startLibrary(t)
    await store(library, { num_visits: foreign, other: '"stays"' })
    t.is(await visits(library.url, `sessionid=${KEY}`), '1 time')
    t.deepEqual(Object.fromEntries(await stored(library)), { num_visits: '1', other: '"stays"' })
  })
}

test('of simultaneous requests with one cookie, each shows the number that it stored, all different', async (t) => {
  const TOGETHER = 20
  let present = 0
  const all = Promise.withResolvers<void>()
  const library = await startLibrary(t, {
    app: (db) => ({
      catalog: {
        // Each request loads its session before any of them counts its visit.
        counts() {
          present += 1
          if (present === TOGETHER) all.resolve()
          return all.promise.then(createCatalog({ db }).counts)
        },
      },
    }),
  })
  await store(library, { num_visits: '5' })
  const told = await Promise.all(
    Array.from({ length: TOGETHER }, () => visits(library.url, `sessionid=${KEY}`)),
  )
  t.deepEqual(new Set(told), new Set(Array.from({ length: TOGETHER }, (_, index) => `${index + 6} times`)))
  t.is(told.length, TOGETHER)
  t.is((await stored(library)).get('num_visits'), '25')
})

test('a HEAD counts as a visit, as in Django, and has no body', async (t) => {
  const { url } = await startLibrary(t)
  const head = await fetch(`${url}/catalog/`, { method: 'HEAD' })
  t.is(head.status, 200)
  t.is(await head.text(), '')
  t.true(Number(head.headers.get('Content-Length')) > 1000)
  t.is(await visits(url, cookieOf(head)), '2 times')
})

test('the page varies on the cookie and, as in Django, has no Cache-Control', async (t) => {
  const { url } = await startLibrary(t)
  const { headers } = await fetch(`${url}/catalog/`)
  t.is(headers.get('Vary'), 'Cookie')
  t.is(headers.get('Cache-Control'), null)
  t.is(headers.get('Content-Type'), 'text/html; charset=utf-8')
})

test('if the counts fail, there is no page, no visit and no cookie', async (t) => {
  const library = await startLibrary(t)
  await store(library, { num_visits: '5' })
  await library.db.schema.dropTable('catalog_bookinstance')
  const response = await fetch(`${library.url}/catalog/`, { headers: { Cookie: `sessionid=${KEY}` } })
  t.is(response.status, 500)
  t.is(response.headers.get('Set-Cookie'), null)
  t.is((await stored(library)).get('num_visits'), '5')
})

const redirects: [from: string, to: string][] = [
  ['/', '/catalog/'],
  ['/?page=2', '/catalog/'],
  ['/catalog', '/catalog/'],
  ['/catalog?page=2&q=a%20b', '/catalog/?page=2&q=a%20b'],
]

for (const [from, to] of redirects) {
  test(`${from} redirects to ${to} permanently, without a session`, async (t) => {
    const { url } = await startLibrary(t)
    const response = await fetch(`${url}${from}`, { redirect: 'manual' })
    t.is(response.status, 301)
    t.is(response.headers.get('Location'), to)
    t.is(response.headers.get('Set-Cookie'), null)
    t.is(response.headers.get('Vary'), null)
  })
}

test('paths differ by case and slash, as in Django', async (t) => {
  const { url } = await startLibrary(t)
  for (const path of ['/Catalog/', '/catalog//', '//catalog/', '/catalog/x']) {
    t.is((await fetch(`${url}${path}`)).status, 404, path)
  }
})

async function visits(url: string, cookie: string): Promise<string> {
  const response = await fetch(`${url}/catalog/`, { headers: { Cookie: cookie } })
  const page = await response.text()
  return /You have visited this page (.*)\./.exec(page)?.[1] ?? `${response.status}: ${page}`
}

function cookieOf(response: Response): string {
  return response.headers.get('Set-Cookie')?.split(';')[0] ?? ''
}

/** Stores a session under KEY, its values as JSON text. */
async function store({ db, codec }: Library, data: Record<string, string>): Promise<void> {
  await db('django_session').insert({
    session_key: KEY,
    session_data: codec.encode(new Map(Object.entries(data))),
    expire_date: '2999-01-01 00:00:00',
  })
}

async function stored({ db, codec }: Library): Promise<ReadonlyMap<string, string>> {
  const row = await db('django_session').where({ session_key: KEY }).first()
  return codec.decode(row.session_data).data
}
