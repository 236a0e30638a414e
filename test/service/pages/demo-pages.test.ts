/** The embedded demo as `npm start` serves it, without any Django. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { AUTHORS, BOOKS } from '../../../src/service/demo/library.ts'
import { createVisitor, type Visitor } from '../../interop/visitor.ts'
import { createTestDatabase, runSql } from '../../support/databases.ts'
import { djangoVersions, startDjango } from '../../support/django.ts'
import { fileScope } from '../../support/file-scope.ts'
import { type RunningService, startService, temporaryFolder } from '../../support/service.ts'
import { crawl } from './demo-crawler.ts'
import { logIn } from './login-site.ts'

const file = fileScope(test)
const cwd = temporaryFolder(file)
const databaseUrl = `sqlite:///${cwd}/var/demo.sqlite3`
let demo: RunningService

test.before(async () => {
  demo = await startService(file, { cwd })
})

const USERS = { member: 'reads-books', librarian: 'lends-books' } as const

async function visitorOf(user: keyof typeof USERS | null): Promise<Visitor> {
  const visitor = createVisitor()
  if (user !== null) await logIn({ url: demo.url, visitor }, { username: user, password: USERS[user] })
  return visitor
}

const FOR_ALL: readonly (readonly [path: string, title: string])[] = [
  ['/catalog/', 'Local Library Home'],
  ['/catalog/books/', 'Book List – Local Library'],
  ['/catalog/books/?page=2', 'Book List, page 2 – Local Library'],
  ['/catalog/books/?page=3', 'Book List, page 3 – Local Library'],
  ['/catalog/authors/', 'Author List – Local Library'],
  ['/catalog/authors/?page=3', 'Author List, page 3 – Local Library'],
  ...BOOKS.map(({ title }, index) => [`/catalog/book/${index + 1}`, `${title} – Local Library`] as const),
  ...AUTHORS.map(
    ({ last_name, first_name }, index) =>
      [`/catalog/author/${index + 1}`, `${last_name}, ${first_name} – Local Library`] as const,
  ),
]
const LOGIN = ['/accounts/login/?next=/catalog/book/1', 'Login – Local Library'] as const
const MINE = ['/catalog/mybooks/', 'Borrowed books – Local Library'] as const
const ALL = [
  ['/catalog/borrowed/', 'All Borrowed Books – Local Library'],
  ['/catalog/borrowed/?page=2', 'All Borrowed Books, page 2 – Local Library'],
] as const

const SESSIONS = ['/_sessions/', 'Sessions – Local Library'] as const

const visits: readonly [keyof typeof USERS | null, typeof FOR_ALL, without: readonly string[]][] = [
  [null, [...FOR_ALL, LOGIN], ['/catalog/mybooks/', '/catalog/borrowed/', '/admin/', '/_sessions/']],
  ['member', [...FOR_ALL, MINE], ['/accounts/login/', '/catalog/borrowed/', '/admin/', '/_sessions/']],
  ['librarian', [...FOR_ALL, MINE, ...ALL, SESSIONS], ['/accounts/login/', '/admin/']],
]
for (const [user, expected, without] of visits) {
  test(`every link of every page leads to a page, for ${user ?? 'an anonymous visitor'}`, async (t) => {
    const pages = await crawl(await visitorOf(user), `${demo.url}/catalog/`)
    for (const [path, { status }] of pages) t.is(status, 200, path)
    for (const [path, title] of expected) t.is(unescaped(pages.get(path)?.title ?? 'not linked'), title, path)
    const paths = [...pages.keys()].map((path) => path.split('?')[0])
    for (const path of without) t.false(paths.includes(path), path)
  })
}

test('the login page names the users of the demo, and a login leads to the page that was wanted', async (t) => {
  const visitor = createVisitor()
  const asked = await visitor.fetch(`${demo.url}/catalog/mybooks/`)
  t.is(asked.status, 302)
  t.is(asked.headers.get('Location'), '/accounts/login/?next=/catalog/mybooks/')
  const page = await (await visitor.fetch(`${demo.url}/accounts/login/`)).text()
  for (const [name, password] of Object.entries(USERS))
    t.true(page.includes(`<code>${name}</code> / <code>${password}</code>`), name)
  const login = await logIn(
    { url: demo.url, visitor },
    { username: 'member', password: USERS.member, query: '?next=/catalog/mybooks/' },
  )
  t.is(login.headers.get('Location'), '/catalog/mybooks/')
  const mine = await (await visitor.fetch(`${demo.url}/catalog/mybooks/`)).text()
  t.regex(mine, /User: <strong>member<\/strong>/)
  const [loan] = await runSql(
    databaseUrl,
    `SELECT title FROM catalog_book JOIN catalog_bookinstance ON book_id = catalog_book.id
      JOIN auth_user ON auth_user.id = borrower_id WHERE username = 'member' LIMIT 1`,
  )
  t.true(unescaped(mine).includes(`>${loan?.title}</a>`))
})

test('all borrowed books are for users with the permission, as in Django', async (t) => {
  const status = async (user: keyof typeof USERS | null) => {
    const visitor = await visitorOf(user)
    const { status, headers } = await visitor.fetch(`${demo.url}/catalog/borrowed/?page=2`)
    return [status, headers.get('Location')]
  }
  t.deepEqual(await status(null), [302, '/accounts/login/?next=/catalog/borrowed/%3Fpage%3D2'])
  t.deepEqual(await status('member'), [403, null])
  t.deepEqual(await status('librarian'), [200, null])
})

test('pages and rows that do not exist are 404, and a path without its slash is redirected', async (t) => {
  for (const path of [
    'books/?page=0',
    'books/?page=4',
    'books/?page=x',
    'book/26',
    'book/x',
    'book/1/',
    'book/9007199254740993',
    'author/0',
  ])
    t.is((await fetch(`${demo.url}/catalog/${path}`)).status, 404, path)
  for (const name of ['books', 'authors', 'mybooks', 'borrowed']) {
    const response = await fetch(`${demo.url}/catalog/${name}?page=2`, { redirect: 'manual' })
    t.is(response.status, 301)
    t.is(response.headers.get('Location'), `/catalog/${name}/?page=2`)
  }
  const last = await (await fetch(`${demo.url}/catalog/books/?page=last`)).text()
  t.regex(last, /Page 3 of 3\./)
  t.is((await fetch(`${demo.url}/catalog/books/`, { method: 'POST' })).status, 405)
})

test("every list has the same links as that of a real Django, books and authors in Django's order", async (t) => {
  const secretKey = readFileSync(`${cwd}/var/demo.sqlite3.secret-key`, 'utf8').trim()
  const django = await startDjango(t, { version: djangoVersions.at(-1) ?? '', secretKey, databaseUrl })
  const visitor = await visitorOf('librarian')
  const linksOn = async (site: string, path: string) => {
    const html = await (await visitor.fetch(`${site}/catalog/${path}`)).text()
    const links = html.matchAll(/<a [^>]*href="(\/catalog\/(book|author)\/\d+|[^"]*\?page=\d)"/g)
    // Ours also links each book's author.
    return [...links].flatMap(([, href, kind]) =>
      kind === 'author' && !path.startsWith('authors') ? [] : String(href),
    )
  }
  const numbers = ['', '?page=2', '?page=3']
  for (const path of ['books/', 'authors/'].flatMap((list) => numbers.map((number) => list + number))) {
    const ours = await linksOn(demo.url, path)
    t.true(ours.length >= 5, path)
    t.deepEqual(ours, await linksOn(django.url, path), path)
  }
  // Several copies are due on one day, for which Django leaves the order open.
  const loansOn = async (site: string) =>
    (await Promise.all(numbers.slice(0, 2).map((number) => linksOn(site, `borrowed/${number}`))))
      .flat()
      .sort()
  t.true((await loansOn(demo.url)).length > 10)
  t.deepEqual(await loansOn(demo.url), await loansOn(django.url))
})

test('on a site of somebody else the login page names no users, and the other pages are not served', async (t) => {
  const { url } = await createTestDatabase(t, 'sqlite', { tables: 'library' })
  const env = { DATABASE_URL: url, DJANGO_SECRET_KEY: 'x', DJANGO_VERSION: '5.2', USE_TZ: 'True' }
  const site = await startService(t, { env })
  const login = await (await fetch(`${site.url}/accounts/login/`)).text()
  t.false(login.includes('Demo users'))
  for (const path of ['books/', 'book/1', 'authors/', 'author/1', 'mybooks/', 'borrowed/'])
    t.is((await fetch(`${site.url}/catalog/${path}`)).status, 404, path)
  t.deepEqual(await runSql(url, 'SELECT * FROM auth_user'), [])
})

/** The text without the entities of HTML. */
function unescaped(html: string): string {
  return html.replaceAll('&#39;', "'").replaceAll('&quot;', '"').replaceAll('&amp;', '&')
}
