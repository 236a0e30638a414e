/**
 * Next.js, SvelteKit and React Router as their own builds serve them, with the packed package, beside real Django on one
 * database. `npm run test:examples` runs this.
 */
import test, { type ExecutionContext } from 'ava'
import { createVisitor, type Visitor } from '../interop/visitor.ts'
import { createTestDatabase, runSql, testDatabases } from '../support/databases.ts'
import { startDjango } from '../support/django.ts'
import { fileScope } from '../support/file-scope.ts'
import { packPackage } from '../support/packed.ts'
import { buildExample, type ExampleName, exampleNames, startExample } from './example.ts'

const secretKey = 'a key of Django and of the examples: 비밀#$%'
const PASSWORD = 'a password of the tests'

const file = fileScope(test)
const examples = new Map<ExampleName, string>()
let databaseUrl = ''
let django = ''

test.before('Django serves the database', async () => {
  const [database = 'sqlite'] = testDatabases.filter((name) => name === 'mariadb' || name === 'mysql')
  databaseUrl = (await createTestDatabase(file, database, { tables: 'library' })).url
  django = (await startDjango(file, { version: '5.2', secretKey, databaseUrl })).url
})

test.before('the examples are installed, built and started', async (t) => {
  t.timeout(600_000)
  const tarball = await packPackage()
  for (const name of exampleNames) {
    const begun = performance.now()
    const folder = await buildExample(name, tarball)
    const settings = { DATABASE_URL: databaseUrl, DJANGO_SECRET_KEY: secretKey }
    examples.set(name, (await startExample(file, name, { folder, settings })).url)
    t.log(`${name}: ${((performance.now() - begun) / 1000).toFixed(1)} s until it answers`)
  }
})

/** What a proxy in front of an example says, and a browser that asks for a page. */
const headers = { 'X-Forwarded-Proto': 'http', Accept: 'text/html' }

const get = (visitor: Visitor, url: string) => visitor.fetch(url, { headers })

/** Sends a form as a browser does. */
async function post(visitor: Visitor, url: string, fields: Record<string, string>, origin?: string) {
  const response = await visitor.fetch(url, {
    method: 'POST',
    body: new URLSearchParams(fields),
    headers: { ...headers, Origin: origin ?? new URL(url).origin },
  })
  await response.text()
  return response
}

async function visitOf(visitor: Visitor, site: string): Promise<{ visits: number; user: string | null }> {
  return (await (await get(visitor, `${site}/visit`)).json()) as { visits: number; user: string | null }
}

async function tokenOf(visitor: Visitor, site: string): Promise<string> {
  return String(await (await get(visitor, `${site}/token`)).json())
}

async function djangoToken(visitor: Visitor): Promise<string> {
  const page = await (await visitor.fetch(`${django}/_test/form`)).text()
  return / name="csrfmiddlewaretoken" value="([a-zA-Z0-9]{64})"/.exec(page)?.[1] ?? ''
}

async function addUser(username: string): Promise<void> {
  const body = JSON.stringify([{ username, password: PASSWORD }])
  const response = await fetch(`${django}/_test/people`, { method: 'POST', body })
  if (!response.ok) throw new Error(await response.text())
}

const rowOf = async (visitor: Visitor) =>
  (await runSql(databaseUrl, `SELECT * FROM django_session WHERE session_key = '${visitor.cookie()}'`))[0]

const cookieNames = (response: Response) =>
  response.headers.getSetCookie().map((text) => text.split('=')[0] ?? '')

function each(title: string, run: (t: ExecutionContext, url: string, name: ExampleName) => Promise<void>) {
  for (const name of exampleNames)
    test(`${name}: ${title}`, async (t) => {
      t.timeout(110_000)
      await run(t, examples.get(name) ?? '', name)
    })
}

each('a visitor’s visits are counted together with Django’s', async (t, url) => {
  const one = createVisitor()
  t.is(await one.visit(django), 1)
  const key = one.cookie()
  t.is((await visitOf(one, url)).visits, 2)
  t.is(await one.visit(django), 3)
  t.is(one.cookie(), key)
  const other = createVisitor()
  t.is((await visitOf(other, url)).visits, 1)
  t.is(await other.visit(django), 2)
  t.is((await visitOf(other, url)).visits, 3)
})

each('a visitor who logs in on one side is known on the other', async (t, url, name) => {
  await addUser(`of-django-${name}`)
  const one = createVisitor()
  const body = JSON.stringify({ username: `of-django-${name}`, password: PASSWORD })
  t.is((await one.fetch(`${django}/_test/user`, { method: 'POST', body })).status, 200)
  t.is((await visitOf(one, url)).user, `of-django-${name}`)
  t.regex(await (await get(one, `${url}/page`)).text(), new RegExp(`of-django-${name} was here 1 times`))

  await addUser(`of-${name}`)
  const other = createVisitor()
  const csrfmiddlewaretoken = await tokenOf(other, url)
  const login = { csrfmiddlewaretoken, username: `of-${name}` }
  t.is((await post(other, `${url}/login`, { ...login, password: 'wrong' })).status, 400)
  const done = await post(other, `${url}/login`, { ...login, password: PASSWORD })
  t.deepEqual([done.status, pathOf(done)], [303, '/visit'])
  t.deepEqual(cookieNames(done).toSorted(), ['csrftoken', 'sessionid'])
  const known = (await (await other.fetch(`${django}/_test/user`)).json()) as { username: string }
  t.is(known.username, `of-${name}`)
})

