import test from 'ava'
import fc from 'fast-check'
import { lenientPath, pathInfo } from '../../src/django/path-info.ts'
import { createRouting } from '../../src/service/routing.ts'
import { startLibrary } from '../support/library.ts'
import { startLoginSite } from './pages/login-site.ts'
import { sendRaw } from './proxy/behind.ts'

const { placeOf } = createRouting((method, path) => method === 'GET' && ['/', '/a/', '/a/b.c'].includes(path))

for (const [target, place] of [
  ['/', 'here'],
  ['/?/a/', 'here'],
  ['/a/?x#y', 'here'],
  ['/%61/', 'here'],
  ['/a/b%2ec', 'here'],
  ['/%61%2f', 'nowhere'],
  ['/a/b.c/..', 'nowhere'],
  ['/..', 'nowhere'],
  ['//', 'nowhere'],
  ['/a/#?', 'nowhere'],
  ['', 'nowhere'],
  ['/a', 'elsewhere'],
  ['/a/b%252ec', 'elsewhere'],
  ['/a/b.c/', 'elsewhere'],
  ['/A/', 'elsewhere'],
  ['*', 'elsewhere'],
] as const) {
  test(`the place of the target ${JSON.stringify(target)} is "${place}"`, (t) => {
    t.is(placeOf('GET', target), place)
    t.is(placeOf('POST', target), 'elsewhere')
  })
}

test('a path is decoded once, in linear time', (t) => {
  t.is(pathInfo('/%EB%8F%84%e3%80?x=%20'), '/도\ufffd')
  t.is(pathInfo('/%2561%'), '/%61%')
  const long = '/%2e%2e/./\\x'.repeat(20_000)
  t.is(lenientPath(long), '/x')
})

test('a plain path is read as every other, in linear time', (t) => {
  const characters = ['/', '/', '/', '.', 'a', '_', '-', '\\', '%', '%2e', '#', '\n', '\0', ' ', 'é', ';']
  const paths = fc.array(fc.constantFrom(...characters), { maxLength: 12 }).map((all) => all.join(''))
  // With a query, no path is plain.
  fc.assert(
    fc.property(paths, (path) => t.is(lenientPath(path), lenientPath(`${path}?`)) === true),
    {
      numRuns: 20_000,
      examples: [[''], ['/'], ['/a'], ['/a/'], ['a'], ['/a//'], ['/a/.'], ['/.a'], ['/a.']],
    },
  )
  for (const long of [
    '/a'.repeat(50_000),
    'a'.repeat(100_000),
    `/${'a'.repeat(100_000)}!`,
    '/-.'.repeat(40_000),
  ])
    t.is(lenientPath(long), lenientPath(`${long}?`))
})

test('a page requested by another spelling links to itself by its own path', async (t) => {
  const { url } = await startLoginSite(t)
  const page = await (await fetch(`${url}/%61ccounts/%6cogin/?next=/catalog/`)).text()
  t.regex(page, /<form[^>]* action="\/accounts\/login\/"/)
  const home = await (await fetch(`${url}/%63atalog/?x`)).text()
  t.regex(home, /href="\/accounts\/login\/\?next=\/catalog\/"/)
  const moved = await fetch(`${url}/%63atalog?x=%2F`, { redirect: 'manual' })
  t.is(moved.status, 301)
  t.is(moved.headers.get('Location'), '/catalog/?x=%2F')
  t.is((await fetch(`${url}/%63atalog/`, { method: 'POST' })).status, 405)
})

test('ambiguous spellings of our paths are a 404, also without an upstream', async (t) => {
  const { url, db, log } = await startLibrary(t)
  for (const target of [
    '/catalog%2f',
    '//catalog/',
    '\\catalog/',
    '/catalog\\#',
    '/x/../catalog/',
    '/health/./live',
  ]) {
    const answer = await sendRaw(
      url,
      `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`,
    )
    t.regex(answer, target.startsWith('\\') ? /^HTTP\/1\.1 400 / : /^HTTP\/1\.1 404 /, target)
    t.notRegex(answer, /set-cookie/i)
  }
  t.deepEqual(await db('django_session'), [])
  t.false(log.events.some(({ level }) => level === 'error'))
})

test('health answers to every unambiguous spelling', async (t) => {
  const { url } = await startLibrary(t)
  t.is((await fetch(`${url}/health/%6cive`)).status, 200)
})
