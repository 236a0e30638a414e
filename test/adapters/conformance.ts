/**
 * What each framework must do, asked over HTTP of the pages that examples/README.md lists, beside real Django on one
 * database. `conformance.test.ts` asks it of the frameworks that run as they are, test/examples of those that are built.
 */
import { request as httpRequest } from 'node:http'
import type { ExecutionContext } from 'ava'
import type { Knex } from 'knex'
import { createVisitor, type Visitor } from '../interop/visitor.ts'
import { createTestDatabase, runScript, runSql, type TestDatabaseName } from '../support/databases.ts'
import { startDjango } from '../support/django.ts'
import type { Scope } from '../support/file-scope.ts'
import { openUrl } from '../support/library.ts'
import { waitForLockWait, waitForTableLockWait } from '../support/lock-waits.ts'
import { type LossyNetwork, startLossyNetwork } from '../support/lossy-network.ts'
import { until } from '../support/until.ts'

/** Real Django and its database, beside which sites are served. */
export interface Ground {
  /** The URL of Django, without a slash at the end. */
  readonly django: string
  readonly databaseUrl: string
}

/** A framework's site on a ground. */
export interface ConformingSite extends Ground {
  readonly name: string
  /** Without a slash at the end. */
  readonly url: string
  /** Between this site and its database. */
  readonly network: LossyNetwork
}

/** Real Django of this version on a database of its own. */
export async function openGround(
  t: Scope,
  { database, ...options }: { database: TestDatabaseName; version: string; secretKey: string },
): Promise<Ground> {
  const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
  return { databaseUrl, django: (await startDjango(t, { ...options, databaseUrl })).url }
}

/** A network of its own between a site and the ground's database: what it sends is counted, and can be lost. */
export async function networkTo(
  t: Scope,
  { databaseUrl }: Ground,
): Promise<{ siteDatabaseUrl: string; network: LossyNetwork }> {
  const url = new URL(databaseUrl)
  const network = await startLossyNetwork(t, Number(url.port))
  url.port = `${network.port}`
  return { siteDatabaseUrl: url.href, network }
}

type Limit =
  | 'a page that only reads renews the session'
  | 'the session is saved after the client has left'
  | 'a database that is away is a 503'
  | 'the Origin header is left to the rules of this Django version'

/** What a framework cannot do, and why. Its page in docs/frameworks/ says so too. */
export const CANNOT: Readonly<Record<string, Partial<Record<Limit, string>>>> = {
  next: {
    'a page that only reads renews the session':
      'a server component cannot set a cookie; proxy.ts can, before the page is rendered',
  },
  sveltekit: {
    'a database that is away is a 503': 'what a load or an endpoint throws is a 500 of SvelteKit',
    'the Origin header is left to the rules of this Django version':
      'SvelteKit refuses forms of other origins itself; Django does so since 4.0',
  },
  'react-router': {
    'a database that is away is a 503': 'what a loader throws is a 500 of React Router',
    'the session is saved after the client has left':
      'React Router drops what the loaders of an aborted request return and throw, and answers a 500',
  },
}

function whyNot({ name }: ConformingSite, limit: Limit): string | undefined {
  return CANNOT[name]?.[limit]
}

const PASSWORD = 'a password of the tests'

/** What a proxy in front of a site says, and a browser that asks for a page. */
const headers = { 'X-Forwarded-Proto': 'http', Accept: 'text/html' }

const get = (visitor: Visitor, url: string) => visitor.fetch(url, { headers })

/** Sends a form as a browser does. */
async function post(
  visitor: Visitor,
  url: string,
  fields: Readonly<Record<string, string>>,
  more: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const response = await visitor.fetch(url, {
    method: 'POST',
    body: new URLSearchParams(fields),
    headers: { ...headers, Origin: new URL(url).origin, ...more },
  })
  await response.text()
  return response
}

async function visitOf(
  visitor: Visitor,
  { url }: ConformingSite,
): Promise<{ visits: number; user: string | null }> {
  return (await (await get(visitor, `${url}/visit`)).json()) as { visits: number; user: string | null }
}

async function tokenOf(visitor: Visitor, { url }: ConformingSite): Promise<string> {
  return String(await (await get(visitor, `${url}/token`)).json())
}