each('a form is accepted with a token of either side, and refused without', async (t, url) => {
  const visitor = createVisitor()
  const ours = await tokenOf(visitor, url)
  t.is((await post(visitor, `${django}/_test/form`, { csrfmiddlewaretoken: ours })).status, 200)
  const theirs = await djangoToken(visitor)
  const note = { csrfmiddlewaretoken: theirs, text: 'x' }
  t.is((await post(visitor, `${url}/notes`, note)).status, 303)
  t.is((await post(visitor, `${url}/notes`, { text: 'x' })).status, 403)
  t.is((await post(visitor, `${url}/notes`, { ...note, csrfmiddlewaretoken: 'x'.repeat(64) })).status, 403)
  t.is((await post(visitor, `${url}/notes`, note, 'https://evil.example')).status, 403)
})

each('a message of one side is shown once, by whichever side shows a page next', async (t, url) => {
  const visitor = createVisitor()
  const csrfmiddlewaretoken = await tokenOf(visitor, url)
  const djangoMessages = async () => (await visitor.fetch(`${django}/_test/messages`)).json()
  await post(visitor, `${url}/notes`, { csrfmiddlewaretoken, text: '홍길동 & co' })
  t.deepEqual(await djangoMessages(), [[25, '홍길동 & co', 'success', false]])
  t.deepEqual(await (await get(visitor, `${url}/notes`)).json(), [])

  const messages = JSON.stringify([[20, 'of Django', '', false]])
  await post(visitor, `${django}/_test/form`, { csrfmiddlewaretoken, messages })
  t.deepEqual(await (await get(visitor, `${url}/notes`)).json(), ['of Django'])
  t.deepEqual(await djangoMessages(), [])
})

for (const [path, status, location] of [
  ['missing', 404, null],
  ['redirect', 307, '/visit'],
] as const)
  each(`what ${path} throws saves the session and sets its cookie`, async (t, url) => {
    const visitor = createVisitor()
    const response = await get(visitor, `${url}/${path}`)
    await response.text()
    t.deepEqual([response.status, pathOf(response)], [status, location])
    t.deepEqual(cookieNames(response), ['sessionid'])
    t.regex(response.headers.get('Vary') ?? '', /\bCookie\b/i)
    t.is(await visitor.visit(django), 2)
  })

each('a bug is a 500 that saves nothing and sets no cookie', async (t, url) => {
  const visitor = createVisitor()
  t.is((await visitOf(visitor, url)).visits, 1)
  const response = await get(visitor, `${url}/fail`)
  t.notRegex(await response.text(), /django_session/)
  t.is(response.status, 500)
  t.deepEqual(cookieNames(response), [])
  t.is(await visitor.visit(django), 2)
})

each('a response streams, and its session is saved before its end', async (t, url) => {
  const visitor = createVisitor()
  const response = await get(visitor, `${url}/stream`)
  t.deepEqual(cookieNames(response), ['sessionid'])
  const reader = response.body?.getReader()
  const { value } = (await reader?.read()) ?? {}
  t.regex(new TextDecoder().decode(value), /^visit 1\n/)
  t.is(await visitor.visit(django), 2)
  await reader?.cancel()
  t.is((await visitOf(visitor, url)).visits, 3)
})

each('a visitor without a session gets none from a page that only reads', async (t, url) => {
  const response = await get(createVisitor(), `${url}/page`)
  t.regex(await response.text(), /nobody was here 0 times/)
  t.deepEqual(cookieNames(response), [])
})

each('with SESSION_SAVE_EVERY_REQUEST a page that only reads renews the session', async (t, url, name) => {
  const visitor = createVisitor()
  await visitor.visit(django)
  const renews = async (path: string) => {
    const past = "UPDATE django_session SET expire_date = '2999-01-01' WHERE session_key ="
    await runSql(databaseUrl, `${past} '${visitor.cookie()}'`)
    const before = await rowOf(visitor)
    const response = await get(visitor, `${url}${path}`)
    t.regex(await response.text(), /nobody was here 1 times/)
    const { expire_date: expires } = (await rowOf(visitor)) ?? {}
    return [cookieNames(response).includes('sessionid'), String(expires) !== String(before?.expire_date)]
  }
  if (name === 'next') {
    t.deepEqual(await renews('/page'), [false, false], 'a server component cannot set a cookie')
    t.deepEqual(await renews('/renewed'), [true, true], 'proxy.ts can')
  } else t.deepEqual(await renews('/page'), [true, true])
})

function pathOf(response: Response): string | null {
  const location = response.headers.get('Location')
  return location === null ? null : new URL(location, 'http://127.0.0.1').pathname
}