async function djangoToken(visitor: Visitor, { django }: ConformingSite): Promise<string> {
  const page = await (await visitor.fetch(`${django}/_test/form`)).text()
  return / name=['"]csrfmiddlewaretoken['"] value=['"]([a-zA-Z0-9]{64})['"]/.exec(page)?.[1] ?? ''
}

async function addUser(username: string, { django }: ConformingSite): Promise<void> {
  const body = JSON.stringify([{ username, password: PASSWORD }])
  const response = await fetch(`${django}/_test/people`, { method: 'POST', body })
  if (!response.ok) throw new Error(await response.text())
}

const cookieNames = (response: Response) =>
  response.headers.getSetCookie().map((text) => text.split('=')[0] ?? '')

function pathOf(response: Response): string | null {
  const location = response.headers.get('Location')
  return location === null ? null : new URL(location, 'http://127.0.0.1').pathname
}

/** A transaction of a client of its own, which holds locks until it ends. */
async function openTransaction(t: Scope, { databaseUrl }: Ground): Promise<Knex.Transaction> {
  const transaction = await openUrl(t, databaseUrl).transaction()
  t.teardown(async () => {
    if (!transaction.isCompleted()) await transaction.rollback()
  })
  return transaction
}

/** Makes the database refuse each write of a session. Returns what makes it accept them again. */
async function refuseWrites(t: Scope, { databaseUrl }: Ground): Promise<() => Promise<void>> {
  const isPostgresql = databaseUrl.startsWith('postgresql:')
  const refuse = isPostgresql
    ? `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by the test'; END $$;
       CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON django_session FOR EACH ROW EXECUTE FUNCTION refuse();`
    : ['INSERT', 'UPDATE']
        .map(
          (write) =>
            `CREATE TRIGGER refuse_${write} BEFORE ${write} ON django_session
             FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'refused by the test';`,
        )
        .join('')
  const accept = isPostgresql
    ? 'DROP FUNCTION IF EXISTS refuse CASCADE'
    : 'DROP TRIGGER IF EXISTS refuse_INSERT; DROP TRIGGER IF EXISTS refuse_UPDATE'
  t.teardown(() => runScript(databaseUrl, accept))
  await runScript(databaseUrl, refuse)
  return () => runScript(databaseUrl, accept)
}

/** Locks all of `django_session`, reads too. Returns what unlocks it. */
async function lockSessions(t: Scope, ground: Ground): Promise<() => Promise<void>> {
  const transaction = await openTransaction(t, ground)
  const isPostgresql = ground.databaseUrl.startsWith('postgresql:')
  await transaction.raw(`LOCK TABLE${isPostgresql ? '' : 'S'} django_session ${isPostgresql ? '' : 'WRITE'}`)
  return async () => {
    if (!isPostgresql) await transaction.raw('UNLOCK TABLES')
    await transaction.rollback()
  }
}

type Case = (t: ExecutionContext, site: ConformingSite) => Promise<void>

/** The cases by their titles. They lock tables, so no other test may use the same ground at the same time. */
export const cases: Readonly<Record<string, Case>> = {
  async 'a visitor’s visits are counted together with Django’s'(t, site) {
    const one = createVisitor()
    t.is(await one.visit(site.django), 1)
    const key = one.cookie()
    t.is((await visitOf(one, site)).visits, 2)
    t.is(await one.visit(site.django), 3)
    t.is(one.cookie(), key)
    const other = createVisitor()
    t.is((await visitOf(other, site)).visits, 1)
    t.is(await other.visit(site.django), 2)
    t.is((await visitOf(other, site)).visits, 3)
  },

  async 'a visitor who logs in on one side is known on the other'(t, site) {
    const { name, url, django } = site
    await addUser(`of-django-${name}`, site)
    const one = createVisitor()
    const body = JSON.stringify({ username: `of-django-${name}`, password: PASSWORD })
    t.is((await one.fetch(`${django}/_test/user`, { method: 'POST', body })).status, 200)
    t.is((await visitOf(one, site)).user, `of-django-${name}`)
    t.regex(await (await get(one, `${url}/page`)).text(), new RegExp(`of-django-${name} was here 1 times`))

    await addUser(`of-${name}`, site)
    const other = createVisitor()
    const csrfmiddlewaretoken = await tokenOf(other, site)
    const login = { csrfmiddlewaretoken, username: `of-${name}` }
    t.is((await post(other, `${url}/login`, { ...login, password: 'wrong' })).status, 400)
    const done = await post(other, `${url}/login`, { ...login, password: PASSWORD })
    t.deepEqual([done.status, pathOf(done)], [303, '/visit'])
    t.deepEqual(cookieNames(done).toSorted(), ['csrftoken', 'sessionid'])
    const known = (await (await other.fetch(`${django}/_test/user`)).json()) as { username: string }
    t.is(known.username, `of-${name}`)
  },

  async 'a form is accepted with a token of either side, and refused without'(t, site) {
    const { url, django } = site
    const visitor = createVisitor()
    const ours = await tokenOf(visitor, site)
    t.is((await post(visitor, `${django}/_test/form`, { csrfmiddlewaretoken: ours })).status, 200)
    const theirs = await djangoToken(visitor, site)
    const note = { csrfmiddlewaretoken: theirs, text: 'x' }
    t.is((await post(visitor, `${url}/notes`, note)).status, 303)
    t.is((await post(visitor, `${url}/notes`, { text: 'x' }, { 'X-CSRFToken': theirs })).status, 303)
    t.is((await post(visitor, `${url}/notes`, { text: 'x' })).status, 403)
    t.is((await post(visitor, `${url}/notes`, { ...note, csrfmiddlewaretoken: 'x'.repeat(64) })).status, 403)
    // Django checks the Origin header since 4.0.
    const evil = { Origin: 'https://evil.example' }
    const { status } = await post(visitor, `${django}/_test/form`, { csrfmiddlewaretoken: theirs }, evil)
    const reason = whyNot(site, 'the Origin header is left to the rules of this Django version')
    const expected = status === 200 && reason === undefined ? 303 : 403
    t.is((await post(visitor, `${url}/notes`, note, evil)).status, expected, reason)
  },

  async 'a form that is larger than Django’s limits is a 400'(t, site) {
    const visitor = createVisitor()
    const csrfmiddlewaretoken = await tokenOf(visitor, site)
    // A server may close a connection whose request it has not read to the end.
    const note = (size: number, more = {}) =>
      post(
        visitor,
        `${site.url}/notes`,
        { csrfmiddlewaretoken, text: 'x'.repeat(size), ...more },
        { Connection: 'close' },
      )
    t.is((await note(2_600_000)).status, 303)
    t.is((await note(2_621_440)).status, 400)
    const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`field${at}`, '']))
    t.is((await note(1, fields)).status, 400)
  },

  async 'a message of one side is shown once, by whichever side shows a page next'(t, site) {
    const { url, django } = site
    const visitor = createVisitor()
    const csrfmiddlewaretoken = await tokenOf(visitor, site)
    const djangoMessages = async () => (await visitor.fetch(`${django}/_test/messages`)).json()
    await post(visitor, `${url}/notes`, { csrfmiddlewaretoken, text: '홍길동 & co' })
    t.deepEqual(await djangoMessages(), [[25, '홍길동 & co', 'success', false]])
    t.deepEqual(await (await get(visitor, `${url}/notes`)).json(), [])

    const messages = JSON.stringify([[20, 'of Django', '', false]])
    await post(visitor, `${django}/_test/form`, { csrfmiddlewaretoken, messages })
    t.deepEqual(await (await get(visitor, `${url}/notes`)).json(), ['of Django'])
    t.deepEqual(await djangoMessages(), [])
  },

  'a redirect saves the session and sets its cookie': (t, site) => isSaved(t, site, 'redirect', 307),

  'a 404 that is thrown saves the session and sets its cookie': (t, site) => isSaved(t, site, 'missing', 404),

  async 'a bug is a 500 that saves nothing and sets no cookie'(t, site) {
    const visitor = createVisitor()
    t.is((await visitOf(visitor, site)).visits, 1)
    const response = await get(visitor, `${site.url}/fail`)
    t.notRegex(await response.text(), /django_session/)
    t.is(response.status, 500)
    t.deepEqual(cookieNames(response), [])
    t.is(await visitor.visit(site.django), 2)
  },

  async 'a response streams, and its session is saved before its end'(t, site) {
    const visitor = createVisitor()
    const response = await get(visitor, `${site.url}/stream`)
    t.deepEqual(cookieNames(response), ['sessionid'])
    const reader = response.body?.getReader()
    const { value } = (await reader?.read()) ?? {}
    t.regex(new TextDecoder().decode(value), /^visit 1\n/)
    t.is(await visitor.visit(site.django), 2)
    await reader?.cancel()
    t.is((await visitOf(visitor, site)).visits, 3)
  },

  async 'a request whose client leaves while its page is made saves the session'(t, site) {
    const visitor = createVisitor()
    await visitOf(visitor, site)
    const unlock = await lockSessions(t, site)
    const request = httpRequest(`${site.url}/visit`, {
      agent: false,
      headers: { ...headers, Cookie: `sessionid=${visitor.cookie()}` },
    })
    const left = new Promise((resolve) => request.once('error', resolve))
    request.end()
    await waitForTableLockWait(site.databaseUrl)
    request.destroy(new Error('the client leaves'))
    await left
    await tokenOf(createVisitor(), site) // The site has seen the end of the connection before this request.
    await unlock()
    const reason = whyNot(site, 'the session is saved after the client has left')
    const row = () => visitor.fetch(`${site.django}/_test/session`).then((response) => response.text())
    if (reason === undefined)
      await until('the session is saved', async () => (await row()) === '{"num_visits":2}')
    t.is((await visitOf(visitor, site)).visits, reason === undefined ? 3 : 2, reason)
  },

  async 'a session that cannot be saved is an error of the server, and the visitor gets no cookie'(t, site) {
    const visitor = createVisitor()
    await visitOf(visitor, site)
    const accept = await refuseWrites(t, site)
    for (const path of ['visit', 'redirect', 'stream'])
      for (const [who, one] of [
        ['known', visitor],
        ['new', createVisitor()],
      ] as const) {
        const response = await get(one, `${site.url}/${path}`)
        t.is(response.status, 500, `/${path} of a ${who} visitor`)
        t.deepEqual(cookieNames(response), [], path)
        t.notRegex(await response.text(), /visit|refused|django_session/, path)
      }
    await accept()
    t.is((await visitOf(visitor, site)).visits, 2)
  },

  async 'a 404 whose session cannot be saved is a 500, as in Django'(t, site) {
    const visitor = createVisitor()
    await visitOf(visitor, site)
    await refuseWrites(t, site)
    const response = await get(visitor, `${site.url}/missing`)
    await response.text()
    t.is(response.status, 500)
    t.deepEqual(cookieNames(response), [])
  },

  async 'a database that is away is a 503, until it is back'(t, site) {
    const visitor = createVisitor()
    await visitOf(visitor, site)
    site.network.lose('question', /django_session/)
    const response = await get(visitor, `${site.url}/visit`)
    site.network.mend()
    const reason = whyNot(site, 'a database that is away is a 503')
    t.is(response.status, reason === undefined ? 503 : 500, reason)
    t.notRegex(await response.text(), /visits|select|django_session/i)
    t.deepEqual(cookieNames(response), [])
    t.is((await visitOf(visitor, site)).visits, 2)
  },

  async 'a session that is deleted while its page is made is a 400'(t, site) {
    const visitor = createVisitor()
    await visitOf(visitor, site)
    const other = await openTransaction(t, site)
    t.is(await other('django_session').where({ session_key: visitor.cookie() }).delete(), 1)
    const asked = get(visitor, `${site.url}/visit`)
    await waitForLockWait(site.databaseUrl)
    await other.commit()
    const response = await asked
    t.is(response.status, 400)
    t.notRegex(await response.text(), /"visits"/)
    t.deepEqual(cookieNames(response), [])
  },

  async 'a visitor without a session gets none from a page that only reads, and costs no query'(t, site) {
    await get(createVisitor(), `${site.url}/page`).then((response) => response.text())
    const before = site.network.sent
    const response = await get(createVisitor(), `${site.url}/page`)
    t.regex(await response.text(), /nobody was here 0 times/)
    t.deepEqual(cookieNames(response), [])
    t.is(site.network.sent, before)
    await visitOf(createVisitor(), site)
    t.true(site.network.sent > before)
  },

  async 'with SESSION_SAVE_EVERY_REQUEST a page that only reads renews the session'(t, site) {
    const visitor = createVisitor()
    await visitor.visit(site.django)
    const expiry = async () => {
      const where = `session_key = '${visitor.cookie()}'`
      const [row] = await runSql(site.databaseUrl, `SELECT expire_date FROM django_session WHERE ${where}`)
      return String(row?.expire_date)
    }
    const renews = async (path: string) => {
      const past = "UPDATE django_session SET expire_date = '2999-01-01' WHERE session_key ="
      await runSql(site.databaseUrl, `${past} '${visitor.cookie()}'`)
      const before = await expiry()
      const response = await get(visitor, `${site.url}${path}`)
      t.regex(await response.text(), /nobody was here 1 times/)
      return [cookieNames(response).includes('sessionid'), (await expiry()) !== before]
    }
    const reason = whyNot(site, 'a page that only reads renews the session')
    t.deepEqual(await renews('/page'), reason === undefined ? [true, true] : [false, false], reason)
    if (reason !== undefined) t.deepEqual(await renews('/renewed'), [true, true], reason)
  },
}

async function isSaved(
  t: ExecutionContext,
  { url, django }: ConformingSite,
  page: string,
  status: number,
): Promise<void> {
  const visitor = createVisitor()
  const response = await get(visitor, `${url}/${page}`)
  await response.text()
  t.deepEqual([response.status, pathOf(response)], [status, status === 307 ? '/visit' : null])
  t.deepEqual(cookieNames(response), ['sessionid'])
  t.regex(response.headers.get('Vary') ?? '', /\bCookie\b/i)
  t.is(await visitor.visit(django), 2)
}
